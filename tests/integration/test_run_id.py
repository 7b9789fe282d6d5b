"""The ID of a run is in all that the run leaves: the log, dead letters, files about the run."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
import uuid
from typing import TYPE_CHECKING

import pytest
from integration_support import order, orders, schema, state

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher

FILES = {
    "delivered_path": "delivered.singer",
    "metrics_path": "liveintent.prom",
    "report_path": "report.html",
}


def test_all_places_name_the_run(to_server: Launcher) -> None:
    """One ID is in the first and the last line, and in each file but the ledger."""
    run = to_server.run(schema(), *orders(2), order(2, email=None), state(1), **FILES)
    assert (run.code, run.states) == (0, [1])
    assert run.run_id is not None
    assert uuid.UUID(run.run_id).version == 7
    assert run.last_line == "the report is in report.html"
    assert run.log.count(run.run_id) == 2

    assert [letter["run_id"] for letter in run.letters] == [run.run_id]
    rows = (to_server.folder / "delivered.singer").read_text().splitlines()
    records = [json.loads(row).get("record", {}) for row in rows]
    assert [record.get("run_id") for record in records] == [None, run.run_id, run.run_id]
    assert {record["stream"] for record in records[1:]} == {"orders"}
    sent_at = (
        dt.datetime.fromisoformat(record["sent_at"][:-1] + "+00:00") for record in records[1:]
    )
    assert all(0 <= time.time() - sent.timestamp() < 60 for sent in sent_at)
    assert json.loads((to_server.folder / "report.json").read_text())["run_id"] == run.run_id
    page = (to_server.folder / "report.html").read_text()
    (footer,) = re.findall("<footer.*?</footer>", page, re.DOTALL)
    assert f"run {run.run_id}." in footer
    metrics = (to_server.folder / "liveintent.prom").read_text()
    assert f'target_liveintent_run_info{{run_id="{run.run_id}"}} 1.0\n' in metrics


@pytest.mark.parametrize(
    ("settings", "code", "cause"),
    [
        ({"pixel_id": -1}, 2, "'pixel_id'"),
        ({"delivered_path": "nowhere/d.singer"}, 2, "delivered_path"),
        ({"on_rejection": "fail"}, 1, "no_identity"),
    ],
)
def test_a_run_that_fails(
    to_server: Launcher, settings: dict[str, object], code: int, cause: str
) -> None:
    """The last line names the cause, and the run at its end, whatever failed."""
    run = to_server.run(schema(), order(2, email=None), **settings)
    assert run.code == code
    assert run.run_id is not None
    assert cause in run.last_line  # (It has checked that the line ends in the ID.)
    assert run.log.count(run.run_id) == 2


def test_what_was_delivered_is_not_sent_again(to_server: Launcher, server: FaultyServer) -> None:
    """A stream of delivered events that is piped in by mistake ends the run."""
    to_server.run(schema(), *orders(2), state(1), **FILES)
    sent = len(server.requests)
    delivered = (to_server.folder / "delivered.singer").read_bytes()
    run = to_server.run(delivered, **FILES)
    assert run.code == 1
    assert "LiveIntent already has the events of the stream 'liveintent_delivered'" in run.last_line
    assert len(server.requests) == sent
    assert (to_server.folder / "delivered.singer").read_bytes().count(b'"RECORD"') == 2
