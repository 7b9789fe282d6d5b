"""What the API answers to a request, scripted faults aside. Pure: no state, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from target_liveintent.sandbox.answers import JSON, Answer, Problem, Refusal, accept, refuse
from target_liveintent.sandbox.masking import masked
from target_liveintent.sandbox.rules import (
    SCHEMAS,
    Violation,
    other_violations,
    schema_violations,
    validator,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAX_VIOLATIONS = 5
_MAX_ECHO = 60

_MIN_EVENTS: int = SCHEMAS["ConversionBatch"]["minItems"]
_MAX_EVENTS: int = SCHEMAS["ConversionBatch"]["maxItems"]
_BATCH = validator("ConversionBatch")
_EVENT = validator("ConversionEvent")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a request that decide its answer."""

    customer_id: str
    body: bytes
    authorization: str | None = None
    content_type: str | None = None


class Judgement(msgspec.Struct, frozen=True):
    """An answer, with what is known of the batch it answers.

    `events` is None where the body is no array, or was not looked at.
    """

    answer: Answer
    events: Sequence[object] | None = None


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The API's contract with one customer.

    With `echo_values`, messages repeat the offending value, as those of a real API may.
    """

    customer_id: str
    auth_token: str
    echo_values: bool = True

    def judge(self, call: Call, now: float) -> Judgement:
        """Return the answer to `call`, which arrived at `now` in Unix seconds."""
        barred = self._barred(call)
        if barred is not None:
            return Judgement(barred)
        try:
            batch = msgspec.json.decode(call.body)
        # Of text that is not UTF-8, and of arrays nested thousands deep, msgspec says so in
        # Python's own exceptions. It refuses NaN and Infinity, which are no JSON.
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Judgement(refuse(400, Refusal("INVALID_JSON", f"body: invalid JSON: {error}")))
        if not isinstance(batch, list):
            return Judgement(refuse(400, Refusal("TYPE", "body: must be an array of events")))
        try:
            return Judgement(self._checked(batch, now), batch)
        except ValueError:  # the validator's limit, some 250 levels
            return Judgement(refuse(400, Refusal("INVALID_JSON", "body: nested too deep")))

    def _barred(self, call: Call) -> Answer | None:
        if call.authorization != f"Bearer {self.auth_token}":
            refusal = Refusal("UNAUTHORIZED", "the token is missing or wrong")
            return refuse(401, refusal, headers={"WWW-Authenticate": "Bearer"})
        if call.customer_id != self.customer_id:
            return refuse(403, Refusal("FORBIDDEN", "the token is not one for this customer ID"))
        if not is_json(call.content_type):
            return refuse(415, Refusal("UNSUPPORTED_MEDIA_TYPE", f"Content-Type must be {JSON}"))
        return None

    def _checked(self, batch: list[Any], now: float) -> Answer:
        if not _MIN_EVENTS <= len(batch) <= _MAX_EVENTS:
            rule = f"must hold {_MIN_EVENTS} to {_MAX_EVENTS} events, holds {len(batch)}"
            return refuse(400, Refusal("BATCH_SIZE", f"body: {rule}"))
        # One call for the whole batch is several times as fast as one for each event; which
        # event breaks which rule is asked only where one does.
        well_formed = _BATCH.is_valid(batch)
        refusals = [
            self._entry(index, event, violations)
            for index, event in enumerate(batch)
            if (violations := tuple(_violations(event, now, well_formed=well_formed)))
        ]
        return refuse(400, *refusals) if refusals else accept(batch)

    def _entry(self, index: int, event: object, violations: Sequence[Violation]) -> Refusal:
        place = f"events[{index}]"
        violations = violations[:_MAX_VIOLATIONS]
        texts = [self._text(place, violation) for violation in violations]
        event_id = event_id_of(event)
        suffix = "" if event_id is None else f" (eventId {event_id})"
        problems = tuple(_problem(index, event_id, violation) for violation in violations)
        return Refusal(violations[0].code, "; ".join(texts) + suffix, problems)

    def _text(self, place: str, violation: Violation) -> str:
        where = f"{place}.{violation.field}" if violation.field else place
        text = f"{where}: {violation.rule}"
        if not self.echo_values or violation.value is msgspec.UNSET:
            return text
        return f"{text}, got {_cut(msgspec.json.encode(violation.value).decode())}"


def event_id_of(event: object) -> str | None:
    """Return the ID of what may be no event, or have none."""
    event_id = event.get("eventId") if isinstance(event, dict) else None
    return event_id if isinstance(event_id, str) else None


def is_json(content_type: str | None) -> bool:
    """Tell whether a Content-Type header, or its absence, declares JSON."""
    return (content_type or "").partition(";")[0].strip().lower() == JSON


def _violations(event: Any, now: float, *, well_formed: bool) -> Iterator[Violation]:
    if not well_formed:
        yield from schema_violations(_EVENT, event)
    if isinstance(event, dict):
        yield from other_violations(event, now)


def _problem(index: int, event_id: str | None, violation: Violation) -> Problem:
    value = None
    if violation.value is not msgspec.UNSET:
        # Cut after it is masked: the first half of an address must not be left.
        value = _cut(masked(msgspec.json.encode(violation.value).decode()))
    return Problem(
        rule=violation.rule,
        index=index,
        event_id=event_id,
        field=violation.field or None,
        value=value,
    )


def _cut(echo: str) -> str:
    return echo if len(echo) <= _MAX_ECHO else echo[:_MAX_ECHO] + "…"
