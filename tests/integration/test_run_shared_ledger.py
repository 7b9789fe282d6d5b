"""Runs that share a ledger at the same time, in a file and in a database: each event goes once."""

from __future__ import annotations

import re
import signal
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from faulty_server import Reply
from integration_support import (
    OFTEN,
    WITH_ID,
    lines,
    numbered,
    order,
    orders,
    schema,
    state,
    wait_until,
)
from ledger_claims import count, let_claims_lapse

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer, Request
    from integration_support import Launcher, Running

    from target_liveintent.sandbox import Sandbox


@pytest.fixture(params=["file", pytest.param("database", marks=pytest.mark.postgres)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where the ledger is: the path of a file, or the URL of a database."""
    if request.param == "database":
        return str(request.getfixturevalue("ledger_url"))
    return tmp_path / "ledger.sqlite"


def setting(ledger: Path | str) -> dict[str, str]:
    return {"ledger_url": ledger} if isinstance(ledger, str) else {"ledger_path": str(ledger)}


def start_all(launcher: Launcher, source: bytes, runs: int, **settings: Any) -> list[Running]:
    """Start runs over the same input at the same time."""
    path = launcher.folder / "input.singer"
    path.write_bytes(source)
    started = []
    for number in range(runs):
        letters = f"letters-{number}.singer"
        with path.open("rb") as stdin:
            started.append(launcher.start(stdin=stdin, dead_letter_path=letters, **settings))
    return started


def test_three_runs_over_the_same_events(
    target: Launcher, sandbox: Sandbox, ledger: Path | str
) -> None:
    """Each event goes once, and each run ends well, with its STATE."""
    source = lines([schema(columns=WITH_ID), *numbered(4_000), state(1)])
    runs = start_all(target, source, 3, **setting(ledger))
    for run in runs:
        run.wait(60)
        assert (run.code, run.states, run.warnings) == (0, [1], [])
        assert run.summary["total"].adds_up
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (4_000, 0)
    assert sum(run.summary["total"].delivered for run in runs) == 4_000
    assert (count(ledger, "accepted"), count(ledger, "claims")) == (4_000, 0)
    assert bool(list(target.folder.glob("*.sqlite"))) == (not isinstance(ledger, str))


def test_one_of_three_is_killed(
    to_server: Launcher, server: FaultyServer, ledger: Path | str
) -> None:
    """The others send what it had claimed once that has lapsed; only what was in flight twice."""
    server.answer = lambda _: Reply(delay=0.02, held=len(server.accepted) >= 400)
    source = lines([schema(columns=WITH_ID), *numbered(2_000), state(1)])
    how = {"batch_size_rows": 20, "max_concurrent_requests": 4, **setting(ledger)}
    first, *others = start_all(to_server, source, 3, **how)
    wait_until(lambda: server.all_held, "the requests that get no answer")
    # So the ledger is told of all that was answered.
    wait_until(lambda: count_or_none(ledger) == len(server.delivered), "the first events")
    first.kill()
    server.answer = lambda _: Reply(delay=0.02)
    server.release()
    found = re.search(r"run ([0-9a-f]{8}-[0-9a-f-]{27})", first.log)
    assert found is not None
    let_claims_lapse(ledger, found[1])
    for run in others:
        run.wait(60)
        assert (run.code, run.states) == (0, [1])
        assert run.summary["total"].adds_up
    assert server.delivered == {f"order-{n}" for n in range(2_000)}
    assert len(server.accepted) - 2_000 <= 4 * 20  # Four batches of the first run in flight.
    assert count(ledger, "claims") == 0


def count_or_none(ledger: Path | str) -> int:
    try:
        return count(ledger, "accepted")
    except Exception:  # noqa: BLE001 (it is not there yet)
        return 0


@pytest.mark.parametrize("how", ["fails", "stopped"])
def test_claims_are_given_back_at_once(
    to_server: Launcher, server: FaultyServer, tmp_path: Path, how: str
) -> None:
    """A run that fails or is stopped leaves no claims, so the next one need not wait."""
    server.answer = lambda request: (
        Reply(401 if how == "fails" else 503, headers={"Retry-After": "100"})
        if "order-4" in request.ids
        else Reply()
    )
    messages = [schema(columns=WITH_ID), *numbered(10), state(1)]
    ledger = tmp_path / "ledger.sqlite"
    settings = {"batch_size_rows": 2, "max_concurrent_requests": 1, **setting(ledger)}
    constants = {"target_liveintent.run.run:_STOP_RETRIES": 0.1}
    run = to_server.start(constants=constants, **settings).send(*messages)
    if how == "stopped":
        wait_until(lambda: any("order-4" in one.ids for one in server.requests), "the request")
        run.signal(signal.SIGTERM)
    run.close_input().wait()
    assert run.code == (1 if how == "fails" else 143)
    assert count(ledger, "claims") == 0
    server.answer = lambda _: Reply()
    again = to_server.run(*messages, **settings)
    assert (again.code, again.states) == (0, [1])
    assert sorted(server.accepted) == sorted(f"order-{n}" for n in range(10))


def test_a_run_waits_for_another_one(
    to_server: Launcher, server: FaultyServer, ledger: Path | str
) -> None:
    """It says for which, writes no STATE meanwhile, and sends nothing that the other one sends."""
    gate = threading.Event()

    def answer(_: Request) -> Reply:
        server.hold(gate)
        return Reply()

    server.answer = answer
    messages = [schema(columns=WITH_ID), *numbered(3), state(1)]
    first = to_server.start(batch_size_rows=3, **setting(ledger)).send(*messages)
    try:
        wait_until(lambda: server.requests, "the request")
        constants = OFTEN | {
            "target_liveintent.reporting.waits:_LASTING": 0.1,
            "target_liveintent.run.outbox:TICK": 0.05,
        }
        settings = {"dead_letter_path": "other.singer", **setting(ledger)}
        second = to_server.start(constants=constants, **settings)
        second.send(*messages).close_input()
        said = "(3) and has reserved them in the ledger; this run has been waiting for 0 s"
        wait_until(lambda: said in second.log, "its line")
        assert second.states == []
    finally:
        gate.set()
    second.wait()
    first.close_input().wait()
    assert (first.code, second.code, second.states) == (0, 0, [1])
    assert second.summary["total"].drops == {"already_sent": 3}
    assert server.accepted == ["order-0", "order-1", "order-2"]


# The database


def tables(ledger_url: str) -> int:
    """Return how many tables there are."""
    query = "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()"
    with psycopg.connect(ledger_url) as database:
        ((found,),) = database.execute(query).fetchall()
    return int(found)


@pytest.mark.postgres
def test_a_second_run_knows_what_the_first_sent(
    target: Launcher, sandbox: Sandbox, ledger_url: str
) -> None:
    """As with a file, and the password is in no log, not even in that of the libraries."""
    messages = [schema(), *orders(250), order(1), state(1)]
    env = {"TARGET_LIVEINTENT_LOGLEVEL": "DEBUG"}
    for drops in (1, 251):
        run = target.run(*messages, env=env, ledger_url=ledger_url)
        assert (run.code, run.states) == (0, [1])
        assert run.summary["total"].drops == {"already_sent": drops}
        assert "s3cret-of-postgres" not in run.log
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (250, 0)
    assert run.last_line.endswith("delete the rows of the table liveintent_ledger_accepted")
    assert not list(target.folder.glob("*.sqlite*"))


@pytest.mark.postgres
def test_a_dry_run_only_reads(target: Launcher, ledger_url: str) -> None:
    """It makes no tables, and knows what was delivered."""
    messages = [schema(), *orders(3), state(1)]
    first = target.run(*messages, dry_run=True, ledger_url=ledger_url)
    assert (first.code, first.summary["total"].delivered) == (0, 3)
    assert tables(ledger_url) == 0
    assert target.run(*messages, ledger_url=ledger_url).code == 0
    again = target.run(*messages, order(4), dry_run=True, ledger_url=ledger_url)
    assert (again.summary["total"].delivered, again.summary["total"].drops) == (
        1,
        {"already_sent": 3},
    )


def test_a_database_that_cannot_be_reached(target: Launcher, sandbox: Sandbox) -> None:
    """It ends the run before anything is sent; the message shows neither user nor password."""
    url = "postgresql://bob-77:pw-4711@127.0.0.1:1/x"
    run = target.run(schema(), *orders(3), state(1), ledger_url=url)
    assert (run.code, run.stdout, sandbox.stats.requests) == (1, "", 0)
    assert run.last_line.startswith("the database named in ledger_url cannot be used: ")
    assert "Connection refused" in run.log
    for secret in ("bob-77", "pw-4711", url):
        assert secret not in run.log


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (
            "CREATE TABLE liveintent_ledger AS SELECT 2 AS version",
            (
                "a newer version of target-liveintent created the ledger's tables. Upgrade"
                " target-liveintent, or set ledger_url to another database"
            ),
        ),
        ("CREATE TABLE liveintent_ledger (name text)", "belong to another program"),
        ("CREATE TABLE liveintent_ledger (version text)", "belong to another program"),
        ("CREATE TABLE liveintent_ledger_claims (id integer)", "belong to another program"),
    ],
)
def test_tables_that_are_no_ledger(
    target: Launcher, sandbox: Sandbox, ledger_url: str, statements: str, said: str
) -> None:
    """They are refused at the start, with exit code 2, and left as they are."""
    with psycopg.connect(ledger_url) as database:
        database.execute(statements)
    run = target.run(schema(), *orders(3), state(1), ledger_url=ledger_url)
    assert (run.code, run.stdout, sandbox.stats.requests) == (2, "", 0)
    assert said in run.last_line
    assert tables(ledger_url) == 1


@pytest.mark.postgres
def test_a_database_that_fails_later(target: Launcher, sandbox: Sandbox, ledger_url: str) -> None:
    """It ends the run without a further STATE, and names the setting."""
    run = target.start(ledger_url=ledger_url, batch_size_rows=1, constants=OFTEN)
    run.send(schema(), *orders(3), state(1))
    wait_until(lambda: run.states == [1], "the first STATE")
    with psycopg.connect(ledger_url, autocommit=True) as database:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'target-liveintent'"
        )
    run.send(*orders(3, 6), state(2)).close_input().wait()
    assert (run.code, run.states) == (1, [1])
    assert run.last_line.startswith("the database named in ledger_url cannot be used: ")
    assert sandbox.stats.accepted == 3
