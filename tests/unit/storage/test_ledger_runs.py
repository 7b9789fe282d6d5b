"""The ledger of several runs at the same time: they wait for each other, and lose nothing."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock
from ledger_support import (
    Ledgers,
    event,
    events,
    open_ledger,
    query,
    remember,
    rows,
    unsent,
)
from unit_support import NOW

from target_liveintent.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Sleep(FakeClock):
    """A clock that only sleeping moves, and what happens during the sleeps.

    Args:
        during: Called with the number of each sleep.
    """

    def __init__(self, during: Callable[[int], None] = lambda _: None) -> None:
        super().__init__()
        self._during = during
        self.count = 0

    def __call__(self, seconds: float) -> None:
        self.count += 1
        assert self.count < 10_000, "it waits for ever"
        self.now += seconds
        self._during(self.count)


def test_two_runs_create_the_file_at_once(ledgers: Ledgers) -> None:
    """A run waits while another one, which creates the file, holds its lock."""
    other = sqlite3.connect(ledgers.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    sleep = Sleep(lambda count: other.close() if count == 3 else None)
    ledger = open_ledger(ledgers.path, clock=sleep, sleep=sleep)
    assert sleep.count == 3
    remember(ledger, event())
    assert unsent(ledger, [event()]) == []
    ledger.close()


def test_a_lock_that_is_never_released(ledgers: Ledgers) -> None:
    """After half a minute, a run gives up and says why."""
    other = sqlite3.connect(ledgers.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    sleep = Sleep()
    with pytest.raises(
        ConfigurationError, match=r"ledger_path '.*' cannot be used: another process.*locked"
    ):
        open_ledger(ledgers.path, clock=sleep, sleep=sleep)
    assert 30 <= sleep.now - NOW < 31
    other.close()


def test_a_lock_while_an_event_is_noted(ledgers: Ledgers) -> None:
    """A run waits for another one that writes, says so, and obeys signals while it waits."""
    other = sqlite3.connect(ledgers.path, isolation_level=None)
    seen: list[object] = []
    handler = signal.signal(signal.SIGALRM, lambda *_: seen.append("signal"))

    def during(_: int) -> None:
        seen.append(ledger.waits_for)
        other.execute("COMMIT")

    sleep = Sleep(during)
    ledger = open_ledger(ledgers.path, clock=sleep, sleep=sleep)
    assert not ledger.waits_for
    other.execute("BEGIN IMMEDIATE")
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    start = time.monotonic()
    remember(ledger, event())
    assert time.monotonic() - start < 3
    signal.signal(signal.SIGALRM, handler)
    assert seen == ["signal", "another process still locks the file of ledger_path"]
    assert not ledger.waits_for
    assert unsent(ledger, [event()]) == []
    other.close()
    ledger.close()


def test_only_a_lock_is_waited_for(ledgers: Ledgers) -> None:
    """What will not pass ends the run at once."""
    ledgers.path.touch()
    ledgers.path.with_name("ledger.sqlite-wal").mkdir()
    sleep = Sleep()
    with pytest.raises(ConfigurationError, match="cannot be used: "):
        open_ledger(ledgers.path, clock=sleep, sleep=sleep)
    assert sleep.count == 0


def test_two_runs_see_what_the_other_delivered(ledgers: Ledgers) -> None:
    """Runs at the same time see each other's events."""
    one, two = ledgers(), ledgers()
    remember(one, *events(5))
    assert unsent(two, events(10)) == events(5, 10)
    remember(two, *events(10))
    assert unsent(one, events(10)) == []
    assert rows(ledgers.path) == 10


WRITER = """
import sys
sys.path[:0] = {path!r}
from ledger_support import event, open_ledger, remember
ledger = open_ledger(sys.argv[1], run_id=sys.argv[2])
for start in range(int(sys.argv[2]), int(sys.argv[3]), 10):
    batch = [event(str(n)) for n in range(start, start + 10)]
    remember(ledger, *batch)
    print(start + 10, flush=True)
"""


def writer(path: Path, first: int, end: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER.format(path=sys.path), str(path), str(first), str(end)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_two_processes_share_the_file(ledgers: Ledgers) -> None:
    """Neither process fails because of the other, and no event of either is lost."""
    both = [writer(ledgers.path, 0, 2_000), writer(ledgers.path, 2_000, 4_000)]
    for process in both:
        _, said = process.communicate(timeout=30)
        assert (process.returncode, said) == (0, b"")
    assert rows(ledgers.path) == 4_000
    assert unsent(ledgers(), [event(str(n)) for n in range(3_950, 4_050)]) == events(4_000, 4_050)


def test_a_killed_writer_loses_nothing(ledgers: Ledgers) -> None:
    """What was committed before a SIGKILL is there, and the file is whole."""
    for start in (0, 1_000_000):
        process = writer(ledgers.path, start, start + 1_000_000)
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(30):
            said = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        said = (process.stdout.read().splitlines() or [said])[-1]
        process.stdout.close()
        process.stderr.close()
        process.wait(10)
        ledger = ledgers()
        end = int(said)
        known = [event(str(n)) for n in range(max(start, end - 100), end)]
        assert unsent(ledger, known) == []
        query(ledgers.path, "DELETE FROM claims")
        after = [event(str(n)) for n in range(end + 10, end + 20)]  # (one batch may be unsaid)
        assert unsent(ledger, after) == after
    db = sqlite3.connect(ledgers.path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
