"""What a run leaves in the history: its figures by stream, its kind, and no secrets."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from fakes import FakeClock
from reporting_support import MadeUpRun
from unit_support import DAY, TIME

from target_liveintent.conversions.model import DEAD_LETTERS
from target_liveintent.mapping import MELTANO_TEST_STREAM
from target_liveintent.privacy import hide_token
from target_liveintent.reporting.history import (
    BACKFILL,
    CANARY,
    DRY_RUN,
    FAILED,
    REPLAY,
    TEST,
    USUAL,
    Ending,
    settings_that_matter,
    total_of,
)
from target_liveintent.reporting.reporter import keep_run
from target_liveintent.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from syrupy.assertion import SnapshotAssertion


def test_what_a_run_leaves(snapshot: SnapshotAssertion) -> None:
    """The figures are those of the summary and of the report, kept apart by stream."""
    run = MadeUpRun().deliver(40).deliver(3, "visits", source="offline", at=TIME + 20 * DAY)
    run.deliver(2, value="1e15", currency="JPY").deliver(1, currency=None)
    run.reject("orders", no_identity=2, no_consent=3).reject("visits", invalid_source=1)
    left = run.record(repeated=Counter(no_identity=1))
    assert msgspec.json.format(msgspec.json.encode(left), indent=1).decode() == snapshot
    orders, visits = left.streams["orders"], left.streams["visits"]
    assert (orders.delivered, orders.with_email_hash, orders.having("decision_id")) == (43, 43, 43)
    assert (orders.late, visits.delivered, visits.late) == (0, 3, 3)
    assert left.total.letters == {"no_identity": 1, "invalid_source": 1}
    assert orders.values["JPY"].total == Decimal("2e15")


def test_how_late_events_were() -> None:
    """Up to an hour is fresh, up to a day is not, and sources are added up."""
    run = MadeUpRun().deliver(2, at=TIME + 3_600).deliver(3, at=TIME + 3_601)
    run.deliver(4, at=TIME + 3_601, source="offline").deliver(5, at=TIME + DAY + 1)
    orders = run.record().streams["orders"]
    assert (orders.within_an_hour, orders.late, orders.within_a_day) == (2, 12, 9)


def test_a_stream_without_records_is_there() -> None:
    """Its SCHEMA came, so nothing of it is a figure."""
    run = MadeUpRun()
    run.counts.of("orders")
    assert run.record().streams["orders"].delivered == 0


def test_what_is_known_of_the_run() -> None:
    """The record names the run, and how and when it ended."""
    run = MadeUpRun(pixel_id=4711, timezone="Asia/Tokyo").deliver()
    run.clock.now += 90
    left = run.record(Ending(FAILED, "the API was down"))
    assert (left.run_id, left.ending, left.message) == ("run-1", FAILED, "the API was down")
    assert (left.ended_at - left.started_at).total_seconds() == 90
    # 16:00 in UTC is the next day in Tokyo.
    assert left.day == dt.date(2026, 8, 2)


OLD = {"count": 2, "at": TIME + 3 * DAY}
OF_LETTERS = {"stream": DEAD_LETTERS}


@pytest.mark.parametrize(
    ("kind", "settings", "delivered"),
    [
        (USUAL, {}, [{}]),
        (USUAL, {}, []),
        (DRY_RUN, {"dry_run": True, "limit": 5}, [{}]),
        (CANARY, {"limit": 5}, [{}]),
        (REPLAY, {"limit": 5}, [OF_LETTERS]),
        (USUAL, {}, [{}, OF_LETTERS]),
        (BACKFILL, {}, [OLD, {}]),
        (USUAL, {}, [OLD, {"count": 2}]),
        (USUAL, {}, [{"at": TIME + 1.9 * DAY}]),
        (TEST, {}, [{"count": 0, "stream": MELTANO_TEST_STREAM}]),
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


def test_a_replay_has_figures_of_its_own_stream_alone() -> None:
    mixed = MadeUpRun().deliver().deliver(5, stream=DEAD_LETTERS)
    assert list(mixed.record().streams) == ["orders"]
    replay = MadeUpRun().deliver(5, stream=DEAD_LETTERS)
    assert replay.record().streams[DEAD_LETTERS].delivered == 5


def test_rows_that_come_again_are_not_more_rows() -> None:
    """Three runs read the same 19 bad rows: 19 could not be sent, of three runs together."""
    first = MadeUpRun().reject(no_identity=19).record()
    others = [MadeUpRun().reject(no_identity=19).record(repeated=Counter(no_identity=19))] * 2
    assert total_of([first, *others]).letters == {"no_identity": 19}


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
    record = run.record(Ending(FAILED, "made-up-token of buyer@example.com"))
    with contextlib.closing(open_store(run.settings, "run-1", FakeClock())) as store:
        keep_run(record, run.settings, store)
        ((text,),) = store.database.read("SELECT CAST(figures AS TEXT) FROM run")
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in ("buyer@example.com", "buyer", "made-up-token", "s3cret", "s33d"):
        assert secret.encode() not in text.encode() + written
    streams = json.loads(text)["streams"]
    assert sorted(one["delivered"] for one in streams.values()) == [1, 2]


CHANGES: list[tuple[dict[str, Any], bool]] = [
    ({"timezone": "Europe/Berlin"}, True),
    ({"stream_maps": {"orders": {"value": "total / 100"}}}, True),
    ({"presets": {"orders": "shopify"}}, True),
    ({"suppression_path": __file__}, True),
    ({"max_concurrent_requests": 5}, False),
    ({"stream_map_config": {"hash_seed": "1"}}, False),
    ({"auth_token": "another"}, False),
]


@pytest.mark.parametrize(("changes", "expected"), CHANGES)
def test_which_settings_matter(changes: dict[str, Any], expected: bool) -> None:
    """A change of others leaves the digest as it is."""
    before, after = MadeUpRun().record(), MadeUpRun(**changes).record()
    assert (before.settings != after.settings) == expected
    names = settings_that_matter(MadeUpRun(**changes).settings)
    assert {name for name in names if names[name] != before.settings[name]} == (
        set(changes) if expected else set()
    )
