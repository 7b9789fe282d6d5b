"""Rows that were deleted in the source, over whole runs: dropped and counted, never sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import LETTERS, order, orders, schema, state

if TYPE_CHECKING:
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

WHEN = "2026-07-31T00:00:00+00:00"
MARKS = ("_sdc_deleted_at", "_sdc_lsn_deleted_at")
COLUMNS = ("id", "event_time", "email", "value")
MAP = {
    "event_time": "event_time",
    "email": "email",
    "value": "float(value)",
    "__else__": "__NULL__",
}


def gone(number: int, mark: str) -> Any:
    """Return the RECORD of a deleted row, which a log holds without most of its values."""
    return order(number, email=..., value=..., event_time=..., **{mark: WHEN})


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize(
    "stream_map",
    [None, MAP, {**MAP, "_sdc_deleted_at": "__NULL__"}, {**MAP, "value": "str(_)[:0] or 1"}],
    ids=["no-map", "drops-others", "drops-the-mark", "reads-all"],
)
def test_deleted_rows(target: Launcher, sandbox: Sandbox, mark: str, stream_map: Any) -> None:
    """They are judged as the tap sent them, whatever the map does with the column."""
    there = [order(n, **{mark: None}) for n in range(3)]
    whole = order(9, **{mark: WHEN})
    maps = {} if stream_map is None else {"stream_maps": {"orders": stream_map}}
    run = target.run(
        schema(columns=(*COLUMNS, mark)), *there, gone(7, mark), whole, state(1),
        on_rejection="fail", validate_records=True, report_path="run.html", **maps,
    )  # fmt: skip
    assert (run.code, run.states) == (0, [1])
    total = run.summary["total"]
    assert (total.read, total.delivered, total.drops) == (5, 3, {"deleted": 2})
    assert total.adds_up
    assert sandbox.stats.accepted == 3
    assert "dropped 2 (deleted 2)" in run.log
    assert not (target.folder / LETTERS).exists()
    (not_sent,) = json.loads((run.folder / "run.json").read_text())["not_sent"]
    assert (not_sent["reason"], not_sent["records"]) == ("deleted", 2)
    assert not not_sent["dead_letter"]


def test_a_schema_that_does_not_name_the_column(target: Launcher, sandbox: Sandbox) -> None:
    """A tap that adds the column to its records alone is understood as well."""
    run = target.run(
        schema(), *orders(2), order(2, _sdc_deleted_at=WHEN), stream_maps={"orders": MAP}
    )
    assert run.summary["total"].drops == {"deleted": 1}
    assert sandbox.stats.accepted == 2


def test_a_map_that_reads_the_column(target: Launcher, sandbox: Sandbox) -> None:
    """It decides itself: here, it sends what was archived, and filters the rest."""
    own = {**MAP, "__filter__": "get('_sdc_deleted_at') != '1970-01-01'"}
    run = target.run(
        schema(columns=(*COLUMNS, *MARKS)),
        order(1, _sdc_deleted_at=WHEN),
        order(2, _sdc_deleted_at="1970-01-01"),
        order(3, _sdc_lsn_deleted_at=WHEN),
        stream_maps={"orders": own},
    )
    total = run.summary["total"]
    assert (total.delivered, total.filtered, total.drops) == (1, 1, {"deleted": 1})
    assert sandbox.stats.accepted == 1


def test_batch_files(target: Launcher, sandbox: Sandbox) -> None:
    """The records of a BATCH message are judged as well."""
    path = target.folder / "rows.jsonl"
    rows = [order(1)["record"], order(2, _sdc_deleted_at=WHEN)["record"]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    message = {
        "type": "BATCH",
        "stream": "orders",
        "encoding": {"format": "jsonl", "compression": "none"},
        "manifest": [path.as_uri()],
    }
    run = target.run(schema(), message, stream_maps={"orders": MAP})
    assert run.summary["total"].drops == {"deleted": 1}
    assert sandbox.stats.accepted == 1
