"""What the last lines of a stopped run say."""

from __future__ import annotations

import logging
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from target_liveintent.conversions import DEAD_LETTERS
from target_liveintent.run import RunCounts
from target_liveintent.singer import ReplayCommand, afterwards, stopped_by, what_waits
from target_liveintent.singer.standard_io import StateOutput

if TYPE_CHECKING:
    from target_liveintent.storage import EventLedger


def test_the_signal_has_its_name() -> None:
    assert stopped_by(signal.SIGTERM) == "stopped by SIGTERM"


def test_what_sends_the_rest() -> None:
    """The next run, the same replay, or the same file again."""
    usual, piped = RunCounts(), RunCounts()
    usual.of("orders").read += 1
    piped.of(DEAD_LETTERS).read += 1
    replay = ReplayCommand("", logging.getLogger("test"), dry_run=False)
    assert "next run continues" in afterwards(usual, None)
    assert "pipe it into the target again" in afterwards(piped, None)
    assert "run the replay again" in afterwards(piped, replay)


@pytest.mark.parametrize(
    ("is_writing", "waits_for", "said"),
    [
        (True, "a database", "no program has read STATE"),
        (False, "a database", "a database"),
        (False, "", "unknown"),
        (False, None, "unknown"),
    ],
)
def test_what_a_stopped_run_waits_for(is_writing: bool, waits_for: str | None, said: str) -> None:
    """STATE that nobody reads first, then the ledger, if there is one."""
    output = StateOutput()
    output.waiting = is_writing
    ledger = None if waits_for is None else SimpleNamespace(waits_for=waits_for)
    assert said in what_waits(output, cast("EventLedger | None", ledger))
