"""What is probably a mistake in the records of a stream, what to do about it, why a run fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from target_liveintent.conversions.coerce import FIELDS
from target_liveintent.privacy.identity import IDENTITY_COLUMNS
from target_liveintent.reasons import NEVER_TAKEN, NO_IDENTITY, REASONS
from target_liveintent.run.amounts import counted
from target_liveintent.run.counts import OUT_OF_RANGE, RunCounts, StreamCounts

_SHARE = 0.05
"""If more events lack a column, this is not an exception."""
_LEAST = 5
"""Fewer events may be an exception, whatever their share is."""
_MOST_SHOWN = 5
"""So many values of the column `source` are shown."""
_LEAST_RECORDS_TO_FAIL = 100
"""With at least so many records, the share of dead letters is judged at the end of a run."""
_LEAST_RECORDS_AT_STATE = 1_000
"""The same before a STATE is written: a few bad rows at the start say little about a run."""
_LEAST_LOST_TO_FAIL = 10
"""With at least so many dead letters, a run fails if it delivers nothing."""
_HINTS = {"decision_id": ", or the li_did in source_url, which must be a UUID"}
_UNLIMITED = 100
"""The percentage that turns both rules about dead letters off."""


def warnings_of(counts: StreamCounts, least: int = _LEAST) -> Iterator[str]:
    """Yield what is probably wrong with a stream, in sentences without its name.

    `least` is the number of events from which on a share of them is judged.
    """
    yield from _columns_left_out(counts, least)
    yield from _ids(counts, least)
    if counts.mapped and counts.filtered == counts.read >= least:
        yield (
            f"the filter of the map removes all {counts.read:,} records. A filter takes each text"
            " but the empty one as true, also '0' and 'false', which CSV files have: write"
            " is_true(get('is_test')) instead of get('is_test')"
        )
    read = counts.read - counts.filtered - counts.unmapped
    found = {reason: counts.rejected[reason] for reason in OUT_OF_RANGE}
    total = sum(found.values())
    if total >= _LEAST and total * 2 > read:
        most = max(found, key=lambda reason: found[reason])
        forms = "".join(f", such as {form}" for form in _most_frequent(counts, most, 1))
        yield (
            f"{total:,} of {read:,} records are too old or in the future{forms}. A first run"
            " over older rows is normal. Otherwise, check what is mapped to event_time, and the"
            " setting timezone"
        )
    amount = counts.values.get("")
    values = sum(one.conversions for one in counts.values.values())
    if amount and (amount.conversions == values or _is_frequent(amount.conversions, values, least)):
        yield (
            f"in {counted(amount.conversions, 'conversion')}, the value has no currency. Check"
            " whether a column is mapped to currency, and what it contains"
        )


def _columns_left_out(counts: StreamCounts, least: int) -> Iterator[str]:
    """Yield the columns that many events lack, or which identify nobody in any event."""
    events = counts.events
    for field in FIELDS:
        name, count = field.name, min(counts.left_out[field.name], events)
        empty = counts.left_out[f"{name} empty"]
        if name in IDENTITY_COLUMNS and empty and least <= events <= count + empty:
            yield (
                f"{name} is empty{' or unusable' if count else ''} in all events ({events:,})."
                f" Check what is mapped to {name}: a path in get('…') may be misspelled"
            )
        elif _is_frequent(count, events, least):
            causes = "".join(f": {cause}" for cause in _most_frequent(counts, name, 1))
            yield (
                f"{name} is left out of {count:,} of {events:,} events{causes}. Check what is"
                f" mapped to {name}{_HINTS.get(name, '')}"
            )


def _ids(counts: StreamCounts, least: int) -> Iterator[str]:
    """Yield what is wrong with the IDs of events."""
    count, events = counts.left_out["event_id empty"], counts.events
    if _is_frequent(count, events, least):
        yield (
            f"event_id is empty in {count:,} of {events:,} events, so their IDs are derived"
            " from the key properties or the mapped record. Map event_id to a column that is always"
            " filled"
        )
    if counts.conflicting_ids:  # Each may be a conversion that is lost.
        yield (
            f"{counts.conflicting_ids:,} of {events:,} events have the event ID of an earlier one,"
            " but another address, value or order ID. Only the first event with an ID is sent. If"
            " these are different conversions, map event_id to a column that is different in each"
            " of them, such as an order number, and not a customer number"
        )
    own = sum(counts.own_ids.values())
    if own >= least and own * 2 > counts.decision_ids:
        yield (
            f"decision_id equals {' or '.join(counts.own_ids)} in {own:,} of"
            f" {counts.decision_ids:,} events with a decision ID. An ID of your own identifies"
            " nobody at LiveIntent. Map decision_id only to LiveIntent's own ID, which is the"
            " li_did in the URL of a page, or remove it from the map"
        )


def _is_frequent(count: int, events: int, least: int) -> bool:
    return count >= least and count > events * _SHARE


def _most_frequent(counts: StreamCounts, about: str, most: int) -> list[str]:
    """Return the most frequent causes that are known about a column or a reason."""
    begin = f"{about}: "
    found = [cause for cause, _ in counts.causes.most_common() if cause.startswith(begin)]
    return [cause.removeprefix(begin) for cause in found[:most]]


def what_to_do(reason: str, streams: Mapping[str, StreamCounts]) -> str:
    """Return what happened to records that were not sent for a reason, and what to do about it."""
    meaning = REASONS[reason].meaning
    if reason == "invalid_source":
        return " ".join([meaning, *_sources_held(streams)])
    if reason != "no_identity":
        return meaning
    hints = [_no_identity_hint(name, one) for name, one in streams.items() if one.rejected[reason]]
    if hints and all(hints):
        meaning = NO_IDENTITY  # The hints say the rest.
    return " ".join([meaning, *filter(None, hints)])


def _sources_held(streams: Mapping[str, StreamCounts]) -> Iterator[str]:
    for name, counts in streams.items():
        if held := _most_frequent(counts, "invalid_source", _MOST_SHOWN):
            yield f"What came in `source` of stream {name}: {', '.join(held)}."


def _no_identity_hint(stream: str, counts: StreamCounts) -> str:
    if counts.mapped.isdisjoint(IDENTITY_COLUMNS):
        return f"No e-mail address is mapped in stream {stream}: map email, md5 or sha2."
    if "source_url" in counts.mapped:
        return (
            f"In stream {stream}, these are usually guest orders; their URLs in source_url have no"
            " li_did that is a UUID."
        )
    return ""


def too_many_rejected(counts: RunCounts, percent: int, *, at_end: bool) -> str | None:
    """Return why the run must fail if more than so many percent became dead letters.

    Records that were not to be sent, and reasons that any honest run has, do not count. At the
    end, ten records are too many if nothing was delivered.
    """
    least = _LEAST_RECORDS_TO_FAIL if at_end else _LEAST_RECORDS_AT_STATE
    total = counts.total
    wanted = total.read - total.filtered - total.unmapped - total.not_replayed.total()
    wanted -= total.dropped.total() - total.dropped["already_sent"]
    bad = Counter({r: n for r, n in total.rejected.items() if REASONS[r].is_bad})
    lost = Counter({r: n for r, n in bad.items() if r in NEVER_TAKEN})
    # A record in flight may still be delivered.
    is_empty = at_end and percent != _UNLIMITED and not (total.unsettled or total.taken)
    if wanted >= least and bad.total() * 100 > wanted * percent:
        said = (
            f"{bad.total()} of {wanted} records became dead letters, which is more than"
            f" max_dead_letter_percent ({percent}) allows"
        )
    elif is_empty and lost.total() >= _LEAST_LOST_TO_FAIL:
        said = f"nothing was delivered, and {lost.total()} records became dead letters"
        bad = lost
    else:
        return None
    reason, most = bad.most_common(1)[0]
    return (
        f"{said}. The most frequent reason is {reason} ({counted(most, 'record')})."
        f" {what_to_do(reason, counts.streams)} If you expect these dead letters, set"
        " max_dead_letter_percent to 100. Then they fail no run."
    )
