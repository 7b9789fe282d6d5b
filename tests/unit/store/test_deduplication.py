"""Which events a run must send: those that no run has sent, or is sending now."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from fakes import FakeClock, FakeDelivery, FakeRun, read
from store_support import (
    LATER,
    Changes,
    Stores,
    claim,
    event,
    events,
    fail_next,
    ids,
    said,
    send,
)

from target_liveintent.conversions import event_model
from target_liveintent.errors import StorageError
from target_liveintent.store import deduplication, unwritten
from target_liveintent.store.database import Answers, Attempts, Step
from target_liveintent.store.questions import FIND_EVENTS
from target_liveintent.store.reservations import LAPSE_SECONDS
from target_liveintent.store.run_store import RunStore

DAY = 86_400


def test_the_next_run_knows_what_was_sent(stores: Stores) -> None:
    """Also under another ID of the run, and in any batch."""
    first = stores()
    claimed = claim(first, 1, event("first"))
    assert (said(claimed), claimed.conflicts) == ((["first"], [], []), 0)
    first.release({})
    assert ids(send(stores(), 0, *events(3))) == ["0", "1", "2"]
    other = stores()
    assert said(claim(other, 7, *events(1, 5))) == (["3", "4"], [], ["1", "2"])
    assert said(claim(other, 8, *events(3))) == ([], [], ["0", "1", "2"])
    assert stores.sql("SELECT batch FROM reservation") == [(7,)]  # Nothing of the other is sent.


@pytest.mark.parametrize("count", [0, 1, 901, 2_001])
def test_keys_of_a_step(stores: Stores, count: int) -> None:
    """All that were put are found, with the run that put them last; a key may come twice."""
    keys = [n.to_bytes(deduplication.KEY_BYTES, "big") for n in range(count)]
    puts = [Step(unwritten.PUT_EVENTS, [n], keys=k) for n, k in ((1, keys * 2), (2, keys[-1:]))]
    find = Step(FIND_EVENTS, keys=[b"\xff" * deduplication.KEY_BYTES, *keys])
    *_, found = stores.database().transact([*puts, find])
    assert sorted(found) == [(key, 1 + (key == keys[-1])) for key in keys]


def test_other_events(stores: Stores) -> None:
    """Each of stream, pixel, ID, customer and host makes another event, also within a batch."""
    send(stores(), 0, event())
    changes = [{"pixel_id": 2}, {"stream": "refunds"}, {"event_id": "01"}, {"event_id": "1\0"}]
    others = [event(**change) for change in changes]
    assert said(claim(stores(), 0, event(), *others)) == (ids(others), [], ["1"])
    for account in ({"customer_id": "b-1b2c"}, {"api_url": "https://a.example"}):
        assert ids(claim(stores(**account), 0, event()).mine) == ["1"]


def test_a_changed_record(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest events are known whatever changed; older ones if their time did not."""
    send(stores(), 0, event("old", expires_at=LATER - 100), event("new"))
    monkeypatch.setattr(deduplication, "RECENT", 1)
    changed = (event("old", expires_at=LATER - 101), event("new", expires_at=LATER + 5))
    assert said(claim(stores(), 0, *changed, event("old", expires_at=LATER - 100))) == (
        ["old"],
        [],
        ["new", "old"],
    )


