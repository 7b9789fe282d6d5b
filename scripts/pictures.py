"""Takes the screenshots in the documentation. `scripts/pictures` runs this module."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import random
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from browser_support import launch, opened

from target_liveintent.config import settings_of
from target_liveintent.conversions.amounts import Amount
from target_liveintent.reporting.history import FORMAT, Ending, RunRecord, history_of
from target_liveintent.reporting.overview import overview_of
from target_liveintent.reporting.page import write_page
from target_liveintent.reporting.rules import unusual_in
from target_liveintent.run.counts import StreamCounts
from target_liveintent.run.coverage import COVERAGE_FIELDS, Timing
from target_liveintent.sandbox import Sandbox
from target_liveintent.store.places import PlaceRow

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent
WIDTH = 1000
HEIGHTS = {"report": 1060, "sandbox": 820}


def orders(folder: Path) -> str:
    """Return the orders of the demo as Singer messages."""
    file = folder / "orders.jsonl"
    subprocess.run([sys.executable, ROOT / "demo" / "orders.py", "--out", file], check=True)
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    columns: dict[str, Any] = {column: {} for record in records for column in record}
    schema: dict[str, Any] = {"type": "object", "properties": columns}
    head = {"type": "SCHEMA", "stream": "orders", "key_properties": ["id"], "schema": schema}
    rows = ({"type": "RECORD", "stream": "orders", "record": record} for record in records)
    return "".join(json.dumps(message) + "\n" for message in (head, *rows))


def run(folder: Path, url: str) -> None:
    """Run the target on the orders, with the map of the demo, against a sandbox."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    settings = project["plugins"]["loaders"][0]["config"] | {
        "customer_id": "a-1b2c",
        "auth_token": "sandbox-token",
        "pixel_id": 12345,
        "api_url": url,
        "batch_size_rows": 50,
    }
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    subprocess.run(
        [PROGRAMS / "target-liveintent", "--config", folder / "settings.json"],
        cwd=folder,  # In the store of another run, these orders would count as sent.
        input=orders(folder),
        text=True,
        capture_output=True,
        check=True,
    )


NOW = dt.datetime(2026, 11, 26, 17, 20, tzinfo=dt.timezone.utc)
"""The time at which the report is written."""
BAD_HOURS, GUESTS = 6, 0.2
"""The number of last hours with wrong values in a column, and the share of hours with a guest."""
GUEST = ("no_identity", "lost")
WEEK = (1.1, 1.0, 0.95, 1.0, 1.2, 1.05, 0.7)
"""The relative numbers of orders on the days of a week, from Monday."""


def shop_runs() -> tuple[list[RunRecord], list[PlaceRow]]:
    """Return 90 days of hourly runs of a shop, and where their events are.

    In the last hours, a column has wrong values.
    """
    chance = random.Random(7)
    runs, rows = [], []
    for hour in range(90 * 24, -1, -1):
        ended_at = NOW - dt.timedelta(hours=hour, minutes=15)
        sent = round(14 * WEEK[ended_at.weekday()] * chance.gauss(1, 0.25))
        bad = round(sent * 0.4) if hour < BAD_HOURS else int(chance.random() < GUESTS)
        hashes, dollars = round(sent * chance.uniform(0.9, 0.97)), sent // 4
        counts = StreamCounts(read=sent + bad, delivered=sent)
        counts.timing = Timing(sent - 1, sent, sent)
        read_at = int(ended_at.timestamp()) // 900 * 900
        reason, place = ("invalid_source", "replayable") if hour < BAD_HOURS else GUEST
        until = read_at + 7 * 86_400 if place == "replayable" else None
        rows.append(
            PlaceRow(read_at, place, reason, "EUR", bad, Decimal(52 * bad), until, is_kept=True)
        )
        counts.rejected[reason] = bad
        counts.coverage["web"] = dict.fromkeys(("events", *COVERAGE_FIELDS), sent) | {
            **dict.fromkeys(("md5", "sha2", "both"), hashes),
            "decision_id": round(sent * chance.uniform(0.3, 0.4)),
        }
        for currency, part, price in (("EUR", sent - dollars, 52), ("USD", dollars, 41)):
            total = Decimal(round(100 * part * price * chance.gauss(1, 0.1))) / 100
            counts.values[currency] = Amount(part, total, total, total)
            rows.append(PlaceRow(read_at, "arrived", "", currency, part, total))
        runs.append(
            RunRecord(
                format=FORMAT,
                run_id=f"{hour:08x}",
                started_at=ended_at - dt.timedelta(seconds=9),
                ended_at=ended_at,
                day=ended_at.date(),
                kind="usual",
                ending=Ending(),
                version="target-liveintent 0.1.0",
                requests=1,
                streams={"orders": counts},
            )
        )
    return runs, [row for row in rows if row.events]


def write_report(path: Path) -> None:
    """Write the report of the made-up shop."""
    given = {"customer_id": "a-1b2c", "auth_token": "none", "pixel_id": 12345}
    runs, rows = shop_runs()
    for number in range(-BAD_HOURS, 0):
        before = history_of(runs[:number], NOW.date())
        runs[number].unusual = unusual_in(before, runs[number], dt.timezone.utc, rows) or []
    history = history_of(runs, NOW.date())
    settings = settings_of(given)
    now = NOW.astimezone(dt.timezone.utc)
    write_page(overview_of(history, rows, settings.storage, now), str(path))


def take_screenshots(browser: Browser, name: str, url: str, folder: Path) -> None:
    """Take a screenshot of a page in light and in dark mode."""
    for scheme in ("light", "dark"):
        height = HEIGHTS[name]
        with opened(browser, url, width=WIDTH, height=height, color_scheme=scheme) as page:
            if name == "sandbox":
                page.locator("#events a").first.wait_for()
            page.screenshot(path=folder / f"{name}-{scheme}.png")


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        Sandbox() as sandbox,
        contextlib.contextmanager(launch)() as browser,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        folder = Path(scratch)
        run(folder, sandbox.url)
        write_report(folder / "report.html")
        take_screenshots(browser, "report", (folder / "report.html").as_uri(), out)
        take_screenshots(browser, "sandbox", sandbox.url, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
