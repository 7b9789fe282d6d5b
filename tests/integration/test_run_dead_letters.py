"""The dead letters that runs leave in the store, and how many of them fail a run."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from integration_support import (
    CUSTOMER,
    WITH_ID,
    numbered,
    order,
    read_store,
    schema,
    state,
)

from target_liveintent.store import PROPERTIES

if TYPE_CHECKING:
    from integration_support import Launcher


def test_what_is_kept(target: Launcher) -> None:
    """A dead letter says what is wrong with its record; the store is its owner's alone.

    Beside the account and the pixel that it was written for, a letter holds no setting.
    """
    before = os.umask(0)
    try:
        run = target.run(
            schema(columns=WITH_ID),
            order(1, event_id="one", event_time="someday"),
            order(2, email=None),
            state(1),
            pixel_id=424242,
            default_source="app",
        )
    finally:
        os.umask(before)
    assert (run.code, run.states) == (0, [1])
    assert [stat.S_IMODE(path.stat().st_mode) for path in target.folder.glob("*.sqlite*")] == [
        0o600
    ]
    first = target.letters.pop("one")
    (second,) = (letter for letter in run.letters if letter["event_id"] != "one")
    assert (first.pop("run_id"), second["run_id"]) == (run.run_id, run.run_id)
    assert first.pop("time")
    assert first == {
        "event_id": "one",
        "reason": "invalid_event_time",
        "field": "event_time",
        "detail": '"x" is not a time',
        "stream": "orders",
        "event_time": "someday",
        "md5": hashlib.md5(b"buyer1@example.com", usedforsecurity=False).hexdigest(),
        "sha2": hashlib.sha256(b"buyer1@example.com").hexdigest(),
        "value": 12.5,
        "currency": "USD",
        "written_for": {"customer_id": CUSTOMER, "api_host": "127.0.0.1", "pixel_id": 424242},
    }
    assert (second["reason"], bool(second["event_id"])) == ("no_identity", True)
    assert {*first, *second} <= PROPERTIES.keys()
    query = "SELECT customer_id, api_host, pixel_id, stream, reason, field FROM dead_letter"
    assert (CUSTOMER, "127.0.0.1", 424242, "orders", "invalid_event_time", "event_time") in (
        read_store(target.store, query)
    )


def test_old_letters_go(target: Launcher) -> None:
    """A run deletes dead letters that are older than history_days, and says how many."""
    bad = schema(columns=WITH_ID), *numbered(2, event_time="soon")
    assert len(target.run(*bad).letters) == 2
    target.age("dead_letter", "written_at", days=31)
    kept = target.run(schema(), history_days=32)
    assert (len(kept.letters), kept.warnings) == (2, [])
    run = target.run(schema(), history_days=30)
    assert run.letters == []
    assert run.warnings == ["2 dead letters older than history_days (30) went out of the store"]
