"""The ID of a run is in all that the run leaves: the log, the store, files about the run."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from integration_support import order, orders, read_store, schema, state

if TYPE_CHECKING:
    from integration_support import Launcher

FILES = {
    "metrics_path": "liveintent.prom",
    "report_path": "report.html",
}


def test_all_places_name_the_run(to_server: Launcher) -> None:
    """One ID is in the first and the last line, in the store, and in each file."""
    run = to_server.run(
        schema(), *orders(2), order(2, email=None), state(1), keep_delivered=True, **FILES
    )
    assert (run.code, run.states) == (0, [1])
    assert run.run_id is not None
    assert uuid.UUID(run.run_id).version == 7
    assert run.last_line == "the report is in report.html"
    assert run.log.count(run.run_id) == 2

    assert [letter["run_id"] for letter in run.letters] == [run.run_id]
    assert read_store(to_server.store, "SELECT id, ending FROM run") == [(run.run_id, "done")]
    (figures,) = read_store(to_server.store, "SELECT figures FROM run")
    assert json.loads(*figures)["run_id"] == run.run_id
    query = "SELECT DISTINCT run.id FROM {} JOIN run ON run.number = run"
    for table in ("event", "dead_letter", "delivered"):
        assert read_store(to_server.store, query.format(table)) == [(run.run_id,)]
    assert f"Run <code>{run.run_id}</code>" in (to_server.folder / "report.html").read_text()
    metrics = (to_server.folder / "liveintent.prom").read_text()
    assert f'target_liveintent_run_info{{run_id="{run.run_id}"}} 1.0\n' in metrics
