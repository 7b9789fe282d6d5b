"""Several runs: one sends an event, and the others wait for its outcome; a kill loses nothing."""

from __future__ import annotations

import signal
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock
from ledger_support import LATER, Ledgers, claim, event, events, remember, unsent
from unit_support import NOW

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.storage.ledger import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def lapse(ledgers: Ledgers, run_id: str, seconds: int = 3600) -> None:
    """Let the claims of a run lapse that long ago, as if it had not renewed them."""
    ago = f"clock_timestamp() - interval '{seconds} seconds'"
    if not ledgers.url:
        ago = str(int(time.time()) - seconds)
    ledgers.query(f"UPDATE claims SET until = {ago} WHERE run_id = '{run_id}'")  # noqa: S608


def claims(ledgers: Ledgers) -> list[str]:
    """Return whose claims there are, one name for each batch."""
    return [run_id for (run_id,) in ledgers.query("SELECT run_id FROM claims ORDER BY run_id")]


def test_an_event_is_claimed_once(any_ledgers: Ledgers) -> None:
    """What another run has claimed waits; what is free and what was sent is found beside it."""
    one, two = any_ledgers(run_id="one"), any_ledgers(run_id="two")
    remember(one, *events(2))
    number, first = claim(one, events(5))
    assert first == Claim(events(2, 5), [], 2)
    _, second = claim(two, events(8))
    assert second == Claim(events(5, 8), events(2, 5), 2, "one")
    changed = event("4", expires_at=LATER + 500)
    assert claim(two, [changed])[1] == Claim([], [changed], 0, "one")
    one.end(number, events(2, 4))
    assert claim(two, second.waiting)[1].waiting == events(2, 5)  # Nobody has been told yet.
    one.write()
    assert claim(two, second.waiting)[1] == Claim(events(4, 5), [], 2)


def test_several_batches_at_once(any_ledgers: Ledgers) -> None:
    """Each batch has an answer of its own, and is given back on its own.

    An event that is being delivered waits, also if it has changed.
    """
    one, two = any_ledgers(run_id="one"), any_ledgers(run_id="two")
    changed = event("2", body=b"changed", expires_at=LATER + 5)
    found = one.claim({7: events(3), 8: [changed, *events(3, 5), event("1")], 9: events(1)})
    assert found[7] == Claim(events(3), [], 0)
    assert found[8] == Claim(events(3, 5), [changed, event("1")], 0)
    assert found[9] == Claim([], events(1), 0)
    one.end(7, [])
    one.write()
    assert claim(two, events(5))[1] == Claim(events(3), events(3, 5), 0, "one")


def test_claims_are_given_back_at_the_end(any_ledgers: Ledgers) -> None:
    """A run that ends, well or not, leaves no claims, and makes durable what was confirmed."""
    ledger = any_ledgers()
    first, _ = claim(ledger, events(3))
    second, _ = claim(ledger, events(3, 6))
    ledger.end(first, events(2))
    ledger.write()
    ledger.confirm(second, events(3, 4))
    ledger.close()
    assert claims(any_ledgers) == []
    assert unsent(any_ledgers(), events(6)) == [event("2"), *events(4, 6)]


def test_claims_lapse(any_ledgers: Ledgers) -> None:
    """What a run that died had claimed is free once that has lapsed; its other claims stay."""
    dead, other = any_ledgers(run_id="dead"), any_ledgers()
    claim(dead, events(3))
    claim(dead, events(3, 6))
    assert claim(other, events(2))[1].other_run == "dead"
    lapse(any_ledgers, "dead")
    assert claim(other, events(2))[1] == Claim(events(2), [], 0)
    assert claims(any_ledgers) == ["dead", "run-1"]


@pytest.mark.parametrize(("seconds", "is_free"), [(29, False), (31, True), (-31, True)])
def test_when_claims_lapse(ledgers: Ledgers, seconds: float, is_free: bool) -> None:
    """They do after 30 seconds; also if the clock is set back, so that they never would."""
    clock = FakeClock()
    claim(ledgers(run_id="dead", clock=clock), [event(expires_at=int(NOW) + 999)])
    clock.now += seconds
    found = claim(ledgers(clock=clock), [event(expires_at=int(NOW) + 999)])[1]
    assert bool(found.mine) == is_free


def test_what_is_confirmed_while_the_rest_of_its_batch_waits(any_ledgers: Ledgers) -> None:
    """It is durable at the next write, and the rest stays claimed."""
    ledger, other = any_ledgers(run_id="one"), any_ledgers()
    number, _ = claim(ledger, events(4))
    ledger.confirm(number, events(2))
    ledger.write()
    assert claim(ledger, events(4))[1] == Claim([], events(2, 4), 2)
    assert claim(other, events(4))[1] == Claim([], events(2, 4), 2, "one")
    ledger.end(number, events(2, 3))
    ledger.write()
    assert claim(other, events(4))[1] == Claim(events(3, 4), [], 3)


