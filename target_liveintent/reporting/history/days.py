"""Makes the figures of a day from its runs, which may be known from several files."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from target_liveintent.reporting.history.model import (
    USUAL,
    DayFigures,
    RunEntry,
    RunFigures,
    StreamFigures,
    Unusual,
    sum_of,
)

Account = tuple[str, int | None]
"""An account with its API host, and a pixel: only runs that have both in common are compared."""


def fold(
    day: dt.date, parts: Iterable[DayFigures], entries: Iterable[RunEntry]
) -> dict[Account, DayFigures]:
    """Return a day of each account and pixel; a run that several parts know counts once.

    The order of parts and entries makes no difference, and neither does it if some come later:
    so runs that share a folder can do this at the same time.
    """
    known: dict[Account, list[DayFigures]] = {}
    for part in parts:
        known.setdefault((part.account, part.pixel_id), []).append(part)
    new: dict[Account, list[RunEntry]] = {}
    for entry in entries:
        new.setdefault((entry.account, entry.pixel_id), []).append(entry)
    days = {}
    for account in sorted(known.keys() | new.keys(), key=str):
        found, added = known.get(account, []), new.get(account, [])
        if len(found) == 1 and not added:
            days[account] = found[0]
            continue
        runs = {run.run_id: run for one in found for run in one.runs}
        runs |= {one.run.run_id: one.run for one in added}
        settings = {digest: names for one in found for digest, names in one.settings.items()}
        settings |= {one.run.settings: one.settings for one in added}
        days[account] = day_of(account, day, runs.values(), settings)
    return days


def day_of(
    account: Account,
    day: dt.date,
    runs: Iterable[RunFigures],
    settings: Mapping[str, dict[str, str]],
) -> DayFigures:
    """Return the figures of a day of one account and pixel.

    Args:
        account: The account and the pixel.
        day: The day.
        runs: Its runs.
        settings: Their settings that matter, by digest.
    """
    ordered = sorted(runs, key=lambda run: (run.ended_at, run.run_id))
    unusual: dict[tuple[str, str, str], Unusual] = {}
    for run in ordered:
        unusual |= {one.key: one for one in run.unusual}
    return DayFigures(
        *account,
        day=day,
        usual=_by_stream(run for run in ordered if run.kind == USUAL),
        others=_by_stream(run for run in ordered if run.kind != USUAL and run.delivers),
        kinds=dict(Counter(run.kind for run in ordered)),
        endings=dict(Counter(run.ending for run in ordered)),
        versions=list(dict.fromkeys(run.version for run in ordered)),
        settings={run.settings: settings.get(run.settings, {}) for run in ordered},
        unusual=list(unusual.values()),
        raw_runs=msgspec.Raw(msgspec.json.encode(ordered)),
    )


def _by_stream(runs: Iterable[RunFigures]) -> dict[str, StreamFigures]:
    groups: dict[str, list[StreamFigures]] = {}
    for run in runs:
        for stream, figures in run.streams.items():
            groups.setdefault(stream, []).append(figures)
    return {stream: sum_of(group) for stream, group in groups.items()}
