"""A year of hourly runs is drawn from a folder in a moment."""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import TYPE_CHECKING

import msgspec
import pytest
from overview_support import figures
from report_support import everything

from target_liveintent.config import settings_of
from target_liveintent.reporting.history import rules
from target_liveintent.reporting.history.entry import account_of
from target_liveintent.reporting.history.folder import HistoryFolder
from target_liveintent.reporting.history.model import FORMAT, RunEntry, RunFigures
from target_liveintent.reporting.overview.model import LEAST_DAYS
from target_liveintent.reporting.overview.reading import read_overview, write_overview
from target_liveintent.storage.files import replace_file
from target_liveintent.storage.folders import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.clock import Clock

RUNS = 8_760
UTC = dt.timezone.utc
NOW = dt.datetime(2026, 5, 20, 17, 30, tzinfo=UTC)
SECONDS = 2.0


class Still:
    """A clock that stands still at `NOW`."""

    @staticmethod
    def time() -> float:
        return NOW.timestamp()


@pytest.mark.parametrize("is_folded", [True, False])
def test_a_year(tmp_path: Path, is_folded: bool) -> None:
    """Folded into a file a day, as runs leave it; or as 8,760 files."""
    path = tmp_path / "history"
    settings = settings_of(
        {"customer_id": "a-1b2c", "auth_token": "x", "ledger": False, "history_path": str(path)}
    )
    account = account_of(settings)
    facts = msgspec.Raw(msgspec.json.encode(everything().facts()))
    local = LocalFolder("history_path", str(path))
    folder = HistoryFolder(local, 400, pytest.fail)
    local.check()
    for back in range(RUNS - 1, -1, -1):
        at = NOW - dt.timedelta(hours=back, minutes=25)
        streams = {"orders": figures(10 + at.hour + 3 * at.weekday(), not_sent={"no_identity": 1})}
        run = RunFigures(f"0-{back:x}", at, "usual", "done", None, "1", "a", streams)
        entry = RunEntry(FORMAT, *account, at.date(), {"timezone": "UTC"}, run, facts)
        name = f"{at:%Y%m%dT%H%M%SZ}-{run.run_id}.run.json"
        (path / name).write_bytes(msgspec.json.encode(entry))  # Without a wait for the disk.
    if is_folded:
        # Of all days, a run folds those that it reads.
        for days in range(280, -1, -80):
            folder.read_and_fold(account, NOW.date() - dt.timedelta(days=days), f"f-{days}")
    clock: Clock = Still()  # type: ignore[assignment]
    start = time.process_time()
    overview, report = read_overview(settings, logging.getLogger("test"), clock=clock)
    write_overview(overview, report, str(tmp_path / "page.html"), replace_file)
    seconds = time.process_time() - start
    assert seconds < SECONDS
    (conversions,) = (one for one in overview.figures if one.figure == "conversions")
    expected = [24 * (10 + 3 * one.day.weekday()) + sum(range(24)) for one in overview.days[:-1]]
    assert [point.value for point in conversions.days[:-1]] == expected
    assert overview.causes == []


def test_the_page_and_the_rules_begin_on_the_same_day() -> None:
    assert LEAST_DAYS == rules._LEAST_DAYS  # noqa: SLF001
