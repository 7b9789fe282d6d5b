"""The search for single events by their IDs, in all tables, over both databases."""

from typing import Any

import pytest
from fakes import NOW, FakeClock
from store_support import MD5, Stores, claim, event, rejection, send

from target_liveintent.conversions.event_model import DAY
from target_liveintent.privacy.identity import derive_event_id
from target_liveintent.store import search as module
from target_liveintent.store.database import Database
from target_liveintent.store.deduplication import Deduplicator
from target_liveintent.store.layout import SqlRow, Step
from target_liveintent.store.search import (
    FIND_HASHES,
    ArrivedEvent,
    EventWithoutOutcome,
    FoundEvent,
    LetterFound,
    ReservedEvent,
    SoughtId,
    SoughtRecord,
    StoreScope,
    scope_of,
    search,
)

SCOPE = StoreScope(("orders", "carts"), (1, 2))


def found(
    stores: Stores,
    *ids: str,
    scope: StoreScope = SCOPE,
    records: list[SoughtRecord] | None = None,
    **changes: Any,
) -> list[list[FoundEvent]]:
    """Return what the store knows about events with these IDs."""
    settings = stores.settings(**changes)
    sought = [SoughtId(text) for text in ids]
    return search(stores.database(), settings.account, sought, scope, records or [])


def kinds(events: list[FoundEvent]) -> list[tuple[str, str, int, str]]:
    """Return the kind and the name of each event."""
    return sorted((type(one).__name__, *one.name) for one in events)


def test_each_table(stores: Stores) -> None:
    """An event that arrived, a dead letter, and events of runs that live, were killed or failed."""
    store = stores(FakeClock())
    send(store, 0, event("sent"))
    store.note_rejected(rejection("refused"), NOW)
    store.write()
    alive = stores()
    claim(alive, 0, event("alive"))
    killed = stores()
    claim(killed, 0, event("killed"))
    stores.sql("UPDATE run SET alive_until = 1 WHERE number = ?", killed.number)
    failed = stores()
    claim(failed, 0, event("failed"))
    failed.release({})
    sent, refused, living, dead, waits, nothing = found(
        stores, "sent", "refused", "alive", "killed", "failed", "nothing"
    )
    assert kinds(sent) == [("ArrivedEvent", "orders", 1, "sent")]
    assert isinstance(sent[0], ArrivedEvent)
    assert (sent[0].run_id, sent[0].kept) == (store._options.run_id, None)  # noqa: SLF001
    assert kinds(refused) == [("LetterFound", "orders", 1, "refused")]
    assert isinstance(refused[0], LetterFound)
    assert refused[0].columns["reason"] == "invalid_event_time"
    assert refused[0].columns["md5"] == MD5
    (one,), (other,) = living, dead
    assert isinstance(one, ReservedEvent)
    assert isinstance(other, ReservedEvent)
    assert (one.is_alive, other.is_alive) == (True, False)
    assert (one.name.event_id, other.name.event_id) == ("alive", "killed")
    assert kinds(waits) == [("EventWithoutOutcome", "orders", 1, "failed")]
    assert isinstance(waits[0], EventWithoutOutcome)
    assert waits[0].window_end == one.window_end == event().expires_at
    assert nothing == []


def test_what_is_kept_of_delivered_events(stores: Stores) -> None:
    """By the event ID and by the order ID; a run that is no longer in the history is None."""
    store = stores(FakeClock(), keep_delivered=True)
    send(store, 0, event("1", order_id="A"), event("2", order_id="B", stream="shops", pixel_id=9))
    by_id, by_order, both = found(stores, "1", "B", "A")
    assert by_id == both
    (arrived,) = by_id
    assert isinstance(arrived, ArrivedEvent)
    assert arrived.kept is not None
    assert arrived.kept[2:] == ("web", "A", "12.50", "EUR", MD5, None)
    # (No stream and no pixel of the search.)
    assert kinds(by_order) == [("ArrivedEvent", "shops", 9, "2")]
    stores.sql("DELETE FROM event")  # The store forgets events; `history_days` is longer.
    stores.sql("DELETE FROM run")
    assert found(stores, "1") == [[arrived._replace(run_id=None)]]


