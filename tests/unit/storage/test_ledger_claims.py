"""Claims: of runs that overlap, one sends an event, and the others wait for its outcome."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from fakes import FakeClock
from ledger_support import LATER, Ledgers, claim, event, events, remember, unsent
from unit_support import NOW

from target_liveintent.errors import StorageError
from target_liveintent.storage.ledger import Claim

if TYPE_CHECKING:
    from target_liveintent.storage.ledger import Ledger


def lapse(ledgers: Ledgers, run_id: str) -> None:
    """Let the claims of a run lapse, as if it had not renewed them."""
    ago = "clock_timestamp() - interval '1 second'" if ledgers.url else "0"
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
    one.end(number, events(2, 4))
    assert claim(two, second.waiting)[1].waiting == events(2, 5)  # Nobody has been told yet.
    one.write()
    assert claim(two, second.waiting)[1] == Claim(events(4, 5), [], 2)


def test_several_batches_at_once(any_ledgers: Ledgers) -> None:
    """Each batch has an answer of its own, and is given back on its own."""
    one, two = any_ledgers(run_id="one"), any_ledgers(run_id="two")
    found = one.claim({7: events(3), 8: [*events(2, 5), event("1")], 9: events(1)})
    assert found[7] == Claim(events(3), [], 0)
    assert found[8] == Claim(events(3, 5), [event("2"), event("1")], 0)
    assert found[9] == Claim([], events(1), 0)
    one.end(7, [])
    one.write()
    assert claim(two, events(5))[1] == Claim(events(3), events(3, 5), 0, "one")


def test_a_changed_event_is_claimed_as_well(any_ledgers: Ledgers) -> None:
    """Claims know events by their identity, whatever their time is."""
    claim(any_ledgers(run_id="one"), [event()])
    changed = event(expires_at=LATER + 500)
    assert claim(any_ledgers(), [changed])[1].other_run == "one"


def test_confirmations_ride_along(any_ledgers: Ledgers) -> None:
    """The next claim makes durable what was confirmed, and gives back what has ended."""
    one, two = any_ledgers(run_id="one"), any_ledgers(run_id="two")
    number, _ = claim(one, events(3))
    one.end(number, events(3))
    assert any_ledgers.rows() == 0
    claim(one, events(3, 6))
    assert (any_ledgers.rows(), claims(any_ledgers)) == (3, ["one"])
    assert claim(two, events(6))[1] == Claim([], events(3, 6), 3, "one")


def test_claims_are_given_back_at_the_end(any_ledgers: Ledgers) -> None:
    """A run that ends, well or not, leaves no claims, and makes durable what was confirmed."""
    ledger = any_ledgers()
    number, _ = claim(ledger, events(3))
    claim(ledger, events(3, 6))
    ledger.end(number, events(2))
    ledger.close()
    assert claims(any_ledgers) == []
    assert unsent(any_ledgers(), events(6)) == events(2, 6)


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
    _, asked = claim(ledger, events(4))
    assert (asked.mine, asked.waiting, asked.sent) == ([], events(2, 4), 2)
    _, asked = claim(other, events(4))
    assert (asked.mine, asked.waiting, asked.sent) == ([], events(2, 4), 2)
    ledger.end(number, events(2, 3))
    ledger.write()
    _, asked = claim(other, events(4))
    assert (asked.mine, asked.sent) == (events(3, 4), 3)


def test_what_is_confirmed_last_is_durable_at_the_close(any_ledgers: Ledgers) -> None:
    """A run that ends right after it forgets nothing."""
    ledger = any_ledgers(run_id="one")
    number, _ = claim(ledger, events(2))
    ledger.confirm(number, events(1))
    ledger.close()
    assert unsent(any_ledgers(), events(2)) == events(1, 2)


def test_a_run_renews_its_claims(any_ledgers: Ledgers) -> None:
    """Every few seconds, whatever it is told or asked, or nothing; all claims at once."""
    clock = FakeClock()
    ledger, other = any_ledgers(run_id="one", clock=clock), any_ledgers(clock=FakeClock())
    claim(ledger, events(1))
    claim(ledger, events(1, 2))
    before = untils(any_ledgers)
    clock.now += 4.9
    ledger.write()
    assert untils(any_ledgers) == before
    clock.now += 0.1
    ledger.write()
    renewed = untils(any_ledgers)
    assert renewed[0] > before[0]
    assert renewed[1] > before[1]
    clock.now += 5
    claim(ledger, events(2, 3))
    again = untils(any_ledgers)
    assert again[0] > renewed[0]
    assert len(again) == 3
    assert claim(other, events(3))[1].waiting == events(3)


def untils(ledgers: Ledgers) -> list[float]:
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
        with pytest.raises(StorageError, match=r"suspended for so long that its claims in"):
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
        ago = f"clock_timestamp() - interval '{hours} hours'"
        if not any_ledgers.url:
            ago = str(int(time.time()) - hours * 3600)
        any_ledgers.query(f"UPDATE claims SET until = {ago} WHERE run_id = 'dead-{hours}'")  # noqa: S608
    other = any_ledgers()
    claim(other, events(1))
    assert claims(any_ledgers) == ["dead-23", "dead-25", "run-2"]
    remember(other, *events(1, 2))
    assert claims(any_ledgers) == ["dead-23", "run-2"]


def test_runs_take_turns(any_ledgers: Ledgers) -> None:
    """Three runs that claim the same events in other orders send each of them once."""
    runs = [any_ledgers(run_id=name) for name in "abc"]
    todo = {name: events(60)[:: 1 - 2 * (name == "b")] for name in "abc"}
    sent: list[str] = []
    for turn in range(100):
        for ledger, name in zip(runs, "abc", strict=True):
            batch, todo[name] = todo[name][:7], todo[name][7:]
            if batch:
                todo[name] += deliver(ledger, batch, sent, fails=turn % 3 == 1)
    assert not any(todo.values())
    assert sorted(sent, key=int) == [str(n) for n in range(60)]


def deliver(ledger: Ledger, batch: list[Any], sent: list[str], *, fails: bool) -> list[Any]:
    """Deliver what is free of a batch, or fail to; return what must be asked about again."""
    number, claimed = claim(ledger, batch)
    if claimed.mine:
        sent += [] if fails else [one.event_id for one in claimed.mine]
        ledger.end(number, [] if fails else claimed.mine)
    ledger.write()
    return [*claimed.waiting, *(claimed.mine if fails else ())]
