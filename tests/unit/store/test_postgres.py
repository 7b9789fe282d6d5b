"""The store in PostgreSQL: who may use it, what it does when it is gone, and what it never says."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from urllib.parse import urlsplit

import psycopg
import pytest
from fakes import NOW, FakeClock
from postgres_server import GUARDED, Postgres
from slow_proxy import SlowProxy
from store_support import Stores, claim, event, events, rejection, said, send

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.privacy.redaction import without_secrets
from target_liveintent.store import postgres
from target_liveintent.store.database import Attempts

pytestmark = pytest.mark.postgres


@pytest.fixture
def in_database(new_store_url: Callable[[], str]) -> Iterator[Stores]:
    """Open stores in a schema of its own."""
    stores = Stores(new_store_url())
    yield stores
    stores.close()


def test_a_connection_that_is_lost(in_database: Stores) -> None:
    """A transaction that may have been lost is done again, and does nothing twice."""
    store = in_database()
    mine = claim(store, 0, *events(2)).mine
    store.note_confirmed(0, mine, is_last=True)
    for number, do in enumerate((store.write, lambda: claim(store, 1, event("9")))):
        with psycopg.connect(in_database.place) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <>"
                " pg_backend_pid() AND application_name = 'target-liveintent'"
            )
        do()
        assert in_database.sql("SELECT count(*) FROM event") == [(2,)], number
    assert said(claim(in_database(), 0, *events(2), event("9"))) == ([], ["9"], ["0", "1"])
    store.close()
    store.database.attempts.has_ended = True
    with pytest.raises(StorageError, match="cannot be reached"):  # It is not tried once more.
        store.write(before_state=True)


def test_a_server_that_hangs(in_database: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends the connection, and makes another one."""
    monkeypatch.setattr(postgres, "_LONGEST_ANSWER_SECONDS", 1.0)
    store = in_database()
    ((process,),) = store.database.read("SELECT pg_backend_pid()")
    os.kill(process, signal.SIGSTOP)
    try:
        assert said(claim(store, 0, *events(2))) == (["0", "1"], [], [])
    finally:
        os.kill(process, signal.SIGCONT)
    assert store.database.read("SELECT pg_backend_pid()") != [(process,)]