def test_an_event_that_arrived_twice(stores: Stores) -> None:
    """Two runs sent it with different times: there is an answer for each."""
    first, second = stores(FakeClock()), stores(FakeClock(), send_again=True)
    send(first, 0, event("1"))
    send(second, 0, event("1", expires_at=event().expires_at + DAY))
    (twice,) = found(stores, "1")
    runs = {one.run_id for one in twice if isinstance(one, ArrivedEvent)}
    assert runs == {first._options.run_id, second._options.run_id}  # noqa: SLF001


def test_the_key_of_a_tap(stores: Stores) -> None:
    """The event has an ID that is derived from the key, or from a mapped key."""
    send(stores(FakeClock()), 0, event(derive_event_id("carts", ["7"]), stream="carts", pixel_id=2))
    send(stores(FakeClock()), 0, event(derive_event_id("orders", [{"number": "7"}])))
    settings = stores.settings()
    sought = [SoughtId("7", ("number",)), SoughtId("7"), SoughtId("8")]
    answers = search(stores.database(), settings.account, sought, SCOPE)
    assert [[one.name[:2] for one in several] for several in answers] == [
        [("carts", 2), ("orders", 1)],
        [("carts", 2)],
        [],
    ]


ODD = ("100%", "a_b", "!", 'say "x"', "back\\slash", "Bestellung Ü-1", "#1", "2026", "x'y", " pad ")


@pytest.mark.parametrize("order_id", ODD)
def test_the_order_id_of_a_dead_letter(stores: Stores, order_id: str) -> None:
    """Whatever signs it has, it finds this dead letter and no other one."""
    store = stores(FakeClock())
    for number, other in enumerate((order_id, "100x", "axb", "nothing", "20265", "12026")):
        store.note_rejected(rejection(f"e-{number}", columns={"order_id": other}), NOW)
    store.write()
    assert [kinds(one) for one in found(stores, order_id)] == [
        [("LetterFound", "orders", 1, "e-0")]
    ]


@pytest.mark.parametrize("value", [7, 7.0, "7", True], ids=repr)
def test_a_part_of_the_key_of_a_dead_letter(stores: Stores, value: Any) -> None:
    """A value of any column of the key finds a letter to which no map was applied."""
    store = stores(FakeClock())
    keys = {"shop": "berlin", "id": value, "line": [value]}
    store.note_rejected(rejection("derived", "mapping_failed", columns={}, keys=keys), NOW)
    store.write()
    part = "true" if value is True else "7"
    for sought in (part, "berlin"):
        assert len(found(stores, sought)[0]) == 1
    assert found(stores, "77", "ber", "line") == [[], [], []]


def test_another_account(stores: Stores) -> None:
    """Nothing of it is found, and an account with the same IDs has its own answers."""
    ours, theirs = (
        stores(FakeClock(), keep_delivered=True),
        stores(FakeClock(), customer_id="b-9z9z"),
    )
    for store, name in ((ours, "ours"), (theirs, "theirs")):
        send(store, 0, event(name, order_id="7"))
        store.note_rejected(rejection(f"{name}-bad", columns={"order_id": "8"}), NOW)
        store.write()
    ids = ("ours", "theirs", "7", "8", "ours-bad", "theirs-bad")
    assert [len(one) for one in found(stores, *ids)] == [1, 0, 1, 1, 1, 0]
    assert [len(one) for one in found(stores, *ids, customer_id="b-9z9z")] == [0, 1, 0, 1, 0, 1]


