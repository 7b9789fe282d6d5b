"""What a run writes about itself: report, metrics, METRIC lines."""

from __future__ import annotations

import json
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from faulty_server import Reply, Request, refusing
from integration_support import (
    OFTEN,
    OPTIONS,
    WITH_ID,
    numbered,
    order,
    orders,
    schema,
    state,
    wait_until,
)
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher, Running

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
    assert recent["values"] == [
        {"currency": "EUR", "conversions": 149, "total": "14.90"},
        {"currency": "USD", "conversions": 5, "total": "62.5"},
    ]
    assert last["requests"] == run.requests == len(server.requests)
    assert any("as `ip`" in line for line in found["advice"])
    assert (last["ending"], last.get("message")) == ("done", None)
    assert "the report is in run.html" in run.log


def test_rows_that_are_read_again(to_server: Launcher) -> None:
    """Three runs over the same bad rows: they could not be sent, once each."""
    for _ in range(3):
        run = to_server.run(schema(), *orders(19, email=None), state(1), **REPORT)
        assert run.summary["total"].reasons == {"no_identity": 19}
    found = report(run, to_server)
    assert found["last_24_hours"]["not_sent"] == {"no_identity": 19}
    assert found["last_run"]["streams"]["orders"]["repeated"] == {"no_identity": 19}
    assert found["figures"][5]["now"] == 19


def test_age_is_that_at_sending(to_server: Launcher, server: FaultyServer) -> None:
    """What waited for a retry was older when it was sent."""
    answers = iter([Reply(503, headers={"Retry-After": "3"})])
    server.answer = lambda _: next(answers, Reply())
    event_time = int(time.time()) - 3_600 + 2
    run = to_server.run(schema(), order(1, event_time=event_time), **REPORT)
    found = report(run, to_server)
    assert found["last_run"]["requests"] == 2
    assert "within_an_hour" not in found["last_run"]["streams"]["orders"]


def test_report_of_a_failed_run(to_server: Launcher, server: FaultyServer) -> None:
    """A run whose token is refused says so on its page, in the words of its last line."""
    server.answer = lambda _: Reply(401)
    run = to_server.run(schema(), *orders(50), state(1), **REPORT)
    assert (run.code, run.states) == (1, [])
    last = report(run, to_server)["last_run"]
    assert samples(run.folder / "run-0.prom")["success",] == 0
    assert (last["ending"], last["message"]) == ("failed", run.last_line)
    assert last["streams"]["orders"]["read"] == 50
    assert "LiveIntent refused the access key." in (run.folder / "run.html").read_text()


def test_report_of_a_run_that_never_began(to_server: Launcher) -> None:
    """A stream that can give no event ends the run, and has a page."""
    run = to_server.run(schema(columns=("id",)), **REPORT, stream_maps={"orders": {"id": "id"}})
    assert run.code == 1
    assert "cannot produce any event" in report(run, to_server)["last_run"]["message"]


def test_report_of_a_stopped_run(to_server: Launcher, server: FaultyServer) -> None:
    """After SIGTERM, the page tells what was sent until then."""
    run = to_server.start(**REPORT)
    run.send(schema(), *orders(120), state(1))
    wait_until(lambda: len(server.accepted) == 100, "the first batch")
    run.signal(signal.SIGTERM).wait()
    assert run.code == 143
    last = report(run, to_server)["last_run"]
    assert (last["ending"], last["message"]) == ("stopped", "stopped by SIGTERM")
    assert last["streams"]["orders"]["delivered"] == len(server.accepted) == 120


def test_a_dry_run_leaves_the_page(to_server: Launcher, server: FaultyServer) -> None:
    """Nor does a replay that only shows what it would do replace it."""
    to_server.run(schema(), *orders(3), order(9, email=None), state(1), **REPORT)
    page = (to_server.folder / "run.html").read_text()
    to_server.run(schema(), *orders(5), dry_run=True, **REPORT)
    assert to_server.ask("replay", "--dry-run", **REPORT).code == 0
    assert (to_server.folder / "run.html").read_text() == page