def test_a_run_renews_its_claims(any_ledgers: Ledgers) -> None:
    """Every few seconds, whatever it is told or asked, or nothing; all claims at once."""
    clock = FakeClock()
    ledger, other = any_ledgers(run_id="one", clock=clock), any_ledgers(clock=FakeClock())
    claim(ledger, events(1))
    claim(ledger, events(1, 2))
    before = untils(any_ledgers)
    clock.now += 4.9
    ledger.write()
    claim(ledger, events(8, 9))
    assert untils(any_ledgers)[:2] == before
    clock.now += 0.1
    ledger.write()
    renewed = untils(any_ledgers)
    clock.now += 5
    claim(ledger, events(2, 3))
    again = untils(any_ledgers)
    for batch in range(2):
        assert before[batch] < renewed[batch] < again[batch]
    assert claim(other, events(3))[1].waiting == events(3)


def untils(ledgers: Ledgers) -> list[float]:
    """Return until when each batch is claimed."""
    number = "batch" if ledgers.url else "number"
    return [until for (until,) in ledgers.query(f"SELECT until FROM claims ORDER BY {number}")]  # noqa: S608


def test_a_run_that_stood_still(any_ledgers: Ledgers) -> None:
    """If another run has taken its events over meanwhile, it must not go on."""
    clock = FakeClock()
    ledger, other = any_ledgers(run_id="slow", clock=clock), any_ledgers(clock=clock)
    claim(ledger, events(3))
    lapse(any_ledgers, "slow")
    taken, found = claim(other, events(3))
    assert found.mine == events(3)
    clock.now += 60
    for ask in (ledger.write, lambda: claim(ledger, events(3, 6)), ledger.write):
        with pytest.raises(StorageError, match=r"suspended for so long that its reservations in"):
            ask()
        clock.now += 1
    ledger.close()
    assert claims(any_ledgers) == ["run-1"]
    other.end(taken, found.mine)


def test_a_run_that_stood_still_for_nothing(any_ledgers: Ledgers) -> None:
    """If nobody wanted what it had claimed, it goes on."""
    clock = FakeClock()
    ledger, other = any_ledgers(run_id="slow", clock=clock), any_ledgers(clock=clock)
    number, _ = claim(ledger, events(3))
    lapse(any_ledgers, "slow")
    assert claim(other, events(3, 5))[1].mine == events(3, 5)
    clock.now += 60
    ledger.write()
    assert claim(other, events(3))[1].other_run == "slow"
    ledger.end(number, events(3))
    ledger.close()
    assert any_ledgers.rows() == 3


def test_claims_that_nobody_asks_about_are_forgotten(any_ledgers: Ledgers) -> None:
    """The next confirmation removes those that have lapsed for a day; younger ones stay."""
    for hours in (23, 25):
        claim(any_ledgers(run_id=f"dead-{hours}"), [event(f"of-{hours}")])
        lapse(any_ledgers, f"dead-{hours}", hours * 3600)
    other = any_ledgers()
    claim(other, events(1))
    assert claims(any_ledgers) == ["dead-23", "dead-25", "run-2"]
    remember(other, *events(1, 2))
    assert claims(any_ledgers) == ["dead-23", "run-2"]


# Locks, and kills


class Sleep(FakeClock):
    """A clock that only sleeping moves, and what happens during the sleeps.

    Args:
        during: Called with the number of each sleep.
    """

    def __init__(self, during: Callable[[int], object] = lambda _: None) -> None:
        super().__init__()
        self._during = during
        self.count = 0

    def __call__(self, seconds: float) -> None:
        self.count += 1
        assert self.count < 10_000, "it waits for ever"
        self.now += seconds
        self._during(self.count)


@pytest.fixture
def other(ledgers: Ledgers) -> Iterator[sqlite3.Connection]:
    """Give another process's connection to the file."""
    connection = sqlite3.connect(ledgers.path, isolation_level=None)
    yield connection
    connection.close()


def test_two_runs_create_the_file_at_once(ledgers: Ledgers, other: sqlite3.Connection) -> None:
    """A run waits while another one, which creates the file, holds its lock."""
    other.execute("BEGIN IMMEDIATE")
    sleep = Sleep(lambda count: other.close() if count == 3 else None)
    ledger = ledgers(clock=sleep, sleep=sleep)
    assert sleep.count == 3
    remember(ledger, event())
    assert unsent(ledger, [event()]) == []


def test_a_lock_that_is_never_released(ledgers: Ledgers, other: sqlite3.Connection) -> None:
    """After half a minute, a run gives up and says why."""
    other.execute("BEGIN IMMEDIATE")
    sleep = Sleep()
    with pytest.raises(
        ConfigurationError, match=r"ledger_path '.*' cannot be used: another process.*locked"
    ):
        ledgers(clock=sleep, sleep=sleep)
    assert 30 <= sleep.now - NOW < 31


def test_a_lock_while_an_event_is_noted(ledgers: Ledgers, other: sqlite3.Connection) -> None:
    """A run waits for another one that writes, says so, and obeys signals while it waits."""
    seen: list[object] = []
    handler = signal.signal(signal.SIGALRM, lambda *_: seen.append("signal"))

    def during(_: int) -> None:
        seen.append(ledger.waits_for)
        other.execute("COMMIT")

    sleep = Sleep(during)
    ledger = ledgers(clock=sleep, sleep=sleep)
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


def test_only_a_lock_is_waited_for(ledgers: Ledgers) -> None:
    """What will not pass ends the run at once."""
    ledgers.path.touch()
    ledgers.path.with_name("ledger.sqlite-wal").mkdir()
    sleep = Sleep()
    with pytest.raises(ConfigurationError, match="cannot be used: "):
        ledgers(clock=sleep, sleep=sleep)
    assert sleep.count == 0
