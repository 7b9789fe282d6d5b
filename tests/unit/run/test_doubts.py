"""Warnings about what the records of a stream had in common."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from unit_support import DEFAULTS, NOW, order, rejection

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.coerce import Unusable
from target_liveintent.reasons import NO_IDENTITY, REASONS
from target_liveintent.run.amounts import OTHERS, Amount
from target_liveintent.run.counts import StreamCounts
from target_liveintent.run.doubts import warnings_of, what_to_do


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
        ("ip", "10.0.0.5, 192.168.10.254", '"99.9.9.9, 999.999.99.999" is not a public IP address'),
        ("value", Unusable("no currency"), "no currency"),
        ("value", "99,50", '"99,99" is not a number with a decimal point'),
        ("currency", "Euro", '"x" is not a code of exactly three letters: write, for example, '),
        ("ip", 2**128 - 1, f'"{"9" * 24}…" is not a public IP address'),
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
    values = ["-" * a + "." * b for a in range(1, 20) for b in range(1, 20)]
    counts = counts_of(*({**ORDER, "value": value} for value in values))
    assert len(counts.causes) == 200
    assert counts.left_out["value"] == 19 * 19
    old = rejection(order(event_time="2020-01-31"))
    for value in values:  # Also times of which each is written in another way.
        counts.reject(msgspec.structs.replace(old, columns={"event_time": value}))
    assert len(counts.causes) == 200


def test_an_empty_event_id() -> None:
    """It falls back to the keys, which is counted, and a warning if it happens often."""
    records = [{**ORDER, "event_id": None, "order_id": n} for n in range(5)]
    assert list(warnings_of(counts_of(*records[:4], *[ORDER] * 20))) == []
    (said,) = warnings_of(counts_of(*records, *[ORDER] * 20))
    assert said.startswith("event_id is empty in 5 of 25 events, so ")


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
    ("old", "future", "read", "warns"),
    [(5, 0, 9, True), (5, 0, 10, False), (4, 0, 4, False), (3, 2, 9, True)],
)
def test_times_out_of_range(old: int, future: int, read: int, *, warns: bool) -> None:
    """More than half of the records: the warning shows how most of the times are written."""
    counts = StreamCounts(read + 3, filtered=2, unmapped=1, delivered=read - old - future)
    for count, time in ((old, "2020-01-31 10:00"), (future, "2031-01-31")):
        for _ in range(count):
            counts.reject(rejection(order(event_time=time)))
    said = f'{old + future} of {read} records are too old or in the future: "9999-99-99 99:99". A'
    assert [one[: len(said)] for one in warnings_of(counts)] == [said] * warns


def test_values_without_a_currency() -> None:
    """They are counted; known and unknown currencies alarm nobody."""
    values = {"": Amount(5), "EUR": Amount(1), OTHERS: Amount(7)}
    (said,) = warnings_of(StreamCounts(9, delivered=9, values=values))
    assert said.startswith("in 5 conversions, the value has no currency. Check whether")
    del values[""]
    assert list(warnings_of(StreamCounts(9, delivered=9, values=values))) == []


# What to do about `no_identity`

UNMAPPED = "No e-mail address is mapped in stream orders: map email, md5 or sha2."
GUESTS = REASONS["no_identity"].meaning
PAGES = (
    "In stream orders, these are usually guest orders; their URLs in source_url have no li_did that"
    " is a UUID."
)


def unidentified(mapped: str, count: int = 9) -> StreamCounts:
    """Return the figures of a stream with events that identify nobody."""
    return StreamCounts(20, rejected=Counter(no_identity=count), mapped=frozenset(mapped.split()))


@pytest.mark.parametrize(
    ("mapped", "said"),
    [
        ("", f"{NO_IDENTITY} {UNMAPPED}"),
        ("decision_id source_url", f"{NO_IDENTITY} {UNMAPPED}"),
        ("email", GUESTS),
        ("md5 source_url", f"{NO_IDENTITY} {PAGES}"),
    ],
)
def test_advice_on_no_identity(mapped: str, said: str) -> None:
    """Guests are blamed only where an e-mail column is mapped, and pages only where they are."""
    assert what_to_do("no_identity", {"orders": unidentified(mapped)}) == said


def test_advice_for_several_streams() -> None:
    """Each stream with a mistake is named; others without an identity are those of guests."""
    streams = {
        "shop": unidentified("email"),
        "orders": unidentified("decision_id"),
        "leads": unidentified("", 0),
    }

    def said(*names: str) -> str:
        return what_to_do("no_identity", {name: streams[name] for name in names})

    assert said("shop", "orders", "leads") == f"{GUESTS} {UNMAPPED}"
    assert said("orders", "leads") == f"{NO_IDENTITY} {UNMAPPED}"
    assert said("shop", "leads") == GUESTS
