"""What a run leaves about itself: its ID, report and metrics, and what its history says later."""

import contextlib
import datetime as dt
import json
import re
import stat
import uuid
from typing import Any

from faulty_server import FaultyServer, Reply, refusing
from integration_support import (
    OFTEN,
    SETTINGS,
    TOKEN,
    WITH_ID,
    Launcher,
    Running,
    numbered,
    order,
    orders,
    schema,
    state,
    wait_until,
)
from ledger_claims import ask

from target_liveintent.config import settings_of
from target_liveintent.reporting.history import USUAL, read_history
from target_liveintent.sandbox import Sandbox
from target_liveintent.store.run_store import open_for_reading

REPORT = {"report_path": "run.html"}
COLUMNS = (*WITH_ID, "order_id", "ip", "currency", "source")


def report(run: Running, target: Launcher) -> dict[str, Any]:
    """The last run in the JSON of the report; the page is there as well, and names the run."""
    found: dict[str, Any] = json.loads(target.ask("report", "--format=json").stdout)
    page = (run.folder / "run.html").read_text()
    assert stat.S_IMODE((run.folder / "run.html").stat().st_mode) == 0o600
    assert found["last_run"]["run_id"] == run.run_id
    assert run.run_id in page
    for line in found["advice"]:
        assert line.split("`")[0].replace("'", "&#39;") in page
    return found


# The report


def test_report(to_server: Launcher, server: FaultyServer) -> None:
    """How many LiveIntent has, what was not sent and why, how late: from the report alone."""
    server.answer = refusing("order-3")
    messages = [
        *numbered(150, order_id="A", currency="EUR", value="0.10"),
        *orders(200, 207, email=None),
        *orders(300, 305, ip="192.0.2.1", source="offline"),
    ]
    run = to_server.run(schema(columns=COLUMNS), *messages, state(1), **REPORT)
    assert (run.code, run.states) == (0, [1])
    found, total = report(run, to_server), run.summary["total"]
    last, recent = found["last_run"], found["last_24_hours"]
    counts = last["streams"]["orders"]
    assert recent["delivered"] == counts["delivered"] == total.delivered == 154
    assert counts["read"] == total.read == 162
    assert recent["not_sent"] == counts["rejected"] == {"no_identity": 7, "refused_by_api": 1}
    assert {name: (one["events"], one["ip"]) for name, one in counts["coverage"].items()} == {
        "web": (149, 0),
        "offline": (5, 5),
    }
    assert (counts.get("within_an_hour", 0), counts["within_a_day"]) == (0, 154)
    assert recent["missing"] == {"EUR": "0.10", "USD": "87.5"}
    assert recent["values"] == {"EUR": "14.90", "USD": "62.50"}
    assert last["requests"] == run.requests == len(server.requests)
    assert any("as `ip`" in line for line in found["advice"])
    assert (last["ending"], last.get("message")) == ("done", None)
    assert "the report is in run.html" in run.log


def test_all_places_name_the_run(to_server: Launcher) -> None:
    """One ID is in the first and the last line, in the store, and in each file."""
    own = {"metrics_path": "liveintent.prom", "report_path": "report.html", "keep_delivered": True}
    run = to_server.run(schema(), *orders(2), order(2, email=None), state(1), **own)
    assert (run.code, run.states) == (0, [1])
    assert run.run_id is not None
    assert uuid.UUID(run.run_id).version == 7
    assert run.last_line == "the report is in report.html"
    assert run.log.count(run.run_id) == 2
    assert [letter["run_id"] for letter in run.letters] == [run.run_id]
    (row,) = ask(to_server.store, "SELECT id, ending, figures FROM run")
    assert (*row[:2], json.loads(row[2])["run_id"]) == (run.run_id, "done", run.run_id)
    query = "SELECT DISTINCT run.id FROM {} JOIN run ON run.number = run"
    for table in ("event", "dead_letter", "delivered"):
        assert ask(to_server.store, query.format(table)) == [(run.run_id,)]
    assert f"Run <code>{run.run_id}</code>" in (to_server.folder / "report.html").read_text()
    metrics = (to_server.folder / "liveintent.prom").read_text()
    assert f'target_liveintent_run_info{{run_id="{run.run_id}"}} 1.0\n' in metrics


# The history

WRONG_TOKEN = {"auth_token": "another-t0ken"}


def send(target: Launcher, first: int, **settings: Any) -> Running:
    """Send three orders, of which one has no address."""
    messages = [order(first), order(first + 1), order(first + 2, email=None)]
    return target.run(schema(), *messages, **settings)


