"""Warnings about what the records of a stream had in common."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from unit_support import DEFAULTS, LI_DID, NOW, TIME, conversion, order, rejection

from target_liveintent.conversions.amounts import OTHERS, Amount
from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.coerce import Unusable
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.stream_maps import Stream, StreamPlan
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.reasons import NO_IDENTITY, REASONS
from target_liveintent.remarks import COLUMN_UNUSABLE, SLOW_PATH, Shape, UnusableCause
from target_liveintent.run.counts import StreamCounts
from target_liveintent.run.doubts import slower_way, stream_warnings, what_to_do


def counts_of(*records: dict[str, Any]) -> StreamCounts:
    """Count records as a run does."""
    counts = StreamCounts(mapped=frozenset({"email"}))
    columns = {column for record in records for column in record}
    builder = EventBuilder("orders", columns, (), DEFAULTS)
    for record in records:
        counts.read += 1
        result = builder.build(record, record, NOW)
        counts.note(result.remarks)
        if isinstance(result, Rejection):
            counts.count_rejected(result)
        else:
            counts.delivered += 1
    return counts


def words_of(counts: StreamCounts) -> list[str]:
    """Return what is said of a stream."""
    return [doubt.words for doubt in stream_warnings(counts)]


BLANK = "minor_units cannot use the currency, because it is blank"
ORDER = order(value=1, currency="USD", ip="203.0.113.9", email="ann@example.com")


@pytest.mark.parametrize(
    ("column", "value", "cause"),
    [
        pytest.param(
            "email",
            "Jane Doe",
            "of the form x x is neither an e-mail address nor a hash of one",
            id="no e-mail address",
        ),
        pytest.param(
            "email",
            4711,
            "of the form 9999 is neither an e-mail address nor a hash of one",
            id="a number for an address",
        ),
        pytest.param(
            "ip",
            "10.0.0.5, 192.168.10.4",
            "of the form 99.9.9.9, 999.999.99.9 is not a public IP",
            id="private addresses",
        ),
        pytest.param(
            "value", Unusable(UnusableCause("blank_currency")), BLANK, id="a blank currency"
        ),
        pytest.param(
            "value",
            "99,50",
            "of the form 99,99 is not a number with a decimal point",
            id="a decimal comma",
        ),
        pytest.param(
            "value",
            "Infinity",
            "of the form x is not a number with a decimal point",
            id="an infinity",
        ),
        pytest.param(
            "currency",
            "EUO",
            "of the form x is not a currency code of ISO 4217: write, for example, ",
            id="an unknown currency",
        ),
        pytest.param(
            "decision_id",
            "a b c!",
            "of the form x x x! is a placeholder, contains a space or an e-mail",
            id="a decision ID with spaces",
        ),
        pytest.param(
            "ip",
            2**128 - 1,
            f"of the form {'9' * 24}… is not a public IP address",
            id="a number for an IP",
        ),
        pytest.param(
            "order_id", [1], "of the type list cannot be sent as text", id="a list as order ID"
        ),
        pytest.param(
            "order_id",
            "jane@example.com",
            "of the form x@x.x cannot be sent as text, or contains an e-mail",
            id="an address as order ID",
        ),
    ],
)
def test_a_column_that_is_left_out(column: str, value: Any, cause: str) -> None:
    """From five events and five percent on, the column, the cause and the shape are said."""
    few = [{**ORDER, column: value}] * 4
    many = [{**ORDER, column: value}] * 5
    assert (words_of(counts_of(*few, *[ORDER] * 50))) == []
    assert (words_of(counts_of(*many, *[ORDER] * 95))) == []
    (said,) = words_of(counts_of(*many, *[ORDER] * 94))
    cause = cause if cause == BLANK else f"a value {cause}"
    assert said.startswith(f"{column} is left out of 5 of 99 events: {cause}")
    assert f". Check what is mapped to {column}" in said


def test_the_most_frequent_cause_is_said() -> None:
    rare, frequent, other = (UnusableCause("not_number", Shape(form)) for form in ("9,9", "9", "x"))
    causes = {"value": Counter({rare: 1, frequent: 4}), "ip": Counter({other: 9})}
    remarks = {COLUMN_UNUSABLE: Counter(value=5)}
    (doubt,) = stream_warnings(StreamCounts(5, delivered=5, remarks=remarks, causes=causes))
    assert (doubt.code, doubt.cause) == ("column_left_out", frequent)
    assert doubt.facts == {"column": "value", "count": 5, "events": 5}
    assert doubt.words.startswith("value is left out of 5 of 5 events: a value of the form 9 is")


def test_causes_are_bounded() -> None:
    """Columns in which each value is written in another way cost no more memory."""
    values = ["-" * a + "." * b for a in range(1, 20) for b in range(1, 20)]
    counts = counts_of(*({**ORDER, "value": value} for value in values))
    assert len(counts.causes["value"]) == 200
    assert counts.noted(COLUMN_UNUSABLE)["value"] == 19 * 19
    old = conversion(order(event_time="2020-01-31")).too_old()
    for value in values:  # Also times of which each is written in another way.
        counts.count_rejected(msgspec.structs.replace(old, columns={"event_time": value}))
    assert len(counts.causes["event_too_old"]) == 200


def test_an_empty_event_id() -> None:
    """It falls back to the keys, which is counted, and a warning if it happens often."""
    records = [{**ORDER, "event_id": None, "order_id": n} for n in range(5)]
    assert (words_of(counts_of(*records[:4], *[ORDER] * 20))) == []
    (said,) = words_of(counts_of(*records, *[ORDER] * 20))
    assert said.startswith("event_id is empty in 5 of 25 events, so ")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param(
            [None] * 5,
            "email is empty in all events (5). Check what is mapped to email: a path",
            id="always empty",
        ),
        pytest.param(
            [None] * 3 + ["Jane"] * 2,
            "email is empty or unusable in all events (5). Check",
            id="empty or unusable",
        ),
        pytest.param(
            ["Jane"] * 5,
            "email is left out of 5 of 5 events: a value of the form x is",
            id="always unusable",
        ),
        pytest.param([None] * 4, None, id="too few events"),
        pytest.param([None] * 60 + ["ann@example.com"], None, id="one person among many"),
    ],
)
@pytest.mark.parametrize("column", ["email", "md5", "sha2"])
def test_a_column_that_identifies_nobody(column: str, values: list[Any], said: str | None) -> None:
    """It is empty in all events, whether they are sent for a decision ID or not at all."""
    for more in ({"decision_id": LI_DID}, {}):
        records = [{**order(email=...), column: value, **more} for value in values]
        found = words_of(counts_of(*records))
        assert [one.startswith((said or "").replace("email", column)) for one in found] == (
            [True] if said else []
        )


def test_one_of_many() -> None:
    """One lost value in 60 is counted, and no warning."""
    bad = {"value": "9,99", "currency": "EUO", "ip": "10.0.0.1"}
    counts = counts_of(*({**ORDER, name: value} for name, value in bad.items()), *[ORDER] * 57)
    assert counts.noted(COLUMN_UNUSABLE) == Counter(dict.fromkeys(bad, 1))
    assert (words_of(counts)) == []


@pytest.mark.parametrize(
    ("conflicts", "delivered", "warns"),
    [
        pytest.param(16, 4, True, id="most events"),
        pytest.param(1, 98, True, id="one event"),
        pytest.param(0, 5, False, id="no event"),
    ],
)
def test_an_event_id_of_several_events(conflicts: int, delivered: int, *, warns: bool) -> None:
    """Each may be a conversion that is lost, so even one is a WARNING."""
    events = conflicts + delivered
    counts = StreamCounts(
        events,
        delivered=delivered,
        dropped=Counter(already_sent=conflicts),
        conflicting_ids=conflicts,
    )
    said = (
        f"{conflicts} of {events} events have the event ID of an earlier one, but another address"
    )
    assert [one[: len(said)] for one in words_of(counts)] == [said] * warns


ROW = {"id": 7, "number": "A-7", "event_time": TIME, "email": "ann@example.com"}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        pytest.param({"event_id": "x1", "decision_id": "x1"}, "event_id", id="equals the event ID"),
        pytest.param(
            {"order_id": 1007.0, "decision_id": "1007"},
            "order_id",
            id="equals an order number, as text",
        ),
        pytest.param({"event_id": "x1", "decision_id": "7"}, "id", id="equals the first key"),
        pytest.param({"decision_id": "A-7"}, "number", id="equals the second key"),
        pytest.param({"event_id": "x1", "decision_id": "x"}, None, id="differs from all IDs"),
        pytest.param({"decision_id": None}, None, id="an empty decision ID"),
        pytest.param({"event_id": "x1"}, None, id="no decision ID"),
    ],
)
def test_a_decision_id_that_is_another_id(columns: dict[str, Any], said: str | None) -> None:
    """It is an ID of the record in most events that have one."""
    for given, other, warns in ((5, 4, True), (5, 5, False), (4, 0, False)):
        counts = StreamCounts()
        stream, row = Stream("orders", {}, ("id", "number")), {**ROW, **columns}
        plan = StreamPlan.without_map("orders", row)
        converter = RecordConverter(stream, plan, DEFAULTS, Suppressions(None), lambda: NOW)
        for record in [row] * given + [{**row, "decision_id": LI_DID}] * other:
            counts.read += 1
            result = converter.convert(record)
            assert isinstance(result, (Conversion, Rejection))
            counts.note(result.remarks)
            counts.delivered += isinstance(result, Conversion)
        start = f"decision_id equals {said} in {given} of {given + other} events with a decision ID"
        assert [one[: len(start)] for one in words_of(counts)] == [start] * (warns and bool(said))


@pytest.mark.parametrize(
    ("read", "filtered", "mapped", "warns"),
    [
        pytest.param(5, 5, "email", True, id="removes all records"),
        pytest.param(4, 4, "email", False, id="too few records"),
        pytest.param(6, 5, "email", False, id="one record is left"),
        pytest.param(0, 0, "email", False, id="no records"),
        pytest.param(
            5, 5, "", False, id="no column mapped"
        ),  # The map drops the stream as a whole.
    ],
)
def test_a_filter_that_removes_everything(
    read: int, filtered: int, mapped: str, *, warns: bool
) -> None:
    counts = StreamCounts(read, filtered=filtered, mapped=frozenset(mapped.split()))
    said = words_of(counts)
    assert len(said) == warns
    assert all("the filter of the map removes all 5 records" in one for one in said)


@pytest.mark.parametrize(
    ("old", "future", "read", "warns"),
    [
        pytest.param(5, 0, 9, True, id="more than half are old"),
        pytest.param(5, 0, 10, False, id="half are old"),
        pytest.param(4, 0, 4, False, id="too few"),
        pytest.param(3, 2, 9, True, id="old and future together"),
    ],
)
def test_times_out_of_range(old: int, future: int, read: int, *, warns: bool) -> None:
    """More than half of the records: the warning shows how most of the times are written."""
    counts = StreamCounts(read + 3, filtered=2, unmapped=1, delivered=read - old - future)
    for _ in range(old):
        counts.count_rejected(conversion(order(event_time="2020-01-31 10:00")).too_old())
    for _ in range(future):
        counts.count_rejected(rejection(order(event_time="2031-01-31")))
    said = (
        f"{old + future} of {read} records have an event time that is too old or in the future,"
        " such as a value of the form 9999-99-99 99:99. In a first run"
    )
    assert [one[: len(said)] for one in words_of(counts)] == [said] * warns


def test_values_without_a_currency() -> None:
    """They are counted, unless they are few of many; known and unknown currencies alarm nobody."""
    values = {"": Amount(5), "EUR": Amount(1), OTHERS: Amount(7)}
    (said,) = words_of(StreamCounts(9, delivered=9, values=values))
    assert said.startswith("the value has no currency in 5 of 13 conversions. Check whether")
    for few in ({"": Amount(1)}, {"": Amount(4), "EUR": Amount(1)}, {"EUR": Amount(1)}):
        said = words_of(StreamCounts(5, delivered=5, values=few))
        assert len(said) == (len(few) == 1 and "" in few), few


# What to do about `invalid_source`


def test_sources_that_are_none() -> None:
    """The most frequent words are said, but nothing that could be about a person."""
    given = [
        *["desk"] * 3,
        *["till"] * 2,
        "Jane Roe",
        ["web"],
        7,
        "a",
        "b",
        None,
        "jane@example.com",
    ]
    counts = counts_of(*({**ORDER, "source": value} for value in given))
    said = what_to_do("invalid_source", {"orders": counts, "visits": StreamCounts()}).words
    meaning = REASONS["invalid_source"].meaning
    held = (
        "'desk', 'till', a value of the form x x, a value of the type list, a value of the form 9"
    )
    assert said == f"{meaning} Column `source` of stream orders contains: {held}."
    assert counts.causes["source"][UnusableCause("not_source", Shape("x@x.x"))] == 1
    assert what_to_do("invalid_source", {"visits": StreamCounts()}).words == meaning


# What to do about `no_identity`

UNMAPPED = "No e-mail address is mapped in stream orders: map email, md5 or sha2."
GUESTS = REASONS["no_identity"].meaning
PAGES = (
    "In stream orders, these records are usually guest orders. Their source_url contains no li_did,"
    " or its li_did is not a UUID."
)


def unidentified(mapped: str, count: int = 9) -> StreamCounts:
    """Return the figures of a stream with events that identify nobody."""
    return StreamCounts(20, rejected=Counter(no_identity=count), mapped=frozenset(mapped.split()))


@pytest.mark.parametrize(
    ("mapped", "said"),
    [
        pytest.param("", f"{NO_IDENTITY} {UNMAPPED}", id="no e-mail or page mapped"),
        pytest.param("decision_id source_url", f"{NO_IDENTITY} {UNMAPPED}", id="a page mapped"),
        pytest.param("email", GUESTS, id="an e-mail mapped"),
        pytest.param("md5 source_url", f"{NO_IDENTITY} {PAGES}", id="a hash and a page mapped"),
    ],
)
def test_advice_on_no_identity(mapped: str, said: str) -> None:
    """Guests are blamed only where an e-mail column is mapped, and pages only where they are."""
    assert what_to_do("no_identity", {"orders": unidentified(mapped)}).words == said


def test_advice_for_several_streams() -> None:
    """Each stream with a mistake is named; others without an identity are those of guests."""
    streams = {
        "shop": unidentified("email"),
        "orders": unidentified("decision_id"),
        "leads": unidentified("", 0),
    }

    def said(*names: str) -> str:
        return what_to_do("no_identity", {name: streams[name] for name in names}).words

    assert said("shop", "orders", "leads") == f"{GUESTS} {UNMAPPED}"
    assert said("orders", "leads") == f"{NO_IDENTITY} {UNMAPPED}"
    assert said("shop", "leads") == GUESTS


# How many records take the slow path


@pytest.mark.parametrize(
    ("slow", "read", "words"),
    [
        pytest.param({"ip": 99}, 99, None, id="few records"),
        pytest.param({"ip": 100}, 1_000, None, id="a tenth"),
        pytest.param(
            {"ip": 90, "expression": 120},
            2_000,
            "the same result. The most frequent cause: an expression of the map fails",
            id="an expression",
        ),
        pytest.param({"chance": 200}, 200, "cause: the map uses rand or randint", id="chance"),
        pytest.param(
            {"ip": 101},
            1_000,
            "cause: the column ip has an unusual value or is missing",
            id="a column",
        ),
    ],
)
def test_records_that_took_the_slower_way(
    slow: dict[str, int], read: int, words: str | None
) -> None:
    """From more than a tenth on, it is worth a line, because it costs speed."""
    counts = StreamCounts(read + 30, filtered=20, unmapped=10, remarks={SLOW_PATH: Counter(slow)})
    slower = slower_way(counts)
    assert (slower is None) == (words is None)
    assert slower is None or words is None or words in slower.words
