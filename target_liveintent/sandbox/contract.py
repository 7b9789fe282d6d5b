"""The API's contract: what it answers to a request, apart from scripted faults. Pure functions.

The rules are the schemas in `openapi.yaml`, and two that a schema cannot express.
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

OPENAPI: Mapping[str, Any] = yaml.safe_load((files(__package__) / "openapi.yaml").read_bytes())
"""The OpenAPI 3.1 document of the API. Its schemas are JSON Schema 2020-12."""

SCHEMAS: Mapping[str, Any] = OPENAPI["components"]["schemas"]

# The validator also enforces `format`, which JSON Schema treats as an annotation by default. `mask`
# keeps values out of its messages, which repeat them whole.
_BATCH = jsonschema_rs.Draft202012Validator(
    {"$ref": "#/components/schemas/ConversionBatch", "components": {"schemas": SCHEMAS}},
    validate_formats=True,
    mask="value",
)
_TIME = ("eventTime",)
_INTEGERS = (_TIME, ("pixelId",), ("userData", "trackingEnabled"))
_DAY = 86_400  # seconds
_WINDOW_DAYS = 7
_OFFLINE_WINDOW_DAYS = 30
_MAX_PROBLEMS = 10
"""Most problems to find in one request."""
_MAX_ECHO = 60
"""Most characters of an offending value in a message."""

Event = dict[str, Any]
"""One conversion event as it arrived, decoded from JSON."""


class Outcome(str, Enum):
    """What became of a request."""

    ACCEPTED = "accepted"
    PARTIAL = "partial"
    REFUSED = "refused"
    FAULT = "fault"
    DROPPED = "dropped"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why the answer to a request is not a plain 204.

    Attributes:
        rule: The rule that is broken, in words.
        index: The position of the event in the request; None for the whole request.
        event_id: The ID of this event, if it has one.
        field: The dotted path of the field; empty for the whole event.
        value: The offending value as JSON, if there is one.
    """

    rule: str
    index: int | None = None
    event_id: str | None = None
    field: str = ""
    value: str | None = None

    @property
    def message(self) -> str:
        """The problem in one line; like the messages of a real API, it repeats the value."""
        if self.index is None:
            return self.rule
        where = f"events[{self.index}].{self.field}".removesuffix(".")
        got = "" if self.value is None else f", got {shorten(self.value, _MAX_ECHO)}"
        whose = "" if self.event_id is None else f" (eventId {self.event_id})"
        return f"{where}: {self.rule}{got}{whose}"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one request.

    Attributes:
        status: None if the connection is closed without an answer.
        accepted: The positions of the events that count as received.
        problems: Why the answer is not a plain 204.
    """

    outcome: Outcome
    status: int | None
    accepted: Sequence[int] = ()
    problems: Sequence[Problem] = ()
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

        It is followed by the items in the body, which need not be events. There are none if the
        body is not an array, or if the request is refused before it is read.
        """
        if authorization != f"Bearer {self.auth_token}":
            return refuse(401, Problem(rule="the token is missing or wrong")), []
        if customer_id != self.customer_id:
            problem = Problem(rule="the token does not belong to this customer ID")
            return refuse(403, problem), []
        try:
            batch = msgspec.json.decode(body)
            problems = list(islice(broken_rules(batch, now), _MAX_PROBLEMS))
        # Text that is not UTF-8 and arrays nested thousands deep raise Python's own exceptions, and
        # the validator a ValueError at some 250 levels. NaN and Infinity are not JSON.
        except (ValueError, RecursionError) as error:
            return refuse(400, Problem(rule=f"body: invalid JSON: {error}")), []
        if problems:
            return refuse(400, *problems), batch if isinstance(batch, list) else []
        accepted = range(len(batch))
        return Answer(outcome=Outcome.ACCEPTED, status=204, accepted=accepted), batch


def broken_rules(batch: Any, now: float) -> Iterator[Problem]:
    """Yield the rules that a batch breaks if it arrives at `now`, in Unix seconds."""
    # To ask whether a batch is valid takes a fraction of the time of a search for errors.
    if not _BATCH.is_valid(batch):
        for error in _BATCH.iter_errors(batch):
            yield _problem(batch, error.instance_path, error.message, error.instance)
    if isinstance(batch, list):
        for index, event in enumerate(batch):
            for path, rule in _other_rules(event, now):
                yield _problem(batch, [index, *path], rule, lookup(event, path))


def refuse(
    status: int,
    *problems: Problem,
    outcome: Outcome = Outcome.REFUSED,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Return an answer with this status that accepts no event.

    Its body has the format of LiveIntent's sister APIs. The format of the Conversions API itself is
    not published.
    """
    errors = [
        {"httpStatus": status, "message": problem.message, "errorCode": str(status)}
        for problem in problems
    ]
    body = msgspec.json.encode({"errors": errors})
    return Answer(
        outcome=outcome, status=status, problems=problems, body=body, headers=headers or {}
    )


def lookup(event: object, path: Sequence[str]) -> Any:
    """Return the value at a path in nested objects, or None if it is missing."""
    for key in path:
        event = event.get(key) if isinstance(event, dict) else None
    return event


def shorten(text: str, most: int) -> str:
    """Return a text with at most this many characters."""
    return text if len(text) <= most else text[:most] + "…"


def _problem(batch: Any, path: Sequence[str | int], rule: str, value: object) -> Problem:
    """Return a rule that the value at this path in a batch breaks."""
    if not path:
        return Problem(rule=f"body: {rule}")
    index, *fields = path
    event_id = lookup(batch[index], ("eventId",))
    is_container = isinstance(value, dict | list)
    return Problem(
        rule=rule,
        field=".".join(map(str, fields)),
        value=None if is_container else msgspec.json.encode(value).decode(),
        index=int(index),
        event_id=event_id if isinstance(event_id, str) else None,
    )


def _other_rules(event: object, now: float) -> Iterator[tuple[Sequence[str], str]]:
    """Yield the path of each value that breaks a rule beyond schemas, and the rule.

    The age windows are those of LiveIntent's guide, measured when the request arrives. A value of
    the wrong type is left to the schema.
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
