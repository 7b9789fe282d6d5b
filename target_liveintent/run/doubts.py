"""What is probably a mistake in the records of a stream, what to do about it, and why a run fails.

Columns are left out, a filter removes all records, times are out of range, currencies are missing,
or the columns that should say whose conversions they are do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from target_liveintent.conversions import DEAD_LETTERS, FIELDS
from target_liveintent.mapping import CURRENCIES
from target_liveintent.privacy import IDENTITY_COLUMNS
from target_liveintent.reasons import NEVER_TAKEN, NO_IDENTITY, REASONS
from target_liveintent.run.amounts import OTHERS, counted
from target_liveintent.run.counts import RunCounts, StreamCounts

_SHARE = 0.05
"""If a larger share of the events lack a column, this is not an exception."""
_LEAST = 5
"""The least number of records of a stream for a warning."""
_FROM_THE_FIRST = ("value", "currency")
"""Even one lost value of these columns is a warning, because what was sent cannot be corrected."""
_HINTS = {
    "value": ". In the map, amount(x, decimal=',') reads texts such as 1.234,50, and amount(x,"
    " decimal='.') texts such as 1'234.50",
}
_NO_EVENT_ID = "event_id empty"
_UNTIMELY = ("event_too_old", "event_in_future")
_MOST_UNKNOWN = 5
"""How many unknown currencies are named."""
_NEARLY_ALL = 0.98
"""If at least this share of the events has no value in a column, there is probably a mistake. Shops
where guests order, and tills, have a few addresses."""
_MOST = 0.5
"""For at least this share of the events, another column must have a value if one is empty."""
_LEAST_EVENTS_TO_WARN = 50
_LEAST_EVENTS_TO_ADVISE = 10
_LEAST_RECORDS_TO_FAIL = 100
"""With at least so many records, the share of dead letters is judged at the end of a run."""
_LEAST_RECORDS_AT_STATE = 1_000
"""The same before a STATE is written: a few bad rows at the start say little about a run."""
_LEAST_LOST_TO_FAIL = 10
"""With at least so many dead letters, a run fails if it delivers nothing."""
_UNLIMITED = 100
"""The percentage that turns both rules about dead letters off."""


def warnings_of(counts: StreamCounts, least_filtered: int = _LEAST) -> Iterator[str]:
    """Yield what is probably wrong with a stream, in sentences without its name.

    Args:
        counts: The figures of the stream.
        least_filtered: The number of records from which on a filter that removes all of them is
            doubtful.
    """
    yield from _left_out(counts)
    if counts.mapped and counts.filtered == counts.read >= least_filtered:
        yield (
            f"the filter of the map removes all {counts.read:,} records. A filter takes each text"
            " but the empty one as true, also '0' and 'false', which CSV files have: write"
            " is_true(get('is_test')) instead of get('is_test')"
        )
    yield from _untimely(counts)
    yield from _currencies(counts)
    for column in idle(counts):
        unusable, empty = _without(counts, column)
        if unusable <= empty:  # Otherwise, `_left_out` warns about it.
            yield (
                f"in {unusable + empty} of {counts.events} events, the column {column} did not"
                f" identify a person ({empty} empty, {unusable} unusable). Check what is mapped to"
                f" {column}"
            )


def _left_out(counts: StreamCounts) -> Iterator[str]:
    """Yield a warning for each column that many events lack because its value is unusable."""
    events = counts.events
    for field in FIELDS:
        count = min(counts.left_out[field.name], events)
        if not (_is_frequent(count, events) or (count and field.name in _FROM_THE_FIRST)):
            continue
        cause = most_frequent(counts.causes, field.name)
        yield (
            f"{field.name} is left out of {count:,} of {events:,} events"
            f"{f': {cause}' if cause else ''}. Check what is mapped to {field.name}"
            f"{_HINTS.get(field.name, '')}"
        )
    count = min(counts.left_out[_NO_EVENT_ID], events)
    if _is_frequent(count, events):
        yield (
            f"event_id is empty in {count:,} of {events:,} events, so their IDs are derived from"
            " the key properties or the mapped record. Map event_id to a column that is always"
            " filled"
        )


def _is_frequent(count: int, events: int) -> bool:
    return count >= _LEAST and count > events * _SHARE


def most_frequent(causes: Mapping[str, int], about: str) -> str:
    """Return the most frequent cause of something, a column or a reason; empty without one."""
    found = [(n, cause) for cause, n in causes.items() if cause.startswith(f"{about}: ")]
    return max(found)[1].removeprefix(f"{about}: ") if found else ""


def _untimely(counts: StreamCounts) -> Iterator[str]:
    """Yield a warning if most records are too old, or in the future."""
    read = counts.read - counts.filtered - counts.unmapped
    found = {reason: counts.rejected[reason] for reason in _UNTIMELY if counts.rejected[reason]}
    total = sum(found.values())
    if total >= _LEAST and total * 2 > read:
        written = most_frequent(counts.causes, max(found, key=lambda reason: found[reason]))
        yield (
            f"{total:,} of {read:,} records are too old or in the future"
            f" ({', '.join(f'{reason} {count:,}' for reason, count in found.items())})"
            f"{f'; their event_time looks like {written}' if written else ''}. A first run over"
            " older rows is normal. Otherwise, check what is mapped to event_time, and the setting"
            " timezone"
        )


def _currencies(counts: StreamCounts) -> Iterator[str]:
    """Yield a warning about values without a currency, and one about unknown currencies."""
    if amount := counts.values.get(""):
        is_mapped = counts.left_out["currency"] or counts.left_out["currency empty"]
        conversions = counted(amount.conversions, "conversion")
        yield f"in {conversions}, the value has no currency. " + (
            "Check what is mapped to currency"
            if is_mapped
            else "Add a column named 'currency' to the map"
        )
    if unknown := sorted(counts.values.keys() - CURRENCIES - {"", OTHERS}):
        count = sum(counts.values[currency].conversions for currency in unknown)
        more = " and others" if len(unknown) > _MOST_UNKNOWN else ""
        yield (
            f"the currency of {counted(count, 'conversion')} is not in ISO 4217"
            f" ({', '.join(unknown[:_MOST_UNKNOWN])}{more}). Check what is mapped to currency"
        )


# Whose conversions they are


def idle(counts: StreamCounts, least_events: int = _LEAST_EVENTS_TO_WARN) -> list[str]:
    """Return the columns of addresses and hashes that identify nobody in nearly all events.

    A column that is only empty is no mistake where another one stands in for it. Nothing is
    returned for fewer than `least_events` events.
    """
    events, found = counts.events, []
    columns = _hashed(counts)
    least_empty = min((sum(_without(counts, one)) for one in columns), default=0)
    has_other = least_empty <= events * (1 - _MOST)
    for column in columns if events >= least_events else ():
        unusable, empty = _without(counts, column)
        is_mistake = unusable > empty or not has_other
        if unusable + empty >= events * _NEARLY_ALL and is_mistake:
            found.append(column)
    return found


def _hashed(counts: StreamCounts) -> list[str]:
    return [column for column in IDENTITY_COLUMNS if column in counts.mapped]


def _without(counts: StreamCounts, column: str) -> tuple[int, int]:
    """Return in how many events a column could not be used, and in how many it was empty."""
    return counts.left_out[column], counts.left_out[f"{column} empty"]


def what_to_do(reason: str, streams: Mapping[str, StreamCounts]) -> str:
    """Return what happened to records that were not sent for a reason, and what to do about it.

    Args:
        reason: The reason.
        streams: The figures of all streams. For `no_identity`, the advice depends on what
            identified their events; not in a replay, as no map applies to dead letters.
    """
    replay = streams.keys() == {DEAD_LETTERS}
    meaning = REASONS[reason].advice(replay=replay)
    if replay or reason != "no_identity":
        return meaning
    concerned = {name: one for name, one in streams.items() if one.rejected[reason]}
    hints = [hint for name, one in concerned.items() if (hint := _no_identity_hint(name, one))]
    if hints and len(hints) == len(concerned):
        meaning = NO_IDENTITY  # The hints say the rest.
    return " ".join([meaning, *hints])


def _no_identity_hint(stream: str, counts: StreamCounts) -> str:
    """Return why a stream has events that identify nobody; empty if a page may identify them."""
    hashed = _hashed(counts)
    if not hashed:
        return f"No e-mail address is mapped in stream {stream}: map email, md5 or sha2."
    columns = ", ".join(hashed)
    if set(idle(counts, _LEAST_EVENTS_TO_ADVISE)).issuperset(hashed):
        return (
            f"In stream {stream}, almost no event has a usable value in {columns}: check what is"
            f" mapped to {columns}."
        )
    if "source_url" in counts.mapped:
        return (
            f"In stream {stream}, these are usually guest orders; their URLs in source_url have no"
            " li_did."
        )
    return ""


# Why a run fails


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
