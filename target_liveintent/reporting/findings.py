"""Finds in a history what needs attention: problems, changes, and missing identifiers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from target_liveintent.reasons import REASONS
from target_liveintent.reporting.history import DIGESTED, FAILED, STOPPED, RunRecord, Unusual
from target_liveintent.reporting.words import age_words, percent
from target_liveintent.run import ALL_SOURCES, StreamCounts, counted

NO_RUN, UNUSUAL = "no_run", "unusual"
"""Causes of bad health, beside `FAILED`."""
_FORGOTTEN = dt.timedelta(days=2)
"""After this time, a failure no longer counts if runs with other streams have succeeded."""
_TOLERATED = 0.05
"""The share of conversions that may lack something before it is mentioned."""
_FRESH = 0.5
"""The share that should be sent within an hour; LiveIntent's guide advises it for all events."""
_WEB, _APP = ("web",), ("app",)
_GAPS = (
    (
        "both",
        ALL_SOURCES,
        "without both hashes of the address: supply the address as `email`.",
    ),
    ("ip", _WEB + _APP, "without an IP address: supply the buyer's IP address as `ip`."),
    ("user_agent", _WEB + _APP, "without the name of the browser: supply it as `user_agent`."),
    ("device_id", _APP, "without a device ID: supply it as `idfa` (Apple) or `aaid` (Android)."),
    ("decision_id", _WEB, "without a decision ID: supply the URL of the page as `source_url`."),
    (
        "order_id",
        ALL_SOURCES,
        "without an order ID, so nobody can compare it: supply `order_id`.",
    ),
    ("value", ALL_SOURCES, "without a value: supply the value as `value`."),
)
"""Columns that conversions of some sources should have, and what to do; the most useful first."""


class Cause(msgspec.Struct, frozen=True):
    """A problem: why not everything is as usual.

    Attributes:
        cause: `failed`, `no_run` or `unusual`.
        words: What is not well, for those who run the program.
        since: Since when; None if nobody knows.
        what_to_do: What they do about it; empty if `words` say it.
        subject: What it is about: the rule of something unusual, or the streams that failed.
    """

    cause: str
    words: str
    since: dt.datetime | None
    what_to_do: str
    subject: str = ""


def causes_of(
    scheduled: Sequence[RunRecord],
    unusual: Iterable[Unusual],
    now: dt.datetime,
    max_age: dt.timedelta | None = None,
) -> Iterator[Cause]:
    """Yield the problems, the worst first.

    Args:
        scheduled: The runs that a schedule started, in the order in which they ended.
        unusual: What is unusual.
        now: The moment.
        max_age: How old the last run may be; None if that is not judged.
    """
    yield from _failed([run for run in scheduled if run.ending != STOPPED])
    yield from _too_old(scheduled, now, max_age)
    for one in _problems(unusual):
        yield Cause(UNUSUAL, f"{one.stream}: {one.words}", one.since, "", one.rule)


def _problems(unusual: Iterable[Unusual]) -> list[Unusual]:
    """Return what is unusual, the oldest first; dead letters of a new reason are one problem."""
    found = list(unusual)
    many = {one.stream for one in found if one.rule == "dead_letters"}
    new = [
        one
        for one in found
        if one.rule == "new_reason"
        and one.stream in many
        and (one.subject not in REASONS or REASONS[one.subject].letter)
    ]
    for one in new:
        found.remove(one)
    for n, one in enumerate(found):
        if one.rule == "dead_letters":
            moments = [one.since, *(other.since for other in new if other.stream == one.stream)]
            found[n] = msgspec.structs.replace(one, since=min(moments))
    return sorted(found, key=lambda one: one.since)


def _failed(judged: Sequence[RunRecord]) -> Iterator[Cause]:
    failed = _not_made_up_for(judged)
    if not failed:
        return
    first, last = failed[-1], failed[0]
    of, where = "", ""
    if last is not judged[-1]:  # Another loader, with streams of its own, has succeeded since then.
        of = " of " + ", ".join(sorted({stream for run in failed for stream in run.streams}))
        where = f" (run {last.run_id})"
    runs = "The last run" if len(failed) == 1 else f"The last {len(failed):,} runs"
    yield Cause(
        FAILED,
        f"{runs}{of} failed{where}: {last.message}",
        first.ended_at,
        "Do what the message says. The next scheduled run sends the missing conversions.",
        of.removeprefix(" of "),
    )


def _not_made_up_for(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the failed runs whose streams no later run has sent, the newest first.

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
        yield Cause(NO_RUN, "There is no run in the history", None, what_to_do)
        return
    last = scheduled[-1].ended_at
    if max_age is not None and now - last > max_age:
        age = age_words((now - last).total_seconds())
        yield Cause(NO_RUN, f"There has been no run for {age}", last, what_to_do)


class Change(msgspec.Struct, frozen=True):
    """A day on which the settings or the version changed, and what changed, in words."""

    day: dt.date
    words: list[str]


def changes_of(usual_runs: Iterable[RunRecord]) -> list[Change]:
    """Return the changes, the newest first.

    A run is compared with the one before it that had the same streams: two loaders of the same
    pixel may have different settings.

    Args:
        usual_runs: Runs in the order in which they ended.
    """
    before: dict[frozenset[str], dict[str, str]] = {}
    found: dict[dt.date, dict[str, None]] = {}
    for run in usual_runs:
        streams = frozenset(run.streams)
        new = {"version": run.version, **run.settings}
        old = before.get(streams, new)
        before[streams] = new
        for name in sorted(old.keys() & new.keys()):
            if old[name] != new[name]:
                became = "" if name in DIGESTED else f": {old[name]} became {new[name]}"
                words = f"`{name}`{became}" if became else f"`{name}` changed"
                found.setdefault(run.day, {})[words] = None
    return [Change(day, list(words)) for day, words in reversed(found.items())]


def advise(recent: StreamCounts) -> list[str]:
    """Return a sentence for each improvement, the most useful first.

    Args:
        recent: What the usual runs of the last 30 days did.
    """
    found = []
    for column, sources, words in _GAPS:
        events = recent.having("events", sources)
        missing = events - recent.having(column, sources)
        if missing > events * _TOLERATED:
            some = "" if sources == ALL_SOURCES else f"{' and '.join(sources)} "
            share = percent(missing, events)
            found.append(f"{counted(missing, f'{some}conversion')} ({share}) {words}")
    if recent.within_an_hour < recent.delivered * _FRESH:
        share = percent(recent.late, recent.delivered)
        found.append(
            f"{counted(recent.late, 'conversion')} ({share}) sent more than an hour after they"
            " happened: run the program more often."
        )
    return found
