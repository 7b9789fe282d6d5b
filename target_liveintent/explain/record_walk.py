"""Describes the way of one record through its map, step by step, without addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from target_liveintent.conversions.builder import window_end
from target_liveintent.conversions.coerce import Unusable, shape, unix_time
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.explain.description import Explained, FieldSource, sources_of_field
from target_liveintent.mapping.converter import RecordWalk
from target_liveintent.mapping.expressions import FILTER, TapRecord
from target_liveintent.mapping.functions import walk as value_at
from target_liveintent.mapping.stream_maps import Stream, StreamPlan
from target_liveintent.privacy.addresses import scrub
from target_liveintent.privacy.identity import IDENTITY_COLUMNS, identify
from target_liveintent.privacy.redaction import redact_value
from target_liveintent.privacy.urls import URL_PARAMETERS, clean_url
from target_liveintent.reasons import REASONS
from target_liveintent.settings import EventDefaults
from target_liveintent.store.dead_letters import utc

_LONGEST_SHOWN = 300
"""How many characters of a value are shown."""
_INT64 = 2**63
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LEFT_OUT = {
    "filtered": "The filter of the map leaves the record out.",
    "unmapped": "The map does not use the stream.",
}
"""What the reasons mean that `REASONS` does not have."""


class FilterNow(msgspec.Struct, frozen=True):
    """The filter of a map.

    Attributes:
        expression: The expression.
        read: The values that the filter read, by their paths.
        passes: Whether the record passes; None if the filter failed, or was not reached.
    """

    expression: str
    read: dict[str, Any]
    passes: bool | None


class ColumnNow(msgspec.Struct, frozen=True):
    """A column of the event: where its value comes from, and what the map gave.

    Attributes:
        column: The name of the column.
        sources: The sources as `explain` names them; the first source with a value counts.
        value: The value in the mapped record.
        failed: The class name of the exception if the expression failed.
    """

    column: str
    sources: list[FieldSource]
    value: Any = None
    failed: str | None = None

    @property
    def is_mapped(self) -> bool:
        """Whether the map or a column of the record gives the value, and no setting or key."""
        return self.sources[0].code in {"expression", "same_column", "undeclared_column"}


class AgeNow(msgspec.Struct, frozen=True):
    """The age of a record's event.

    Attributes:
        event_time: The event time, in UTC.
        until: When the API stops to accept the event.
        is_open: Whether the API accepts the event now.
    """

    event_time: str | None
    until: str | None
    is_open: bool | None


class RecordNow(msgspec.Struct, frozen=True):
    """What a run would do with a record now, if the store did not know the record.

    Attributes:
        counted_as: The name of the stream in the counts of a run.
        result: `sent`, `left_out`, or `dead_letter`.
        reason: The code of the reason; `filtered` or `unmapped` if the map leaves the record out.
        meaning: What the reason means.
        field: The column at fault.
        detail: Facts about the reason.
        filter: The filter of the map.
        columns: The columns of the event that have a source.
        age: The event time, and until when the API accepts the event.
        consent: Whether the record has a consent; None if the stream has no column for it.
        suppression: `not_listed`, `suppressed` or `not_compared`; None without a list.
        event: The event as it would be sent.
        records: How many records of the input have the ID of the event.
    """

    counted_as: str
    result: Literal["sent", "left_out", "dead_letter"]
    reason: str | None
    meaning: str | None
    field: str | None
    detail: str | None
    filter: FilterNow | None
    columns: list[ColumnNow]
    age: AgeNow
    consent: bool | None
    suppression: str | None
    event: msgspec.Raw | None
    records: int = 1


def unused_record(plan: StreamPlan, detail: str | None) -> RecordNow:
    """Return the description of a record of a stream that gives no events."""
    reason = "filtered" if plan.named and not plan.is_used else "unmapped"
    return RecordNow(
        counted_as=scrub(plan.stream),
        result="left_out",
        reason=reason,
        meaning="The map drops the stream." if reason == "filtered" else _LEFT_OUT[reason],
        field=None,
        detail=None if detail is None else scrub(detail),
        filter=None,
        columns=[],
        age=AgeNow(None, None, None),
        consent=None,
        suppression=None,
        event=None,
    )


def describe_walk(
    stream: Stream,
    plan: StreamPlan,
    events: EventDefaults,
    walk: RecordWalk,
    now: float,
) -> RecordNow:
    """Return the description of a record's way, at a Unix time at which its age is judged."""
    result = walk.result
    if isinstance(result, Conversion) and result.expires_at <= now:
        rejection: Rejection | None = result.too_old()
    else:
        rejection = result if isinstance(result, Rejection) else None
    is_sent = result is not None and rejection is None
    reason = None if is_sent else "filtered" if rejection is None else rejection.reason
    has_letter = reason in REASONS and REASONS[reason].letter
    detail = None if rejection is None else rejection.detail
    field = None if rejection is None else rejection.field
    permission = walk.permission
    shown = _Shown(plan, events, walk.record)
    return RecordNow(
        counted_as=scrub(plan.stream),
        result="sent" if is_sent else "dead_letter" if has_letter else "left_out",
        reason=reason,
        meaning=None if reason is None else _meaning(reason),
        field=None if field is None else scrub(field),
        detail=None if detail is None else scrub(detail),
        filter=_filter(plan, walk, shown),
        columns=[*_columns(Explained(stream, plan), events, walk, shown)],
        age=_age(result, events, now),
        consent=_consent(walk),
        suppression=permission and permission.in_list,
        event=msgspec.Raw(result.body) if isinstance(result, Conversion) and is_sent else None,
    )


