"""Judges what a stream's records had in common: columns left out, all filtered, times out of range.

The parameters are parts of `StreamCounts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from target_liveintent.conversions import FIELDS, Rejection, shape

_SHARE = 0.05
"""The share of events above which a column that is left out is more than an exception."""
_LEAST = 5
"""Records of a stream from which on there is a warning."""
_FROM_THE_FIRST = ("value", "currency")
"""The columns of which one lost value is a warning: what was sent cannot be corrected."""
_HINTS = {
    "value": ". In the map, amount(x, decimal=',') reads texts such as 1.234,50, and amount(x,"
    " decimal='.') texts such as 1'234.50",
}
_NO_EVENT_ID = "event_id empty"
_UNTIMELY = ("event_too_old", "event_in_future")
_MOST_CAUSES = 200


def left_out_columns(
    left_out: Mapping[str, int], causes: Mapping[str, int], events: int
) -> Iterator[str]:
    """Return a warning for each column that many events lack because its value is unusable."""
    for field in FIELDS:
        count = min(left_out.get(field.name, 0), events)
        if not (_is_frequent(count, events) or (count and field.name in _FROM_THE_FIRST)):
            continue
        cause = _most_frequent(causes, field.name)
        yield (
            f"{field.name} is left out of {count:,} of {events:,} events"
            f"{f': {cause}' if cause else ''}. Check what is mapped to {field.name}"
            f"{_HINTS.get(field.name, '')}"
        )
    count = min(left_out.get(_NO_EVENT_ID, 0), events)
    if _is_frequent(count, events):
        yield (
            f"event_id is empty in {count:,} of {events:,} events, so their IDs are derived from"
            " the key properties or the mapped record. Map event_id to a column that is always"
            " filled"
        )


def all_filtered(read: int, filtered: int, least: int) -> Iterator[str]:
    """Return a warning if the filter of a map removes all records."""
    if filtered == read >= least:
        yield (
            f"the filter of the map removes all {read:,} records. A filter takes each text but the"
            " empty one as true, also '0' and 'false', which CSV files have: write"
            " is_true(get('is_test')) instead of get('is_test')"
        )


def untimely(read: int, rejected: Mapping[str, int], causes: Mapping[str, int]) -> Iterator[str]:
    """Return a warning if most records are too old, or in the future."""
    counts = {reason: rejected[reason] for reason in _UNTIMELY if rejected.get(reason)}
    total = sum(counts.values())
    if total >= _LEAST and total * 2 > read:
        most = max(counts, key=lambda reason: counts[reason])
        written = _most_frequent(causes, most)
        yield (
            f"{total:,} of {read:,} records are too old or in the future"
            f" ({', '.join(f'{reason} {count:,}' for reason, count in counts.items())})"
            f"{f'; their event_time looks like {written}' if written else ''}. A first run over"
            " older rows is normal. Otherwise, check what is mapped to event_time, and the setting"
            " timezone"
        )


def count_time(causes: Counter[str], rejection: Rejection) -> None:
    """Count how the event time of a record is written that is too old or in the future."""
    if rejection.reason in _UNTIMELY:
        cause = f"{rejection.reason}: {shape(rejection.columns.get('event_time'))}"
        if cause in causes or len(causes) < _MOST_CAUSES:
            causes[cause] += 1


def _is_frequent(count: int, events: int) -> bool:
    return count >= _LEAST and count > events * _SHARE


def _most_frequent(causes: Mapping[str, int], about: str) -> str:
    found = [(n, cause) for cause, n in causes.items() if cause.startswith(f"{about}: ")]
    return max(found)[1].removeprefix(f"{about}: ") if found else ""
