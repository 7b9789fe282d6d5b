"""Scripted faults: their kinds, and what each makes of an answer.

A fault applies `times` times, for ever where `times` is null: by default once, but certain events
are refused for ever, as the API's rules do not change. With a `probability` below 1 it
is passed over now and then, which uses up none of its times.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from target_liveintent.sandbox.answers import (
    JSON,
    Answer,
    Event,
    Outcome,
    Problem,
    Refusal,
    error_body,
)
from target_liveintent.sandbox.answers import refuse as refused
from target_liveintent.sandbox.rules import lookup

if TYPE_CHECKING:
    from collections.abc import Sequence

_BODILESS = frozenset({204, 304})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})


class FaultError(ValueError):
    """A fault is not described as it must be; the message says where and how."""


class _Fault(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True
):
    times: Annotated[int, msgspec.Meta(ge=1)] | None = 1
    probability: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0

    def matches(self, accepted: Sequence[Event]) -> bool:  # noqa: ARG002 - for those below
        """Tell whether this fault concerns a request of which `accepted` would be accepted."""
        return True


class Latency(_Fault, frozen=True, kw_only=True, tag="latency"):
    """Answers later, by `seconds`. Combines with any other fault."""

    seconds: Annotated[float, msgspec.Meta(ge=0, le=600)]


class Status(_Fault, frozen=True, kw_only=True, tag="status"):
    """Answers `status` instead of looking at the request. Nothing is accepted.

    `body` is sent as plain text where it is a string, else as JSON; without one, it is an
    error body in the API's form.
    """

    status: Annotated[int, msgspec.Meta(ge=200, le=599)]
    headers: dict[str, str] = {}
    body: Any = msgspec.UNSET

    def __post_init__(self) -> None:
        """Refuse what would break the connection instead of making an answer."""
        if self.status in _BODILESS and self.body is not msgspec.UNSET:
            msg = f"An answer of status {self.status} has no `body`"
            raise ValueError(msg)
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
                msg = f"`{name}` is no valid header, or its value is not printable ASCII"
                raise ValueError(msg)
            if name.lower() in _FRAMING:
                msg = f"The header `{name}` is the server's to set"
                raise ValueError(msg)

    def answer(self, judged: Answer) -> Answer:  # noqa: ARG002 - for those below
        """Return the scripted answer."""
        reason = f"scripted fault: status {self.status}"
        if self.status in _BODILESS:
            body, media_type = b"", None
        elif self.body is msgspec.UNSET:
            body, media_type = error_body(self.status, Refusal("SCRIPTED_FAULT", reason)), JSON
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

    def answer(self, judged: Answer) -> Answer:
        """Return no answer, with the events accepted where it comes after."""
        reason = f"scripted fault: connection dropped {self.when} processing"
        return Answer(
            outcome=Outcome.DROPPED,
            status=None,
            accepted=judged.accepted if self.when == "after" else (),
            reasons=(reason,),
            problems=(Problem(rule=reason),),
        )


class Refuse(_Fault, frozen=True, kw_only=True, tag="refuse"):
    """Refuses batches that hold certain events, as the API does for an invalid one.

    An event is meant if its eventId is in `event_ids`, or if it has all values of `where`, a
    mapping of dotted paths to values.
    """

    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    event_ids: frozenset[str] = frozenset()
    where: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Refuse a fault that would mean no event, or any."""
        if not self.event_ids and not self.where:
            msg = "One of `event_ids` and `where` must name an event"
            raise ValueError(msg)

    def matches(self, accepted: Sequence[Event]) -> bool:
        """Tell whether any event of the batch is meant."""
        return any(map(self._means, accepted))

    def answer(self, judged: Answer) -> Answer:
        """Return the refusal, which names the events meant."""
        rule = "refused by a scripted fault"
        refusals = (
            Refusal(
                "SCRIPTED_FAULT",
                f"events[{index}]: {rule} (eventId {event['eventId']})",
                (Problem(rule=rule, index=index, event_id=event["eventId"]),),
            )
            for index, event in enumerate(judged.accepted)
            if self._means(event)
        )
        return refused(400, *refusals)

    def _means(self, event: Event) -> bool:
        return event["eventId"] in self.event_ids or (
            bool(self.where)
            and all(lookup(event, tuple(k.split("."))) == v for k, v in self.where.items())
        )


class Partial(_Fault, frozen=True, kw_only=True, tag="partial"):
    """Answers 200 with those of `event_ids` that are in the batch; the rest is accepted."""

    event_ids: Annotated[frozenset[str], msgspec.Meta(min_length=1)]

    def matches(self, accepted: Sequence[Event]) -> bool:
        """Tell whether any event of the batch is meant."""
        return any(event["eventId"] in self.event_ids for event in accepted)

    def answer(self, judged: Answer) -> Answer:
        """Return the partial success."""
        left_out = [
            (index, event_id)
            for index, event in enumerate(judged.accepted)
            if (event_id := event["eventId"]) in self.event_ids
        ]
        rule = "scripted fault: not processed"
        return Answer(
            outcome=Outcome.PARTIAL,
            status=200,
            body=msgspec.json.encode([event_id for _, event_id in left_out]),
            media_type=JSON,
            accepted=[e for e in judged.accepted if e["eventId"] not in self.event_ids],
            reasons=tuple(f"{rule} (eventId {event_id})" for _, event_id in left_out),
            problems=tuple(
                Problem(rule=rule, index=index, event_id=event_id) for index, event_id in left_out
            ),
        )


TerminalFault = Status | Drop | Refuse | Partial
Fault = Latency | TerminalFault


def parse_faults(raw: object) -> list[Fault]:
    """Return the faults that decoded JSON describes, an array of objects.

    Raises:
        FaultError: If any of them is not described as it must be.
    """
    try:
        return msgspec.convert(raw, list[Fault])
    except msgspec.ValidationError as error:
        raise FaultError(str(error)) from error
