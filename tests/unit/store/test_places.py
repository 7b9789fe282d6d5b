"""Where events are: each is in one place, on the day on which a run first read it."""

import contextlib
import sqlite3
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from fakes import NOW, FakeClock
from store_support import LATER, MD5, Stores, claim, event, events, rejection, send

from target_liveintent.conversions.event_model import DAY, LetterKey
from target_liveintent.store.deletion import delete_expired, delete_letters, forget_people
from target_liveintent.store.places import LETTERS, PlaceRow, places_in, quarter_of
from target_liveintent.store.sqlite import ExactSum

COLUMNS: dict[str, Any] = {
    "md5": MD5,
    "event_time": int(NOW) - 3_600,
    "value": "7.25",
    "currency": "EUR",
    "source": "web",
}
"""The columns of a dead letter whose window is open for almost 7 days."""
ENDS_AT = int(NOW) - 3_600 + 7 * DAY - 60
ACCOUNT = "a-1b2c", "conversions.liveintent.com"


def rows(stores: Stores, now: float = NOW, **changes: Any) -> list[PlaceRow]:
    """Return where all events are at a time."""
    settings = stores.settings(**changes)
    database = stores.database(FakeClock(now))
    with contextlib.closing(database):
        return places_in(database, settings.account, settings.pixel_id, 0.0, now)


def places(stores: Stores, now: float = NOW) -> dict[tuple[int, str, str], tuple[int, str]]:
    """Return the number and the value in EUR by day (0 is that of `NOW`), place and reason."""
    counts, values = Counter[tuple[int, str, str]](), dict[tuple[int, str, str], Decimal]()
    for row in rows(stores, now):
        kind = (row.read_at - quarter_of(NOW)) // DAY, row.place, row.reason
        counts[kind] += row.events
        values[kind] = values.get(kind, Decimal(0)) + row.value
        assert row.read_at % 900 == 0
    return {kind: (count, str(values[kind])) for kind, count in counts.items()}


def letter(name: str, reason: str = "refused_by_api", **columns: Any) -> Any:
    """Return a record that cannot be sent, worth EUR 7.25."""
    return rejection(name, reason, columns={**COLUMNS, **columns})


def test_each_place(stores: Stores) -> None:
    """Events that arrived, can be replayed, are lost, and records that are left out."""
    store = stores(FakeClock())
    send(store, 0, *events(3))
    store.note_rejected(letter("refused"), NOW)
    store.note_rejected(letter("guest", "no_identity"), NOW)
    store.note_rejected(letter("old", event_time=int(NOW) - 9 * DAY), NOW)
    store.note_rejected(rejection("gone", "deleted"), NOW)
    store.note_rejected(rejection("again", "already_sent"), NOW)  # It counts nowhere.
    store.note_left_out("filtered")
    store.write()
    assert places(stores) == {
        (0, "arrived", ""): (3, "37.50"),
        (0, "replayable", "refused_by_api"): (1, "7.25"),
        (0, "lost", "no_identity"): (1, "7.25"),
        (0, "lost", "refused_by_api"): (1, "7.25"),
        (0, "left_out", "deleted"): (1, "0"),
        (0, "left_out", "filtered"): (1, "0"),
    }
    (row,) = [row for row in rows(stores) if row.place == "replayable"]
    assert (row.until, row.is_kept, row.currency) == (ENDS_AT, True, "EUR")
    assert rows(stores, ENDS_AT - 1).count(row) == 1
    assert row.place not in {closed.place for closed in rows(stores, ENDS_AT)}


@pytest.mark.parametrize("again", ["delivered", "rejected"])
def test_an_event_with_a_letter_keeps_its_day(stores: Stores, *, again: str) -> None:
    """A later run delivers the event, or writes its dead letter again, three days later."""
    before = stores(FakeClock())
    before.note_rejected(letter("1"), NOW)
    before.release({})
    after = stores(FakeClock(NOW + 3 * DAY))
    if again == "delivered":
        send(after, 0, *events(1, 3), read_at=NOW + 3 * DAY)
        expected = {(0, "arrived", ""): (1, "12.50"), (3, "arrived", ""): (1, "12.50")}
    else:
        after.note_rejected(letter("1", "api_error"), NOW + 3 * DAY)
        after.write()
        expected = {(0, "replayable", "api_error"): (1, "7.25")}
    assert places(stores, NOW + 3 * DAY) == expected


def test_a_letter_of_the_same_transaction_keeps_its_day(stores: Stores) -> None:
    """A run rejects a record, and delivers a corrected record before it writes anything."""
    store = stores(FakeClock(NOW + DAY))
    store.note_rejected(letter("1"), NOW)
    send(store, 0, event("1"), read_at=NOW + DAY)
    assert places(stores, NOW + DAY) == {(0, "arrived", ""): (1, "12.50")}


