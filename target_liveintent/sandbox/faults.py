"""The kinds of scripted faults, and how each of them changes an answer.

A fault applies `times` times, or until it is removed if `times` is null. The default is once; only
`refuse` lasts until it is removed, because the API's rules do not change either. A fault with a
`probability` below 1 skips some requests, and a skipped request does not use up a time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from target_liveintent.sandbox.answers import (
    JSON,
    Answer,
    ErrorEntry,
    Event,
    Outcome,
    Problem,
    error_body,
    refuse,
)
from target_liveintent.sandbox.rules import lookup

if TYPE_CHECKING:
    from collections.abc import Sequence

_BODILESS = frozenset({204, 304})
"""Statuses whose responses have no body."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})
"""Headers that only the server may set, because they delimit the body."""


class FaultError(ValueError):
    """The description of a fault is invalid; the message says where and why."""


class _Fault(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True
):
    times: Annotated[int, msgspec.Meta(ge=1)] | None = 1
    probability: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0

    def matches(self, accepted: Sequence[Event]) -> bool:  # noqa: ARG002 - subclasses use it
        """Return whether this fault applies to a request with these valid events."""
        return True


class Latency(_Fault, frozen=True, kw_only=True, tag="latency"):
    """Delays the answer by `seconds`. Combines with any other fault."""

    seconds: Annotated[float, msgspec.Meta(ge=0, le=600)]


class Status(_Fault, frozen=True, kw_only=True, tag="status"):
    """Answers `status` whatever the request contains. Accepts no event.

    A `body` that is a string is sent as plain text, any other as JSON. Without a `body`, the answer
    has an error body in the API's format.
    """

    status: Annotated[int, msgspec.Meta(ge=200, le=599)]
    headers: dict[str, str] = {}
    body: Any = msgspec.UNSET

    def __post_init__(self) -> None:
        """Reject values that would break the connection instead of producing an answer."""
        if self.status in _BODILESS and self.body is not msgspec.UNSET:
            msg = f"An answer with status {self.status} cannot have a `body`: remove it"
            raise ValueError(msg)
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
                msg = f"`{name}` is not a valid header, or its value is not printable ASCII"
                raise ValueError(msg)
            if name.lower() in _FRAMING:
                msg = f"Only the server can set the header `{name}`: remove it"
                raise ValueError(msg)

    def answer(self, regular: Answer) -> Answer:  # noqa: ARG002 - other kinds use it
        """Return the scripted answer."""
        reason = f"scripted fault: status {self.status}"
        if self.status in _BODILESS:
            body, media_type = b"", None
        elif self.body is msgspec.UNSET:
            body, media_type = error_body(self.status, ErrorEntry("SCRIPTED_FAULT", reason)), JSON
        elif isinstance(self.body, str):
            body, media_type = self.body.encode(), "text/plain"
        else:
            body, media_type = msgspec.json.encode(self.body), JSON
        return Answer(
            outcome=Outcome.FAULT,
            status=self.status,
            body=body,
            media_type=media_type,
            headers=self.headers,
            reasons=(reason,),
            problems=(Problem(rule=reason),),
        )


class Drop(_Fault, frozen=True, kw_only=True, tag="drop"):
    """Closes the connection without an answer, before or after the request is processed."""

    when: Literal["before", "after"]

    def answer(self, regular: Answer) -> Answer:
        """Return an answer without status; it accepts the events if `when` is "after"."""
        reason = f"scripted fault: connection dropped {self.when} processing"
        return Answer(
            outcome=Outcome.DROPPED,
            status=None,
            accepted=regular.accepted if self.when == "after" else (),
            reasons=(reason,),
            problems=(Problem(rule=reason),),
        )


class Refuse(_Fault, frozen=True, kw_only=True, tag="refuse"):
    """Refuses batches that contain selected events, as the API does for an invalid event.

    It selects the events whose eventId is in `event_ids`, and those that have all the values in
    `where`, which maps dotted paths to values.
    """

    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    event_ids: frozenset[str] = frozenset()
    where: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Reject a fault that names no events."""
        if not self.event_ids and not self.where:
            msg = "A `refuse` fault needs `event_ids` or `where`"
            raise ValueError(msg)

    def matches(self, accepted: Sequence[Event]) -> bool:
        """Return whether any event of the batch is selected."""
        return any(map(self._selects, accepted))

    def answer(self, regular: Answer) -> Answer:
        """Return a refusal that names the selected events."""
        rule = "refused by a scripted fault"
        entries = (
            ErrorEntry(
                "SCRIPTED_FAULT",
                f"events[{index}]: {rule} (eventId {event['eventId']})",
                (Problem(rule=rule, index=index, event_id=event["eventId"]),),
            )
            for index, event in enumerate(regular.accepted)
            if self._selects(event)
        )
        return refuse(400, *entries)

    def _selects(self, event: Event) -> bool:
        return event["eventId"] in self.event_ids or (
            bool(self.where)
            and all(lookup(event, path.split(".")) == value for path, value in self.where.items())
        )


class Partial(_Fault, frozen=True, kw_only=True, tag="partial"):
    """Answers 200 with those of `event_ids` that are in the batch, and accepts the other events."""

    event_ids: Annotated[frozenset[str], msgspec.Meta(min_length=1)]

    def matches(self, accepted: Sequence[Event]) -> bool:
        """Return whether any event of the batch is in `event_ids`."""
        return any(event["eventId"] in self.event_ids for event in accepted)

    def answer(self, regular: Answer) -> Answer:
        """Return an answer of partial success."""
        left_out = [
            (index, event_id)
            for index, event in enumerate(regular.accepted)
            if (event_id := event["eventId"]) in self.event_ids
        ]
        rule = "scripted fault: not processed"
        return Answer(
            outcome=Outcome.PARTIAL,
            status=200,
            body=msgspec.json.encode([event_id for _, event_id in left_out]),
            media_type=JSON,
            accepted=[e for e in regular.accepted if e["eventId"] not in self.event_ids],
            reasons=tuple(f"{rule} (eventId {event_id})" for _, event_id in left_out),
            problems=tuple(
                Problem(rule=rule, index=index, event_id=event_id) for index, event_id in left_out
            ),
        )


AnswerFault = Status | Drop | Refuse | Partial
"""A fault that replaces the answer."""

Fault = Latency | AnswerFault


def parse_faults(raw: object) -> list[Fault]:
    """Return the faults that decoded JSON, an array of objects, describes.

    Raises:
        FaultError: If any of the descriptions is invalid.
    """
    try:
        return msgspec.convert(raw, list[Fault])
    except msgspec.ValidationError as error:
        raise FaultError(str(error)) from error
