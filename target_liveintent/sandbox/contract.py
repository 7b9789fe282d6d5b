"""Decides what the API answers to a request, apart from scripted faults. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from target_liveintent.sandbox.answers import Answer, ErrorEntry, Problem, accept, refuse
from target_liveintent.sandbox.masking import mask_addresses
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
"""Most violations in one error entry."""
_MAX_ECHO = 60
"""Most characters of an offending value in a message."""

_MIN_EVENTS: int = SCHEMAS["ConversionBatch"]["minItems"]
_MAX_EVENTS: int = SCHEMAS["ConversionBatch"]["maxItems"]
_BATCH = validator("ConversionBatch")
_EVENT = validator("ConversionEvent")


class ApiRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a request that determine its answer."""

    customer_id: str
    body: bytes
    authorization: str | None = None


class CheckResult(msgspec.Struct, frozen=True):
    """The answer to a request, and the items in its body, which need not be events.

    `events` is None if the body is not an array, or if the request is refused before it is read.
    """

    answer: Answer
    events: Sequence[object] | None = None


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The rules by which the API answers one customer.

    With `echo_values`, messages repeat the offending value, as the messages of a real API may.
    """

    customer_id: str
    auth_token: str
    echo_values: bool = True

    def check(self, request: ApiRequest, now: float) -> CheckResult:
        """Return the answer to a request that arrived at `now`, in Unix seconds."""
        if (denial := self._denial(request)) is not None:
            return CheckResult(denial)
        try:
            batch = msgspec.json.decode(request.body)
        # msgspec raises Python's own exceptions for text that is not UTF-8 and for arrays nested
        # thousands deep. It rejects NaN and Infinity, which are not JSON.
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _refused("INVALID_JSON", f"body: invalid JSON: {error}")
        if not isinstance(batch, list):
            return _refused("TYPE", "body: must be an array of events")
        try:
            return CheckResult(self._check_batch(batch, now), batch)
        except ValueError:  # The validator stops at some 250 levels.
            return _refused("INVALID_JSON", "body: nested too deep")

    def _denial(self, request: ApiRequest) -> Answer | None:
        """Return the answer to a request whose headers or path are wrong, otherwise None."""
        if request.authorization != f"Bearer {self.auth_token}":
            entry = ErrorEntry("UNAUTHORIZED", "the token is missing or wrong")
            return refuse(401, entry, headers={"WWW-Authenticate": "Bearer"})
        if request.customer_id != self.customer_id:
            entry = ErrorEntry("FORBIDDEN", "the token does not belong to this customer ID")
            return refuse(403, entry)
        return None

    def _check_batch(self, batch: list[Any], now: float) -> Answer:
        if not _MIN_EVENTS <= len(batch) <= _MAX_EVENTS:
            rule = f"must contain {_MIN_EVENTS} to {_MAX_EVENTS} events, contains {len(batch)}"
            return refuse(400, ErrorEntry("BATCH_SIZE", f"body: {rule}"))
        # Validating the whole batch at once is several times as fast as validating each event.
        # Single events are validated only if that fails, to find which event breaks which rule.
        well_formed = _BATCH.is_valid(batch)
        entries = [
            self._entry(index, event, violations)
            for index, event in enumerate(batch)
            if (violations := tuple(_violations(event, now, well_formed=well_formed)))
        ]
        return refuse(400, *entries) if entries else accept(batch)

    def _entry(self, index: int, event: object, violations: Sequence[Violation]) -> ErrorEntry:
        place = f"events[{index}]"
        violations = violations[:_MAX_VIOLATIONS]
        texts = [self._text(place, violation) for violation in violations]
        event_id = event_id_of(event)
        suffix = "" if event_id is None else f" (eventId {event_id})"
        problems = tuple(_problem(index, event_id, violation) for violation in violations)
        return ErrorEntry(violations[0].code, "; ".join(texts) + suffix, problems)

    def _text(self, place: str, violation: Violation) -> str:
        where = f"{place}.{violation.field}" if violation.field else place
        text = f"{where}: {violation.rule}"
        if not self.echo_values or violation.value is msgspec.UNSET:
            return text
        return f"{text}, got {_shorten(msgspec.json.encode(violation.value).decode())}"


def event_id_of(event: object) -> str | None:
    """Return the eventId of an item; None if it has none or is not an event."""
    event_id = event.get("eventId") if isinstance(event, dict) else None
    return event_id if isinstance(event_id, str) else None


def _refused(code: str, message: str) -> CheckResult:
    return CheckResult(refuse(400, ErrorEntry(code, message)))


def _violations(event: Any, now: float, *, well_formed: bool) -> Iterator[Violation]:
    if not well_formed:
        yield from schema_violations(_EVENT, event)
    if isinstance(event, dict):
        yield from other_violations(event, now)


def _problem(index: int, event_id: str | None, violation: Violation) -> Problem:
    value = None
    if violation.value is not msgspec.UNSET:
        # Mask before shortening: otherwise the first half of an address could remain.
        value = _shorten(mask_addresses(msgspec.json.encode(violation.value).decode()))
    return Problem(
        rule=violation.rule,
        index=index,
        event_id=event_id,
        field=violation.field or None,
        value=value,
    )


def _shorten(value: str) -> str:
    return value if len(value) <= _MAX_ECHO else value[:_MAX_ECHO] + "…"