def test_report_that_cannot_be_written(to_server: Launcher, server: FaultyServer) -> None:
    """All is delivered and STATE is out: it is a warning, and the exit code is that of the run."""
    folder = to_server.folder / "gone"
    folder.mkdir()
    paths = {"report_path": "gone/run.html", "metrics_path": "gone/run.prom"}
    run = to_server.start(**paths, batch_size_rows=3).send(schema(), *orders(3))
    wait_until(lambda: len(server.accepted) == 3, "the batch")
    shutil.rmtree(folder)
    run.send(state(1)).close_input().wait()
    assert (run.code, run.states) == (0, [1])
    report_line, metrics_line = sorted(run.warnings, reverse=True)
    assert report_line.startswith("report_path 'gone/run.html' cannot be written: No such file")
    assert metrics_line.startswith("metrics_path 'gone/run.prom' cannot be written: No such file")


# Metrics


def samples(path: Path) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("target_liveintent_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


def test_metrics(to_server: Launcher, server: FaultyServer) -> None:
    """They are there while the run goes on, and at its end."""
    path = to_server.folder / "run.prom"
    how = {"metrics_path": "run.prom", "flush_interval_seconds": 1, "constants": OFTEN}
    run = to_server.start(**how)
    run.send(schema(), *orders(150), order(500, email=None))
    wait_until(path.exists, "metrics")
    assert samples(path)["success",] == 0
    wait_until(lambda: samples(path).get(("records", "delivered", "orders")) == 150, "all of it")
    run.close_input().wait()
    assert run.code == 0
    found = samples(path)
    assert found["success",] == 1
    assert found["ended_at",] > found["started_at",]
    assert found["records", "rejected", "orders"] == found["not_sent", "no_identity", "orders"] == 1


def test_metric_lines(to_server: Launcher, server: FaultyServer) -> None:
    """The SDK's counter of records, a line for each stream, its copies by maps told apart."""
    maps = {
        "orders": {"event_time": "event_time", "email": "email"},
        "copy": {"__source__": "orders", "event_time": "event_time", "email": "email"},
    }
    messages = [*orders(7), *(order(n, "visits") for n in range(3))]
    run = to_server.run(schema(), schema("visits"), *messages, stream_maps={**maps, "visits": {}})
    lines = [json.loads(line) for line in re.findall(r"METRIC: (\{.*\})", run.log)]
    assert {(line["type"], line["metric"]) for line in lines} == {("counter", "record_count")}
    assert sorted((line["tags"]["stream"], line["value"]) for line in lines) == [
        ("copy", 7),
        ("orders", 7),
        ("visits", 3),
    ]


# What is not asked for


def test_nothing_is_imported_that_is_not_asked_for() -> None:
    """What draws and what writes metrics cost a run nothing that asks for neither."""
    code = (
        "import sys, target_liveintent.target\n"
        "print([name for name in ('jinja2', 'prometheus_client', 'tqdm') if name in sys.modules])"
    )
    command = [sys.executable, *OPTIONS, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


def test_a_report_of_a_busy_run(to_server: Launcher, server: FaultyServer) -> None:
    """With several requests in flight, every event is told of once."""
    gate = threading.Event()

    def answer(request: Request) -> Reply:
        server.hold(gate)
        return Reply()

    server.answer = answer
    run = to_server.start(batch_size_rows=5, max_concurrent_requests=16, **REPORT)
    run.send(schema(), *orders(400), state(1))
    run.close_input()
    wait_until(lambda: server.busy == 2, "requests in flight")
    gate.set()
    run.wait()
    assert (run.code, run.states) == (0, [1])
    counts = report(run, to_server)["last_run"]["streams"]["orders"]
    assert counts["coverage"]["web"]["events"] == counts["delivered"] == 400
