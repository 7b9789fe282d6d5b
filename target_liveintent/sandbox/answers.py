"""What the sandbox answers to a request, as a value: nothing is sent or stored here."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Event = dict[str, Any]
"""One conversion event as it came, decoded from JSON."""

JSON = "application/json"

MAX_ENTRIES = 10
"""Most entries in one error body."""


class Outcome(str, Enum):
    """What became of a request."""

    ACCEPTED = "accepted"
    PARTIAL = "partial"
    REFUSED = "refused"
    FAULT = "fault"
    DROPPED = "dropped"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule that a request broke, in its parts, for the page.

    `index` and `event_id` say which event it was, where it was one; `field` is a dotted path,
    `value` what was there, as JSON without e-mail addresses.
    """

    rule: str
    index: int | None = None
    event_id: str | None = None
    field: str | None = None
    value: str | None = None


class Refusal(msgspec.Struct, frozen=True):
    """One entry of an error body: a code for programs and a message for people.

    `problems` says the same as the message, in its parts; where the message has none, nothing.
    """

    code: str
    message: str
    problems: tuple[Problem, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to one request.

    `status` is None where the connection is closed without one; `accepted` holds the events
    that count as received; `reasons` says to a person why the answer is not a plain 204, and
    `problems` the same in its parts.
    """

    outcome: Outcome
    status: int | None
    body: bytes = b""
    media_type: str | None = None
    headers: Mapping[str, str] = {}
    accepted: Sequence[Event] = ()
    reasons: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def accept(events: Sequence[Event]) -> Answer:
    """Return the answer to a batch without fault: 204, no body."""
    return Answer(outcome=Outcome.ACCEPTED, status=204, accepted=events)


def refuse(status: int, *refusals: Refusal, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer of `status` that refuses the whole request.

    The body has one entry for each refusal, of the first `MAX_ENTRIES`.
    """
    refusals = refusals[:MAX_ENTRIES]
    return Answer(
        outcome=Outcome.REFUSED,
        status=status,
        body=error_body(status, *refusals),
        media_type=JSON,
        headers=headers or {},
        reasons=tuple(refusal.message for refusal in refusals),
        problems=tuple(
            problem
            for refusal in refusals
            for problem in refusal.problems or (Problem(rule=refusal.message),)
        ),
    )


def error_body(status: int, *refusals: Refusal) -> bytes:
    """Return an error body in the form of LiveIntent's sister APIs.

    The Conversions API's own form is not published; this one is inferred.
    """
    return msgspec.json.encode(
        {
            "errors": [
                {"httpStatus": status, "message": refusal.message, "errorCode": refusal.code}
                for refusal in refusals
            ]
        }
    )
