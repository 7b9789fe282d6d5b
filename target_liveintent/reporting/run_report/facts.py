"""What a run report says: the counts and the tally as one value, the same for page and JSON.

The JSON beside the page is `Facts`, field by field; docs/run-report.md describes it. Whatever
changes the meaning of a field changes `VERSION`.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import msgspec

from target_liveintent.conversions.model import DAY, WINDOWS
from target_liveintent.privacy.logs import without_secrets
from target_liveintent.reasons import REASONS
from target_liveintent.reporting.run_report.advice import age_words, gaps, percent
from target_liveintent.reporting.run_report.tally import AGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from target_liveintent.reporting.run_report.tally import Histogram, Tally
    from target_liveintent.run.counts import RunCounts, StreamCounts
    from target_liveintent.settings import Settings

VERSION = 1
HOUR = 3_600
DONE, FAILED, STOPPED = "done", "failed", "stopped"
"""How a run can end."""


class Fates(msgspec.Struct):
    """Records of a stream by fate; of all streams where `stream` is null."""

    stream: str | None
    read: int
    delivered: int
    rejected: int
    dropped: int
    filtered: int
    unmapped: int
    not_replayed: int
    unsettled: int
    left_out: dict[str, int]


class NotSent(msgspec.Struct):
    """Records that were not sent for one reason."""

    reason: str
    records: int
    dead_letter: bool
    what_to_do: str


class StepOfTime(msgspec.Struct):
    """Records by fate in one step of the run's time."""

    delivered: int
    rejected: int
    dropped: int
    unused: int


class OverTime(msgspec.Struct):
    """Fates over the time of the run, in steps of so many seconds."""

    seconds_a_step: int
    steps: list[StepOfTime]


class Covered(msgspec.Struct):
    """Of the events of a stream and source, how many have each identifier."""

    stream: str
    source: str
    events: int
    having: dict[str, int]


class StepOfAge(msgspec.Struct):
    """How many events were older than the step before, and at most this old, in seconds."""

    up_to: float | None
    events: int


class Freshness(msgspec.Struct):
    """How old the events of a source were when they were sent."""

    source: str
    events: int
    within_an_hour: int
    within_a_day: int
    window_days: int
    oldest_seconds: float
    steps: list[StepOfAge]


class ValueOfDay(msgspec.Struct):
    """What the conversions of a currency and a day are worth; the exact sum, as text."""

    currency: str
    day: str
    events: int
    value: str


class StepOfLatency(msgspec.Struct):
    """How many requests took longer than the step before, and at most so many seconds."""

    up_to: float | None
    requests: int


class Requests(msgspec.Struct):
    """Requests, and how long they took, in seconds; shares are known to a step's width."""

    count: int
    retries: int
    half_within: float
    most_within: float
    longest: float
    steps: list[StepOfLatency]


class Facts(msgspec.Struct):
    """A run, in numbers and in a few sentences."""

    version: int
    target: str
    started_at: str
    ended_at: str
    seconds: float
    ending: str
    message: str | None
    dry_run: bool
    limit: int | None
    timezone: str
    conclusions: list[str]
    advice: list[str]
    total: Fates
    streams: list[Fates]
    not_sent: list[NotSent]
    over_time: OverTime
    coverage: list[Covered]
    freshness: list[Freshness]
    value: list[ValueOfDay]
    requests: Requests


class Ending(msgspec.Struct, frozen=True):
    """How a run ended.

    Attributes:
        kind: `DONE`, `FAILED` or `STOPPED`.
        message: The last line that the user was told, where it did not end well.
    """

    kind: str
    message: str | None = None


def gather(
    report: RunCounts, tally: Tally, settings: Settings, ending: Ending, target: str
) -> Facts:
    """Say what there is to say of a run.

    Args:
        report: The counts.
        tally: What was delivered.
        settings: The settings.
        ending: How it ended.
        target: The program's name and version.
    """
    now = dt.datetime.now(dt.timezone.utc)
    coverage = [
        Covered(without_secrets(stream), source, events, having)
        for stream, source, events, having in tally.coverage()
    ]
    facts = Facts(
        version=VERSION,
        target=target,
        started_at=_moment(now - dt.timedelta(seconds=report.seconds)),
        ended_at=_moment(now),
        seconds=round(report.seconds, 3),
        ending=ending.kind,
        message=ending.message and without_secrets(ending.message),
        dry_run=report.dry_run,
        limit=settings.limit,
        timezone=str(settings.events.zone),
        conclusions=[],
        advice=[],
        total=_fates(None, report.total),
        streams=[_fates(name, counts) for name, counts in report.streams.items()],
        not_sent=list(_not_sent(report.total)),
        over_time=OverTime(
            tally.timeline.width, [StepOfTime(*step) for step in tally.timeline.steps]
        ),
        coverage=coverage,
        freshness=[_freshness(*found) for found in sorted(tally.ages.items())],
        value=[
            ValueOfDay(currency, day.isoformat(), events, str(value))
            for currency, day, events, value in tally.values()
        ],
        requests=_requests(report, tally.latencies),
    )
    facts.advice = list(gaps(facts))
    facts.conclusions = list(_conclusions(facts))
    return facts


