"""Finds in a history what needs attention: problems, changes, and missing identifiers."""

from __future__ import annotations

import datetime as dt
import itertools
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from target_liveintent.failures import Failure
from target_liveintent.reporting import rules
from target_liveintent.reporting.history import DIGESTED, STOPPED, RunRecord, Unusual
from target_liveintent.reporting.rules import MANY_DEAD_LETTERS, NEW_REASON
from target_liveintent.run.counts import ALL_SOURCES, StreamCounts
from target_liveintent.store.ledger import Ledger, ledger_of
from target_liveintent.store.places import REPLAYABLE, WAITING, PlaceRow

_FORGOTTEN_AFTER = dt.timedelta(days=2)
"""After this time, a failure no longer counts if runs with other streams have succeeded."""
_LEAST_RUNS_OF_SCHEDULE = 5
"""With fewer runs, it is not known how much time usually is between two runs."""
_MOST_RUNS_OF_SCHEDULE = 30
"""Only this many of the newest runs show the usual time, because a schedule can change."""
_MISSED_RUNS = 3
"""It is a problem if no run ends for this many times the usual time between runs."""
_LEAST_SILENCE = dt.timedelta(hours=26)
"""A shorter time without a run is no problem if `max_age` is None: runs are not punctual."""
_TOLERATED_SHARE = 0.05
"""A gap is mentioned if more than this share of the conversions have it."""
_FRESH_SHARE = 0.5
"""If a smaller share is sent within an hour, as LiveIntent advises for all, this is mentioned."""
_WEB, _APP = ("web",), ("app",)
_USEFUL = (
    ("both", ALL_SOURCES),
    ("ip", _WEB + _APP),
    ("user_agent", _WEB + _APP),
    ("device_id", _APP),
    ("decision_id", _WEB),
    ("order_id", ALL_SOURCES),
    ("value", ALL_SOURCES),
)
"""What conversions from these sources should have; the most useful comes first."""
LATE = "late"
"""The value of `Gap.lack` for conversions that were sent more than an hour after they happened."""


class FailedRuns(msgspec.Struct, frozen=True):
    """Runs have failed, and no later run shows that the failure is over.

    Attributes:
        failure: Why the newest of these runs failed.
        since: When the oldest of these runs ended.
        runs: How many runs failed.
        streams: The streams of these runs, if later runs of other streams have succeeded; otherwise
            empty.
    """

    failure: Failure
    since: dt.datetime
    runs: int
    streams: list[str]


class NoRun(msgspec.Struct, frozen=True):
    """No run has ended for too long.

    Attributes:
        since: When the last run ended; None if there is none.
    """

    since: dt.datetime | None


Cause = FailedRuns | NoRun | Unusual
"""The kinds of problems. If there is a problem, the command `health` ends with exit code 3."""


class Problem(msgspec.Struct, frozen=True):
    """A cause, and the events that have not arrived because of it.

    Attributes:
        cause: What is wrong.
        ledger: The events that wait, if runs failed or are missing. If dead letters are unusual,
            those with the main reason that the store still has. Empty for other causes.
        until: When the first of these events that can still be sent becomes too old.
        example: The event ID of a dead letter that is unusual, for `trace`; None if the cause is
            not about dead letters.
    """

    cause: Cause
    ledger: Ledger
    until: dt.datetime | None
    example: str | None = None


def problem_of(cause: Cause, rows: Sequence[PlaceRow]) -> Problem:
    """Return the problem of a cause; `rows` say where the events of all days are now."""
    if not isinstance(cause, Unusual):
        waiting = ledger_of(row for row in rows if row.place == WAITING)
        return Problem(cause, waiting, waiting.until)
    if not rules.is_about_letters(cause):
        return Problem(cause, ledger_of([]), None)
    of_reason = [row for row in rows if row.reason == rules.reason_of(cause)]
    until = ledger_of(row for row in of_reason if row.place == REPLAYABLE).until
    return Problem(cause, ledger_of(rules.kept_letters(cause, of_reason)), until)


def with_example(problem: Problem, newest: Callable[[str], str | None]) -> Problem:
    """Return a problem with the event ID of a dead letter, if dead letters are unusual.

    `newest` returns the event ID of the newest dead letter with a reason; None without any.
    """
    cause = problem.cause
    if not isinstance(cause, Unusual) or not rules.is_about_letters(cause):
        return problem
    return msgspec.structs.replace(problem, example=newest(rules.reason_of(cause)))


def causes_of(
    scheduled: Sequence[RunRecord],
    unusual: Sequence[Unusual],
    now: dt.datetime,
    max_age: dt.timedelta | None = None,
) -> list[Cause]:
    """Return the problems of runs that a schedule started, the worst first.

    It is a problem if no run has ended within `max_age`. If `max_age` is None, the limit depends on
    the usual time between runs.
    """
    causes: list[Cause] = []
    failed = _failed_runs([run for run in scheduled if run.ending.kind != STOPPED])
    if failed is not None:
        causes.append(failed)
    last = scheduled[-1].ended_at if scheduled else None
    gap = usual_gap(scheduled)
    longest = max_age or (gap and max(_MISSED_RUNS * gap, _LEAST_SILENCE))
    if last is None or (longest is not None and now - last >= longest):
        causes.append(NoRun(last))
    # A problem of many records matters more than a new reason of a few.
    by_importance = sorted(unusual, key=lambda item: (item.rule == NEW_REASON, item.since))
    return causes + _without_repetition(by_importance)


