"""What is probably a mistake in the records of a stream, what to do about it, why a run fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from target_liveintent.conversions.coerce import FIELDS
from target_liveintent.conversions.model import DEAD_LETTERS
from target_liveintent.privacy.identity import IDENTITY_COLUMNS
from target_liveintent.reasons import NEVER_TAKEN, NO_IDENTITY, REASONS
from target_liveintent.run.amounts import counted
from target_liveintent.run.counts import OUT_OF_RANGE, RunCounts, StreamCounts

_SHARE = 0.05
"""If more events lack a column, this is not an exception, from `_LEAST` events on."""
_LEAST = 5
_FROM_THE_FIRST = ("value", "currency")
"""Even one lost value of these columns is a warning, because what was sent cannot be corrected."""
_LEAST_RECORDS_TO_FAIL = 100
"""With at least so many records, the share of dead letters is judged at the end of a run."""
_LEAST_RECORDS_AT_STATE = 1_000
"""The same before a STATE is written: a few bad rows at the start say little about a run."""
_LEAST_LOST_TO_FAIL = 10
"""With at least so many dead letters, a run fails if it delivers nothing."""
_HINTS = {"decision_id": ", or the li_did in source_url: it must be a UUID"}
_UNLIMITED = 100
"""The percentage that turns both rules about dead letters off."""


def warnings_of(counts: StreamCounts, least_filtered: int = _LEAST) -> Iterator[str]:
    """Yield what is probably wrong with a stream, in sentences without its name."""
    for field in FIELDS:
        if count := _many(counts, field.name):
            yield (
                f"{field.name} is left out of {count:,} of {counts.events:,} events"
                f"{_most_frequent(counts, field.name)}. Check what is mapped to {field.name}"
                f"{_HINTS.get(field.name, '')}"
            )
    if count := _many(counts, "event_id empty"):
        yield (
            f"event_id is empty in {count:,} of {counts.events:,} events, so their IDs are derived"
            " from the key properties or the mapped record. Map event_id to a column that is always"
            " filled"
        )
    if counts.mapped and counts.filtered == counts.read >= least_filtered:
        yield (
            f"the filter of the map removes all {counts.read:,} records. A filter takes each text"
            " but the empty one as true, also '0' and 'false', which CSV files have: write"
            " is_true(get('is_test')) instead of get('is_test')"
        )
    read = counts.read - counts.filtered - counts.unmapped
    found = {reason: counts.rejected[reason] for reason in OUT_OF_RANGE}
    total = sum(found.values())
    if total >= _LEAST and total * 2 > read:
        yield (
            f"{total:,} of {read:,} records are too old or in the future"
            f"{_most_frequent(counts, max(found, key=lambda reason: found[reason]))}. A first run"
            " over older rows is normal. Otherwise, check what is mapped to event_time, and the"
            " setting timezone"
        )
    if amount := counts.values.get(""):
        yield (
            f"in {counted(amount.conversions, 'conversion')}, the value has no currency. Check"
            " whether a column is mapped to currency, and what it contains"
        )


def _many(counts: StreamCounts, left_out: str) -> int:
    count = min(counts.left_out[left_out], counts.events)
    is_frequent = count >= _LEAST and count > counts.events * _SHARE
    return count if is_frequent or left_out in _FROM_THE_FIRST else 0


def _most_frequent(counts: StreamCounts, about: str) -> str:
    found = [(n, cause) for cause, n in counts.causes.items() if cause.startswith(f"{about}: ")]
    return max(found)[1].removeprefix(about) if found else ""


def what_to_do(reason: str, streams: Mapping[str, StreamCounts]) -> str:
    """Return what happened to records that were not sent for a reason, and what to do about it."""
    meaning = REASONS[reason].meaning
    if reason != "no_identity" or streams.keys() == {DEAD_LETTERS}:
        return meaning  # (No map applies to dead letters.)
    hints = [_no_identity_hint(name, one) for name, one in streams.items() if one.rejected[reason]]
    if hints and all(hints):
        meaning = NO_IDENTITY  # The hints say the rest.
    return " ".join([meaning, *filter(None, hints)])


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
