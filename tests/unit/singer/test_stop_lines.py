"""What the last lines of a stopped run say."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from target_liveintent.singer import afterwards, stopped_by, what_waits
from target_liveintent.singer.standard_io import StateOutput

if TYPE_CHECKING:
    from target_liveintent.store import RunStore


def test_the_signal_has_its_name() -> None:
    assert stopped_by(signal.SIGTERM) == "stopped by SIGTERM"


def test_what_sends_the_rest() -> None:
    """The next run does, or the same replay again."""
    assert "next run continues" in afterwards(is_replay=False)
    assert "run the replay again" in afterwards(is_replay=True)


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
    """STATE that nobody reads comes first, then the store, if there is one."""
    output = StateOutput()
    output.waiting = is_writing
    waiting = SimpleNamespace(reason=waits_for)
    store = SimpleNamespace(database=SimpleNamespace(waiting=waiting))
    assert said in what_waits(output, cast("RunStore", store) if waits_for is not None else None)
