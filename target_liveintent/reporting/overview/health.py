"""Says what is not well, since when, and what to do: what `health` is about."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence

from target_liveintent.reasons import REASONS
from target_liveintent.reporting.history import RunFigures, Unusual, sum_of
from target_liveintent.reporting.overview import plain
from target_liveintent.reporting.overview.figures import DEAD_LETTERS
from target_liveintent.reporting.overview.model import (
    FAILED,
    MORE_LETTERS,
    NO_RUN,
    UNUSUAL,
    Cause,
    Compared,
)
from target_liveintent.reporting.overview.words import usual_words
from target_liveintent.reporting.run_report import model as run_report
from target_liveintent.reporting.run_report.words import age_words, of_them
from target_liveintent.run import counted

_RARE = 1e-3
"""How improbable so many dead letters must be, as many as usual days have at most expected."""
_FORGOTTEN = dt.timedelta(days=2)
"""After this time, a failure does not count any more if other streams came since then."""


def run_causes(
    scheduled: Sequence[RunFigures], now: dt.datetime, max_age: dt.timedelta | None
) -> Iterator[Cause]:
    """Yield what is not well with the runs themselves.

    Args:
        scheduled: The runs that a schedule started, in the order in which they ended.
        now: The moment.
        max_age: How old the last run may be; None if that is not judged.
    """
    yield from _failed(scheduled, now)
    yield from _too_old(scheduled, now, max_age)


def figure_causes(
    unusual: Sequence[Unusual],
    letters: Compared,
    recent: Sequence[RunFigures],
    runs_a_day: float,
) -> Iterator[Cause]:
    """Yield what is not well with what the runs did.

    Args:
        unusual: What was unusual at the end of the last run.
        letters: The dead letters of the last 24 hours against what is usual.
        recent: The usual runs of the last 24 hours.
        runs_a_day: How many there are on a usual day.
    """
    for one in sorted(unusual, key=lambda one: one.since):
        words = plain.unusual(one.rule, one.stream, one.subject)
        yield Cause(UNUSUAL, f"{one.stream}: {one.words}", one.since, "", words)
    yield from _more_letters(letters, recent, len(recent) / max(1.0, runs_a_day))


def _failed(scheduled: Sequence[RunFigures], now: dt.datetime) -> Iterator[Cause]:
    judged = [run for run in scheduled if run.ending != run_report.STOPPED]
    failed = _not_made_up_for(judged)
    if not failed:
        return
    first, last = failed[-1], failed[0]
    sent = sum_of(one for run in failed for one in run.streams.values()).delivered
    of, where = "", ""
    if last is not judged[-1]:  # Another loader ran well since then, with streams of its own.
        of = " of " + ", ".join(sorted({stream for run in failed for stream in run.streams}))
        where = f" (run {last.run_id})"
    runs = "the last run" if len(failed) == 1 else f"the last {len(failed):,} runs"
    yield Cause(
        FAILED,
        f"{runs}{of} failed{where}: {last.message}",
        first.ended_at,
        "Do what the message says. The next scheduled run sends the missing conversions.",
        plain.failure(last.message, len(failed), sent, first.ended_at, now, of),
    )


def _not_made_up_for(runs: Sequence[RunFigures]) -> list[RunFigures]:
    """Return the failed runs after which none did well with streams of theirs, the newest first.

    Two loaders may send different streams of one pixel; then a good run of one does not show that
    the other works. But what did not come for long may have another name by now.
    """
    found: list[RunFigures] = []
    well: set[str] = set()
    for run in reversed(runs):
        if run.ending == run_report.FAILED:
            is_over = not run.streams or not well.isdisjoint(run.streams)
            is_recent = runs[-1].ended_at - run.ended_at < _FORGOTTEN
            if not well or (is_recent and not is_over):
                found.append(run)
        elif not run.streams:  # Nobody knows whose run it was.
            break
        else:
            well.update(run.streams)
    return found


def _too_old(
    scheduled: Sequence[RunFigures], now: dt.datetime, max_age: dt.timedelta | None
) -> Iterator[Cause]:
    what_to_do = "Check whether the schedule still starts the run, and read the log of the run."
    if not scheduled:
        yield Cause(NO_RUN, "there is no run in the history", None, what_to_do)
        return
    last = scheduled[-1].ended_at
    if max_age is not None and now - last > max_age:
        age = age_words((now - last).total_seconds())
        words = plain.silence(last, now)
        yield Cause(NO_RUN, f"there has been no run for {age}", last, what_to_do, words)


def _more_letters(
    letters: Compared, recent: Sequence[RunFigures], days_of_runs: float
) -> Iterator[Cause]:
    if letters.usual is None or not isinstance(letters.now, int):
        return
    # Two daily runs may end within 24 hours: the second a little earlier than the first did.
    if not is_many(letters.now, letters.usual.high * max(1.0, days_of_runs)):
        return
    bad = [run for run in recent if any(one.dead_letters for one in run.streams.values())]
    reasons = sum_of(one for run in bad for one in run.streams.values()).dead_letters
    reason = max(reasons, key=lambda name: (reasons[name], name))
    usual = f"in the last 24 hours, but {usual_words(DEAD_LETTERS, letters.usual)} are usual"
    for_it = of_them(reasons[reason], letters.now)
    why = f": {plain.REASONS[reason].words}" if reason in plain.REASONS else ""
    yield Cause(
        MORE_LETTERS,
        f"{counted(letters.now, 'dead letter')} {usual}; {for_it} for the reason `{reason}`",
        bad[0].ended_at,
        REASONS[reason].meaning if reason in REASONS else "",
        f"{counted(letters.now, 'conversion')} could not be sent {usual}; {for_it} for"
        f" the reason `{reason}`{why}.",
    )


def is_many(count: int, expected: float) -> bool:
    """Return whether there are more dead letters than chance makes of what is expected."""
    return count > expected and _chance(count, expected) <= _RARE


def _chance(count: int, expected: float) -> float:
    """Return at most how probable it is to count so many, where fewer are expected (Chernoff)."""
    expected = max(expected, 1.0)
    if count <= expected:
        return 1.0
    return math.exp(count - expected + count * math.log(expected / count))
