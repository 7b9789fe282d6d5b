"""What `explain` prints about the fields of a stream."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from explain_support import explained, printed, record, schema
from unit_support import TIME

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

EVENT = ("event_time", "email")
OWN = {"event_time": "event_time", "email": "email", "__else__": None}
MANY = [*EVENT, *(f"x{n:02}" for n in range(13))]
ALL = (*EVENT, "pixel_id", "source")
MARKED = (*EVENT, "_sdc_deleted_at")
CREATED = {"event_time": "(get('created')\n  or created)", "email": "emial"}
SITUATIONS: dict[str, tuple[dict[str, Any], ...]] = {
    # An address and a consent are marked, because they stay here.
    "what is never sent": (schema((*EVENT, "consent", "value")), {}),
    # A page is named as a source of decision IDs only where the stream has it.
    "a page": (schema((*EVENT, "source_url")), {}),
    "a page beside a decision ID": (schema(("event_time", "decision_id", "source_url")), {}),
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


def test_columns_that_identify_nobody() -> None:
    """The warning at the end of a run is there, and the advice knows what is mapped."""
    columns = {"event_time": int(time.time()) - 60, "email": "Ann Smith", "source": "web"}
    (stream,) = explained(schema(columns.keys()), *[record(columns)] * 50).streams
    assert stream.records is not None
    (reason,) = stream.records.reasons
    (said,) = stream.warnings
    assert said.startswith(
        'email is left out of 50 of 50 events: "x x" is neither an e-mail address nor a hash'
    )
    assert reason.meaning.endswith(
        "In stream orders, almost no event has a usable value in email: check what is mapped to"
        " email."
    )


@pytest.mark.parametrize(("zone", "warnings"), [("+00:00", 1), ("", 0)])
def test_a_zone_that_is_never_used(zone: str, warnings: int) -> None:
    """If each time of a stream has its own zone, a warning says that the setting has no effect."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 86_400))
    columns = {"event_time": f"{at}{zone}", "email": "ann@example.com", "source": "web"}
    (stream,) = explained(schema(columns), record(columns), timezone="Asia/Tokyo").streams
    assert stream.records is not None
    said = "'timezone' has no effect on the event times of orders"
    assert sum(said in one for one in stream.warnings) == warnings
