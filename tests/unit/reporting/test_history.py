"""What a run leaves in the history, and what is read of it: which runs and days, and their sums."""

import contextlib
import datetime as dt
import json
import sqlite3
import time
import zoneinfo
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import FakeClock
from reporting_support import (
    DOWN,
    MadeUpRun,
    causes_in,
    days_before,
    figures,
    named,
    reporter,
    shop,
)
from reporting_support import MONDAY as TODAY
from reporting_support import on as at
from syrupy.assertion import SnapshotAssertion
from unit_support import DAY, MD5, SETTINGS, TIME

from target_liveintent.failures import CauseHint, Failure, FailureCode
from target_liveintent.privacy.redaction import hide_token
from target_liveintent.remarks import Shape, UnusableCause
from target_liveintent.reporting.history import (
    BACKFILL,
    CANARY,
    FORMAT,
    REPLAY,
    USUAL,
    Ending,
    History,
    history_of,
    read_history,
)
from target_liveintent.reporting.overview import overview_of
from target_liveintent.reporting.words import cause_words
from target_liveintent.run.kinds import REPLAY_RUN
from target_liveintent.settings import Settings
from target_liveintent.store.opening import open_for_reading, open_store

LEFT = object()
"""Stands for the figures that a run of the tests leaves."""


class Runs:
    """Runs that share a store, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.settings = msgspec.structs.replace(SETTINGS, store=str(folder / "store.sqlite"))

    def add(self, name: str, ended_at: dt.datetime, left: Any = LEFT, **changes: Any) -> None:
        """Add a run of a minute, with the text of its figures; None lets it be killed."""
        settings = msgspec.structs.replace(self.settings, **changes)
        self.clock.now = ended_at.timestamp() - 60
        with contextlib.closing(open_store(settings.storage, name, self.clock)) as store:
            if left is not None:
                self.clock.now += 60
                one = named(name, ended_at, orders=figures())
                store.finish("done", msgspec.json.encode(one).decode() if left is LEFT else left)
        self.clock.now = at(TODAY, 12).timestamp()

    def read(self, settings: Settings | None = None) -> History:
        """Read the history of today."""
        settings = settings or self.settings
        with contextlib.closing(open_for_reading(self.settings.storage, self.clock)) as database:
            return read_history(database, settings.account, settings.events, at(TODAY).timestamp())


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def names(history: History) -> list[str]:
    return [one.run_id for one in history.runs]


def test_the_day_is_one_of_the_zone_of_the_settings(runs: Runs) -> None:
    """So the runs of 91 days are read wherever that is, and long ones as well."""
    settings = msgspec.structs.replace(runs.settings, timezone="Asia/Tokyo")
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
        *(
            pytest.param({"customer_id": "b-1b2c"}, id="another account"),
            pytest.param({"api_url": "https://api.example.com"}, id="another API"),
        ),
        *(
            pytest.param({"pixel_id": 5}, id="another pixel"),
            pytest.param({"pixel_id": None}, id="no pixel"),
        ),
    ],
)
def test_runs_of_others_are_not_read(runs: Runs, changes: dict[str, Any]) -> None:
    """Only runs of the same account, API and pixel are compared, killed ones included."""
    runs.add("mine", at(TODAY, 1))
    runs.add("other", at(TODAY, 2), **changes)
    runs.add("killed", at(TODAY, 3), None, **changes)
    assert names(runs.read()) == ["mine"]
    theirs = msgspec.structs.replace(runs.settings, **changes)
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
    assert (last.run_id, last.ending.kind) == ("killed", "failed")
    assert last.ending.failure == Failure(FailureCode.KILLED)
    assert last.ended_at == at(TODAY, 2) - dt.timedelta(seconds=30)
    now = dt.datetime.fromtimestamp(runs.clock.now, runs.settings.events.zone)
    overview = overview_of(history, [], runs.settings.storage, now)
    assert [cause_words(cause, now) for cause in causes_in(overview)] == [
        "The last run failed: the run was killed, or the machine was switched off"
    ]
    assert overview.changes == {}


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
            " FROM run LIMIT 1",
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


def test_a_day_has_the_sums_of_its_usual_runs() -> None:
    """Its runs are in the order in which they ended, whichever began first."""
    kinds = ("usual", "canary", "replay", "backfill", "usual")
    entries = [
        named(f"{5 - number // 2}", at(TODAY, number // 2), kind, orders=figures(10**number))
        for number, kind in enumerate(kinds)
    ]
    (today,) = history_of(reversed(entries), TODAY).days
    assert (today.usual["orders"].delivered, len(today.usual_runs)) == (10_001, 2)
    assert [one.run_id for one in today.runs] == ["5", "5", "4", "4", "3"]


# What a run leaves


def test_what_a_run_leaves(snapshot: SnapshotAssertion) -> None:
    """The figures are those of the summary and of the report, kept apart by stream."""
    run = MadeUpRun().deliver(40, email=None, md5=MD5).reject(no_identity=2, no_consent=3)
    run.deliver(3, "visits", source="offline", at=TIME + 20 * DAY).reject("visits", no_identity=1)
    run.deliver(2, value="1e15", currency="JPY").deliver(1, currency=None, email=None)
    run.counts.of("orders").causes["value"] = Counter(
        {UnusableCause("not_number", Shape("x")): 1}
    )  # The user's texts are left out.
    left = run.record(no_identity=1)
    assert msgspec.json.format(msgspec.json.encode(left), indent=1).decode() == snapshot


def test_what_is_known_of_the_run() -> None:
    """The record names the run, and how and when it ended."""
    run = MadeUpRun(pixel_id=4711, timezone="Asia/Tokyo").deliver()
    run.clock.now += 90
    left = run.record(DOWN)
    assert (left.run_id, left.ending) == ("run-1", DOWN)
    assert (left.ended_at - left.started_at).total_seconds() == 90
    # 16:00 in UTC is the next day in Tokyo.
    assert left.day == dt.date(2026, 8, 2)


PRESETS = {"orders": "shopify", "refunds": "shopify_rest"}
OLD = {"count": 2, "at": TIME + 3 * DAY}


@pytest.mark.parametrize(
    ("kind", "settings", "delivered"),
    [
        pytest.param(USUAL, {}, [{}], id="one event"),
        pytest.param(USUAL, {}, [], id="no event"),
        pytest.param(CANARY, {"limit": 5}, [{}], id="limit"),
        pytest.param(REPLAY, {"kind": REPLAY_RUN, "limit": 5}, [OLD], id="old dead letters"),
        pytest.param(BACKFILL, {}, [OLD, {}], id="most events are old"),
        pytest.param(USUAL, {}, [OLD, {"count": 2}], id="half of the events are old"),
        pytest.param(USUAL, {}, [{"at": TIME + 1.9 * DAY}], id="less than two days old"),
    ],
)
def test_the_kind_of_a_run(
    kind: str, settings: dict[str, Any], delivered: list[dict[str, Any]]
) -> None:
    """A backfill is a run most of whose events are older than two days."""
    run = MadeUpRun(**settings)
    for events in delivered:
        run.deliver(**events)
    assert run.record().kind == kind


def test_each_stream_has_its_figures() -> None:
    """A run has those of each stream whose SCHEMA came, with or without records."""
    run = MadeUpRun().deliver(5)
    run.counts.of("visits")
    assert {name: one.delivered for name, one in run.record().streams.items()} == {
        "orders": 5,
        "visits": 0,
    }


def test_no_secret_and_no_address_is_written(tmp_path: Path) -> None:
    """Names of streams and the message of a failure are redacted, and so are maps."""
    hide_token("made-up-token")
    run = MadeUpRun(
        stream_maps={"orders": {"salt": "'s3cret'"}},
        stream_map_config={"hash_seed": "s33d"},
        store=str(tmp_path / "store.sqlite"),
    )
    run.deliver(stream="buyer@example.com").deliver(2, stream="made-up-token")
    assert not {"buyer@example.com", "made-up-token"} & run.record().streams.keys()
    given = {"stream_maps": run.settings.stream_maps, "store": run.settings.store}
    with contextlib.closing(open_store(run.settings.storage, "run-1", FakeClock())) as store:
        secret = Failure.of(FailureCode.INPUT, text='made-up-token of "buyer"@example.com')
        ending = Ending(secret)
        reporter(stream_map_config={"hash_seed": "s33d"}, **given).end(run.counts, ending, store)
        ((text,),) = store.database.read("SELECT CAST(figures AS TEXT) FROM run")
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in ("buyer@example.com", "buyer", "made-up-token", "s3cret", "s33d"):
        assert secret.encode() not in text.encode() + written
    streams = json.loads(text)["streams"]
    assert sorted(one["delivered"] for one in streams.values()) == [1, 2]


def test_the_hints_of_a_failure_show_no_secret_and_no_address() -> None:
    """A stream may be named after a person, and a wrong source may be the token."""
    hide_token("made-up-token")
    causes = (UnusableCause("other_source", fact="made-up-token"),)
    hint = CauseHint("other_sources", "buyer@example.com", causes)
    failure = Ending(Failure(FailureCode.TOO_MANY_REJECTED, {}, (hint,))).redacted.failure
    assert failure
    (redacted,) = failure.hints
    assert redacted.words.startswith("Column `source` of stream ")
    assert redacted.words.endswith(" contains: '***'.")
    assert "buyer" not in redacted.words


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"timezone": "Europe/Berlin"}, True, id="time zone"),
        pytest.param({"stream_maps": {"orders": {"value": "total / 100"}}}, True, id="stream maps"),
        pytest.param({"presets": {"orders": "shopify"}}, True, id="presets"),
        pytest.param({"suppression_path": __file__}, True, id="suppression list"),
        pytest.param({"presets": dict(reversed(PRESETS.items()))}, False, id="order of presets"),
        pytest.param(
            {"max_concurrent_requests": 5, "auth_token": "another"}, False, id="pace and token"
        ),
    ],
)
def test_which_settings_matter(changes: dict[str, Any], expected: bool) -> None:
    given = {"presets": PRESETS}, {"presets": PRESETS, **changes}
    before, after = (MadeUpRun(**settings).record().settings for settings in given)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == (set(changes) if expected else set())