def _meaning(reason: str) -> str:
    return REASONS[reason].meaning if reason in REASONS else _LEFT_OUT[reason]


def _consent(walk: RecordWalk) -> bool | None:
    if walk.permission is not None:
        return walk.permission.consent
    is_denied = isinstance(walk.result, Rejection) and walk.result.reason == "no_consent"
    return False if is_denied else None


def _filter(plan: StreamPlan, walk: RecordWalk, shown: _Shown) -> FilterNow | None:
    expression = plan.origins.get(FILTER)
    if expression is None:
        return None
    paths = dict.fromkeys(expression.reading.paths.values())
    passes = {column: value for column, value, failure in walk.computed if failure is None}
    return FilterNow(
        expression=_expression_text(expression.text),
        read={scrub(".".join(path)): shown.at(path) for path in paths},
        passes=passes.get(FILTER),
    )


def _columns(
    explained: Explained, events: EventDefaults, walk: RecordWalk, shown: _Shown
) -> Iterator[ColumnNow]:
    """Yield the columns of the event that have a source, in the order of the documentation."""
    if not walk.computed and walk.mapped is None:
        return
    if walk.result is not None:
        explained.counts.note(walk.result.remarks)
    failed = {column: failure for column, _, failure in walk.computed}
    values = {column: value for column, value, _ in walk.computed} | (walk.mapped or {})
    for field in FIELDS:
        name = field.name
        is_reached = walk.mapped is not None or name in failed
        sources = sources_of_field(name, explained, events, [*values]) if is_reached else []
        if sources:
            yield ColumnNow(
                name,
                [_scrubbed(source) for source in sources],
                shown.of_column(name, values.get(name)),
                failed.get(name),
            )


def _scrubbed(source: FieldSource) -> FieldSource:
    value = None if source.value is None else _expression_text(source.value)
    return msgspec.structs.replace(source, value=value)


def _expression_text(text: str) -> str:
    """Return an expression in one line, without addresses and secrets of URLs."""
    line = " ".join(text.split())
    return scrub(clean_url(line) if _URL.search(line) else line)


def _age(result: Conversion | Rejection | None, events: EventDefaults, now: float) -> AgeNow:
    if result is None:
        return AgeNow(None, None, None)
    if isinstance(result, Conversion):
        return _age_of(result.event.event_time, result.expires_at, now)
    time = unix_time(result.columns.get("event_time"), events.zone)
    return _age_of(time, window_end(result.columns, events), now)


def _age_of(event_time: Any, end: int | None, now: float) -> AgeNow:
    return AgeNow(
        utc(event_time) if isinstance(event_time, int) else None,
        None if end is None else utc(end),
        None if end is None else now < end,
    )


class _Shown:
    """Shows the values of a record: without addresses, and without secrets in page URLs.

    A value from which a person is identified is only shown as a hash, or in its shape.
    """

    def __init__(self, plan: StreamPlan, events: EventDefaults, record: TapRecord) -> None:
        self._record = record
        self._normalization = events.normalization
        self._kept = URL_PARAMETERS[events.url_parameters]
        expressions = (plan.origins[name] for name in IDENTITY_COLUMNS if name in plan.origins)
        self._of_person = {
            *((name,) for name in IDENTITY_COLUMNS),
            *(path for one in expressions for path in one.reading.paths.values()),
        }

    def at(self, path: tuple[str, ...]) -> Any:
        """Return the value that an expression reads at a path."""
        value = value_at(self._record.get(path[0]), path[1:])
        # (An object that contains the address is shown without its content, too.)
        is_of_person = any(person[: len(path)] == path for person in self._of_person)
        return self._person(value) if is_of_person else self._value(value)

    def of_column(self, column: str, value: Any) -> Any:
        """Return the value of a column of a mapped record."""
        return self._person(value) if column in IDENTITY_COLUMNS else self._value(value)

    def _person(self, value: Any) -> str | None:
        if value is None or value == "":
            return None
        identity = identify([value], self._normalization)
        return identity.sha2 or identity.md5 or f"({shape(value).words})"

    def _value(self, value: Any) -> Any:
        if isinstance(value, Unusable):
            return "(unusable)" if value.cause is None else f"({value.cause.words})"
        return _plain(redact_value(value, redact=self._text))

    def _text(self, text: str) -> str:
        if _URL.search(text):
            text = clean_url(text, self._kept)
        redacted = str(redact_value(text))
        is_short = len(redacted) <= _LONGEST_SHOWN
        return redacted if is_short else f"{redacted[:_LONGEST_SHOWN]}…"


def _plain(value: Any) -> Any:
    """Return a redacted value with only such numbers as JSON has."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return f"({shape(value).words})"
    return str(value) if isinstance(value, (float, Decimal)) else value