ARRIVED_ONCE = {(0, "arrived", ""): (1, "12.50")}


@pytest.mark.parametrize("then", ["delivered again", "rejected again", "left without an outcome"])
@pytest.mark.parametrize("is_new", [True, False], ids=["one of the newest", "older"])
def test_send_again(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, *, then: str, is_new: bool
) -> None:
    """An event that has arrived stays where it is, whatever becomes of it the second time.

    It is known by its key, or by its ID alone if it is one of the newest.
    """
    once_more = event("1", expires_at=LATER + 60) if is_new else event("1")
    before = stores(FakeClock())
    send(before, 0, event("1"))
    if not is_new:
        monkeypatch.setattr("target_liveintent.store.deduplication.RECENT", 1)
        send(before, 1, event("2", expires_at=LATER + 60))
    again = stores(FakeClock(NOW + DAY), send_again=True)
    assert len(claim(again, 0, once_more).mine) == 1
    if then == "delivered again":
        again.note_delivered([once_more], [NOW + DAY], NOW + DAY)
        again.note_confirmed(0, [once_more], is_last=True)
    elif then == "rejected again":
        again.note_confirmed(0, [], is_last=True)
        again.note_rejected(letter("1"), NOW + DAY)
    again.release({})
    assert {kind: one for kind, (one, _) in places(stores, NOW + DAY).items()} == {
        (0, "arrived", ""): 1 if is_new else 2
    }
    assert len(stores.letters()) == (then == "rejected again")


@pytest.mark.parametrize(
    ("remembered", "event_time", "expected"),
    [
        pytest.param(9, int(NOW) - 3_600, ARRIVED_ONCE, id="by its ID"),
        pytest.param(9, None, ARRIVED_ONCE, id="by its ID, without a time"),
        pytest.param(1, int(NOW) - 3_600, ARRIVED_ONCE, id="by its key"),
        pytest.param(
            1,
            None,
            {**ARRIVED_ONCE, (1, "replayable", "refused_by_api"): (1, "7.25")},
            id="long ago, without a time",
        ),
    ],
)
def test_a_rejected_record_whose_event_has_arrived(
    stores: Stores,
    monkeypatch: pytest.MonkeyPatch,
    remembered: int,
    event_time: int | None,
    expected: dict[tuple[int, str, str], tuple[int, str]],
) -> None:
    """Its dead letter counts nowhere, also when it is deleted, or its event arrives once more."""
    monkeypatch.setattr("target_liveintent.store.deduplication.RECENT", remembered)
    monkeypatch.setattr("target_liveintent.store.deduplication._PARTS", 1)
    before = stores(FakeClock())
    send(before, 0, event("1", event_time=int(NOW) - 3_600, expires_at=ENDS_AT))
    send(before, 1, event("newer"))
    rest = {(0, "arrived", ""): (2, "25.00")}
    after = stores(FakeClock(NOW + DAY))
    after.note_rejected(letter("1", event_time=event_time), NOW + DAY)
    after.write()
    assert places(stores, NOW + DAY) == {**expected, **rest}
    assert len(stores.letters()) == 1
    again = stores(FakeClock(NOW + 2 * DAY), send_again=True)
    send(again, 0, event("1", event_time=int(NOW) - 3_600, expires_at=ENDS_AT))
    assert places(stores, NOW + 2 * DAY) == rest
    assert stores.letters() == []


@pytest.mark.parametrize("send_again", [False, True])
def test_a_letter_that_counts_nowhere_is_not_lost(stores: Stores, *, send_again: bool) -> None:
    """Nor is one of a run that sends all events again."""
    send(stores(FakeClock()), 0, *events(2))
    store = stores(FakeClock(), send_again=send_again)
    store.note_rejected(letter("0"), NOW)
    store.note_rejected(letter("1", event_time=None), NOW)
    store.write()
    delete_letters(store.database, stores.settings().account, 1, "refused_by_api")
    assert stores.letters() == []
    assert places(stores) == {(0, "arrived", ""): (2, "25.00")}


