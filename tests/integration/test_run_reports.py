"""What a run leaves about itself: its ID, report and metrics, and what its history says later."""

import json
import stat
import uuid
from typing import Any

from faulty_server import FaultyServer, Reply, refusing
from integration_support import (
    OFTEN,
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
from store_tables import ask

REPORT = {"report_path": "run.html"}
COLUMNS = (*WITH_ID, "order_id", "ip", "currency", "source")


def report(run: Running, target: Launcher) -> dict[str, Any]:
    """The last run in the JSON of the report; the page is there as well, and names the run."""
    found: dict[str, Any] = json.loads(target.ask("report", "--format=json").stdout)
    page = (run.folder / "run.html").read_text()
    assert stat.S_IMODE((run.folder / "run.html").stat().st_mode) == 0o600
    assert found["last_run"]["run_id"] == run.run_id
    assert run.run_id in page
    for gap in found["gaps"]:
        assert gap["words"].split("`")[0].replace("'", "&#39;") in page
    return found


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
    last, ledger = found["last_run"], found["ledger"]
    counts = last["streams"]["orders"]
    assert ledger["arrived"] == counts["delivered"] == total.delivered == 154
    assert counts["read"] == total.read == 162
    assert (ledger["read"], ledger["replayable"], ledger["lost"]) == (162, 1, 7)
    assert counts["rejected"] == {"no_identity": 7, "refused_by_api": 1}
    assert found["days"][-1]["ledger"] == ledger
    assert {name: (one["events"], one["ip"]) for name, one in counts["coverage"].items()} == {
        "web": (149, 0),
        "offline": (5, 5),
    }
    assert counts["timing"] == {"within_a_day": 154, "within_two_days": 154}
    assert ledger["values"] == {
        "arrived": {"EUR": "14.90", "USD": "62.50"},
        "waiting": {},
        "replayable": {"EUR": "0.10"},
        "lost": {"USD": "87.5"},
    }
    assert last["requests"] == run.requests == len(server.requests)
    assert any("as `ip`" in gap["words"] for gap in found["gaps"])
    assert last["ending"] == {"kind": "done", "words": None}
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


def test_after_a_run_that_could_not_open_its_files(target: Launcher) -> None:
    """It has failed, and is known as such."""
    absent = {"suppression_path": "absent.txt"}
    target.run(schema(), *orders(3))
    assert target.run(schema(), *orders(3), **absent).code == 2
    asked = target.ask("health")
    assert asked.code == 3
    assert asked.stdout.startswith("The last run failed: suppression_path 'absent.txt'")


def test_failed_and_stopped_runs(to_server: Launcher, server: FaultyServer) -> None:
    """They are in the history, with what the last line of the log says, and in the report."""
    stopped = to_server.start(batch_size_rows=2, constants=OFTEN)
    stopped.send(schema(), *orders(2), state(1))
    wait_until(lambda: stopped.states, "a STATE")
    stopped.signal(15).wait()
    server.answer = lambda _: Reply(401)
    failed = to_server.run(schema(), *orders(2, 4), **REPORT)
    assert (stopped.code, failed.code) == (143, 1)
    last = report(failed, to_server)["last_run"]
    assert (last["ending"]["kind"], last["ending"]["words"]) == ("failed", failed.last_line)
    assert last["streams"]["orders"]["read"] == 2
    rows = ask(to_server.store, "SELECT ending, figures FROM run ORDER BY started_at")
    endings = [json.loads(figures)["ending"] for _, figures in rows]
    assert [ending for ending, _ in rows] == ["stopped", "failed"]
    assert endings[0] == {"signal": "SIGTERM"}
    assert endings[1]["failure"]["code"] == "access_denied"
