"""What is probably a mistake in the records of a stream, what to do about it, why a run fails.

Each doubt is a value with its facts, and `words` is its sentence, without the stream's name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import msgspec

from target_liveintent.conversions.coerce import FIELDS
from target_liveintent.conversions.event_model import DEAD_LETTERS
from target_liveintent.conversions.fast_path import CHANCE, EXPRESSION_FAILED
from target_liveintent.privacy.identity import IDENTITY_COLUMNS
from target_liveintent.reasons import NEVER_TAKEN, NO_IDENTITY, REASONS
from target_liveintent.remarks import (
    CAREFUL_WAY,
    COLUMN_EMPTY,
    COLUMN_UNUSABLE,
    HAS_DECISION_ID,
    OWN_DECISION_ID,
    Cause,
)
from target_liveintent.run.amounts import counted
from target_liveintent.run.counts import OUT_OF_RANGE, RunCounts, StreamCounts

_FREQUENT_RATIO = 0.05
"""If more events lack a column, this is not an exception."""
_LEAST_EVENTS = 5
"""Fewer events may be an exception, whatever their share is."""
_MOST_SOURCES = 5
"""So many values of the column `source` are shown."""
_LEAST_RECORDS_TO_FAIL = 100
"""With at least so many records, the share of dead letters is judged at the end of a run."""
_LEAST_RECORDS_AT_STATE = 1_000
"""The same before a STATE is written: a few bad rows at the start say little about a run."""
_LEAST_LOST_TO_FAIL = 10
"""With at least so many dead letters, a run fails if it delivers nothing."""
_UNLIMITED_PERCENT = 100
"""The percentage that turns both rules about dead letters off."""
_SLOW_RATIO, _LEAST_SLOW_RECORDS = 0.1, 100
"""If more records take the slower way, and at least so many, it is worth a line in the log."""


class ColumnAlwaysEmpty(msgspec.Struct, frozen=True):
    """A column that should identify the person has no usable value in any event."""

    column: str
    events: int
    may_be_unusable: bool

    @property
    def words(self) -> str:
        """The doubt in words."""
        unusable = " or unusable" if self.may_be_unusable else ""
        return (
            f"{self.column} is empty{unusable} in all events ({self.events:,}). Check what is"
            f" mapped to {self.column}: a path in get('…') may be misspelled"
        )


class ColumnLeftOut(msgspec.Struct, frozen=True):
    """A column cannot be used in many events, most often for a cause."""

    column: str
    count: int
    events: int
    cause: Cause | None

    @property
    def words(self) -> str:
        """The doubt in words."""
        cause = f": {self.cause.words}" if self.cause else ""
        hint = ""
        if self.column == "decision_id":
            hint = ", or the li_did in source_url, which must be a UUID"
        return (
            f"{self.column} is left out of {self.count:,} of {self.events:,} events{cause}. Check"
            f" what is mapped to {self.column}{hint}"
        )


class EventIdEmpty(msgspec.Struct, frozen=True):
    """Many events have no ID of their own."""

    count: int
    events: int

    @property
    def words(self) -> str:
        """The doubt in words."""
        return (
            f"event_id is empty in {self.count:,} of {self.events:,} events, so their IDs are"
            " derived from the key properties or the mapped record. Map event_id to a column that"
            " is always filled"
        )


class EventIdsConflict(msgspec.Struct, frozen=True):
    """Different events have the same ID, so each may be a conversion that is lost."""

    count: int
    events: int

    @property
    def words(self) -> str:
        """The doubt in words."""
        return (
            f"{self.count:,} of {self.events:,} events have the event ID of an earlier one, but"
            " another address, value or order ID. Only the first event with an ID is sent. If"
            " these are different conversions, map event_id to a column that is different in each"
            " of them, such as an order number, and not a customer number"
        )


class DecisionIdIsOwn(msgspec.Struct, frozen=True):
    """The decision ID is another ID of the record, from one of some columns, in most events."""

    columns: tuple[str, ...]
    count: int
    events: int

    @property
    def words(self) -> str:
        """The doubt in words."""
        return (
            f"decision_id equals {' or '.join(self.columns)} in {self.count:,} of"
            f" {self.events:,} events with a decision ID. An ID of your own identifies nobody at"
            " LiveIntent. Map decision_id only to LiveIntent's own ID, which is the li_did in the"
            " URL of a page, or remove it from the map"
        )


class FilterRemovesAll(msgspec.Struct, frozen=True):
    """The filter of the map removes all records."""

    records: int

    @property
    def words(self) -> str:
        """The doubt in words."""
        return (
            f"the filter of the map removes all {self.records:,} records. A filter takes each text"
            " but the empty one as true, also '0' and 'false', which CSV files have: write"
            " is_true(get('is_test')) instead of get('is_test')"
        )


class TimesOutOfRange(msgspec.Struct, frozen=True):
    """Most event times are too old or in the future; the cause shows how many are written."""

    count: int
    records: int
    cause: Cause | None

    @property
    def words(self) -> str:
        """The doubt in words."""
        form = f", such as {self.cause.words}" if self.cause else ""
        return (
            f"{self.count:,} of {self.records:,} records are too old or in the future{form}. A"
            " first run over older rows is normal. Otherwise, check what is mapped to event_time,"
            " and the setting timezone"
        )


class ValuesWithoutCurrency(msgspec.Struct, frozen=True):
    """Many conversions have a value without a currency."""

    conversions: int

    @property
    def words(self) -> str:
        """The doubt in words."""
        return (
            f"in {counted(self.conversions, 'conversion')}, the value has no currency. Check"
            " whether a column is mapped to currency, and what it contains"
        )


Doubt: TypeAlias = (
    ColumnAlwaysEmpty
    | ColumnLeftOut
    | EventIdEmpty
    | EventIdsConflict
    | DecisionIdIsOwn
    | FilterRemovesAll
    | TimesOutOfRange
    | ValuesWithoutCurrency
)


def stream_warnings(counts: StreamCounts, least: int = _LEAST_EVENTS) -> list[Doubt]:
    """Return what is probably wrong with a stream.

    `least` is the number of events from which on a share of them is judged.
    """
    return [
        *_columns_left_out(counts, least),
        *_ids(counts, least),
        *_filter(counts, least),
        *_times(counts),
        *_currencies(counts, least),
    ]


def _columns_left_out(counts: StreamCounts, least: int) -> Iterator[Doubt]:
    """Yield the columns that many events lack, or which identify nobody in any event."""
    events = counts.events
    for field in FIELDS:
        name = field.name
        count = min(counts.noted(COLUMN_UNUSABLE)[name], events)
        empty = counts.noted(COLUMN_EMPTY)[name]
        if name in IDENTITY_COLUMNS and empty and least <= events <= count + empty:
            yield ColumnAlwaysEmpty(name, events, may_be_unusable=count > 0)
        elif _is_frequent(count, events, least):
            yield ColumnLeftOut(name, count, events, _most_frequent_cause(counts, name))


def _ids(counts: StreamCounts, least: int) -> Iterator[Doubt]:
    events = counts.events
    empty = counts.noted(COLUMN_EMPTY)["event_id"]
    if _is_frequent(empty, events, least):
        yield EventIdEmpty(empty, events)
    if counts.conflicting_ids:
        yield EventIdsConflict(counts.conflicting_ids, events)
    own = counts.noted(OWN_DECISION_ID)
    with_decision_id = counts.noted(HAS_DECISION_ID).total()
    if own.total() >= least and own.total() * 2 > with_decision_id:
        yield DecisionIdIsOwn(tuple(own), own.total(), with_decision_id)


def _filter(counts: StreamCounts, least: int) -> Iterator[Doubt]:
    if counts.mapped and counts.filtered == counts.read >= least:
        yield FilterRemovesAll(counts.read)


def _times(counts: StreamCounts) -> Iterator[Doubt]:
    records = counts.read - counts.filtered - counts.unmapped
    rejected = {reason: counts.rejected[reason] for reason in OUT_OF_RANGE}
    count = sum(rejected.values())
    if count >= _LEAST_EVENTS and count * 2 > records:
        most = max(OUT_OF_RANGE, key=rejected.__getitem__)
        yield TimesOutOfRange(count, records, _most_frequent_cause(counts, most))


def _currencies(counts: StreamCounts, least: int) -> Iterator[Doubt]:
    unknown = counts.values.get("")
    if unknown is None:
        return
    conversions = sum(amount.conversions for amount in counts.values.values())
    has_no_other = unknown.conversions == conversions
    if has_no_other or _is_frequent(unknown.conversions, conversions, least):
        yield ValuesWithoutCurrency(unknown.conversions)


def _is_frequent(count: int, events: int, least: int) -> bool:
    return count >= least and count > events * _FREQUENT_RATIO


def _most_frequent_cause(counts: StreamCounts, about: str) -> Cause | None:
    """Return the most frequent cause that is known about a column or a reason."""
    causes = counts.causes.get(about)
    return causes.most_common(1)[0][0] if causes else None


class SlowerWay(msgspec.Struct, frozen=True):
    """Many records took the careful way, which takes longer, most often for a cause.

    The cause is a column, or a code of `fast_path.py`.
    """

    count: int
    records: int
    cause: str

    @property
    def words(self) -> str:
        """What it means in words."""
        causes = {
            EXPRESSION_FAILED: "an expression of the map fails",
            CHANCE: "the map uses rand or randint",
        }
        because = causes.get(self.cause, f"of what is, or is not, in the column {self.cause}")
        return (
            f"{self.count:,} of {counted(self.records, 'record')} took the slower way, most often"
            f" because {because}. This costs speed, and changes nothing else"
        )


def slower_way(counts: StreamCounts) -> SlowerWay | None:
    """Return how many records of a stream took the careful way, if they are many."""
    causes = counts.noted(CAREFUL_WAY)
    records = counts.read - counts.filtered - counts.unmapped
    if causes.total() < _LEAST_SLOW_RECORDS or causes.total() <= records * _SLOW_RATIO:
        return None
    return SlowerWay(causes.total(), records, causes.most_common(1)[0][0])


# What to do, and why a run fails


class NoAddressMapped(msgspec.Struct, frozen=True):
    """No column with the e-mail address is mapped in a stream."""

    stream: str

    @property
    def words(self) -> str:
        """The hint in words."""
        return f"No e-mail address is mapped in stream {self.stream}: map email, md5 or sha2."


class GuestsOrders(msgspec.Struct, frozen=True):
    """A stream has URLs of pages, but none with a decision ID."""

    stream: str

    @property
    def words(self) -> str:
        """The hint in words."""
        return (
            f"In stream {self.stream}, these are usually guest orders; their URLs in source_url"
            " have no li_did that is a UUID."
        )


class SourcesThatCame(msgspec.Struct, frozen=True):
    """What the column `source` of a stream has in place of a source."""

    stream: str
    causes: tuple[Cause, ...]

    @property
    def words(self) -> str:
        """The hint in words."""
        sources = ", ".join(cause.words for cause in self.causes)
        return f"What came in `source` of stream {self.stream}: {sources}."


class Advice(msgspec.Struct, frozen=True):
    """What happened to records that were not sent for a reason, and what to do about it.

    Attributes:
        says_all: Whether the hints say what the reason means in each stream that has it.
    """

    reason: str
    hints: tuple[NoAddressMapped | GuestsOrders | SourcesThatCame, ...] = ()
    says_all: bool = False

    @property
    def words(self) -> str:
        """The advice in sentences."""
        meaning = NO_IDENTITY if self.says_all else REASONS[self.reason].meaning
        return " ".join([meaning, *(hint.words for hint in self.hints)])


def what_to_do(reason: str, streams: Mapping[str, StreamCounts]) -> Advice:
    """Return what to do about a reason, given the figures of the streams."""
    if reason == "invalid_source":
        return Advice(reason, tuple(_sources_that_came(streams)))
    if reason != "no_identity" or streams.keys() == {DEAD_LETTERS}:
        return Advice(reason)  # (No map applies to dead letters.)
    hints = [
        _no_identity_hint(name, counts)
        for name, counts in streams.items()
        if counts.rejected[reason]
    ]
    known = tuple(hint for hint in hints if hint is not None)
    return Advice(reason, known, says_all=bool(hints) and len(known) == len(hints))


def _sources_that_came(streams: Mapping[str, StreamCounts]) -> Iterator[SourcesThatCame]:
    for name, counts in streams.items():
        causes = counts.causes.get("source", Counter()).most_common(_MOST_SOURCES)
        if causes:
            yield SourcesThatCame(name, tuple(cause for cause, _ in causes))


def _no_identity_hint(stream: str, counts: StreamCounts) -> NoAddressMapped | GuestsOrders | None:
    if counts.mapped.isdisjoint(IDENTITY_COLUMNS):
        return NoAddressMapped(stream)
    return GuestsOrders(stream) if "source_url" in counts.mapped else None


class TooManyRejected(msgspec.Struct, frozen=True):
    """Why a run must fail: too many of its records became dead letters.

    Attributes:
        count: The number of dead letters that count.
        records: Of so many records that were to be sent. None if the run delivers nothing, which
            has a limit of its own.
        percent: What the setting `max_dead_letter_percent` allows.
        reason: The most frequent reason, with the number of its dead letters.
        advice: What to do about this reason.
    """

    count: int
    records: int | None
    percent: int
    reason: str
    most: int
    advice: Advice

    @property
    def words(self) -> str:
        """The failure in words."""
        if self.records is None:
            failure = f"nothing was delivered, and {self.count} records became dead letters"
        else:
            failure = (
                f"{self.count} of {self.records} records became dead letters, which is more than"
                f" max_dead_letter_percent ({self.percent}) allows"
            )
        return (
            f"{failure}. The most frequent reason is {self.reason}"
            f" ({counted(self.most, 'record')}). {self.advice.words} If you expect these dead"
            " letters, set max_dead_letter_percent to 100. Then they fail no run."
        )


def too_many_rejected(counts: RunCounts, percent: int, *, at_end: bool) -> TooManyRejected | None:
    """Return why the run must fail if more than so many percent became dead letters.

    Records that were not to be sent, and reasons that any honest run has, do not count. At the
    end, ten records are too many if nothing was delivered.
    """
    total = counts.total
    bad = Counter({r: n for r, n in total.rejected.items() if REASONS[r].is_bad})
    lost = Counter({r: n for r, n in bad.items() if r in NEVER_TAKEN})
    records = _records_to_send(total)
    least = _LEAST_RECORDS_TO_FAIL if at_end else _LEAST_RECORDS_AT_STATE
    # A record in flight may still be delivered.
    delivers_nothing = at_end and not (total.unsettled or total.taken)
    if records >= least and bad.total() * 100 > records * percent:
        return _too_many(bad, records, percent, counts)
    if delivers_nothing and percent != _UNLIMITED_PERCENT and lost.total() >= _LEAST_LOST_TO_FAIL:
        return _too_many(lost, None, percent, counts)
    return None


def _records_to_send(total: StreamCounts) -> int:
    """Return how many records were to be sent, those that were sent before among them."""
    others = total.filtered + total.unmapped + total.not_replayed.total()
    return total.read - others - (total.dropped.total() - total.dropped["already_sent"])


def _too_many(
    rejected: Counter[str], records: int | None, percent: int, counts: RunCounts
) -> TooManyRejected:
    reason, most = rejected.most_common(1)[0]
    advice = what_to_do(reason, counts.streams)
    return TooManyRejected(rejected.total(), records, percent, reason, most, advice)
