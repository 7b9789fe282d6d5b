"""Finds in a history what needs attention: problems, changes, and missing identifiers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from target_liveintent.reasons import REASONS
from target_liveintent.reporting.history import DIGESTED, FAILED, STOPPED, RunRecord, Unusual
from target_liveintent.reporting.usual_range import age_words, percent
from target_liveintent.run.amounts import counted
from target_liveintent.run.counts import ALL_SOURCES, StreamCounts

NO_RUN, UNUSUAL = "no_run", "unusual"
"""Causes of bad health, beside `FAILED`."""
_NO_RUN_ADVICE = "Check whether the schedule still starts the run, and read the log of the run."
_FORGOTTEN = dt.timedelta(days=2)
"""After this time, a failure no longer counts if runs with other streams have succeeded."""
_TOLERATED = 0.05
"""The share of conversions that may lack something before it is mentioned."""
_FRESH = 0.5
"""The share that should be sent within an hour; LiveIntent's guide advises it for all events."""
_WEB, _APP = ("web",), ("app",)
_GAPS = (
    ("both", ALL_SOURCES, "without both hashes of the address: supply the address as `email`."),
    ("ip", _WEB + _APP, "without an IP address: supply the buyer's IP address as `ip`."),
    ("user_agent", _WEB + _APP, "without the name of the browser: supply it as `user_agent`."),
    ("device_id", _APP, "without a device ID: supply it as `idfa` (Apple) or `aaid` (Android)."),
    ("decision_id", _WEB, "without a decision ID: supply the URL of the page as `source_url`."),
    ("order_id", ALL_SOURCES, "without an order ID, so nobody can compare it: supply `order_id`."),
    ("value", ALL_SOURCES, "without a value: supply the value as `value`."),
)
"""Columns that conversions of some sources should have, and what to do; the most useful first."""


class Cause(msgspec.Struct, frozen=True):
    """A problem, for those who run the program: `failed`, `no_run` or `unusual`.

    The subject is the rule of something unusual, or the streams that failed.
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
    """Yield the problems of runs that a schedule started, the worst first."""
    yield from _failed([run for run in scheduled if run.ending != STOPPED])
    last = scheduled[-1].ended_at if scheduled else None
    if last is None or (max_age is not None and now - last > max_age):
        age = last and age_words((now - last).total_seconds())
        words = f"There has been no run for {age}" if age else "There is no run in the history"
        yield Cause(NO_RUN, words, last, _NO_RUN_ADVICE)
    # What many records have in common matters more than that a few have a new reason.
    found = sorted(unusual, key=lambda one: (one.rule == "new_reason", one.since))
    many = {one.stream for one in found if one.rule == "dead_letters"}
    for one in found:
        if one.stream in many and _is_letter(one):
            continue  # A new reason is one problem with the many dead letters.
        since = [one.since]
        if one.rule == "dead_letters":  # They may be many since the first one of a new reason.
            since += [new.since for new in found if new.stream == one.stream and _is_letter(new)]
        yield Cause(UNUSUAL, f"{one.stream}: {one.words}", min(since), "", one.rule)


def _is_letter(one: Unusual) -> bool:
    return one.rule == "new_reason" and (one.subject not in REASONS or REASONS[one.subject].letter)


def _failed(judged: Sequence[RunRecord]) -> Iterator[Cause]:
    """Yield a problem if there are failed runs whose streams no later run has sent.

    Two loaders may send different streams of one pixel; then a good run of one does not show that
    the other works. But what did not come for long may have another name by now.
    """
    failed: list[RunRecord] = []
    well: set[str] = set()
    for run in reversed(judged):
        if run.ending != FAILED:
            well.update(run.streams)
            if not run.streams:  # Nobody knows whose run it was.
                break
        elif not well or (
            judged[-1].ended_at - run.ended_at < _FORGOTTEN
            and run.streams
            and well.isdisjoint(run.streams)
        ):
            failed.append(run)
    if failed:
        # Where the last run did not fail, another loader has succeeded since then.
        others = [] if failed[0] is judged[-1] else failed
        streams = ", ".join(sorted({name for run in others for name in run.streams}))
        runs = "run" if len(failed) == 1 else f"{len(failed):,} runs"
        yield Cause(
            FAILED,
            f"The last {runs}{streams and f' of {streams}'} failed: {failed[0].message}",
            failed[-1].ended_at,
            "Do what the message says. The next scheduled run sends the missing conversions.",
            streams,
        )


def changes_of(usual_runs: Iterable[RunRecord]) -> dict[dt.date, list[str]]:
    """Return what changed in the settings or the version on a day, the newest first.

    A run is compared with the one before it that had the same streams: two loaders of the same
    pixel may have different settings.
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
                said = " changed" if name in DIGESTED else f": {old[name]} became {new[name]}"
                found.setdefault(run.day, {})[f"`{name}`{said}"] = None
    return {day: list(words) for day, words in reversed(found.items())}


def advise(recent: StreamCounts) -> list[str]:
    """Return a sentence for each improvement of recent conversions, the most useful first."""
    found = []
    for column, sources, words in _GAPS:
        events = recent.having("events", sources)
        missing = events - recent.having(column, sources)
        if missing > events * _TOLERATED:
            some = "" if sources == ALL_SOURCES else f"{' and '.join(sources)} "
            share = percent(missing, events)
            found.append(f"{counted(missing, f'{some}conversion')} ({share}) {words}")
    if recent.timing.within_an_hour < recent.delivered * _FRESH:
        share = percent(recent.late, recent.delivered)
        found.append(
            f"{counted(recent.late, 'conversion')} ({share}) sent more than an hour after they"
            " happened: run the program more often."
        )
    return found
