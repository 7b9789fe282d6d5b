"""What a run writes about itself: report and metrics."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

from faulty_server import Reply, refusing
from integration_support import (
    OFTEN,
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
        {"currency": "USD", "conversions": 5, "total": "62.50"},
    ]
    assert last["requests"] == run.requests == len(server.requests)
    assert any("as `ip`" in line for line in found["advice"])
    assert (last["ending"], last.get("message")) == ("done", None)
    assert "the report is in run.html" in run.log


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