def usual_gap(scheduled: Sequence[RunRecord]) -> dt.timedelta | None:
    """Return the usual time between the ends of two runs; None if there are too few runs."""
    if len(scheduled) < _LEAST_RUNS_OF_SCHEDULE:
        return None
    ends = [run.ended_at for run in scheduled[-_MOST_RUNS_OF_SCHEDULE:]]
    gaps = [later - earlier for earlier, later in itertools.pairwise(ends)]
    return dt.timedelta(seconds=statistics.median(gap.total_seconds() for gap in gaps))


def _without_repetition(unusual: Sequence[Unusual]) -> list[Unusual]:
    """Return what is unusual. If a stream has many dead letters, leave out new reasons for them."""
    with_many = {item.stream for item in unusual if item.rule == MANY_DEAD_LETTERS}
    news = [item for item in unusual if item.rule == NEW_REASON and rules.is_about_letters(item)]
    letters = [item for item in news if item.stream in with_many]
    return [_from_the_first(item, letters) for item in unusual if item not in letters]


def _from_the_first(item: Unusual, letters: Sequence[Unusual]) -> Unusual:
    """Return a problem, dated back to the first new reason if it is about many dead letters."""
    if item.rule != MANY_DEAD_LETTERS:
        return item
    began = [letter.since for letter in letters if letter.stream == item.stream]
    return msgspec.structs.replace(item, since=min([item.since, *began]))


def _failed_runs(judged: Sequence[RunRecord]) -> FailedRuns | None:
    """Return the failed runs, if no later run shows that the failure is over.

    Two loaders may send different streams of one pixel. Then a good run of one loader does not
    show that the other one works. But after two days without a run, a stream may have been renamed.
    """
    failures: list[Failure] = []
    failed: list[RunRecord] = []
    succeeded: set[str] = set()
    for run in reversed(judged):
        failure = run.ending.failure
        if failure is None:
            succeeded.update(run.streams)
            if not run.streams:  # It may be a run of any loader.
                break
        elif _still_counts(run, judged[-1], succeeded):
            failed.append(run)
            failures.append(failure)
    if not failed:
        return None
    # If the last run did not fail, another loader has succeeded since then.
    named = [] if failed[0] is judged[-1] else failed
    streams = sorted({stream for run in named for stream in run.streams})
    return FailedRuns(failures[0], failed[-1].ended_at, len(failed), streams)


def _still_counts(run: RunRecord, last: RunRecord, succeeded: set[str]) -> bool:
    """Return whether a failed run counts; `succeeded` are the streams of later good runs."""
    if not succeeded:
        return True
    is_forgotten = last.ended_at - run.ended_at >= _FORGOTTEN_AFTER
    return bool(run.streams) and not is_forgotten and succeeded.isdisjoint(run.streams)


class Change(msgspec.Struct, frozen=True):
    """A change of a setting or of the version.

    Attributes:
        name: The name of the setting, or `version`.
        before: The value before; None for maps and presets, which are kept only as digests.
        after: The value after; None for maps and presets.
    """

    name: str
    before: str | None = None
    after: str | None = None


def changes_of(usual_runs: Iterable[RunRecord]) -> dict[dt.date, list[Change]]:
    """Return the changes of the settings and the version by day, the newest day first.

    A run is compared with the run before it that had the same streams, because two loaders of the
    same pixel may have different settings.
    """
    before: dict[frozenset[str], dict[str, str]] = {}
    by_day: dict[dt.date, list[Change]] = {}
    for run in usual_runs:
        streams = frozenset(run.streams)
        settings = {"version": run.version, **run.settings}
        for change in _changes(before.get(streams, settings), settings):
            changes = by_day.setdefault(run.day, [])
            if change not in changes:
                changes.append(change)
        before[streams] = settings
    return dict(reversed(by_day.items()))


def _changes(before: dict[str, str], after: dict[str, str]) -> Iterator[Change]:
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            is_secret = name in DIGESTED
            yield Change(name) if is_secret else Change(name, before[name], after[name])


class Gap(msgspec.Struct, frozen=True):
    """How many conversions from some sources lack something.

    Attributes:
        lack: The column that the conversions lack; `late` if they were sent more than an hour
            after their event time.
        sources: The sources of the conversions.
        missing: How many conversions lack it.
        conversions: How many conversions there are.
    """

    lack: str
    sources: tuple[str, ...]
    missing: int
    conversions: int


def gaps_in(recent: StreamCounts) -> list[Gap]:
    """Return what recent conversions lack, the most useful first, and `LATE` if many were late."""
    gaps = []
    for column, sources in _USEFUL:
        conversions = recent.having("events", sources)
        missing = conversions - recent.having(column, sources)
        if missing > conversions * _TOLERATED_SHARE:
            gaps.append(Gap(column, sources, missing, conversions))
    if recent.timing.within_an_hour < recent.delivered * _FRESH_SHARE:
        gaps.append(Gap(LATE, ALL_SOURCES, recent.late, recent.delivered))
    return gaps
