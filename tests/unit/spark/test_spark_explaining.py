"""What is said of a DataFrame before it is sent, without Spark."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from write_support import OPTIONS

from target_liveintent.errors import ConfigurationError

pa = pytest.importorskip("pyarrow", reason="an extra")

from target_liveintent.spark import explain, explaining  # noqa: E402

if TYPE_CHECKING:
    from typing_extensions import Self


class Frame:
    """As a DataFrame."""

    def __init__(self, **columns: list[Any]) -> None:
        self._table = pa.table(columns)
        self.columns = self._table.column_names

    def limit(self, rows: int) -> Self:
        self._table = self._table.slice(0, rows)
        return self

    def toArrow(self) -> Any:  # noqa: N802 (Spark's)
        return self._table


def frame(rows: int, **columns: list[Any]) -> Frame:
    given = {
        "ID": list(range(rows)),
        "EVENT_TIME": [int(time.time()) - 60] * rows,
        "Email": ["ann@example.com"] * rows,
        "note": ["x"] * rows,
    }
    return Frame(**given, **columns)


def said(capsys: pytest.CaptureFixture[str], some: Frame, **options: object) -> list[str]:
    explain(some, {**OPTIONS, **options})
    return capsys.readouterr().out.splitlines()


def test_a_frame(capsys: pytest.CaptureFixture[str]) -> None:
    """Fields, columns that are not used, records by outcome, and no address."""
    lines = said(capsys, frame(3, VALUE=[1.5, 2, None], user_agnt=["x"] * 3))
    assert lines[0] == (
        "stream 'orders' has a column 'user_agnt', which is not an event column and is ignored."
        " Did you mean 'user_agent'?"
    )
    assert "  event_id         derived from the stream's name and the key properties id" in lines
    assert "  value            the column of the same name" in lines
    assert "  Not used: note, user_agnt." in lines
    assert "  Of 3 records, 3 would be sent, 0 filtered, 0 rejected." in lines
    assert not any("ann@" in line for line in lines)


def test_many_rows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones are enough."""
    monkeypatch.setattr(explaining, "MAX_RECORDS", 1_000)
    assert said(capsys, frame(1_001))[0] == "Only the first 1,000 records were read."


def test_a_write_that_would_fail(capsys: pytest.CaptureFixture[str]) -> None:
    """It fails as a run over the same records does."""
    bad = Frame(ID=[1], EVENT_TIME=["soon"], Email=["ann@example.com"])
    lines = said(capsys, bad, on_rejection="fail", dry_run=False, suppression_path=None)
    assert lines[-1] == (
        "A run over this input would fail: a record of 'orders' is rejected as invalid_event_time,"
        " and on_rejection is 'fail'"
    )


def test_a_value_that_python_cannot_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """It is rejected, as in a task."""
    late = pa.array([253_402_300_800_000_000], pa.int64()).cast(pa.timestamp("us", "UTC"))
    lines = said(capsys, frame(1, ip=late))
    assert "  Of 1 record, 0 would be sent, 0 filtered, 1 rejected." in lines
    assert any("column ip: Python cannot represent this timestamp" in line for line in lines)


def test_wrong_options() -> None:
    """They are those of the write, and are checked as there."""
    with pytest.raises(ConfigurationError, match="'stream_name' is required"):
        explain(frame(1), {**OPTIONS, "stream_name": None})