@pytest.mark.parametrize(
    ("record", "place"),
    [
        pytest.param(rejection("1", "suppressed"), "left_out suppressed", id="suppressed"),
        pytest.param(
            rejection("1", "no_consent", columns={"pixel_id": 1}),
            "left_out no_consent",
            id="without consent, with a pixel",
        ),
        pytest.param(
            rejection("1", "mapping_failed", columns={}, keys={"id": 1}),
            "lost mapping_failed",
            id="not mapped",
        ),
    ],
)
def test_an_event_that_waits_and_is_not_sent(stores: Stores, record: Any, place: str) -> None:
    """It waits no more, and stays on its day; a record that did not wait is of today."""
    failed = stores(FakeClock())
    failed.release({0: [event("1"), event("2")]})
    after = stores(FakeClock(NOW + DAY))
    after.note_rejected(record, NOW + DAY)
    after.note_rejected(rejection("3", "deleted"), NOW + DAY)
    after.write()
    found = {kind: count for kind, (count, _) in places(stores, NOW + DAY).items()}
    assert found == {
        (0, "waiting", "no_outcome"): 1,
        (0, *place.split()): 1,
        (1, "left_out", "deleted"): 1,
    }


def test_a_failed_run(stores: Stores) -> None:
    """Its events wait, also those that it had not reserved, until they have an outcome."""
    known = stores(FakeClock())
    send(known, 0, event("sent"))
    known.note_rejected(letter("refused"), NOW)
    known.release({})
    for _ in range(2):  # However many runs fail.
        failed = stores(FakeClock())
        claim(failed, 0, event("1"), event("refused"))
        failed.release({1: [event("2"), event("3", value=None)], 2: [event("sent")]})
    waits = {(0, "waiting", "no_outcome"): (3, "25.00")}
    before = {(0, "arrived", ""): (1, "12.50"), (0, "replayable", "refused_by_api"): (1, "7.25")}
    assert places(stores) == {**before, **waits}
    later = stores(FakeClock(NOW + 2 * DAY))
    send(later, 0, event("1"), event("4"), read_at=NOW + 2 * DAY)
    later.note_rejected(letter("2"), NOW + 2 * DAY)
    later.write()
    assert places(stores, NOW + 2 * DAY) == {
        (0, "arrived", ""): (2, "25.00"),
        (2, "arrived", ""): (1, "12.50"),
        (0, "replayable", "refused_by_api"): (2, "14.50"),
        (0, "waiting", "no_outcome"): (1, "0"),
    }
    (row,) = [row for row in rows(stores, NOW + 2 * DAY) if row.place == "waiting"]
    assert row.until is not None
    assert rows(stores, row.until).count(row._replace(place="lost", until=None)) == 1
    if stores.is_postgres:
        return  # (Its clock is the server's.)
    stores(FakeClock(row.until + 31 * DAY)).release({})  # The row is deleted, and leaves a count.
    assert stores.sql("SELECT count(*) FROM waiting") == [(0,)]
    assert places(stores, row.until + 31 * DAY)[0, "lost", "no_outcome"] == (1, "0")


def test_a_batch_without_outcomes(stores: Stores) -> None:
    """A batch comes back without outcomes when a run fails: what is not confirmed waits."""
    store = stores(FakeClock())
    claim(store, 0, *events(3))
    store.note_delivered([event("1")], [NOW], NOW)
    store.note_confirmed(0, [event("1")], is_last=True, has_outcomes=False)
    store.release({})
    assert places(stores) == {
        (0, "arrived", ""): (1, "12.50"),
        (0, "waiting", "no_outcome"): (2, "25.00"),
    }


def test_a_killed_run(stores: Stores) -> None:
    """What it had reserved waits as soon as it is silent, and keeps its day."""
    killed = stores(FakeClock())
    claim(killed, 0, *events(3))
    killed.note_delivered([event("1")], [NOW], NOW)
    killed.note_confirmed(0, [event("1")], is_last=False)
    killed.write()
    assert places(stores) == {(0, "arrived", ""): (1, "12.50")}
    waits = {(0, "waiting", "no_outcome"): (2, "25.00")}
    if not stores.is_postgres:  # (Its clock is the server's.)
        assert places(stores, NOW + 60) == {(0, "arrived", ""): (1, "12.50"), **waits}
    clock = FakeClock(NOW + DAY)
    other = stores(clock)
    assert claim(other, 0, *events(3)).mine == []
    clock.now += 31
    assert len(claim(other, 1, *events(2)).mine) == 1
    other.write()
    assert places(stores, NOW + DAY) == {(0, "arrived", ""): (1, "12.50"), **waits}
    other.note_delivered([event("0")], [NOW + DAY], NOW + DAY)
    other.note_confirmed(1, [event("0")], is_last=True)
    other.write()
    left = {(0, "waiting", "no_outcome"): (1, "12.50")}
    assert places(stores, NOW + DAY) == {(0, "arrived", ""): (2, "25.00"), **left}


