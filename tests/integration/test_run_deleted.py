"""Rows that were deleted in the source, over whole runs: dropped and counted, never sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from integration_support import batch, lines, order, schema, state

if TYPE_CHECKING:
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

WHEN = "2026-07-31T00:00:00+00:00"
MARKS = ("_sdc_deleted_at", "_sdc_lsn_deleted_at")
MAP = {name: name for name in ("event_time", "email", "value")} | {"__else__": "__NULL__"}


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("maps", [{}, {"orders": MAP}], ids=["no map", "a map drops the mark"])
def test_deleted_rows(target: Launcher, sandbox: Sandbox, mark: str, maps: Any) -> None:
    """They are judged as the tap sent them, whole or without most of their values."""
    there = [order(n, **{mark: None}) for n in range(3)]
    gone = [
        order(7, email=..., value=..., event_time=..., **{mark: WHEN}),
        order(9, **{mark: WHEN}),
    ]
    messages = (schema(columns=("id", "event_time", "email", "value", mark)), *there, *gone)
    strict = {"on_rejection": "fail", "validate_records": True}
    run = target.run(*messages, state(1), report_path="run.html", stream_maps=maps, **strict)
    assert (run.code, run.states) == (0, [1])
    total = run.summary["total"]
    assert (total.read, total.delivered, total.drops) == (5, 3, {"deleted": 2})
    assert total.adds_up
    assert sandbox.stats.accepted == 3
    assert "dropped 2 (deleted 2)" in run.log
    assert run.letters == []
    assert "2 <code>deleted</code>" in (run.folder / "run.html").read_text()


def test_a_map_that_reads_the_column(target: Launcher, sandbox: Sandbox) -> None:
    """It decides itself: here, it sends what was archived, and filters the rest."""
    own = {**MAP, "__filter__": "get('_sdc_deleted_at') != '1970-01-01'"}
    run = target.run(
        schema(columns=("id", "event_time", "email", "value", *MARKS)),
        order(1, _sdc_deleted_at=WHEN),
        order(2, _sdc_deleted_at="1970-01-01"),
        order(3, _sdc_lsn_deleted_at=WHEN),
        stream_maps={"orders": own},
    )
    total = run.summary["total"]
    assert (total.delivered, total.filtered, total.drops) == (1, 1, {"deleted": 1})
    assert sandbox.stats.accepted == 1


def test_batch_files(target: Launcher, sandbox: Sandbox) -> None:
    """The records of BATCH files are judged as well, also by a column that no SCHEMA names."""
    path = target.folder / "rows.jsonl"
    path.write_bytes(lines([order(1)["record"], order(2, _sdc_deleted_at=WHEN)["record"]]))
    run = target.run(schema(), batch(path), stream_maps={"orders": MAP})
    assert run.summary["total"].drops == {"deleted": 1}
    assert sandbox.stats.accepted == 1