def test_a_replica_that_has_not_taken_over_yet(
    in_database: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run waits until the server takes transactions that write."""
    store, pauses = in_database(), list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        store.database.read("SET default_transaction_read_only = off")

    monkeypatch.setattr(store.database.attempts, "_sleep", pause)
    store.database.read("SET default_transaction_read_only = on")
    assert said(claim(store, 0, *events(2))) == (["0", "1"], [], [])
    assert pauses == [0.5]


def test_the_round_trips_to_a_distant_database(in_database: Stores) -> None:
    """It takes two to reserve events, and one to write outcomes, however many there are."""
    port = urlsplit(in_database.place).port
    assert port is not None
    with SlowProxy(port, 0.02) as proxy:
        far = Stores(in_database.place.replace(f":{port}/", f":{proxy.port}/"))
        store = far()
        store.write(before_state=True)
        trips = [proxy.round_trips]
        mine = claim(store, 0, *events(1_000)).mine
        trips.append(proxy.round_trips)
        store.note_confirmed(0, mine, is_last=True)
        store.note_rejected(rejection("bad"), NOW)
        store.write()
        trips.append(proxy.round_trips)
        far.close()
    assert [after - before for before, after in pairwise(trips)] == [2, 1]


def test_a_server_that_answers_after_a_second(in_database: Stores) -> None:
    """A login takes several answers, so it may take several seconds."""
    in_database().close()
    port = urlsplit(in_database.place).port
    assert port is not None
    with SlowProxy(port, 1.0) as proxy:
        far = Stores(in_database.place.replace(f":{port}/", f":{proxy.port}/"))
        database = far.database()
        assert not database.is_new
        far.close()


def lose_an_answer(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Let the connection be gone after the next commit; return a list that has an item then."""
    lost: list[bool] = []
    real = psycopg.Pipeline.__exit__

    def leave(self: psycopg.Pipeline, *failure: object) -> None:
        real(self, *failure)  # type: ignore[arg-type]
        if not lost:
            lost.append(True)
            raise psycopg.OperationalError

    monkeypatch.setattr(psycopg.Pipeline, "__exit__", leave)
    return lost


def test_an_answer_to_a_commit_that_is_lost(
    in_database: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is done again: the run has one row, and the events are its own."""
    in_database().close()
    in_database.database()  # It holds nothing locked.
    assert in_database.sql("SELECT 1 FROM pg_stat_activity WHERE state ~ 'idle in'") == []
    lost = [lose_an_answer(monkeypatch)]
    store = in_database()
    assert in_database.sql("SELECT count(*), count(nullif(number, ?)) FROM run", store.number) == [
        (2, 1)
    ]
    lost.append(lose_an_answer(monkeypatch))
    assert said(claim(store, 0, *events(2))) == (["0", "1"], [], [])
    assert lost == [[True], [True]]
    store.note_confirmed(0, events(2), is_last=True)
    store.write()
    assert in_database.sql("SELECT count(*) FROM reservation") == [(0,)]
    assert in_database.sql("SELECT count(*) FROM event") == [(2,)]


def test_a_database_that_is_gone() -> None:
    """It is tried again for as long as the setting says; a stopped run does not wait."""
    for stopped, seconds in ((False, 10), (True, 0)):
        clock, said_so = FakeClock(), []

        def sleep(pause: float, clock: FakeClock = clock) -> None:
            clock.now += pause

        stores = Stores("postgresql://tester:s3cret@127.0.0.1:9/postgres")
        attempts = Attempts(clock, sleep, lambda stopped=stopped: stopped, said_so.append)
        before = clock.now
        with pytest.raises(StorageError, match=r"named in store cannot be used: .*refused") as info:
            stores(attempts=attempts, max_retry_seconds=10)
        assert "tester" not in str(info.value)
        assert "s3cret" not in str(info.value)
        assert seconds <= clock.now - before <= seconds + 2
        assert len(said_so) == (not stopped)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(("tester:", "nobody:"), "role .*does not exist", id="unknown user"),
        pytest.param(("/postgres?", "/no_such_database?"), "does not exist", id="unknown database"),
        pytest.param(
            ("tester:s3cret-of-postgres", f"{GUARDED}:wrong-password"),
            "authentication failed",
            id="wrong password",
        ),
        pytest.param(
            ("tester:s3cret-of-postgres", GUARDED), "no password supplied", id="no password"
        ),
        pytest.param(
            ("127.0.0.1", "no-such-host.invalid"), "translate host name|resolve", id="unknown host"
        ),
    ],
)
def test_settings_that_cannot_work(
    in_database: Stores,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[str, str],
    why: str,
) -> None:
    """They end the run at once; the message does not name the password."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", "/no/such/file")
    if GUARDED in change[1]:
        postgres.sql(f"DROP ROLE IF EXISTS {GUARDED}")
        postgres.sql(f"CREATE ROLE {GUARDED} LOGIN PASSWORD 'right-password'")
    stores = Stores(in_database.place.replace(*change))
    with pytest.raises(ConfigurationError, match=why) as info:
        stores()
    assert not [word for word in ("wrong-password", "s3cret") if word in str(info.value)]
    assert "s3cret" not in repr(stores.settings())


def test_a_user_who_may_not_create_tables(in_database: Stores, postgres: Postgres) -> None:
    """The message has the SQL that makes the store; with the rights on it, the user can use it."""
    schema = in_database.place.rpartition("%3D")[2]
    postgres.sql(f"DROP ROLE IF EXISTS {GUARDED}")
    postgres.sql(f"CREATE ROLE {GUARDED} LOGIN PASSWORD 'right-password'")
    postgres.sql(f"GRANT USAGE ON SCHEMA {schema} TO {GUARDED}")
    place = in_database.place.replace("tester:s3cret-of-postgres", f"{GUARDED}:right-password")
    stores = Stores(place)
    with pytest.raises(ConfigurationError, match="may not create tables") as info:
        stores()
    sql = str(info.value).partition("\n")[2]
    postgres.sql(f"SET search_path = {schema}; {sql}")
    granted = f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema}"
    postgres.sql(f"{granted} TO {GUARDED}")
    assert send(stores(), 0, event()) != []
    stores.close()
    postgres.sql(f"DROP OWNED BY {GUARDED}")
    postgres.sql(f"DROP ROLE {GUARDED}")


def test_a_database_that_accepts_a_connection_and_is_silent() -> None:
    """It may be a port of something else. A stopped run waits for one attempt: 10 seconds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stores = Stores(f"postgresql://tester@127.0.0.1:{server.getsockname()[1]}/postgres")
        start = time.monotonic()
        with pytest.raises(StorageError, match="cannot be used"):
            stores(attempts=Attempts(is_stopped=lambda: True), max_retry_seconds=60)
        assert time.monotonic() - start < 12


@pytest.mark.parametrize("place", ["URL", "PGPASSWORD"])
def test_the_password_is_hidden(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """As the token is: from then on, no line of the log and no dead letter shows it."""
    password = f"pw-4711-in-{place}"
    monkeypatch.setenv("PGPASSWORD", password)
    user = f"tester:{password}" if place == "URL" else "tester"
    with pytest.raises(StorageError):
        Stores(f"postgresql://{user}@127.0.0.1:9/x")(attempts=Attempts(is_stopped=lambda: True))
    assert without_secrets(f"of {password}") == "of ***"