@pytest.mark.parametrize("how", ["delete", "forget", "expiry"])
def test_deleted_letters_are_lost(stores: Stores, *, how: str) -> None:
    """They leave counts by day, reason and currency, and no ID."""
    store = stores(FakeClock())
    for number in range(200):  # More than a statement can count.
        store.note_rejected(letter(f"{number}"), NOW - DAY * (number == 0))
    store.note_rejected(letter("guest", "no_identity", currency=None), NOW)
    store.release({})
    database = stores.database(FakeClock(NOW + 5 * DAY))
    if how == "delete":
        for reason in ("refused_by_api", "no_identity"):
            delete_letters(database, stores.settings().account, 1, reason)
    elif how == "forget":
        assert forget_people(database, [[MD5]]) == [201]
    else:
        assert delete_expired(database, 4 * DAY) == 201
    assert stores.letters() == []
    assert places(stores) == {
        (-1, "lost", "refused_by_api"): (1, "7.25"),
        (0, "lost", "refused_by_api"): (199, "1442.75"),
        (0, "lost", "no_identity"): (1, "0"),
    }
    assert not any(row.is_kept for row in rows(stores))


@pytest.mark.parametrize(
    ("reason", "place"),
    [
        pytest.param("expired", "lost refused_by_api", id="too old"),
        pytest.param("suppressed", "left_out suppressed", id="on the list of suppressed people"),
    ],
)
def test_letters_that_a_replay_drops(stores: Stores, reason: str, place: str) -> None:
    before = stores(FakeClock())
    before.note_rejected(letter("1"), NOW)
    before.release({})
    replay = stores(FakeClock(NOW + 8 * DAY))
    key = LetterKey(*ACCOUNT, "orders", "1", 1)
    replay.note_rejected(rejection("1", reason, letter=key), NOW + 8 * DAY)
    replay.write()
    assert places(stores, NOW + 8 * DAY) == {(0, *place.split()): (1, "7.25")}


def test_accounts_and_pixels_have_their_own_places(stores: Stores) -> None:
    for number, changes in enumerate(({}, {"pixel_id": 2}, {"customer_id": "b-2c3d"})):
        store = stores(FakeClock(), **changes)
        send(store, 0, *events(10 * number, 11 * number + 1))
        store.note_rejected(letter("refused"), NOW)
        store.release({})
    for number, changes in enumerate(({}, {"pixel_id": 2}, {"customer_id": "b-2c3d"})):
        found = {row.place: row.events for row in rows(stores, **changes)}
        assert found == {"arrived": number + 1, "replayable": 1}


def test_sums_are_exact(stores: Stores) -> None:
    """Also of many digits, and of letters."""
    store = stores(FakeClock())
    send(store, 0, *(event(str(n), value=Decimal("0.1")) for n in range(3)))
    send(store, 1, event("large", value=Decimal("9999999999999999.99")))
    for number in range(3):
        store.note_rejected(letter(f"bad {number}", value="0.1"), NOW)
    store.write()
    assert places(stores) == {
        (0, "arrived", ""): (4, "10000000000000000.29"),
        (0, "replayable", "refused_by_api"): (3, "0.3"),
    }


def test_a_transaction_that_is_made_twice(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to its COMMIT is lost, and the second time changes nothing."""
    before = stores(FakeClock())
    before.note_rejected(letter("1"), NOW)
    before.note_rejected(letter("2"), NOW)
    before.release({})
    store = stores(FakeClock())
    transact = store.database._transact  # noqa: SLF001
    monkeypatch.setattr(
        store.database, "_transact", lambda steps: (transact(steps), transact(steps))[1]
    )
    send(store, 0, event("1"), event("3"))
    store.note_left_out("filtered")
    store.note_rejected(
        rejection("2", "suppressed", letter=LetterKey(*ACCOUNT, "orders", "2", 1)), NOW
    )
    store.write()
    delete_letters(store.database, stores.settings().account, 1, "refused_by_api")
    assert places(stores) == {
        (0, "arrived", ""): (2, "25.00"),
        (0, "left_out", "filtered"): (1, "0"),
        (0, "left_out", "suppressed"): (1, "7.25"),
    }


def test_the_reports_read_no_dead_letter(in_file: Stores) -> None:
    """They add up the entries of an index, because a dead letter takes about a kilobyte."""
    in_file().release({})
    with contextlib.closing(sqlite3.connect(in_file.place)) as file:
        file.create_aggregate("exact_sum", 1, ExactSum)
        sql = f"EXPLAIN QUERY PLAN {LETTERS.format(sum='exact_sum')}"
        plan = file.execute(sql, [0, *ACCOUNT, 1, 0]).fetchall()
    index = "SEARCH dead_letter USING COVERING INDEX dead_letter_place"
    assert index in str(plan)
    assert "first_read>?" in str(plan)
