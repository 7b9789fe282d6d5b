"""The store in PostgreSQL over whole runs: settings, outages, locks, rights, and its password."""

import json
import re
import signal
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from integration_support import (
    OFTEN,
    WITH_ID,
    Launcher,
    Running,
    numbered,
    orders,
    schema,
    state,
    wait_until,
)
from ledger_claims import ask, count
from postgres_server import GUARDED, Postgres
from slow_proxy import SlowProxy

from target_liveintent.sandbox import Sandbox

pytestmark = pytest.mark.postgres

PASSWORD = "s3cret/4711@of#guarded"
SPELLINGS = (PASSWORD, "s3cret%2F4711%40of%23guarded", "s3cret")
SAYS_SOON = OFTEN | {
    "target_liveintent.store.database:_SILENT_SECONDS": 0.05,
    "target_liveintent.store.postgres:_PAUSE": 0.05,
}
"""Constants of a run that says soon that it waits for the database."""
GONE = "the database of the store cannot be reached; the run waits for up to 20 seconds"
LOCKED = "another program locks the tables of the store; the run waits for up to 30 seconds"
CANNOT = "the database named in store cannot be used: "


def begin(target: Launcher, store_url: str, **how: Any) -> Running:
    """Start a run, and wait for its first STATE."""
    run = target.start(store=store_url, batch_size_rows=1, constants=SAYS_SOON, **how)
    run.send(schema(columns=WITH_ID), *numbered(1), state(1))
    wait_until(lambda: run.states == [1], "the first STATE")
    return run


# A database that cannot be reached


def test_unreachable(target: Launcher, sandbox: Sandbox) -> None:
    """The run fails after max_retry_seconds, and sends nothing; user and password stay secret."""
    url = "postgresql://bob-77:pw-4711@127.0.0.1:1/x"
    how = {"store": url, "max_retry_seconds": 1, "constants": SAYS_SOON}
    start = time.monotonic()
    run = target.run(schema(), *orders(3), state(1), **how)
    assert 1 <= time.monotonic() - start < 8
    assert (run.code, run.stdout, sandbox.stats.requests) == (1, "", 0)
    assert run.last_line.startswith(CANNOT)
    assert "Connection refused" in run.last_line
    assert not [secret for secret in ("bob-77", "pw-4711", url) if secret in run.log]


def test_a_restart_during_a_run(
    target: Launcher, sandbox: Sandbox, postgres: Postgres, store_url: str
) -> None:
    """The run says what it waits for, goes on afterwards, and sends nothing twice."""
    run = begin(target, store_url)
    with postgres.stopped():
        run.send(*numbered(2)[1:], state(2))
        wait_until(lambda: GONE in run.log, "its warning")
        assert (run.states, sandbox.stats.accepted) == ([1], 1)
    run.close_input().wait()
    assert (run.code, run.states, run.warnings) == (0, [1, 2], [GONE])
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (2, 0)
    assert count(store_url, "event") == 2


def test_a_lock_during_a_run(target: Launcher, sandbox: Sandbox, store_url: str) -> None:
    """The run says what it waits for, and SIGTERM ends it in two seconds."""
    run = begin(target, store_url)
    with psycopg.connect(store_url) as other:
        other.execute("SELECT version FROM store FOR UPDATE")
        run.send(*numbered(2)[1:], state(2))
        wait_until(lambda: LOCKED in run.log, "its warning")
        assert (run.states, sandbox.stats.accepted) == ([1], 1)
        start = time.monotonic()
        run.signal(signal.SIGTERM).wait()
        assert time.monotonic() - start < 2
    assert (run.code, run.states) == (143, [1])


@pytest.fixture
def guarded(postgres: Postgres, store_url: str) -> Iterator[str]:
    """Create a user whom the server asks for a password; give the URL without the password."""
    postgres.sql(
        f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}';"
        f" GRANT ALL ON SCHEMA {store_url.rpartition('%3D')[2]} TO {GUARDED}"
    )
    yield re.sub("//.*@", f"//{GUARDED}@", store_url)
    postgres.sql(f"DROP OWNED BY {GUARDED}; DROP ROLE {GUARDED}")


@pytest.mark.parametrize("place", ["URL", ".pgpass"])
def test_places_of_the_password(
    target: Launcher, sandbox: Sandbox, store_url: str, guarded: str, place: str
) -> None:
    """Each does; and it is in nothing that a run writes, at any level of the log."""
    env = {"TARGET_LIVEINTENT_LOGLEVEL": "DEBUG"}
    target.forks = None  # A process of its own begins with the log as the environment says.
    settings = {"store": guarded, "keep_delivered": True, "report_path": "run.html"}
    if place == "URL":
        settings["store"] = guarded.replace("@", f":{SPELLINGS[1]}@")
    else:
        file = target.folder / ".pgpass"
        file.write_text(f"127.0.0.1:*:*:{GUARDED}:{PASSWORD}\n", encoding="utf-8")
        file.chmod(0o600)
    bad = orders(1, 2, email=None)
    run = target.run(schema(), *orders(1), *bad, state(1), env=env, **settings)
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 1), run.log
    written = {path.name: path.read_text() for path in target.folder.glob("run*")}
    assert written.keys() == {"run.html", "run-0.prom"}
    queries = ("SELECT * FROM run", "SELECT * FROM dead_letter", "SELECT * FROM delivered")
    tables = [ask(store_url, query) for query in queries]
    assert [len(rows) for rows in tables] == [1, 1, 1]
    said = [run.log, run.stdout, *written.values(), json.dumps(tables, default=str)]
    assert not [text for text in said for spelling in SPELLINGS if spelling in text]


# A database that is far away

EVENTS = 8_000
OWN_WORK = 50e-6
"""Seconds that an event may take besides the round trips; about 25e-6 on an idle machine."""


LATENCY = 0.05
RATES = {0.01: 10_000, LATENCY: 5_000}
"""Events a second, by the seconds of a round trip."""


NOT_BY_TIME = {f"target_liveintent.run.run:{name}": 600.0 for name in ("TICK", "_WRITTEN_AFTER")}
"""Constants of a run that does nothing because time has passed, however slow the machine is."""
TRIPS_A_SECOND = 4
"""Round trips that it would make because of the time: it writes twice a second."""


def test_the_rate_with_a_database_that_is_far_away(
    target: Launcher, sandbox: Sandbox, store_url: str
) -> None:
    """A run asks it about many events at once: all round trips and its own work allow a rate."""
    port = urlsplit(store_url).port
    assert port is not None
    with SlowProxy(port, LATENCY) as proxy:
        far = store_url.replace(f":{port}/", f":{proxy.port}/")
        assert target.run(store=store_url).code == 0  # It creates the tables.
        assert target.run(store=far).code == 0
        of_any_run = proxy.round_trips
        messages = (schema(columns=WITH_ID), *numbered(EVENTS), state(1))
        run = target.run(*messages, patience=60, store=far, constants=NOT_BY_TIME)
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], EVENTS)
    assert of_any_run <= 12
    for latency, rate in RATES.items():
        trips = proxy.round_trips - 2 * of_any_run + TRIPS_A_SECOND * EVENTS / rate
        seconds = trips * latency + EVENTS * OWN_WORK
        assert EVENTS / seconds > rate
