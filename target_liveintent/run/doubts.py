"""What is probably wrong in the records of a stream, and what to do about it.

Each doubt is a value with its facts, and `words` is its sentence, without the stream's name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from target_liveintent.conversions.fast_path import CHANCE, EXPRESSION_FAILED
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.failures import CauseHint
from target_liveintent.privacy.identity import IDENTITY_COLUMNS
from target_liveintent.reasons import NO_IDENTITY, REASONS
from target_liveintent.remarks import (
    COLUMN_EMPTY,
    COLUMN_UNUSABLE,
    HAS_DECISION_ID,
    OWN_DECISION_ID,
    SLOW_PATH,
    UnusableCause,
)
from target_liveintent.run.counts import OUT_OF_RANGE, RunCounts, StreamCounts

_FREQUENT_RATIO = 0.05
"""If more than this share of the events lack a column, that is probably a mistake."""
_LEAST_EVENTS = 5
"""Fewer events may be exceptions, even if their share is large."""
_MOST_SOURCES = 5
"""The most values of the column `source` that are shown."""
_SLOW_RATIO, _LEAST_SLOW_RECORDS = 0.1, 100
"""If more than this share of the records, and at least this number, are converted in the slower
way, the log says so."""


class Doubt(msgspec.Struct, frozen=True):
    """Something that is probably wrong with a stream, or that a run assumes.

    `code` is a key of `DOUBTS`, and `facts` are in its sentence; a list contains alternatives.

    Attributes:
        code: The kind of the doubt.
        facts: The names and numbers that belong to this kind.
        cause: The most frequent cause, if it is known.
    """

    code: str
    facts: Mapping[str, Any]
    cause: UnusableCause | None = None

    @property
    def words(self) -> str:
        """The doubt in a sentence, without the name of the stream."""
        facts = {
            name: " or ".join(fact) if isinstance(fact, list) else fact
            for name, fact in self.facts.items()
        }
        cause = ""
        if self.cause is not None:
            before = ", such as " if self.code == "times_out_of_range" else ": "
            cause = before + self.cause.words
        return DOUBTS[self.code].format(cause=cause, **facts)


_LEFT_OUT = (
    "{column} is left out of {count:,} of {events:,} events{cause}. Check what is mapped to"
    " {column}"
)
_SLOW = (
    "{count:,} of {records:,} records were converted in the slow path, with the same result. The"
    " most frequent cause:"
)
DOUBTS = {
    "column_empty": "{column} is empty in all events ({events:,}). Check what is mapped to"
    " {column}: a path in get('…') may be misspelled",
    "column_empty_or_unusable": "{column} is empty or unusable in all events ({events:,}). Check"
    " what is mapped to {column}: a path in get('…') may be misspelled",
    "column_left_out": _LEFT_OUT,
    "decision_id_left_out": f"{_LEFT_OUT}, or the li_did in source_url, which must be a UUID",
    "event_id_empty": "event_id is empty in {count:,} of {events:,} events, so their IDs are"
    " derived from the key properties or the mapped record. Map event_id to a column that is always"
    " filled",
    # Each of these events may be a lost conversion.
    "event_ids_conflict": "{count:,} of {events:,} events have the event ID of an earlier one, but"
    " another address, value or order ID. Only the first event with an ID is sent. If these are"
    " different conversions, map event_id to a column that is different in each of them, such as an"
    " order number, and not a customer number",
    "decision_id_is_own": "decision_id equals {columns} in {count:,} of {events:,} events with a"
    " decision ID. An ID of your own identifies nobody at LiveIntent. Map decision_id only to"
    " LiveIntent's own ID, which is the li_did in the URL of a page, or remove it from the map",
    "filter_removes_all": "the filter of the map removes all {records:,} records. A filter takes"
    " each text that is not empty as true, also '0' and 'false', which CSV files have: write"
    " is_true(get('is_test')) instead of get('is_test')",
    "times_out_of_range": "{count:,} of {records:,} records have an event time that is too old or"
    " in the future{cause}. In a first run over older rows, this is normal. Otherwise, check what"
    " is mapped to event_time, and the setting timezone",
    "no_currency": "the value has no currency in {count:,} of {conversions:,} conversions."
    " Check whether a column is mapped to currency, and what it contains",
    "partial_answer_assumed": "{count:,} of {delivered:,} delivered events were in requests that"
    " the API answered with a 200 and the IDs of other events. This run assumes that these IDs name"
    " the events that failed. Ask LiveIntent, and set partial_answer to what they name: failed,"
    " processed or unknown",
    "slow_column": f"{_SLOW} the column {{column}} has an unusual value or is missing",
    "slow_expression": f"{_SLOW} an expression of the map fails",
    "slow_chance": f"{_SLOW} the map uses rand or randint",
}
"""The sentence for each code of a doubt."""


def stream_warnings(counts: StreamCounts, least: int = _LEAST_EVENTS) -> list[Doubt]:
    """Return what is probably wrong with a stream.

    Most kinds of doubts need at least `least` events that are affected.
    """
    return [
        *_columns_left_out(counts, least),
        *_ids(counts, least),
        *_filter(counts, least),
        *_times(counts),
        *_currencies(counts, least),
    ]


def partial_answer_assumed(counts: RunCounts) -> Doubt | None:
    """Return the doubt about what the run assumes about a 200; None if it assumes nothing."""
    if not counts.partly_answered:
        return None
    facts = {"count": counts.partly_answered, "delivered": counts.total.delivered}
    return Doubt("partial_answer_assumed", facts)


def _columns_left_out(counts: StreamCounts, least: int) -> Iterator[Doubt]:
    """Yield a doubt for each column whose value is unusable in many events.

    An identity column that is empty or unusable in all events also gets a doubt.
    """
    events = counts.events
    for field in FIELDS:
        name = field.name
        count = min(counts.noted(COLUMN_UNUSABLE)[name], events)
        empty = counts.noted(COLUMN_EMPTY)[name]
        if name in IDENTITY_COLUMNS and empty and least <= events <= count + empty:
            code = "column_empty_or_unusable" if count else "column_empty"
            yield Doubt(code, {"column": name, "events": events})
        elif _is_frequent(count, events, least):
            code = "decision_id_left_out" if name == "decision_id" else "column_left_out"
            facts = {"column": name, "count": count, "events": events}
            yield Doubt(code, facts, _most_frequent_cause(counts, name))


def _ids(counts: StreamCounts, least: int) -> Iterator[Doubt]:
    events = counts.events
    empty = counts.noted(COLUMN_EMPTY)["event_id"]
    if _is_frequent(empty, events, least):
        yield Doubt("event_id_empty", {"count": empty, "events": events})
    if counts.conflicting_ids:
        yield Doubt("event_ids_conflict", {"count": counts.conflicting_ids, "events": events})
    own = counts.noted(OWN_DECISION_ID)
    with_decision_id = counts.noted(HAS_DECISION_ID).total()
    if own.total() >= least and own.total() * 2 > with_decision_id:
        facts = {"columns": [*own], "count": own.total(), "events": with_decision_id}
        yield Doubt("decision_id_is_own", facts)


def _filter(counts: StreamCounts, least: int) -> Iterator[Doubt]:
    if counts.mapped and counts.filtered == counts.read >= least:
        yield Doubt("filter_removes_all", {"records": counts.read})


def _times(counts: StreamCounts) -> Iterator[Doubt]:
    records = counts.read - counts.filtered - counts.unmapped
    rejected = {reason: counts.rejected[reason] for reason in OUT_OF_RANGE}
    count = sum(rejected.values())
    if count >= _LEAST_EVENTS and count * 2 > records:
        most = max(OUT_OF_RANGE, key=rejected.__getitem__)
        facts = {"count": count, "records": records}
        yield Doubt("times_out_of_range", facts, _most_frequent_cause(counts, most))


def _currencies(counts: StreamCounts, least: int) -> Iterator[Doubt]:
    unknown = counts.values.get("")
    if unknown is None:
        return
    conversions = sum(amount.conversions for amount in counts.values.values())
    has_no_other = unknown.conversions == conversions
    if has_no_other or _is_frequent(unknown.conversions, conversions, least):
        facts = {"count": unknown.conversions, "conversions": conversions}
        yield Doubt("no_currency", facts)


def _is_frequent(count: int, events: int, least: int) -> bool:
    return count >= least and count > events * _FREQUENT_RATIO


def _most_frequent_cause(counts: StreamCounts, about: str) -> UnusableCause | None:
    """Return the most frequent cause for a column or a reason; None if no cause is known."""
    causes = counts.causes.get(about)
    return causes.most_common(1)[0][0] if causes else None


def slower_way(counts: StreamCounts) -> Doubt | None:
    """Return the doubt about records that were converted in the slow path; None if few were."""
    causes = counts.noted(SLOW_PATH)
    records = counts.read - counts.filtered - counts.unmapped
    if causes.total() < _LEAST_SLOW_RECORDS or causes.total() <= records * _SLOW_RATIO:
        return None
    cause = causes.most_common(1)[0][0]
    codes = {EXPRESSION_FAILED: "slow_expression", CHANCE: "slow_chance"}
    facts = {"count": causes.total(), "records": records, "column": cause}
    return Doubt(codes.get(cause, "slow_column"), facts)


# What to do, and why a run fails


class Advice(msgspec.Struct, frozen=True):
    """What a reason for not sending records means, and what to do about these records.

    Attributes:
        reason: A key of `REASONS`.
        hints: The probable causes in streams, with what to do.
        says_all: Whether there is a hint for each stream that has the reason. Then the hints say
            what to do, and the meaning of the reason is shortened.
    """

    reason: str
    hints: tuple[CauseHint, ...] = ()
    says_all: bool = False

    @property
    def words(self) -> str:
        """The advice in sentences."""
        meaning = NO_IDENTITY if self.says_all else REASONS[self.reason].meaning
        return " ".join([meaning, *(hint.words for hint in self.hints)])


def what_to_do(reason: str, streams: Mapping[str, StreamCounts]) -> Advice:
    """Return the advice about a reason, given the figures of the streams."""
    if reason == "invalid_source":
        return Advice(reason, tuple(_other_sources(streams)))
    if reason != "no_identity":
        return Advice(reason)
    hints = [
        _no_identity_hint(name, counts)
        for name, counts in streams.items()
        if counts.rejected[reason]
    ]
    known = tuple(hint for hint in hints if hint is not None)
    return Advice(reason, known, says_all=bool(hints) and len(known) == len(hints))


def _other_sources(streams: Mapping[str, StreamCounts]) -> Iterator[CauseHint]:
    for name, counts in streams.items():
        causes = counts.causes.get("source", Counter()).most_common(_MOST_SOURCES)
        if causes:
            yield CauseHint("other_sources", name, tuple(cause for cause, _ in causes))


def _no_identity_hint(stream: str, counts: StreamCounts) -> CauseHint | None:
    if counts.mapped.isdisjoint(IDENTITY_COLUMNS):
        return CauseHint("no_address_mapped", stream)
    return CauseHint("guest_orders", stream) if "source_url" in counts.mapped else None
