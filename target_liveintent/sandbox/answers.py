"""What the sandbox answers to a request, as values. Nothing is sent or stored here."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Event = dict[str, Any]
"""One conversion event as it arrived, decoded from JSON."""

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
    """A rule that a request broke, in separate fields for the page to show.

    `index` and `event_id` identify the event, unless the request as a whole broke the rule. `field`
    is a dotted path; `value` is the offending value as JSON, without e-mail addresses.
    """

    rule: str
    index: int | None = None
    event_id: str | None = None
    field: str | None = None
    value: str | None = None


class ErrorEntry(msgspec.Struct, frozen=True):
    """One entry of an error body: a code for programs and a message for people.

    `problems` is the message in separate fields; it is empty if the message is a single rule.
    """

    code: str
    message: str
    problems: tuple[Problem, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one request.

    `status` is None if the connection is closed without an answer. `accepted` contains the events
    that count as received. `reasons` says in words why the answer is not a plain 204; `problems`
    contains these reasons in separate fields.
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
    """Return the answer to a valid batch: 204 without a body."""
    return Answer(outcome=Outcome.ACCEPTED, status=204, accepted=events)


def refuse(status: int, *entries: ErrorEntry, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer with this status that refuses the whole request.

    The body contains the first `MAX_ENTRIES` entries.
    """
    entries = entries[:MAX_ENTRIES]
    return Answer(
        outcome=Outcome.REFUSED,
        status=status,
        body=error_body(status, *entries),
        media_type=JSON,
        headers=headers or {},
        reasons=tuple(entry.message for entry in entries),
        problems=tuple(
            problem
            for entry in entries
            for problem in entry.problems or (Problem(rule=entry.message),)
        ),
    )


def error_body(status: int, *entries: ErrorEntry) -> bytes:
    """Return an error body in the format of LiveIntent's sister APIs.

    The format of the Conversions API itself is not published; this one is inferred.
    """
    return msgspec.json.encode(
        {
            "errors": [
                {"httpStatus": status, "message": entry.message, "errorCode": entry.code}
                for entry in entries
            ]
        }
    )
