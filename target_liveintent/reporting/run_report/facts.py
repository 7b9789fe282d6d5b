"""Gathers the facts of a run report from the counts, the tally and the settings of a run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from target_liveintent.conversions import DAY, WINDOWS
from target_liveintent.privacy import without_secrets
from target_liveintent.reasons import MAY_HAVE_COUNTED, REASONS
from target_liveintent.reporting.run_report.advice import advise
from target_liveintent.reporting.run_report.model import (
    VERSION,
    AgeStep,
    Coverage,
    Ending,
    Facts,
    Freshness,
    LatencyStep,
    NotSent,
    Outcomes,
    OverTime,
    Requests,
)
from target_liveintent.reporting.run_report.tally import HOUR, Histogram, Tally
from target_liveintent.reporting.run_report.words import age_words, percent
from target_liveintent.run import RunCounts, StreamCounts, counted
from target_liveintent.settings import Settings


def gather(  # noqa: PLR0913 (an argument for each thing that a report is made of)
    counts: RunCounts,
    tally: Tally,
    settings: Settings,
    ending: Ending,
    *,
    target: str,
    run_id: str,
    now: float,
) -> Facts:
    """Gather the facts of a run that is over.

    It ended at the Unix time `now`; `target` is the program's name and version.
    """
    total = counts.total
    facts = Facts(
        version=VERSION,
        target=target,
        run_id=run_id,
        started_at=_moment(now - counts.seconds),
        ended_at=_moment(now),
        seconds=round(counts.seconds, 3),
        ending=ending.kind,
        message=ending.message and without_secrets(ending.message),
        dry_run=counts.dry_run,
        limit=settings.limit,
        timezone=str(settings.events.zone),
        conclusions=[],
        advice=[],
        total=_outcomes(None, total),
        streams=[_outcomes(name, of_stream) for name, of_stream in counts.streams.items()],
        not_sent=[
            NotSent(reason, records, REASONS[reason].letter, counts.what_to_do(reason))
            for reason, records in (total.rejected + total.dropped).most_common()
        ],
        over_time=OverTime(tally.timeline.width, tally.timeline.steps),
        coverage=[
            Coverage(without_secrets(one.stream), one.source, one.events, one.having)
            for one in tally.coverage()
        ],
        freshness=[_freshness(*found) for found in tally.ages_by_source().items()],
        value=tally.values(),
        requests=_requests(counts, tally.latencies),
    )
    facts.advice = advise(facts)
    facts.conclusions = list(_conclusions(facts))
    return facts


def _moment(unix_time: float) -> str:
    moment = dt.datetime.fromtimestamp(unix_time, dt.timezone.utc)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _outcomes(stream: str | None, counts: StreamCounts) -> Outcomes:
    return Outcomes(
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
        currencies=counts.amounts.figures,
    )


def _freshness(source: str, ages: Histogram) -> Freshness:
    return Freshness(
        source=source,
        events=ages.total,
        within_an_hour=ages.up_to(HOUR),
        within_a_day=ages.up_to(DAY),
        window_days=WINDOWS.get(source, 0) // DAY,
        oldest_seconds=round(ages.largest),
        steps=[AgeStep(*step) for step in ages.steps],
    )


def _requests(counts: RunCounts, latencies: Histogram) -> Requests:
    return Requests(
        count=counts.requests,
        retries=counts.retries,
        throttled=counts.throttled,
        half_within=round(latencies.quantile(0.5), 4),
        most_within=round(latencies.quantile(0.95), 4),
        longest=round(latencies.largest, 4),
        steps=[LatencyStep(*step) for step in latencies.steps],
    )


def _conclusions(facts: Facts) -> Iterator[str]:
    """Yield the first lines: what LiveIntent has and lacks, how late it was, what to do first."""
    sent = counted(facts.total.delivered, "conversion")
    if facts.dry_run:
        yield f"A dry run: {sent} would be sent. LiveIntent has none of them."
    else:
        yield f"LiveIntent has {sent} from this run.{_earlier_and_unconfirmed(facts)}"
    yield _missing(facts)
    if facts.total.not_replayed:
        yield f"Not replayed, and kept: {counted(facts.total.not_replayed, 'dead letter')}."
    if facts.freshness:
        yield _lateness(facts)
    if facts.advice:
        yield f"To match more: {facts.advice[0]}"


def _earlier_and_unconfirmed(facts: Facts) -> str:
    repeated = facts.count_of("already_sent")
    unconfirmed = sum(map(facts.count_of, MAY_HAVE_COUNTED))
    # From an earlier run, or earlier in this one.
    words = (
        f" LiveIntent already had the events of {counted(repeated, 'more record')}."
        if repeated
        else ""
    )
    if unconfirmed:
        words += f" LiveIntent may have {unconfirmed:,} more, but has not confirmed them."
    return words


def _missing(facts: Facts) -> str:
    if not facts.missing:
        if not facts.total.read:
            return "There were no records."
        selected = "this replay may send" if facts.is_replay else "your maps select"
        return f"No record that {selected} was left out."
    not_sent = [one for one in facts.not_sent if one.reason != "already_sent"]
    reasons = [f"{one.records:,} `{one.reason}`" for one in not_sent]
    if facts.total.unsettled:
        reasons.append(f"{facts.total.unsettled:,} without an outcome, which the next run sends")
    were = "was" if facts.missing == 1 else "were"
    verb = "would not be" if facts.dry_run else f"{were} not"
    words = f"{counted(facts.missing, 'record')} {verb} sent: {', '.join(reasons)}."
    if not_sent:
        words += f" `{not_sent[0].reason}`: {not_sent[0].what_to_do}"
    return words


def _lateness(facts: Facts) -> str:
    events = sum(one.events for one in facts.freshness)
    hour = percent(sum(one.within_an_hour for one in facts.freshness), events)
    day = percent(sum(one.within_a_day for one in facts.freshness), events)
    oldest = max(one.oldest_seconds for one in facts.freshness)
    were = "would be" if facts.dry_run else "were"
    words = (
        f"{hour} of the conversions {were} sent within an hour after they happened, and {day}"
        f" within a day. The oldest conversion was {age_words(oldest)} old."
    )
    if too_late := facts.count_of("event_too_old"):
        words += f" {too_late:,} more were too old to be sent."
    return words
