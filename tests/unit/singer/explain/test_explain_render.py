"""What `explain` prints about the fields of a stream."""

import time
from typing import Any

import pytest
from explain_support import explain, printed, record, schema
from preset_records import sample
from syrupy.assertion import SnapshotAssertion
from unit_support import TIME, each_of

from target_liveintent.printing import lines_of

EVENT = ("event_time", "email")
OWN = {"event_time": "event_time", "email": "email", "__else__": None}
MANY = [*EVENT, *(f"x{n:02}" for n in range(13))]
ALL = (*EVENT, "pixel_id", "source")
MARKED = (*EVENT, "_sdc_deleted_at")
CREATED = {"event_time": "(get('created')\n  or created)", "email": "get('emial')"}
SITUATIONS: dict[str, tuple[dict[str, Any], ...]] = {
    # An address and a consent are marked, because they stay here.
    "what is never sent": (schema((*EVENT, "consent", "value")), {}),
    # A page is named as a source of decision IDs only where the stream has it.
    "a page": (schema((*EVENT, "source_url")), {}),
    "a page beside a decision ID": (schema(("event_time", "decision_id", "source_url")), {}),
    # A column that the SCHEMA lacks fills a field if a record has it.
    "a consent that is not declared": (schema(EVENT), {}, {"consent": False}),
    # Only a stream that cannot produce any event is said to lack something.
    "a stream without times": (schema(("email", "pixel_id", "source")), {}),
    "a stream that lacks nothing": (schema(ALL), {}),
    # Without a column for it, an event ID comes from the key properties, or else from all.
    "keys": (schema(("id", "line", *EVENT), ["id", "line"]), {}),
    # The first 12 columns that no expression reads are named, and the others counted.
    "an unused column": (schema(MANY[:3]), OWN),
    "12 unused columns": (schema(MANY[:14]), OWN),
    "13 unused columns": (schema(MANY), OWN),
    "columns that are all used": (schema(EVENT), OWN),
    "an expression that reads the record": (schema(MANY), {**OWN, "email": "str(record)"}),
    # An expression is shown in one line, and a misspelled column of it is named.
    "a misspelled column": (schema(("created", "email")), {**CREATED, "__else__": None}),
    # Deleted rows are dropped where the tap marks them, unless the map reads the mark.
    "deleted rows": (schema(MARKED), OWN),
    "a mark that the map reads": (schema(MARKED), {**OWN, "__filter__": "not _sdc_deleted_at"}),
    # Each reason is there once, with the first record that has it and what the reason means.
    "rejected records": (schema(ALL), {}, {"event_id": "7"}, {"event_id": "8"}),
    # Those that are dropped are not counted as rejected; what is empty in them says nothing about
    # the map. Of a deleted row, nothing is shown, not even its keys.
    "dropped records": (
        schema(("id", *MARKED), keys=["id"]),
        {**OWN, "ip": "email.nothing"},
        {"id": 1, "event_time": TIME, "email": "ann@example.com"},
        {"id": 2, "_sdc_deleted_at": "2026"},
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_printed(name: str, snapshot: SnapshotAssertion) -> None:
    """A stream is explained field by field, after an empty line."""
    message, own, *records = SITUATIONS[name]
    lines = printed(message, *map(record, records), maps={"orders": own} if own else {})
    assert "\n".join(lines) == snapshot


def test_a_stream_that_did_not_come() -> None:
    """It is named, with the nearest one that came, and that no map names."""
    messages = (schema(EVENT), {**schema(("id",)), "stream": "people"})
    text = "\n".join(printed(*messages, maps={"orders": OWN, "poeple": OWN, "__else__": None}))
    assert "Stream people\n  No map names this stream, so a run skips it." in text
    assert "but the input has no such stream; did you mean 'people'?" in text


def sale(**columns: Any) -> dict[str, Any]:
    """Return a RECORD of an order of a minute ago."""
    when = int(time.time()) - 60
    return record({"event_time": when, "email": "ann@example.com", **columns})


def test_columns_without_a_value_are_listed() -> None:
    """One that no record fills has its own line; one that some fill is counted."""
    maps = {"orders": {**OWN, "order_id": "note", "source_url": "page", "ip": "page"}}
    page = "https://shop.example.com/"
    sales = [sale(note="", page=None), sale(note="", page=page), sale(note="", page=page)]
    lines = printed(schema((*EVENT, "note", "page")), *sales, maps=maps)
    assert [line.strip() for line in lines if "empty" in line or "Left out" in line] == [
        "order_id is empty in all events.",
        "Left out of events: ip (cannot be used), 2 times.",
        "Left out of events: ip (empty), 1 time.",
        "Left out of events: source_url (empty), 1 time.",
    ]


def test_what_only_settings_lack() -> None:
    """They are named, and no map that would be in vain."""
    text = "\n".join(printed(schema(EVENT), pixel_id=None, default_source=None))
    assert "it lacks pixel_id (a column, or the setting pixel_id); source (a column, or" in text
    assert "A map to start from" not in text
    assert "None" not in text


LOST = (
    "value is left out of 1 of 4 events: a value of the form 9,9 is not a number with a decimal"
    " point"
)
CHECK = "Check whether a column is mapped to currency, and what it contains"


def test_what_conversions_are_worth() -> None:
    """Each currency has a line; a value without one is warned of, and so is one that is lost."""
    opening = schema((*EVENT, "value", "currency"))
    lines = printed(opening, sale(value=7, currency="EUR"), *(sale(value=n) for n in (5, 6, "7,5")))
    for line in (
        "  1 conversion in EUR, average value 7.00, lowest value 7.00, highest value 7.00.",
        f"  WARNING: the value has no currency in 2 of 3 conversions. {CHECK}.",
        f"  WARNING: {LOST}. Check what is mapped to value.",
    ):
        assert line in lines


@each_of("zone", {"offset": "+00:00", "no offset": "", "no time": "?"})
def test_the_setting_timezone_is_named_where_it_counts(zone: str) -> None:
    """It is named where times need it; where none does, a warning says that it has no effect."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 86_400))
    lines = printed(schema(ALL), sale(event_time=f"{at}{zone}"), timezone="Asia/Tokyo")
    warned = "WARNING: setting 'timezone' has no effect on the event times of orders, because "
    assert any(warned in line for line in lines) == (zone == "+00:00")
    noted = "  (times without a zone are in Asia/Tokyo: setting timezone)"
    named = [line.split()[0] for line in lines if line.endswith(noted)]
    assert named == ([] if zone else ["event_time"])


def test_what_a_run_would_lose() -> None:
    """A filter that removes everything, and keys that are places in a file, are warned of."""
    opening = schema((*EVENT, "is_test", "order_ref"), keys=["_sdc_path", "_sdc_line_number"])
    sales = [sale(is_test="0", order_ref=f"A-{number}") for number in range(5)]
    own = {**OWN, "event_id": "order_ref", "__filter__": "not get('is_test')"}
    lines = printed(opening, sales[0], maps={"orders": own})
    (line,) = [one for one in lines if "WARNING" in one]
    assert line.startswith("  WARNING: the filter of the map removes all ")
    lines = printed(opening, *sales, maps={"orders": OWN})
    assert (
        "  WARNING: the key properties _sdc_path, _sdc_line_number say only where in a file a"
        " record is, so the event ID is derived from the mapped record. Map event_id to a column"
        " that is different in each record, such as get('order_ref')."
    ) in lines


@each_of(
    "given, said",
    {
        "suggested": ({}, "`presets: {charges: stripe_charges}`"),
        # Where `__else__` drops a stream, no preset is suggested for it.
        "not suggested, others are dropped": (
            {"stream_maps": {"orders": {}, "__else__": None}},
            "No map names this stream",
        ),
        "in use": (
            {"presets": {"charges": "stripe_charges"}},
            "Stream charges (preset stripe_charges)",
        ),
    },
)
def test_a_preset_is_suggested_or_named(given: dict[str, Any], said: str) -> None:
    """Columns that look like a preset's suggest it; one that is in use is named."""
    of = sample("stripe_charges", time.time())
    message = {**schema(of.record, of.keys), "stream": of.stream}
    found = explain([message], **given)
    lines = lines_of("explain/explanation.txt", found)
    assert any(said in line for line in lines)
    assert any("presets:" in line for line in lines) == said.startswith("`presets")