def test_events_that_differ(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with the ID of an event that this run delivered are counted, and no equal ones."""
    monkeypatch.setattr(event_model, "_SHARED", range(10**9))  # Without chance.
    changes: list[dict[str, Any]] = [{"md5": "a" * 32}, {"md5": None}]
    changes += [{"value": 12}, {"value": None}, {"currency": "USD"}, {"order_id": "2"}]
    equal: list[dict[str, Any]] = [{}, {"event_time": 1}, {"columns": {"a": 1}}]
    same, different = ([event(**change) for change in given] for given in (equal, changes))
    store = stores()
    first = claim(store, 0, event(), *different, event("2"))
    assert (len(first.waiting), first.conflicts) == (6, 0)  # The first may still be refused.
    store.note_confirmed(0, first.mine[:1], is_last=False)
    again = claim(store, 1, *same, *different, event("2", value=7))
    assert (len(again.sent), again.conflicts) == (9, 6)
    store.note_confirmed(0, [], is_last=True)
    assert claim(store, 2, event("2", value=7)).mine
    store.write()
    again = claim(store, 3, *same, *different)
    assert (len(again.sent), again.conflicts) == (9, 6)
    again = claim(stores(), 0, *different)  # Another run does not know what was delivered.
    assert (len(again.sent), again.conflicts) == (6, 0)


def test_memory(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run remembers of its events does not grow with their number: the newest of them."""
    monkeypatch.setattr(deduplication, "RECENT", 1_200)
    store = stores()
    blocks = []
    for number in range(31):
        send(store, number, *events(100 * number, 100 * number + 100))
        blocks.append(sys.getallocatedblocks())
    assert max(blocks[15:]) < blocks[14] + 500
    changed = [event(str(number), expires_at=LATER + 5) for number in range(1_900, 3_100)]
    assert claim(store, 31, *changed).sent == changed


def test_what_is_forgotten_first(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on knows the newest events of the runs before it the longest."""
    monkeypatch.setattr(deduplication, "RECENT", 100)
    send(stores(), 0, *(event(f"old {n}", expires_at=LATER - 200 + n) for n in range(100)))
    store = stores()
    for number in range(2):
        send(store, number, *events(50 * number, 50 * number + 50))
    newest = event("old 99", expires_at=LATER + 5)
    assert claim(store, 2, newest, event("old 0", expires_at=LATER + 5)).sent == [newest]


def test_equal_events_of_a_run(stores: Stores) -> None:
    """One of them is sent; the others wait for its outcome, in the same batch and in others."""
    store = stores()
    first = claim(store, 0, event(), event(), event("2"))
    assert said(first) == (["1", "2"], ["1"], [])
    assert said(claim(store, 1, event())) == ([], ["1"], [])
    store.note_confirmed(0, [first.mine[0]], is_last=False)
    assert said(claim(store, 1, event(), event("2"))) == ([], ["2"], ["1"])
    store.note_confirmed(0, [], is_last=True)  # The other one was refused.
    assert said(claim(store, 1, event(), event("2"))) == (["2"], [], ["1"])


def test_two_runs(stores: Stores) -> None:
    """What one of them is sending, the other one waits for; it learns the run's ID.

    What is not confirmed stays reserved until its batch has its outcome, or the run ends.
    """
    one, two = stores(), stores()
    mine = claim(one, 0, *events(3)).mine
    found = claim(two, 0, *events(2, 5))
    assert said(found) == (["3", "4"], ["2"], [])
    assert [(found.other_run,)] == stores.sql("SELECT id FROM run WHERE number = ?", one.number)
    one.note_confirmed(0, mine[:1], is_last=False)
    one.write()
    assert said(claim(two, 1, *events(3))) == ([], ["1", "2"], ["0"])
    one.note_confirmed(0, mine[1:2], is_last=True)
    one.write()
    assert said(claim(two, 2, *events(3))) == (["2"], [], ["0", "1"])
    two.release({})
    assert said(claim(one, 1, *events(5))) == (["2", "3", "4"], [], ["0", "1"])


@pytest.mark.parametrize(
    "ahead",
    [
        pytest.param(0, id="clocks agree"),
        pytest.param(3_600, id="clock an hour ahead"),
        pytest.param(-9e8, id="clock of 1998"),
    ],
)
def test_a_run_that_stands_still(stores: Stores, ahead: float) -> None:
    """Its reservations expire when another run has seen no renewal for `LAPSE_SECONDS`.

    Only seconds of the clock of this other run count, whatever the clock of the first run says.
    """
    clock = FakeClock(time.time() + ahead)
    one, two = stores(FakeClock(time.time())), stores(clock)
    claim(one, 0, event())
    clock.now += 100
    for _ in range(3):  # The last two renewals are seen in vain, as a second passes after each.
        assert said(claim(two, 0, event())) == ([], ["1"], [])
        clock.now += LAPSE_SECONDS - 1
        assert said(claim(two, 0, event())) == ([], ["1"], [])
        one.write(before_state=True)
        clock.now += 1
    assert said(claim(two, 0, event())) == ([], ["1"], [])
    clock.now += LAPSE_SECONDS
    assert said(claim(two, 0, event())) == (["1"], [], [])
    assert stores.sql("SELECT run FROM reservation") == [(two.number,)]


def test_how_long_reservations_surely_hold(stores: Stores) -> None:
    """A run knows it from the time before the last renewal, at which it still had them."""
    clock = FakeClock(time.time())
    one = stores(clock)
    claim(one, 0, event())
    first = one.reserved_until
    assert clock.now < first <= clock.now + LAPSE_SECONDS - 2
    clock.now += 4
    one.write(before_state=True)
    assert one.reserved_until == first  # It has not checked that it still has them.
    clock.now += 4
    real = one.database.transact

    def slowly(*given: Any, **more: Any) -> Any:
        clock.now += 2
        return real(*given, **more)

    one.database.transact = slowly  # type: ignore[method-assign]
    one.write()
    assert one.reserved_until == first + 8


def test_what_a_transaction_survives(stores: Stores) -> None:
    """The database waits for the disk, but an SQLite file does not for reservations.

    A power cut that loses these ends their run as well; a run survives a crash of a server.
    """
    database = stores.database()
    setting = Step("SHOW synchronous_commit" if stores.is_postgres else "PRAGMA synchronous")
    answers: list[Any] = []

    def decide(answer: Answers) -> Changes:
        answers.append(answer)
        return Changes([])

    database.ask_and_change([setting], decide)
    answers.append(database.transact([setting]))
    expected = ["on", "on"] if stores.is_postgres else [1, 2]
    assert answers == [[[(value,)]] for value in expected]


# What a run notices


@pytest.mark.parametrize("what", ["the last transaction", "all transactions", "the row of the run"])
@pytest.mark.parametrize("when", ["claim", "write", "STATE", "the end"])
def test_a_store_that_has_lost_what_was_written(stores: Stores, what: str, when: str) -> None:
    """The run ends with what to do; what the API has confirmed is saved all the same."""
    store = stores()
    send(store, 0, event("1"))
    mine = claim(store, 1, event("2")).mine
    store.note_confirmed(1, mine, is_last=True)
    losses = {
        "the last transaction": "UPDATE run SET transactions = transactions - 1",
        "all transactions": "UPDATE run SET transactions = 0",
        "the row of the run": "DELETE FROM run",
    }
    stores.sql(losses[what])
    go_on: dict[str, Callable[[], object]] = {
        "claim": lambda: claim(store, 2, event("3")),
        "write": store.write,
        "STATE": lambda: store.write(before_state=True),
        "the end": lambda: store.release({}),
    }
    with pytest.raises(StorageError, match=r"has lost what this run wrote.*--full-refresh"):
        go_on[when]()
    with contextlib.suppress(StorageError):
        store.release({})
    assert said(claim(stores(), 0, *events(1, 3))) == ([], [], ["1", "2"])


def test_a_loss_is_noticed_although_an_answer_is_lost(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction that is repeated finds the number that shows the loss."""
    store = stores()
    send(store, 0, event("1"))
    stores.sql("UPDATE run SET transactions = transactions - 1")
    transact = store.database.transact
    monkeypatch.setattr(
        store.database, "transact", lambda steps: [transact(steps), transact(steps)][1]
    )
    with pytest.raises(StorageError, match="has lost what this run wrote"):
        store.write(before_state=True)


def test_a_run_whose_row_is_lost(stores: Stores) -> None:
    """The next run does not take what it still writes for its own, nor its own rows for lost."""
    first = stores()
    stores.sql("DELETE FROM run")
    second = stores(send_again=True)
    claim(second, 0, event("1"))
    with pytest.raises(StorageError, match="has lost"):
        send(first, 0, event("2"))
    assert said(claim(second, 1, event("2"), event("3"))) == (["2", "3"], [], [])
    second.write(before_state=True)


def test_a_transaction_that_comes_late(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that makes it again after later ones has lost nothing, and nothing is undone."""
    store, late = stores(), []
    transact = store.database.transact
    monkeypatch.setattr(
        store.database, "transact", lambda steps: [late.append(steps), transact(steps)][1]
    )
    for number in range(3):
        send(store, number, event(str(number)))
    transact(late[0])
    send(store, 3, event("3"))
    assert said(claim(stores(), 0, *events(4))) == ([], [], ["0", "1", "2", "3"])


def test_what_others_write_loses_nothing(stores: Stores) -> None:
    """Each run counts its own transactions, also those that are made twice."""
    one, two = stores(), stores()
    for number in range(3):
        assert send(one, number, event(f"one {number}"))
        assert send(two, number, event(f"two {number}"))
        fail_next(one, 4)
        with pytest.raises(StorageError, match="no_such_table"):
            one.write(before_state=True)
    one.release({})
    two.release({})
    assert stores.sql("SELECT transactions FROM run ORDER BY started_at") == [(7,), (7,)]


@pytest.mark.parametrize("how", ["reserved", "sent", "something else", "nothing"])
def test_a_run_that_was_suspended(stores: Stores, how: str) -> None:
    """It goes on, unless another run has reserved or sent its events meanwhile.

    If the other run has deleted its reservations, they are there again.
    """
    clock = FakeClock(time.time())
    one, two = stores(clock), stores(clock)
    mine = claim(one, 0, *events(2)).mine
    claim(two, 9)
    clock.now += LAPSE_SECONDS
    if how == "reserved":
        assert len(claim(two, 0, event("1")).mine) == 1
    elif how == "sent":
        send(two, 0, event("1"))
    elif how == "something else":
        assert len(claim(two, 0, event("3")).mine) == 1
        assert stores.sql("SELECT run FROM reservation") == [(two.number,)]
    if how in {"reserved", "sent"}:
        with pytest.raises(StorageError, match="because the run was suspended for long"):
            one.write()
        assert one.reserved_until < clock.now  # Until the run has ended, its threads ask for it.
        one.release({})
        return
    one.write()
    assert said(claim(two, 1, *events(2))) == ([], ["0", "1"], [])
    one.note_confirmed(0, mine, is_last=True)
    one.write()
    assert said(claim(two, 2, *events(2))) == ([], [], ["0", "1"])


@pytest.mark.parametrize("is_renewal", [False, True])
def test_an_answer_that_comes_late(stores: Stores, is_renewal: bool) -> None:
    """What another run has reserved meanwhile is not sent, though the store has reserved it."""
    clock = FakeClock(time.time())
    one, two = stores(clock), stores(clock)
    if is_renewal:
        clock.now += 6
    real, late = one.database.ask_and_change, []

    def ask_and_change(*given: Any) -> Any:
        decision = real(*given)
        if not late:
            late.append(True)
            assert claim(two, 0, event()).waiting
            clock.now += LAPSE_SECONDS
            assert claim(two, 0, event()).mine
        return decision

    one.database.ask_and_change = ask_and_change  # type: ignore[method-assign]
    with pytest.raises(StorageError, match="because the run was suspended for long"):
        claim(one, 0, event())
    assert one.reserved_until < clock.now
    one.release({})


def late_answers(store: RunStore, clock: FakeClock, seconds: Iterable[float]) -> None:
    """Let each transaction take so many seconds, and those after them none."""
    late = iter(seconds)
    real = store.database.transact, store.database.ask_and_change

    def answering(answer: Callable[..., Any]) -> Callable[..., Any]:
        def answer_late(*given: Any) -> Any:
            clock.now += next(late, 0.0)
            return answer(*given)

        return answer_late

    store.database.transact, store.database.ask_and_change = map(answering, real)  # type: ignore[method-assign]


def test_a_store_that_is_too_slow_to_send_anything(in_file: Stores) -> None:
    """The run ends with what to check, and writes no STATE."""
    clock = FakeClock(time.time())
    store = in_file(clock)
    late_answers(store, clock, [29.0] * 100)
    delivery = FakeDelivery(clock)  # As the real one, it never sends on expired reservations.
    fake = FakeRun(parts={"clock": clock, "outcomes": store, "delivery": delivery})
    read(fake, "1")
    fake.run.gate.hold("STATE")
    with pytest.raises(StorageError, match="10 answers of the store in a row") as failed:
        fake.run.finish()
    fake.run.abandon(failed.value)
    assert fake.states == []


def test_some_answers_come_late(in_file: Stores) -> None:
    """One of them comes in time; another one is late because the run is suspended for an hour."""
    clock = FakeClock(time.time())
    store = in_file(clock)
    late_answers(store, clock, [3600.0, *[29.0] * 8, 1.0, *[29.0] * 9])
    for _ in range(30):
        store.write(before_state=True)
        clock.now += 6.0


def test_keys_go_long_after_the_event_has_expired(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few with each transaction, the oldest first; a younger one stays."""
    store = stores()
    with monkeypatch.context() as before:
        before.setattr(unwritten, "KEPT_SECONDS", 60 * DAY)
        old = [event(f"old {n}", expires_at=LATER - 32 * DAY - n) for n in range(3)]
        send(store, 0, *old, event("young", expires_at=LATER - 30 * DAY))
    send(store, 1, event("1"))
    assert len(stores.sql("SELECT key FROM event")) == 4 + 1 - 2
    send(store, 2, event("2"))
    assert len(stores.sql("SELECT key FROM event")) == 3 + 1 - 1
    assert said(claim(store, 3, event("young", expires_at=LATER - 30 * DAY)))[2] == ["young"]


def test_sending_again(stores: Stores) -> None:
    """What earlier runs delivered is sent once more, what this run delivered is not."""
    send(stores(), 0, *events(2))
    again = stores(send_again=True)
    assert ids(send(again, 0, event("0"))) == ["0"]
    assert said(claim(again, 1, *events(3))) == (["1", "2"], [], ["0"])
    again.release({})
    assert said(claim(stores(), 0, *events(3))) == (["2"], [], ["0", "1"])
    third = stores(send_again=True)
    assert ids(claim(third, 0, event("0")).mine) == ["0"]


@pytest.mark.parametrize("at", range(8))
def test_a_claim_that_fails(stores: Stores, at: int) -> None:
    """Nothing is reserved then, but what was confirmed is noted all the same, at once."""
    store, other = (
        stores(attempts=Attempts(sleep=lambda _: pytest.fail("it waits"))),
        stores(),
    )
    mine = claim(store, 0, *events(2)).mine
    store.note_confirmed(0, mine, is_last=True)
    fail_next(store, at)
    with pytest.raises(StorageError, match="no_such_table"):
        claim(store, 1, *events(1, 4))
    assert said(claim(other, 0, *events(4))) == (["2", "3"], [], ["0", "1"])
    other.release({})
    assert said(claim(store, 2, *events(1, 4))) == (["2", "3"], [], ["1"])
