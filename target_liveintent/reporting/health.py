"""Says what is not well, since when, and what to do: what `health` is about."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Iterator, Sequence

from target_liveintent.reasons import REASONS
from target_liveintent.reporting.history import (
    FAILED,
    SCHEDULED,
    STOPPED,
    USUAL,
    History,
    RunRecord,
    total_of,
)
from target_liveintent.reporting.overview import (
    DEAD_LETTERS,
    Cause,
    Overview,
    recent_runs,
)
from target_liveintent.reporting.usual import is_many
from target_liveintent.reporting.words import age_words, of_them, usual_words
from target_liveintent.run import counted

NO_RUN, UNUSUAL = "no_run", "unusual"
"""Causes of bad health, beside `FAILED` and `DEAD_LETTERS`."""
_FORGOTTEN = dt.timedelta(days=2)
"""After this time, a failure does not count any more if other streams came since then."""
_DAY = dt.timedelta(days=1)


def causes_of(
    overview: Overview, history: History, max_age: dt.timedelta | None = None
) -> Iterator[Cause]:
    """Yield what is not well, the worst first.

    Args:
        overview: What the history says.
        history: The history.
        max_age: How old the last run may be; None if that is not judged.
    """
    scheduled = [run for run in history.runs if run.kind in SCHEDULED]
    yield from _failed(scheduled)
    yield from _too_old(scheduled, overview.as_of, max_age)
    for one in sorted(overview.unusual, key=lambda one: one.since):
        yield Cause(UNUSUAL, f"{one.stream}: {one.words}", one.since, "", one.rule)
    yield from _more_letters(overview, history)


def _failed(scheduled: Sequence[RunRecord]) -> Iterator[Cause]:
    judged = [run for run in scheduled if run.ending != STOPPED]
    failed = _not_made_up_for(judged)
    if not failed:
        return
    first, last = failed[-1], failed[0]
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
        of.removeprefix(" of "),
    )


def _not_made_up_for(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the failed runs after which none did well with streams of theirs, the newest first.

    Two loaders may send different streams of one pixel; then a good run of one does not show that
    the other works. But what did not come for long may have another name by now.
    """
    found: list[RunRecord] = []
    well: set[str] = set()
    for run in reversed(runs):
        if run.ending == FAILED:
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
    scheduled: Sequence[RunRecord], now: dt.datetime, max_age: dt.timedelta | None
) -> Iterator[Cause]:
    what_to_do = "Check whether the schedule still starts the run, and read the log of the run."
    if not scheduled:
        yield Cause(NO_RUN, "there is no run in the history", None, what_to_do)
        return
    last = scheduled[-1].ended_at
    if max_age is not None and now - last > max_age:
        age = age_words((now - last).total_seconds())
        yield Cause(NO_RUN, f"there has been no run for {age}", last, what_to_do)


def _more_letters(overview: Overview, history: History) -> Iterator[Cause]:
    letters = overview.figure(DEAD_LETTERS)
    if letters.usual is None or not isinstance(letters.now, int):
        return
    usual_runs = [run for run in history.runs if run.kind == USUAL]
    recent = recent_runs(usual_runs, overview.as_of)
    a_day = max(1.0, _runs_a_day(history))
    expected = letters.usual.high
    if len(recent) > a_day:
        # The 24 hours may have one run more than a day has, as runs are not punctual. A denser
        # schedule has many more, but does not bring more records.
        expected *= (a_day + 1) / a_day
    if not is_many(letters.now, expected):
        return
    reasons = total_of(recent).letters
    reason = max(reasons, key=lambda name: (reasons[name], name))
    usual = usual_words(letters.usual, "{:,.0f}".format)
    yield Cause(
        DEAD_LETTERS,
        f"{counted(letters.now, 'record')} could not be sent in the last 24 hours, but {usual} are"
        f" usual; {of_them(reasons[reason], letters.now)} for the reason `{reason}`",
        _since(usual_runs, letters.usual.high / a_day),
        REASONS[reason].meaning if reason in REASONS else "",
        reason,
    )


def _runs_a_day(history: History) -> float:
    """Return how many usual runs there are on a day that has some; 0 on a first day."""
    counts = [len(usual) for one in history.days if (usual := one.usual_runs)]
    return statistics.median(counts[:-1] or [0])


def _since(usual_runs: Sequence[RunRecord], expected: float) -> dt.datetime:
    """Return when the first run ended that had many dead letters, without a good day since then.

    This moment stays the same while the fault lasts.

    Args:
        usual_runs: Runs in the order in which they ended; the last ones have many in all.
        expected: The dead letters of a usual run.
    """
    bad = [run for run in usual_runs if is_many(run.total.letters.total(), expected)]
    if not bad:  # Each of them has some more than usual.
        bad = [run for run in usual_runs if run.total.letters.total() > expected]
    since = bad[-1].ended_at if bad else usual_runs[-1].ended_at
    for run in reversed(bad):
        if since - run.ended_at > _DAY:
            break
        since = run.ended_at
    return since
