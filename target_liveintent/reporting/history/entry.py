"""Makes the entry that a run leaves in the history: from its counts, its tally and its settings."""

from __future__ import annotations

import datetime as dt
import hashlib
import json

import msgspec

from target_liveintent.conversions import DAY, DEAD_LETTERS
from target_liveintent.privacy import without_secrets
from target_liveintent.reporting.history.model import (
    BACKFILL,
    CANARY,
    DRY_RUN,
    FORMAT,
    REPLAY,
    USUAL,
    RunEntry,
    RunFigures,
    StreamFigures,
    ValueSum,
    sum_of,
)
from target_liveintent.reporting.run_report.model import Facts
from target_liveintent.reporting.run_report.tally import HOUR, Histogram, Tally
from target_liveintent.run import RunCounts, StreamCounts
from target_liveintent.settings import Settings

_OLD = 2 * DAY
"""Seconds; a run most of whose events are older catches up. A run after a weekend does not."""
_SHOWN = (
    "timezone",
    "default_source",
    "email_normalization",
    "source_url_parameters",
    "on_rejection",
    "validate_records",
)
"""Settings that matter to the figures and whose values are kept."""
_DIGESTED = ("presets", "stream_maps")
"""The same, but their text is the user's: only a digest tells whether they changed."""
_DIGITS = 12


def entry_of(counts: RunCounts, tally: Tally, settings: Settings, facts: Facts) -> RunEntry:
    """Return what a run that is over leaves in the history."""
    ended_at = dt.datetime.fromisoformat(facts.ended_at.replace("Z", "+00:00"))
    names = settings_that_matter(settings)
    run = RunFigures(
        run_id=facts.run_id,
        ended_at=ended_at,
        kind=_kind(counts, tally, settings),
        ending=facts.ending,
        message=facts.message,
        version=facts.target,
        settings=_digest(names),
        streams=_figures(counts, tally),
    )
    return RunEntry(
        format=FORMAT,
        day=ended_at.astimezone(settings.events.zone).date(),
        settings=names,
        run=run,
        facts=msgspec.Raw(msgspec.json.encode(facts)),
    )


def settings_that_matter(settings: Settings) -> dict[str, str]:
    """Return the settings whose change can change the figures, without secrets."""
    names = {name: str(getattr(settings, name)) for name in _SHOWN}
    names["suppression_path"] = "not set" if settings.suppression_path is None else "set"
    return names | {name: _digest(getattr(settings, name)) for name in _DIGESTED}


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _kind(counts: RunCounts, tally: Tally, settings: Settings) -> str:
    if settings.dry_run:
        return DRY_RUN
    if counts.is_replay:
        return REPLAY
    if settings.limit is not None:
        return CANARY
    events = sum(ages.total for ages in tally.ages.values())
    old = events - sum(ages.up_to(_OLD) for ages in tally.ages.values())
    return BACKFILL if old * 2 > events else USUAL


def _figures(counts: RunCounts, tally: Tally) -> dict[str, StreamFigures]:
    """Return the figures by stream; a replay's only stream is that of the dead letters."""
    having: dict[str, list[StreamFigures]] = {}
    for one in tally.coverage():
        having.setdefault(one.stream, []).append(StreamFigures(having=one.having))
    ages: dict[str, list[Histogram]] = {}
    for (stream, _), histogram in tally.ages.items():
        ages.setdefault(stream, []).append(histogram)
    shown: dict[str, list[StreamFigures]] = {}
    for stream, of_stream in counts.streams.items():
        if stream == DEAD_LETTERS and not counts.is_replay:
            continue
        figures = _of_stream(of_stream, ages.get(stream, []))
        shown.setdefault(without_secrets(stream), []).extend([figures, *having.get(stream, [])])
    return {stream: sum_of(group) for stream, group in shown.items()}


def _of_stream(counts: StreamCounts, ages: list[Histogram]) -> StreamFigures:
    return StreamFigures(
        read=counts.read,
        delivered=counts.delivered,
        within_an_hour=sum(one.up_to(HOUR) for one in ages),
        within_a_day=sum(one.up_to(DAY) for one in ages),
        not_sent=dict(counts.rejected + counts.dropped),
        values={
            currency: ValueSum(one.conversions, one.total)
            for currency, one in counts.amounts.items()
        },
    )
