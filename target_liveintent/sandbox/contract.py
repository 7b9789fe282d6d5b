"""The API's contract as pure functions: the answer to a request, apart from scripted faults.

The rules are the schemas in `schemas.yaml`, and two rules that a schema cannot express: an
event is neither too old nor in the future, and an integer is written without a fraction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from importlib.resources import files
from itertools import islice
from typing import Any

import jsonschema_rs
import msgspec
import yaml

SCHEMAS: Mapping[str, Any] = yaml.safe_load((files(__package__) / "schemas.yaml").read_bytes())
"""The JSON schemas of a batch, of an event and of their parts, by name."""

# The validator also enforces `format`, which JSON Schema treats as an annotation by default. `mask`
# keeps values out of the validator's messages, which would repeat whole values.
_BATCH = jsonschema_rs.Draft202012Validator(
    {"$ref": "#/$defs/ConversionBatch", "$defs": SCHEMAS},
    validate_formats=True,
    mask="value",
)
_TIME = ("eventTime",)
_INTEGERS = (_TIME, ("pixelId",), ("userData", "trackingEnabled"))
_DAY = 86_400  # seconds
_WINDOW_DAYS = 7
_OFFLINE_WINDOW_DAYS = 30
_MAX_PROBLEMS = 10
"""Maximum number of problems that are found in one request."""
MAX_MESSAGE = 150
"""Maximum number of characters of a message."""

Event = dict[str, Any]
"""One conversion event as it arrived, decoded from JSON."""


class Outcome(str, Enum):
    """What the sandbox did with the events of a request."""

    ACCEPTED = "accepted"
    PARTIAL = "partial"
    REFUSED = "refused"
    FAULT = "fault"
    DROPPED = "dropped"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one request.

    Attributes:
        status: The HTTP status; None if the connection is closed without an answer.
        accepted: The positions of the accepted events in the batch.
        problems: The reasons why the answer is not 204.
    """

    outcome: Outcome
    status: int | None
    accepted: Sequence[int] = ()
    problems: Sequence[str] = ()
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The rules by which the API answers the one customer that it knows."""

    customer_id: str
    auth_token: str

    def answer(
        self, customer_id: str, authorization: str | None, body: bytes, *, now: float
    ) -> tuple[Answer, list[Any]]:
        """Return the answer to a request that arrives at `now`, in Unix seconds.

        Returns:
            The answer, and the items in the body, which need not be events. The list is empty if
            the body is not an array, or if the token or the customer ID is wrong.
        """
        if authorization != f"Bearer {self.auth_token}":
            return refuse(401, "the token is missing or wrong"), []
        if customer_id != self.customer_id:
            return refuse(403, "the token does not belong to this customer ID"), []
        try:
            batch = msgspec.json.decode(body)
            problems = list(islice(broken_rules(batch, now), _MAX_PROBLEMS))
        # msgspec raises Python's own exceptions for text that is not UTF-8 or JSON, and for arrays
        # with thousands of levels. The validator raises a ValueError at about 250 levels.
        except (ValueError, RecursionError) as error:
            return refuse(400, f"body: invalid JSON: {error}"), []
        if problems:
            return refuse(400, *problems), batch if isinstance(batch, list) else []
        accepted = range(len(batch))
        return Answer(outcome=Outcome.ACCEPTED, status=204, accepted=accepted), batch


def broken_rules(batch: Any, now: float) -> Iterator[str]:
    """Yield the rules that a batch breaks if it arrives at `now`, in Unix seconds."""
    # `is_valid` takes a fraction of the time of `iter_errors`.
    if not _BATCH.is_valid(batch):
        for error in _BATCH.iter_errors(batch):
            yield problem(batch, error.message, *error.instance_path)
    if isinstance(batch, list):
        for index, event in enumerate(batch):
            for path, rule in _other_rules(event, now):
                yield problem(batch, rule, index, *path)


def problem(batch: Any, rule: str, *path: str | int) -> str:
    """Return a line that says which rule is broken by the value at a path in a batch.

    Like the message of a real API, the line contains the value and the event's ID.
    """
    if not path:
        return f"body: {rule}"
    index, *fields = path
    event = batch[index]
    value, event_id = lookup(event, fields), lookup(event, ("eventId",))
    where = ".".join((f"events[{index}]", *map(str, fields)))
    is_shown = fields and not isinstance(value, dict | list)
    got = f", got {msgspec.json.encode(value).decode()}" if is_shown else ""
    whose = f" (eventId {event_id})" if isinstance(event_id, str) else ""
    return f"{where}: {rule}{got}{whose}"


def refuse(
    status: int,
    *problems: str,
    outcome: Outcome = Outcome.REFUSED,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Return an answer with this status that accepts no event.

    The body has the format of LiveIntent's other APIs, because the format of the Conversions API is
    not published.
    """
    errors = [
        {"httpStatus": status, "message": shorten(one, MAX_MESSAGE), "errorCode": str(status)}
        for one in problems
    ]
    body = msgspec.json.encode({"errors": errors})
    return Answer(
        outcome=outcome, status=status, problems=problems, body=body, headers=headers or {}
    )


def lookup(event: object, path: Sequence[str | int]) -> Any:
    """Return the value at a path in nested objects, or None if it is missing."""
    for key in path:
        event = event.get(key) if isinstance(event, dict) else None
    return event


def shorten(text: str, most: int) -> str:
    """Return a text unchanged, or its first `most` characters and "…" if it is longer."""
    return text if len(text) <= most else text[:most] + "…"


def _other_rules(event: object, now: float) -> Iterator[tuple[Sequence[str], str]]:
    """Yield the path and the broken rule for each value that breaks a rule outside the schemas.

    LiveIntent's guide defines the windows for the age of an event. The age is computed when the
    request arrives. A value of the wrong type breaks a rule of the schemas.
    """
    for path in _INTEGERS:
        if type(lookup(event, path)) is float:  # JSON Schema accepts 1.0 as an integer.
            yield path, "must be an integer without a fraction"
    if type(event_time := lookup(event, _TIME)) is not int:
        return
    days = _OFFLINE_WINDOW_DAYS if lookup(event, ("source",)) == "offline" else _WINDOW_DAYS
    if event_time >= now:
        yield _TIME, "must be earlier than the moment of sending"
    elif now - event_time > days * _DAY:
        yield _TIME, f"older than {days} days"
