"""The last lines of a run's log: what became of the records, what may be wrong, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from target_liveintent.conversions.amounts import counted, currency_figures
from target_liveintent.mapping.map_checks import unused_zone
from target_liveintent.privacy.identity import IDENTITY_COLUMNS
from target_liveintent.reasons import REASONS
from target_liveintent.remarks import COLUMN_EMPTY, COLUMN_UNUSABLE, HASH_CONFLICT, LOCAL_TIME
from target_liveintent.run.counts import RunCounts, StreamCounts
from target_liveintent.run.doubts import (
    partial_answer_assumed,
    slower_way,
    stream_warnings,
    what_to_do,
)
from target_liveintent.settings import PartialAnswer

_LEAST_EVENTS_TO_WARN = 10
"""From this number of delivered events on, a column that is always empty is probably a mistake."""
_LEAST_DROPPED_TO_WARN = 10
"""If this number of records or more lack consent, and none has it, there is probably a mistake."""


def summary_lines(counts: RunCounts) -> Iterator[str]:
    """Yield the summary: a line for each stream and currency, then the total."""
    for stream, stream_counts in counts.streams.items():
        yield f"{stream}: {_outcomes(stream_counts, dry_run=counts.dry_run)}"
        for figures in currency_figures(stream_counts.values):
            yield f"{stream}: {figures.words}"
    yield (
        f"total: {_outcomes(counts.total, dry_run=counts.dry_run)}; {counts.requests} requests,"
        f" {counts.retries} retries, {counts.throttled} throttled, {counts.seconds:.1f} s"
    )


def _outcomes(counts: StreamCounts, *, dry_run: bool) -> str:
    would = "would be " if dry_run else ""
    parts = [
        f"read {counts.read}",
        f"filtered {counts.filtered}",
        f"unmapped {counts.unmapped}",
        f"{would}delivered {counts.delivered}",
        f"{would}dead-lettered {_by_reason(counts.rejected)}",
    ]
    if counts.dropped:
        parts.append(f"dropped {_by_reason(counts.dropped)}")
    if counts.not_replayed:
        parts.append(f"not replayed {_by_reason(counts.not_replayed)}")
    if counts.without_outcome:
        parts.append(f"without an outcome {counts.without_outcome}")
    left_out = _left_out(counts)
    return ", ".join(parts) + (f"; left out ({_names(left_out)})" if left_out else "")


def _left_out(counts: StreamCounts) -> Counter[str]:
    """Return how many values events lack, by the words in the summary, such as `ip empty`."""
    left_out = Counter({f"{name} empty": n for name, n in counts.noted(COLUMN_EMPTY).items()})
    left_out += counts.noted(COLUMN_UNUSABLE)
    if conflicts := counts.noted(HASH_CONFLICT).total():
        left_out["conflict"] = conflicts
    return left_out


def _by_reason(counter: Counter[str]) -> str:
    return f"{counter.total()} ({_names(counter)})" if counter else "0"


def _names(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())


def warnings(
    counts: RunCounts, timezone: str | None = None, partial_answer: PartialAnswer | None = None
) -> Iterator[str]:
    """Yield what may be wrong with a run, given some of its settings.

    If `timezone` is None, there is no warning about this setting.
    """
    for stream, stream_counts in counts.streams.items():
        yield from _lost(stream, stream_counts)
        yield from (f"{stream}: {doubt.words}" for doubt in stream_warnings(stream_counts))
    if timezone is not None:
        yield from _unused_zone(counts, timezone)
    assumed = partial_answer_assumed(counts)
    if assumed is not None and partial_answer is None:
        yield assumed.words
    if counts.unproven:
        yield (
            f"the API refused {counted(counts.unproven, 'event')} when there were no later events"
            " to compare them with. So the cause may be in the events or in the settings. The"
            " events became dead letters. If they look right, check pixel_id, and replay the dead"
            " letters. If you correct pixel_id, replay them with --other-accounts, because they"
            " still belong to the old pixel"
        )


def _lost(stream: str, counts: StreamCounts) -> Iterator[str]:
    """Yield how many records of a stream were lost, for each reason that good runs do not have."""
    lost = {reason: n for reason, n in counts.rejected.items() if REASONS[reason].is_bad}
    lost |= {reason: n for reason, n in counts.not_replayed.items() if reason == "not_tried"}
    without_consent = counts.dropped["no_consent"]
    # Consent is checked before all other reasons except these.
    unjudged = counts.filtered + counts.unmapped
    unjudged += counts.rejected["mapping_failed"] + counts.dropped["deleted"]
    if without_consent >= _LEAST_DROPPED_TO_WARN and counts.read == unjudged + without_consent:
        lost["no_consent"] = without_consent
    for reason, count in lost.items():
        yield (
            f"{stream}: {count:,} of {counted(counts.read, 'record')} not delivered because of"
            f" {reason}. The summary at the end of the log says what to do"
        )


def _unused_zone(counts: RunCounts, timezone: str) -> Iterator[str]:
    """Warn if `timezone` has no effect on any stream; before a replay, another run has warned."""
    streams = counts.streams
    is_used = any(figures.noted(LOCAL_TIME) for figures in streams.values())
    if is_used or not counts.kind.reads_source:
        return
    timed = [
        name
        for name, figures in streams.items()
        if figures.delivered or figures.rejected["event_in_future"]
    ]
    finding = unused_zone(timezone, timed)
    if finding is not None:
        yield finding.words


def advice(counts: RunCounts, place: str | None) -> Iterator[str]:
    """Yield what was not sent and what to do about it: a line for each reason.

    `place` is where the dead letters are; with None, no line names it.
    """
    for stream, stream_counts in counts.streams.items():
        if stream_counts.delivered >= _LEAST_EVENTS_TO_WARN:
            yield from (
                f"{stream}: {column} is empty in all events. To see what is mapped to this"
                " column, and which names are misspelled, run target-liveintent explain"
                for column in stream_counts.always_empty
                if column not in IDENTITY_COLUMNS
            )
    for stream, stream_counts in counts.streams.items():
        slower = slower_way(stream_counts)
        if slower is not None:
            yield f"{stream}: {slower.words}"
    total = counts.total
    for reason, count in (total.not_sent + total.not_replayed).most_common():
        yield f"{reason} {count}: {what_to_do(reason, counts.streams).words}"
    if (total.rejected or total.not_replayed) and place is not None and not counts.dry_run:
        yield (
            f"dead letters are in {place}; to see what to do, and which dead letters a replay"
            " can send, run target-liveintent dead-letters (in Meltano: meltano invoke"
            " target-liveintent:dead-letters)"
        )
