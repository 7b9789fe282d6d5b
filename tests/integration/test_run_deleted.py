"""Rows that were deleted in the source, over whole runs: dropped and counted, never sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration_support import batch, lines, order, schema, state

if TYPE_CHECKING:
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

WHEN = "2026-07-31T00:00:00+00:00"
MAP = {name: name for name in ("event_time", "email", "value")} | {"__else__": "__NULL__"}


def test_deleted_rows(target: Launcher, sandbox: Sandbox) -> None:
    """They are judged as the tap sent them, whole or without most of their values."""
    there = [order(n, _sdc_deleted_at=None) for n in range(3)]
    gone = [
        order(7, email=..., value=..., event_time=..., _sdc_deleted_at=WHEN),
        order(9, _sdc_deleted_at=WHEN),
    ]
    columns = ("id", "event_time", "email", "value", "_sdc_deleted_at")
    messages = (schema(columns=columns), *there, *gone)
    strict = {"on_rejection": "fail", "validate_records": True}
    run = target.run(*messages, state(1), report_path="run.html", **strict)
    assert (run.code, run.states) == (0, [1])
    total = run.summary["total"]
    assert (total.read, total.delivered, total.drops) == (5, 3, {"deleted": 2})
    assert total.adds_up
    assert sandbox.stats.accepted == 3
    assert "dropped 2 (deleted 2)" in run.log
    assert run.letters == []
    assert "2 <code>deleted</code>" in (run.folder / "run.html").read_text()


def test_batch_files(target: Launcher, sandbox: Sandbox) -> None:
    """The records of BATCH files are judged as well, also by a column that no SCHEMA names."""
    path = target.folder / "rows.jsonl"
    path.write_bytes(lines([order(1)["record"], order(2, _sdc_deleted_at=WHEN)["record"]]))
    run = target.run(schema(), batch(path), stream_maps={"orders": MAP})
    assert run.summary["total"].drops == {"deleted": 1}
    assert sandbox.stats.accepted == 1
