"""Made-up histories, and the overview and the page of them."""

from __future__ import annotations

import datetime as dt
import random
import zoneinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import history_support
import msgspec

from target_liveintent.reporting.history.model import (
    FORMAT,
    USUAL,
    History,
    RunEntry,
    StreamFigures,
    ValueSum,
)
from target_liveintent.reporting.history.reading import history_of
from target_liveintent.reporting.overview.gather import overview_of
from target_liveintent.reporting.run_report.tally import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from target_liveintent.reporting.overview.model import Overview

ACCOUNT = ("a-1b2c at api.example.com", 4711)
ZONE = zoneinfo.ZoneInfo("America/New_York")
TODAY = dt.date(2026, 5, 20)
"""A Wednesday."""
NOW = dt.datetime(2026, 5, 20, 17, 30, tzinfo=ZONE)
SETTINGS = {"abc": {"timezone": "America/New_York", "presets": "0123456789ab"}}


def at(back: int, hour: int = 12, minute: int = 5) -> dt.datetime:
    """Return a moment of a day before today, in the zone."""
    day = TODAY - dt.timedelta(days=back)
    return dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZONE)


def figures(
    delivered: int = 100, *, hashes: int | None = None, late: int = 5, **others: Any
) -> StreamFigures:
    """Return the figures of a stream, of which so many conversions have a hash of an address."""
    hashes = delivered if hashes is None else hashes
    having = dict.fromkeys(FIELDS, delivered) | {"md5": hashes, "sha2": hashes, "both": hashes}
    values = {"EUR": ValueSum(delivered, Decimal(50 * delivered))} if delivered else {}
    fresh = max(0, delivered - late)
    defaults = {"having": having, "values": values, "within_an_hour": fresh}
    return StreamFigures(delivered, delivered, **{**defaults, **others})


def entry(ended_at: dt.datetime, kind: str = USUAL, **changes: Any) -> RunEntry:
    """Return what a run leaves; `changes` are of its `RunFigures`, or `names` of its settings."""
    names = changes.pop("names", SETTINGS["abc"])
    run_id = f"{ended_at:%Y%m%d-%H%M%S}-{kind}"
    run = history_support.run(run_id, ended_at.astimezone(dt.timezone.utc), kind, orders=figures())
    for name, value in changes.items():
        setattr(run, name, value)
    day = ended_at.astimezone(ZONE).date()
    return RunEntry(FORMAT, day, names, run, msgspec.Raw(b"{}"))


def history(entries: Iterable[RunEntry]) -> History:
    """Return the history that entries are, of today and the 91 days before."""
    return history_of(entries, TODAY)


def overview(
    entries: Iterable[RunEntry], now: dt.datetime = NOW, max_age: dt.timedelta | None = None
) -> Overview:
    """Return the overview of a history of entries."""
    return overview_of(history(entries), ACCOUNT, now, max_age)


def daily(days: int, first: int = 0, **changes: Any) -> list[RunEntry]:
    """Return a run at noon of each day, from `days` before today to `first` before today."""
    return [entry(at(back), **changes) for back in range(days, first - 1, -1)]


_KINDS = (*[USUAL] * 12, "replay", "canary", "dry_run", "backfill")


def random_entries(seed: int = 1, days: int = 110) -> list[RunEntry]:
    """Return runs of all kinds and streams, by chance, with gaps and changes."""
    chance = random.Random(seed)  # noqa: S311 (no secrets)
    entries = []
    for back in range(days, -1, -1):
        if back in {40, 41, 42}:
            continue
        for hour in (3, 9, 16, 23):
            if back == 0 and hour > NOW.hour:
                continue
            version = "target-liveintent 1" if back > 25 else "target-liveintent 2"
            streams = {
                name: _random_figures(chance, size)
                for name, size in (("orders", 300), ("visits", 40))
            }
            kind = chance.choice(_KINDS)
            entries.append(
                entry(at(back, hour, chance.randrange(60)), kind, streams=streams, version=version)
            )
    return entries


def _random_figures(chance: random.Random, size: int) -> StreamFigures:
    delivered = chance.randrange(size // 2, size)
    md5, sha2 = chance.randrange(delivered), chance.randrange(delivered)
    having = {name: chance.randrange(delivered) for name in FIELDS}
    having |= {"md5": md5, "sha2": sha2, "both": chance.randrange(min(md5, sha2) + 1)}
    having["both"] = max(having["both"], md5 + sha2 - delivered)
    late, euros = chance.randrange(delivered), chance.randrange(1, delivered)
    return figures(
        delivered,
        late=late,
        having=having,
        not_sent={
            name: chance.randrange(9)
            for name in ("no_identity", "invalid_source", "event_too_old", "already_sent")
        },
        values={
            "EUR": ValueSum(euros, Decimal(chance.randrange(10**7)) / 100),
            "JPY": ValueSum(delivered - euros, Decimal(chance.randrange(10**7))),
        },
    )
