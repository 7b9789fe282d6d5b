"""What is read of the history: which runs and days, and their sums."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import sqlite3
import time
import zoneinfo
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from fakes import FakeClock
from reporting_support import MONDAY as TODAY
from reporting_support import days_before, figures, named, shop
from reporting_support import on as at
from unit_support import SETTINGS

from target_liveintent.reporting.history import FORMAT, History, history_of, read_history
from target_liveintent.reporting.report import read_overview
from target_liveintent.store import open_for_reading, open_for_writing, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from target_liveintent.settings import Settings
    from target_liveintent.store import Database

LEFT = object()
"""Stands for the figures that a run of the tests leaves."""


class Runs:
    """Runs that share a store, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.settings = dataclasses.replace(SETTINGS, store=str(folder / "store.sqlite"))

    def add(self, name: str, ended_at: dt.datetime, left: Any = LEFT, **changes: Any) -> None:
        """Add a run of a minute, with the text of its figures; None lets it be killed."""
        settings = dataclasses.replace(self.settings, **changes)
        self.clock.now = ended_at.timestamp() - 60
        with contextlib.closing(open_store(settings, name, self.clock)) as store:
            if left is not None:
                self.clock.now += 60
                one = named(name, ended_at, orders=figures())
                store.finish("done", msgspec.json.encode(one).decode() if left is LEFT else left)
        self.clock.now = at(TODAY, 12).timestamp()

    def read(self, settings: Settings | None = None) -> History:
        """Read the history of today."""
        settings = settings or self.settings
        with self.reading() as database:
            return read_history(database, settings, TODAY)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Database]:
        database = open_for_reading(self.settings, self.clock)
        with contextlib.closing(database):
            yield database


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def names(history: History) -> list[str]:
    return [one.run_id for one in history.runs]


def test_a_first_day(runs: Runs) -> None:
    """Without a store, and in a new one, nothing is known."""
    for _ in range(2):
        history = runs.read()
        assert (history.days, history.runs) == ([], [])
        open_for_writing(runs.settings).close()


def test_runs_are_read(runs: Runs) -> None:
    """They are grouped by days, and each is there."""
    for name, day in (("a", days_before(2)), ("b", TODAY), ("c", TODAY)):
        runs.add(name, at(day, ord(name) - ord("a")))
    history = runs.read()
    assert [(one.day, one.usual["orders"].delivered) for one in history.days] == [
        *((days_before(2), 100), (TODAY, 200)),
    ]
    assert names(history) == ["a", "b", "c"]


def test_the_day_is_one_of_the_zone_of_the_settings(runs: Runs) -> None:
    """So the runs of 91 days are read wherever that is, and long ones as well."""
    settings = dataclasses.replace(runs.settings, timezone="Asia/Tokyo")
    first = dt.datetime.combine(days_before(91), dt.time(), zoneinfo.ZoneInfo("Asia/Tokyo"))
    one = named("a", first.astimezone(dt.timezone.utc), orders=figures())
    one.day = first.date()
    runs.add("a", first, msgspec.json.encode(one).decode())
    runs.add("killed", first)
    runs.add("before", first - dt.timedelta(minutes=1), None)
    assert names(runs.read(settings)) == ["a", "killed"]


@pytest.mark.parametrize(
    "changes",
    [
        *({"customer_id": "b-1b2c"}, {"api_url": "https://api.example.com"}),
        *({"pixel_id": 5}, {"pixel_id": None}),
    ],
)
def test_runs_of_others_are_not_read(runs: Runs, changes: dict[str, Any]) -> None:
    """Only runs of the same account, API and pixel are compared, killed ones included."""
    runs.add("mine", at(TODAY, 1))
    runs.add("other", at(TODAY, 2), **changes)
    runs.add("killed", at(TODAY, 3), None, **changes)
    assert names(runs.read()) == ["mine"]
    theirs = dataclasses.replace(runs.settings, **changes)
    assert names(runs.read(theirs)) == ["other", "killed"]


