"""What `--explain` prints about the fields of a stream."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from explain_support import explained, printed, record, schema
from unit_support import TIME

from target_liveintent.conversions.model import DEAD_LETTERS
from target_liveintent.storage.dead_letters import HEAD

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
        "in 50 of 50 events, the column email did not identify a person (0 empty, 50 unusable). "
    )
    assert reason.meaning.endswith(
        "In stream orders, almost no event has a usable value in email: check what is mapped to"
        " email."
    )


def test_dead_letters() -> None:
    """What a replay leaves or drops is told, with advice that does not speak of maps."""
    good = {"event_time": int(time.time()) - 60, "md5": "0" * 31 + "1", "source": "web"}
    other = {"customer_id": "b-9z9z", "api_host": "conversions.liveintent.com"}
    letters: list[dict[str, Any]] = [
        {**good, "reason": "refused_by_api"},
        {**good, "reason": "refused_by_api", "written_for": other},
        {**good, "reason": "unconfirmed"},
        {**good, "reason": "refused_by_api", "event_time": 1},
        {"reason": "missing_event_time"},
    ]
    records = (
        record({"event_id": str(number), **letter}, DEAD_LETTERS)
        for number, letter in enumerate(letters)
    )
    found = "\n".join(printed(json.loads(HEAD), *records))
    said = "Of 5 records, 1 would be sent, 0 filtered, 1 rejected, 1 dropped, 2 left in the file."
    assert said in found
    for reason in ("other_account", "unconfirmed", "expired", "missing_event_time"):
        assert f"  {reason} (1), first event: " in found
    assert not re.search(r"\bmap", found, re.IGNORECASE)


@pytest.mark.parametrize("on_rejection", ["dead_letter", "fail"])
def test_dead_letters_that_stay_fail_no_replay(on_rejection: str) -> None:
    """A replay leaves them in the file, ends well, and so does its explanation."""
    letter = {"event_id": "1", "reason": "mapping_failed", "keys": {"id": 1}}
    messages = [json.loads(HEAD), *[record(letter, DEAD_LETTERS)] * 12]
    assert explained(*messages, on_rejection=on_rejection).failures == []
