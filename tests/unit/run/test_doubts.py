"""Warnings about what the records of a stream had in common."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from unit_support import DEFAULTS, NOW, order, rejection

from target_liveintent.conversions import DEAD_LETTERS, EventBuilder
from target_liveintent.reasons import NO_IDENTITY, REASONS
from target_liveintent.run.amounts import OTHERS, Amount
from target_liveintent.run.counts import StreamCounts
from target_liveintent.run.doubts import idle, warnings_of, what_to_do


def counts_of(*records: dict[str, Any]) -> StreamCounts:
    """Count records as a run does."""
    counts = StreamCounts(mapped=frozenset({"email"}))
    columns = {column for record in records for column in record}
    builder = EventBuilder("orders", columns, (), DEFAULTS)
    builder.causes = counts.causes
    for record in records:
        counts.read += 1
        result = builder.build(record, record, NOW, counts.left_out)
        if hasattr(result, "reason"):
            counts.reject(result)
        else:
            counts.delivered += 1
    return counts


ORDER = order(value=1, currency="USD", ip="203.0.113.9", email="ann@example.com")


@pytest.mark.parametrize(
    ("column", "value", "cause"),
    [
        ("email", "Jane Doe", '"x x" is neither an e-mail address nor a hash of one'),
        ("email", 4711, '"9999" is neither an e-mail address nor a hash of one'),
        ("ip", "10.0.0.5", '"99.9.9.9" is not a public IP address'),
        ("value", "99,50", '"99,99" is not a number with a decimal point'),
        ("currency", "Euro", '"x" is not a three-letter code, such as EUR'),
        ("order_id", [1], "a value of the type list is not a text"),
        ("order_id", "jane@example.com", '"x@x.x" is not a text, or has an e-mail address in it'),
    ],
)
def test_a_column_that_is_left_out(column: str, value: Any, cause: str) -> None:
    """From five events and five percent on, the column, the cause and the shape are said."""
    few = [{**ORDER, column: value}] * 4
    many = [{**ORDER, column: value}] * 5
    known = column in ("value", "currency")  # What was sent without them cannot be corrected.
    assert len(list(warnings_of(counts_of(*few, *[ORDER] * 50)))) == known
    assert len(list(warnings_of(counts_of(*many, *[ORDER] * 95)))) == known
    (said,) = warnings_of(counts_of(*many, *[ORDER] * 94))
    assert said.startswith(f"{column} is left out of 5 of 99 events: {cause}")
    assert f". Check what is mapped to {column}" in said


def test_the_most_frequent_cause_is_said() -> None:
    causes = Counter({"value: rare": 1, "value: frequent": 4, "ip: other": 9})
    (said,) = warnings_of(StreamCounts(5, delivered=5, left_out=Counter(value=5), causes=causes))
    assert said.startswith("value is left out of 5 of 5 events: frequent. ")


def test_causes_are_bounded() -> None:
    """Columns in which each value is written in another way cost no more memory."""
    values = ("-" * a + "." * b for a in range(1, 20) for b in range(1, 20))
    counts = counts_of(*({**ORDER, "value": value} for value in values))
    assert len(counts.causes) <= 200
    assert counts.left_out["value"] == 19 * 19


@pytest.mark.parametrize(("empty", "warns"), [(4, False), (5, True)])
def test_an_empty_event_id(empty: int, *, warns: bool) -> None:
    """It falls back to the keys, which is counted, and a warning if it happens often."""
    records = [{**ORDER, "event_id": None, "order_id": n} for n in range(empty)]
    counts = counts_of(*records, *[ORDER] * 20)
    assert counts.left_out["event_id empty"] == empty
    said = list(warnings_of(counts))
    assert [one.partition(",")[0] for one in said] == (
        [f"event_id is empty in {empty} of {20 + empty} events"] if warns else []
    )


@pytest.mark.parametrize(
    ("read", "filtered", "mapped", "warns"),
    [
        (5, 5, "email", True),
        (4, 4, "email", False),
        (6, 5, "email", False),
        (0, 0, "email", False),
        (5, 5, "", False),  # The map drops the stream as a whole.
    ],
)
def test_a_filter_that_removes_everything(
    read: int, filtered: int, mapped: str, *, warns: bool
) -> None:
    counts = StreamCounts(read, filtered=filtered, mapped=frozenset(mapped.split()))
    said = list(warnings_of(counts))
    assert len(said) == warns
    assert all("the filter of the map removes all 5 records" in one for one in said)


@pytest.mark.parametrize(
    ("old", "read", "warns"), [(5, 9, True), (5, 10, False), (4, 4, False), (480, 500, True)]
)
def test_times_out_of_range(old: int, read: int, *, warns: bool) -> None:
    """More than half of the records: the warning shows how the times are written."""
    counts = StreamCounts(read + 3, filtered=2, unmapped=1, delivered=read - old)
    for _ in range(old):
        counts.reject(rejection(order(event_time="2020-01-31 10:00")))
    said = list(warnings_of(counts))
    assert len(said) == warns
    for one in said:
        assert one.startswith(
            f"{old} of {read} records are too old or in the future (event_too_old {old}); their"
            ' event_time looks like "9999-99-99 99:99". A first run over older rows is normal.'
        )


def test_old_and_future_times() -> None:
    """Both count together, as a wrong form of times gives some of each."""
    rejected = Counter(event_in_future=2, event_too_old=3)
    (said,) = warnings_of(StreamCounts(6, delivered=1, rejected=rejected))
    assert said.startswith(
        "5 of 6 records are too old or in the future (event_too_old 3, event_in_future 2). A first"
    )


@pytest.mark.parametrize(
    ("values", "left_out", "said"),
    [
        ({"": 5}, {}, "in 5 conversions, the value has no currency. Add a column named 'currency'"),
        # Nobody is told to map a column that is mapped, and empty or unusable.
        ({"": 5}, {"value empty": 3}, "in 5 conversions, the value has no currency. Add a column"),
        ({"": 1}, {"currency empty": 2}, "in 1 conversion, the value has no currency. Check what"),
        ({"": 9}, {"currency": 2}, "currency is left out of 2"),
        (
            {"EUR": 3, "EUE": 2, OTHERS: 7},
            {},
            "the currency of 2 conversions is not in ISO 4217 (EUE)",
        ),
        (
            {f"{x}XX": 1 for x in "ABCDEF"},
            {},
            "the currency of 6 conversions is not in ISO 4217 (AXX, BXX, CXX, DXX, EXX and others)",
        ),
        # Known currencies, and columns that are only empty, alarm nobody.
        ({"JPY": 2}, {"value empty": 3, "currency empty": 1, "ip": 2}, ""),
    ],
)
def test_currencies(values: dict[str, int], left_out: dict[str, int], said: str) -> None:
    """Values without a currency, and unknown ones: each with its count."""
    amounts = {name: Amount(count) for name, count in values.items()}
    counts = StreamCounts(9, delivered=9, left_out=Counter(left_out), values=amounts)
    first = next(warnings_of(counts), "")
    assert first.startswith(said)
    assert bool(first) == bool(said)


# Whose conversions they are


def found(
    events: int, unidentified: int = 0, mapped: str = "email", **left_out: int
) -> StreamCounts:
    """Return the figures of a stream; `email_empty` stands for the key `email empty`."""
    counts = {name.replace("_empty", " empty"): count for name, count in left_out.items()}
    return StreamCounts(
        events,
        delivered=events - unidentified,
        rejected=Counter(no_identity=unidentified),
        mapped=frozenset(mapped.split()),
        left_out=Counter(counts),
    )


def identity_doubts(counts: StreamCounts) -> list[str]:
    """Return the warnings that name a column that identifies nobody."""
    return [one for one in warnings_of(counts) if "did not identify a person" in one]


@pytest.mark.parametrize(
    ("one", "columns"),
    [
        # At least 98 % of at least 50 events, empty and unusable ones together.
        (found(49, email_empty=49), ""),
        (found(50, email_empty=50), "email"),
        (found(50, email_empty=48), ""),
        (found(50, email_empty=49), "email"),
        (found(1_000, email_empty=979), ""),
        (found(1_000, email_empty=980), "email"),
        (found(1_000, email=980), "email"),
        (found(1_000, email=480, email_empty=500), "email"),
        (found(1_000, value_empty=1_000), ""),
        (found(1_000), ""),
        # A column that is only empty is no mistake where another one stands in for it.
        (found(100, 0, "email md5", email_empty=100), ""),
        (found(100, 0, "email md5", email_empty=100, md5_empty=50), ""),
        (found(100, 0, "email md5", email_empty=100, md5_empty=51), "email"),
        (found(100, 0, "md5 sha2", sha2_empty=99), ""),
        (
            found(100, 0, "email md5 sha2", email_empty=100, md5_empty=100, sha2=98),
            "email md5 sha2",
        ),
        # What it has is no address, as in a column of names.
        (found(100, 0, "email md5", email=100), "email"),
        (found(100, 0, "email md5", email=60, email_empty=40), "email"),
    ],
)
def test_columns_that_identify_nobody(one: StreamCounts, columns: str) -> None:
    """A column that gave nothing in nearly all of many events is probably a mistake."""
    assert idle(one) == columns.split()


def test_the_warning() -> None:
    """It has the column and the figures, and nothing of a record."""
    (said,) = identity_doubts(found(500, email=12, email_empty=481))
    assert said == (
        "in 493 of 500 events, the column email did not identify a person (481 empty, 12 unusable)."
        " Check what is mapped to email"
    )
    # A column of unusable values has another warning, which shows how they are written.
    assert identity_doubts(found(500, email=481, email_empty=12)) == []
    assert identity_doubts(found(500, email=400)) == []


# What to do about `no_identity`

UNMAPPED = "No e-mail address is mapped in stream orders: map email, md5 or sha2."
IDLE = "In stream orders, almost no event has a usable value in {0}: check what is mapped to {0}."
GUESTS = REASONS["no_identity"].meaning
PAGES = "In stream orders, these are usually guest orders; their URLs in source_url have no li_did."


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (found(20, 20, "decision_id"), f"{NO_IDENTITY} {UNMAPPED}"),
        (found(20, 20, ""), f"{NO_IDENTITY} {UNMAPPED}"),
        (found(10, 10, email_empty=10), f"{NO_IDENTITY} {IDLE.format('email')}"),
        (found(100, 90, email=98), f"{NO_IDENTITY} {IDLE.format('email')}"),
        (
            found(10, 10, "email md5", email=10, md5_empty=10),
            f"{NO_IDENTITY} {IDLE.format('email, md5')}",
        ),
        (found(9, 9, email_empty=9), GUESTS),
        (found(9, 9, "email source_url", email_empty=9), f"{NO_IDENTITY} {PAGES}"),
        (found(9, 9, "source_url"), f"{NO_IDENTITY} {UNMAPPED}"),
        (found(10, 9, email_empty=9), GUESTS),
        (found(100, 97, email_empty=97), GUESTS),
        (found(10, 5, "email md5", email_empty=10, md5_empty=5), GUESTS),
    ],
)
def test_advice_on_no_identity(one: StreamCounts, said: str) -> None:
    """Guests are blamed only where an e-mail column is mapped, and gives something.

    Nobody is told to map a page that is mapped.
    """
    assert what_to_do("no_identity", {"orders": one}) == said


def test_advice_for_several_streams() -> None:
    """Each stream with a mistake is named; others without an identity are those of guests."""
    guests, unmapped = found(100, 20, email_empty=20), found(20, 20, "decision_id")
    streams = {"shop": guests, "orders": unmapped, "leads": found(20, 0, "")}

    def said(*names: str) -> str:
        return what_to_do("no_identity", {name: streams[name] for name in names})

    assert said("shop", "orders", "leads") == f"{GUESTS} {UNMAPPED}"
    assert said("orders", "leads") == f"{NO_IDENTITY} {UNMAPPED}"
    assert said("shop", "leads") == GUESTS


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_advice_on_any_reason(reason: str) -> None:
    """It depends on nothing but the reason; in a replay no map is blamed, as none applies."""
    given = {"orders": found(20, 20, "")}
    if reason != "no_identity":
        assert what_to_do(reason, given) == REASONS[reason].meaning
    replay = {DEAD_LETTERS: found(20, 20, "")}
    assert what_to_do(reason, replay) == REASONS[reason].advice(replay=True)
