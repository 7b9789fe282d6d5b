"""The last lines of a run's log: what became of the records, what may be wrong, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from target_liveintent.mapping.map_checks import unused_zone
from target_liveintent.privacy.identity import IDENTITY_COLUMNS
from target_liveintent.reasons import REASONS
from target_liveintent.run.amounts import counted, currency_figures
from target_liveintent.run.counts import RunCounts, StreamCounts
from target_liveintent.run.doubts import warnings_of, what_to_do

_LEAST_EVENTS_TO_WARN = 10
"""With at least so many delivered events, a column that is always empty is probably a mistake."""
_LEAST_DROPPED_TO_WARN = 10
"""With at least so many records without consent, and no others, there is probably a mistake."""


def lines(counts: RunCounts) -> Iterator[str]:
    """Return the summary: a line for each stream and currency, then the total."""
    for stream, one in counts.streams.items():
        yield f"{stream}: {_words(one, dry_run=counts.dry_run)}"
        figures = currency_figures(one.values)
        yield from (f"{stream}: {figure.words}" for figure in figures)
    yield (
        f"total: {_words(counts.total, dry_run=counts.dry_run)}; {counts.requests} requests,"
        f" {counts.retries} retries, {counts.throttled} throttled, {counts.seconds:.1f} s"
    )


def _words(one: StreamCounts, *, dry_run: bool) -> str:
    would = "would be " if dry_run else ""
    outcomes: dict[str, int | Counter[str] | None] = {
        "read": one.read,
        "filtered": one.filtered,
        "unmapped": one.unmapped,
        f"{would}delivered": one.delivered,
        f"{would}dead-lettered": one.rejected,
        "dropped": one.dropped or None,
        "not replayed": one.not_replayed or None,
        "not settled": one.unsettled or None,
    }
    parts = [
        f"{name} {count}" if isinstance(count, int) else f"{name} {count.total()}{_names(count)}"
        for name, count in outcomes.items()
        if count is not None
    ]
    return ", ".join(parts) + (f"; left out{_names(one.left_out)}" if one.left_out else "")


def _names(counter: Counter[str]) -> str:
    named = ", ".join(f"{name} {count}" for name, count in counter.most_common())
    return f" ({named})" if named else ""


def warnings(counts: RunCounts, timezone: str = "UTC") -> Iterator[str]:
    """Return what may be wrong with a run that ended well, given the setting `timezone`."""
    for stream, one in counts.streams.items():
        yield from _lost(stream, one)
        yield from (f"{stream}: {line}" for line in warnings_of(one))
    yield from _unused_zone(counts, timezone)
    if counts.unproven:
        yield (
            f"the API refused {counted(counts.unproven, 'event')} when there were no later events"
            " left to compare them with, so the cause may be in the events or in the settings. They"
            " became dead letters. If they look right, check pixel_id, then replay them; if you"
            " correct pixel_id, with --other-accounts, because they still belong to the old pixel"
        )


def _lost(stream: str, one: StreamCounts) -> Iterator[str]:
    """Return how many records of a stream were lost, for each reason that is not usual."""
    lost = {reason: n for reason, n in one.rejected.items() if REASONS[reason].is_bad}
    without_consent = one.dropped["no_consent"]
    # Consent is judged before all other reasons except these.
    unjudged = one.filtered + one.unmapped + one.rejected["mapping_failed"] + one.dropped["deleted"]
    if without_consent >= _LEAST_DROPPED_TO_WARN and one.read == unjudged + without_consent:
        lost["no_consent"] = without_consent
    for reason, count in lost.items():
        yield (
            f"{stream}: {count:,} of {counted(one.read, 'record')} not delivered because of"
            f" {reason}. The summary at the end of the log says what to do"
        )


def _unused_zone(counts: RunCounts, timezone: str) -> Iterator[str]:
    """Warn if `timezone` has no effect on any stream. Before a replay, another run has warned."""
    streams = counts.streams
    if counts.kind.reads_source and not any(one.zone_uses for one in streams.values()):
        timed = (
            n for n, one in streams.items() if one.delivered or one.rejected["event_in_future"]
        )
        yield from unused_zone(timezone, [*timed])


def advice(counts: RunCounts, place: str | None) -> Iterator[str]:
    """Return what was not sent and what to do about it: a line for each reason.

    Dead letters are in the place; with None, nothing is said of it.
    """
    for stream, one in counts.streams.items():
        yield from (
            f"{stream}: {column} is empty in all events. To see what is mapped to this"
            " column, and which names are misspelled, run target-liveintent explain"
            for column in one.always_empty
            if one.delivered >= _LEAST_EVENTS_TO_WARN and column not in IDENTITY_COLUMNS
        )
    total = counts.total
    for reason, count in (total.not_sent + total.not_replayed).most_common():
        yield f"{reason} {count}: {what_to_do(reason, counts.streams)}"
    if (total.rejected or total.not_replayed) and place is not None and not counts.dry_run:
        yield (
            f"dead letters are in {place}; to see what to do, and which dead letters a replay"
            " can send, run target-liveintent dead-letters (in Meltano: meltano invoke"
            " target-liveintent:dead-letters)"
        )