def _moment(when: dt.datetime) -> str:
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def _fates(stream: str | None, counts: StreamCounts) -> Fates:
    return Fates(
        stream=stream and without_secrets(stream),
        read=counts.read,
        delivered=counts.delivered,
        rejected=counts.rejected.total(),
        dropped=counts.dropped.total(),
        filtered=counts.filtered,
        unmapped=counts.unmapped,
        not_replayed=counts.not_replayed.total(),
        unsettled=counts.unsettled,
        left_out=dict(counts.left_out.most_common()),
    )


def _not_sent(total: StreamCounts) -> Iterator[NotSent]:
    for reason, records in (total.rejected + total.dropped).most_common():
        known = REASONS[reason]
        yield NotSent(reason, records, known.letter, known.meaning)


def _freshness(source: str, ages: Histogram) -> Freshness:
    steps = [StepOfAge(*step) for step in zip([*ages.bounds, None], ages.counts, strict=True)]
    within = WINDOWS.get(source, 0) // DAY
    return Freshness(
        source, ages.total, ages.up_to(HOUR), ages.up_to(DAY), within, round(ages.largest), steps
    )


def _requests(report: RunCounts, latencies: Histogram) -> Requests:
    steps = zip([*latencies.bounds, None], latencies.counts, strict=True)
    return Requests(
        count=report.requests,
        retries=report.retries,
        half_within=round(latencies.quantile(0.5), 4),
        most_within=round(latencies.quantile(0.95), 4),
        longest=round(latencies.largest, 4),
        steps=[StepOfLatency(bound, count) for bound, count in steps],
    )


def _conclusions(facts: Facts) -> Iterator[str]:
    """The first lines: how many there are, which did not go, how late they were, what to do."""
    sent = facts.total.delivered
    if facts.dry_run:
        yield f"A dry run: {_conversions(sent)} would be sent. LiveIntent has none of them."
    else:
        yield f"LiveIntent has {_conversions(sent)} of this run.{_perhaps(facts.not_sent)}"
    yield _did_not_go(facts)
    if sent:
        yield _how_late(facts)
    if facts.advice:
        yield f"To match more: {facts.advice[0]}"


def _conversions(count: int) -> str:
    return f"{count:,} conversion{'' if count == 1 else 's'}"


def _perhaps(not_sent: Sequence[NotSent]) -> str:
    counts = {one.reason: one.records for one in not_sent}
    before, open_ = counts.get("already_sent", 0), counts.get("unconfirmed", 0)
    words = f" It has {before:,} more from earlier runs." if before else ""
    return words + (f" It may have {open_:,} more, which it did not confirm." if open_ else "")


def not_gone(facts: Facts) -> int:
    """Records that should have gone, as far as the map says, and did not."""
    before = sum(one.records for one in facts.not_sent if one.reason == "already_sent")
    return facts.total.rejected + facts.total.dropped + facts.total.unsettled - before


def _did_not_go(facts: Facts) -> str:
    missing = not_gone(facts)
    if not missing:
        return "Nothing that your maps select was held back." if facts.total.read else "No records."
    reasons = [
        f"{one.records:,} `{one.reason}`" for one in facts.not_sent if one.reason != "already_sent"
    ]
    if facts.total.unsettled:
        reasons.append(f"{facts.total.unsettled:,} without a fate, which the next run sends")
    would = "would not go" if facts.dry_run else "did not go"
    words = f"{missing:,} record{'' if missing == 1 else 's'} {would}: {', '.join(reasons)}."
    most = next((one for one in facts.not_sent if one.reason != "already_sent"), None)
    return f"{words} `{most.reason}`: {most.what_to_do}" if most else words


def _how_late(facts: Facts) -> str:
    events = sum(one.events for one in facts.freshness)
    hour = percent(sum(one.within_an_hour for one in facts.freshness), events)
    day = percent(sum(one.within_a_day for one in facts.freshness), events)
    oldest = max((one.oldest_seconds for one in facts.freshness), default=0.0)
    late = sum(one.records for one in facts.not_sent if one.reason == "event_too_old")
    were = "would be" if facts.dry_run else "were"
    words = (
        f"{hour} {were} sent within an hour of happening, {day} within a day; the oldest was"
        f" {age_words(oldest)} old."
    )
    return words + (f" {late:,} more come too late to be sent at all." if late else "")


assert HOUR in AGES  # noqa: S101 (steps that `up_to` is asked for)
assert DAY in AGES  # noqa: S101
