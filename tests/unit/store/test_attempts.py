"""What a run does while another program uses the store, in a file and in a database."""

import contextlib
import threading
from collections.abc import Callable

import pytest
from fakes import NOW, FakeClock
from store_support import Stores, claim, event, rejection, said

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.store.database import Attempts
from target_liveintent.store.opening import open_for_reading

REASONS = {
    False: "another program locks the file of the store",
    True: "another program locks the tables of the store",
}
"""What is waited for, by whether the store is in PostgreSQL."""


class Waits(Attempts):
    """Waits by a clock that only its pauses move; `then` is called after each of them."""

    def __init__(self, seconds: float) -> None:
        self.clock = FakeClock()
        self.pauses, self.seconds, self.stopped = 0, seconds, False
        self.then: Callable[[], object] = lambda: None
        self.warnings: list[str] = []
        super().__init__(self.clock, self._pause, lambda: self.stopped, self.warnings.append)

    def _pause(self, _: float) -> None:
        self.clock.now += self.seconds
        self.pauses += 1
        self.then()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the database wait for a moment by itself."""
    monkeypatch.setattr("target_liveintent.store.database._LOCK_MILLISECONDS", 5)


def test_a_lock_that_ends(stores: Stores) -> None:
    """The run says once what it waits for, after five seconds; goes on; and does all it must."""
    waits = Waits(seconds=1)
    store = stores(attempts=waits, keep_delivered=True)
    store.note_rejected(rejection("1"), NOW)
    store.note_rejected(rejection("2"), NOW)
    store.write()
    end = stores.lock()
    waits.then = lambda: end() if waits.pauses == 6 else None
    store.note_delivered([event("1")], [1.0], NOW)
    store.note_rejected(rejection("2", "invalid_source"), NOW)
    assert said(claim(store, 0, event())) == (["1"], [], [])
    reason = REASONS[stores.is_postgres]
    assert waits.warnings == [f"{reason}; the run waits for up to 30 seconds"]
    store.write()
    assert stores.letters() == [("2", "invalid_source", 1)]
    assert stores.sql("SELECT count(*) FROM delivered") == [(1,)]


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_lock_that_stays(stores: Stores, is_stopped: bool) -> None:
    """It ends the run after half a minute, and a run that was told to stop at once."""
    waits = Waits(seconds=1)
    store = stores(attempts=waits)
    end = stores.lock()
    waits.stopped = is_stopped
    with pytest.raises(StorageError, match=r"keeps the file locked|lock timeout"):
        claim(store, 0, event())
    assert waits.pauses == (1 if is_stopped else 30)
    end()
    assert said(claim(store, 0, event())) == (["1"], [], [])


def test_a_lock_at_the_start(stores: Stores) -> None:
    """A run waits before it reads anything, and does not wait for ever."""
    stores().close()
    end = stores.lock()
    waits = Waits(seconds=1)
    with pytest.raises(StorageError, match="lock"):
        stores(attempts=waits)
    assert waits.pauses == 30
    waits.then = lambda: waits.pauses == 35 and end()
    stores(attempts=waits).close()
    assert waits.pauses == 35


def test_a_stopped_run_waits_a_little(stores: Stores) -> None:
    """What is confirmed is worth a moment; a run that has waited in vain does not wait again."""
    waits = Waits(seconds=0.06)
    store = stores(attempts=waits)
    waits.stopped = True
    store.note_confirmed(0, claim(store, 0, event()).mine, is_last=True)
    end = stores.lock()
    waits.then = lambda: waits.pauses == 8 and end()
    store.write()
    assert waits.pauses == 8
    end = stores.lock()
    for _ in range(2):
        store.note_rejected(rejection(), NOW)
        with pytest.raises(StorageError, match="lock"):
            store.write()
        assert waits.pauses == 8 + 9
    end()


def create_at_once(stores: Stores) -> None:
    """Let four runs begin in a store without tables."""
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def run() -> None:
        start.wait()
        try:
            stores().close()
        except BaseException as failure:  # noqa: BLE001 (looked at below)
            failures.append(failure)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert stores.sql("SELECT count(*) FROM run") == [(4,)]


def test_runs_create_the_tables_at_once(stores: Stores) -> None:
    """One of them does it, and the others find them."""
    create_at_once(stores)


@pytest.mark.postgres
def test_runs_create_the_tables_in_a_server_that_isolates_more(
    new_store_url: Callable[[], str],
) -> None:
    """A run that has waited for another one sees the tables of that one."""
    stores = Stores(f"{new_store_url()}%20-cdefault_transaction_isolation%3Dserializable")
    create_at_once(stores)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        pytest.param("CREATE TABLE event (id int)", "of another program", id="another event table"),
        pytest.param(
            "CREATE TABLE store (name text)", "of another program", id="a store without version"
        ),
        pytest.param(
            "CREATE TABLE store (version int)", "of another program", id="no version in it"
        ),
        pytest.param(
            "CREATE TABLE store (version int); INSERT INTO store VALUES (99)",
            "a newer version",
            id="a newer version",
        ),
        pytest.param(
            "CREATE TABLE store (version int); INSERT INTO store VALUES (1)",
            "set store to another place",
            id="a version that was never released",
        ),
    ],
)
def test_tables_that_are_no_store(stores: Stores, sql: str, why: str) -> None:
    """Neither a run nor a command that reads takes them, and they stay as they are."""
    with contextlib.closing(stores.connection()) as other:
        for one in sql.split(";"):
            other.execute(one)
        other.commit()
    for opens in (stores, lambda: open_for_reading(stores.settings().storage)):
        with pytest.raises(ConfigurationError, match=why) as info:
            opens()
    assert "Name another schema" in str(info.value) or not stores.is_postgres or "of an" not in why