def test_the_key_of_a_record_makes_a_scan_needless(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the exact key, all keys are read only if the store does not have it."""
    steps: list[str] = []
    ask = Database.ask

    def ask_and_note(self: Database, step: Step) -> list[SqlRow]:
        steps.append(step.sql)
        return ask(self, step)

    monkeypatch.setattr(Database, "ask", ask_and_note)
    sent = event("1")
    send(stores(FakeClock()), 0, sent)
    keys = Deduplicator(stores.settings().account).keys_of([sent, event("1", expires_at=5)])
    for key, scans in zip(keys, (0, 1), strict=True):
        steps.clear()
        record = SoughtRecord(0, "orders", "1", 1, key)
        (events,) = found(stores, "shop-1", records=[record])
        assert kinds(events) == [("ArrivedEvent", "orders", 1, "1")]
        assert steps.count(FIND_HASHES) == scans
    # An ID without a record still needs the scan, and a record without a key as well.
    steps.clear()
    record = SoughtRecord(0, "orders", "1", 1, keys[0])
    assert [len(one) for one in found(stores, "x", "1", records=[record])] == [1, 1]
    assert steps.count(FIND_HASHES) == 1
    left_out = SoughtRecord(0, "orders", "1")
    assert [len(one) for one in found(stores, "x", records=[left_out])] == [1]


def test_many_ids(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """More IDs than a statement takes at once."""
    monkeypatch.setattr(module, "_TEXTS_AT_ONCE", 3)
    store = stores(FakeClock())
    send(store, 0, *(event(f"s-{n}") for n in range(50)))
    for n in range(10):
        store.note_rejected(rejection(f"l-{n}", columns={"order_id": f"o-{n}"}), NOW)
    store.write()
    answers = found(stores, *(f"s-{n}" for n in range(50)), *(f"o-{n}" for n in range(10)))
    assert [[one.name.event_id for one in several] for several in answers] == [
        *([f"s-{n}"] for n in range(50)),
        *([f"l-{n}"] for n in range(10)),
    ]


def test_the_scope(stores: Stores) -> None:
    """Streams and pixels of the settings, the runs' figures, letters and delivered events."""
    settings = stores.settings()
    empty = scope_of(stores.database(), settings.account, ["orders"], [1])
    assert empty == StoreScope(("orders",), (1,))
    store = stores(FakeClock(), keep_delivered=True, pixel_id=5)
    send(store, 0, event("1", stream="delivered", pixel_id=7))
    columns = {"pixel_id": 8}
    store.note_rejected(rejection("2", columns=columns), NOW)
    store.write()
    store.finish("done", '{"streams": {"counted": {}, "orders": {}}}')
    strange = stores(FakeClock(), pixel_id=6)
    strange.finish("done", '{"streams": 7}')
    other = stores(FakeClock(), customer_id="b-9z9z", pixel_id=9, keep_delivered=True)
    send(other, 0, event("1", stream="theirs", pixel_id=10))
    scope = scope_of(stores.database(FakeClock()), settings.account, ["mine"], [1])
    assert {*scope.streams} == {"mine", "orders", "counted", "delivered"}
    assert {*scope.pixels} == {1, 5, 6, 7, 8}
    assert scope.first_run is not None
    assert scope.delivered_since == pytest.approx(1_785_600_000.25)
    stores.sql(f"UPDATE run SET started_at = started_at - {90 * DAY}")  # noqa: S608
    late = scope_of(stores.database(FakeClock()), settings.account, [], [])
    assert "counted" not in late.streams  # The ledger has no event of this run any more.


def test_the_spellings_of_an_address() -> None:
    """An address is looked for as records may spell it, and as dead letters have it."""
    plain = SoughtId("Jane%40Example.com").spellings
    assert {"Jane@Example.com", "jane@example.com"} <= {*plain}
    link = SoughtId("mailto:jane@example.com")
    assert "jane@example.com" in link.spellings
    assert "@" not in link.shown
    assert any("@" not in text for text in link.stored)
    assert not any("@" in event_id for event_id in link.event_ids("orders"))
    assert SoughtId(" 7 ").spellings == ("7",)