def test_health(target: Launcher, sandbox: Sandbox) -> None:
    """What failed, since when, what to do and the run ID, until a run is good again.

    Whoever only looks needs no token, and no folder of a run; nothing in the store is changed.
    """
    send(target, 1)
    requests, before = sandbox.stats.requests, target.store_files
    elsewhere = {"auth_token": ..., "metrics_path": "/x/y.prom", "report_path": "/x/y.html"}
    asked = target.ask("health", "--max-age=1", **elsewhere)
    assert (asked.code, asked.log) == (0, "")
    assert asked.stdout.startswith("No run failed so far. The last run ended at ")
    assert "2 conversions in the last 24 hours" in asked.stdout
    asked = target.ask("health", "--max-age=0.0000001")
    assert (asked.code, asked.stdout.startswith("There has been no run for ")) == (3, True)
    asked = target.ask("report", "page.html", **elsewhere)
    assert (asked.code, asked.stdout, asked.log) == (0, "the report is in page.html", "")
    page = (target.folder / "page.html").read_text()
    assert "2 conversions sent" in page
    assert not [secret for secret in (TOKEN, "@example.com") if secret in page]
    assert (sandbox.stats.requests, target.store_files) == (requests, before)
    for first in (11, 21):
        failed = send(target, first, **WRONG_TOKEN)
        assert failed.code == 1
    asked = target.ask("health")
    assert asked.code == 3
    assert asked.stdout.startswith("The last 2 runs failed: the API denied access")
    assert re.search(r"\(since \d{4}-\d\d-\d\d \d\d:\d\d UTC\)\. Do what the", asked.stdout)
    shown = target.ask("report", "--format=text")
    assert (shown.code, len(shown.stdout.splitlines()) <= 12) == (0, True)
    for words in (
        "LiveIntent refused the access key. Account a-1b2c at 127.0.0.1, pixel 12345",
        "Do what the message says",
        failed.run_id,
    ):
        assert str(words) in shown.stdout
    assert WRONG_TOKEN["auth_token"] not in shown.stdout
    send(target, 31)
    assert target.ask("health").code == 0


def test_after_a_run_that_could_not_open_its_files(target: Launcher) -> None:
    """It has failed, and is known as such."""
    absent = {"suppression_path": "absent.txt"}
    send(target, 1)
    assert send(target, 11, **absent).code == 2
    asked = target.ask("health")
    assert asked.code == 3
    assert asked.stdout.startswith("The last run failed: suppression_path 'absent.txt'")


def test_a_database_that_is_down(target: Launcher) -> None:
    """It is exit code 1, which is neither good health nor bad."""
    store = "postgresql://bob-77:pw-4711@127.0.0.1:1/x"
    asked = target.ask("health", store=store, max_retry_seconds=0)
    assert (asked.code, asked.stdout) == (1, "")
    assert asked.last_line.startswith("the database named in store cannot be used: ")
    assert "4711" not in asked.log


def test_failed_stopped_and_killed_runs(to_server: Launcher, server: FaultyServer) -> None:
    """They are in the history, with what the last line of the log says, and in the report.

    A run that was killed counts as failed half a minute later.
    """
    own = {"batch_size_rows": 2, "constants": OFTEN}
    stopped, killed = (
        to_server.start(**own).send(schema(), *orders(start, start + 2), state(1))
        for start in (0, 10)
    )
    for run in (stopped, killed):
        wait_until(lambda run=run: run.states, "a STATE")
    stopped.signal(15).wait()
    killed.kill()
    server.answer = lambda _: Reply(401)
    failed = to_server.run(schema(), *orders(2, 4), **REPORT)
    assert (stopped.code, failed.code) == (143, 1)
    last = report(failed, to_server)["last_run"]
    assert (last["ending"], last["message"]) == ("failed", failed.last_line)
    assert last["streams"]["orders"]["read"] == 2
    query = "UPDATE run SET alive_until = alive_until - 30 WHERE id = ?"
    ask(to_server.store, query, killed.run_id)
    given = {**SETTINGS, "api_url": to_server.api_url, "store": str(to_server.store)}
    settings, today = settings_of(given), dt.datetime.now(tz=dt.timezone.utc).date()
    with contextlib.closing(open_for_reading(settings)) as database:
        (day,) = read_history(database, settings, today).days
    assert day.usual["orders"].delivered == 2
    assert {(one.run_id, one.ending, one.kind, one.message) for one in day.runs} == {
        (stopped.run_id, "stopped", USUAL, "stopped by SIGTERM"),
        (failed.run_id, "failed", USUAL, failed.last_line),
        (killed.run_id, "failed", USUAL, "the run was killed, or the machine was switched off"),
    }