def test_a_killed_run_counts_as_failed(runs: Runs) -> None:
    """It does so when it is certainly over, at the moment when it was last seen."""
    runs.add("good", at(TODAY, 1))
    runs.add("killed", at(TODAY, 2), None)
    runs.clock.now = at(TODAY, 2).timestamp() - 31
    assert names(runs.read()) == ["good"]
    runs.clock.now += 2
    history = runs.read()
    last = history.runs[-1]
    assert (last.run_id, last.ending) == ("killed", "failed")
    assert last.message == "the run was killed, or the machine was switched off"
    assert last.ended_at == at(TODAY, 2) - dt.timedelta(seconds=30)
    overview = read_health(runs)
    assert [(one.cause, one.words) for one in overview.causes] == [
        ("failed", "the last run failed: the run was killed, or the machine was switched off")
    ]
    assert overview.changes == []


def read_health(runs: Runs) -> Any:
    with runs.reading() as database:
        return read_overview(runs.settings, database, clock=runs.clock)


def test_a_good_run_makes_up_for_a_killed_one(runs: Runs) -> None:
    runs.add("killed", at(TODAY, 2), None)
    runs.add("good", at(TODAY, 3))
    overview = read_health(runs)
    assert overview.causes == []


def test_entries_of_other_versions_are_ignored(runs: Runs) -> None:
    """Those of another format are, and what cannot be read at all; the others count."""
    runs.add("a", at(TODAY, 1))
    newer = named("b", at(TODAY, 2))
    newer.format = FORMAT + 1
    for number, text in enumerate((msgspec.json.encode(newer).decode(), "{}", "[1", "null")):
        runs.add(f"other-{number}", at(TODAY, 3), text)
    assert names(runs.read()) == ["a"]


def test_a_year_of_hourly_runs_is_read_in_time(runs: Runs) -> None:
    """Each run reads the history at its end, so that must take well under a second."""
    runs.add("first", at(days_before(365)))
    rows = []
    for hour in range(24 * 365):
        ended_at = at(TODAY, 11) - dt.timedelta(hours=hour)
        one = named(f"{hour}", ended_at, orders=shop(), visits=shop())
        times = [ended_at.timestamp()] * 3
        rows.append((hour + 2, f"run-{hour}", *times, msgspec.json.encode(one).decode()))
    with contextlib.closing(sqlite3.connect(runs.settings.store)) as database, database:
        database.executemany(
            "INSERT INTO run (number, id, kind, customer_id, api_host, pixel_id, started_at,"
            " alive_until, ended_at, ending, figures)"
            " SELECT ?, ?, kind, customer_id, api_host, pixel_id, ?, ?, ?, ending, ?"
            " FROM run WHERE number = 1",
            rows,
        )
    began = time.process_time()
    history = runs.read()
    assert time.process_time() - began < 0.5
    assert [one.day for one in history.days] == [days_before(n) for n in range(91, -1, -1)]
    assert len(names(history)) == 24 * 91 + 12


# What runs make together


def test_a_clock_that_was_wrong() -> None:
    """A run of a day that is still to come is left out; tomorrow it already is somewhere."""
    days = (92, 91, 1, 0, -1, -2, -300)
    runs = [named(f"{back}", at(days_before(back))) for back in days]
    assert [one.day for one in history_of(runs, TODAY).days] == [
        days_before(n) for n in (91, 1, 0, -1)
    ]


def test_the_sums_are_those_of_the_runs() -> None:
    """Dry runs count nowhere; canaries, replays and backfills are sums of their own."""
    kinds = ("usual", "dry_run", "canary", "replay", "backfill", "usual")
    entries = [
        named(f"{number}", at(TODAY, number), kind, orders=figures(10**number))
        for number, kind in enumerate(kinds)
    ]
    (today,) = history_of(entries, TODAY).days
    sums = today.usual["orders"].delivered, today.others["orders"].delivered
    assert sums == (100_001, 11_100)
    assert len(today.usual_runs) == 2


def test_runs_are_in_the_order_in_which_they_ended() -> None:
    """Whichever began first; of two entries of one run, the later one counts."""
    times = {"b": 3, "a": 3, "c": 1}
    entries = [named(name, at(TODAY, hour)) for name, hour in times.items()]
    entries.append(named("c", at(TODAY, 2), orders=figures(7)))
    (today,) = history_of(entries, TODAY).days
    assert [one.run_id for one in today.runs] == ["c", "a", "b"]
    assert today.usual["orders"].delivered == 7
