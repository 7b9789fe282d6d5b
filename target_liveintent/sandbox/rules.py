"""The API's rules for a single event: the schema in `openapi.json`, and rules beyond schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import jsonschema_rs
import msgspec

OPENAPI: bytes = (files(__package__) / "openapi.json").read_bytes()
"""The OpenAPI 3.1 document of the API, as the sandbox serves it."""

_COMPONENTS: dict[str, Any] = msgspec.json.decode(OPENAPI)["components"]

SCHEMAS: Mapping[str, Any] = _COMPONENTS["schemas"]
"""The schemas in the document, by name."""

DAY = 86_400  # seconds
WINDOW_DAYS = 7
OFFLINE_WINDOW_DAYS = 30

_INTEGERS = (("eventTime",), ("pixelId",), ("userData", "trackingEnabled"))

# The error code and the rule in words for each JSON Schema keyword that an event's schema uses.
# `{}` stands for the keyword's value.
_WORDING = {
    "additionalProperties": ("UNKNOWN_FIELD", "unknown field"),
    "anyOf": ("FORMAT", "must be an IPv4 or IPv6 address"),
    "enum": ("NOT_ALLOWED", "must be one of {}"),
    "format": ("FORMAT", "must be a {}"),
    "maximum": ("OUT_OF_RANGE", "must be at most {}"),
    "minLength": ("EMPTY", "must not be empty"),
    "minimum": ("OUT_OF_RANGE", "must be at least {}"),
    "pattern": ("FORMAT", "must match {}"),
    "required": ("REQUIRED", "required"),
    "type": ("TYPE", "must be of type {}"),
}


class Violation(msgspec.Struct, frozen=True):
    """A rule that an event breaks: an error code, the dotted path of the field, and the rule.

    `value` is the offending value; it is unset if the field is missing.
    """

    code: str
    field: str
    rule: str
    value: Any = msgspec.UNSET


def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    """Compile a validator for the schema `name` in the document.

    OpenAPI 3.1 schemas are JSON Schema 2020-12. The validator also enforces `format`, which
    JSON Schema treats as an annotation by default.
    """
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def schema_violations(
    compiled: jsonschema_rs.Draft202012Validator, event: object
) -> Iterator[Violation]:
    """Yield the rules of the schema that `event` breaks."""
    for error in compiled.iter_errors(event):
        yield from _violations(error)


def other_violations(event: Mapping[str, Any], now: float) -> Iterator[Violation]:
    """Yield the rules that `event` breaks and JSON Schema cannot express.

    The age windows are those of LiveIntent's guide, measured when the request arrives. The event
    does not have to be valid under its schema: a field of the wrong type is ignored here.

    Args:
        event: The event as it arrived.
        now: When its request arrived, in Unix seconds.
    """
    for path in _INTEGERS:
        value = lookup(event, path)
        if type(value) is float:  # JSON Schema accepts 1.0 as an integer
            yield Violation("TYPE", ".".join(path), "must be an integer without a fraction", value)
    event_time = event.get("eventTime")
    if type(event_time) is not int:
        return
    days = OFFLINE_WINDOW_DAYS if event.get("source") == "offline" else WINDOW_DAYS
    if event_time >= now:
        rule = "must be earlier than the moment of sending"
        yield Violation("NOT_IN_THE_PAST", "eventTime", rule, event_time)
    elif now - event_time > days * DAY:
        yield Violation("TOO_OLD", "eventTime", f"older than {days} days", event_time)


def lookup(event: object, path: Sequence[str]) -> object:
    """Return the value at `path` in nested objects, or None if it is missing."""
    for key in path:
        event = event.get(key) if isinstance(event, Mapping) else None
    return event


def _violations(error: jsonschema_rs.ValidationError) -> Iterator[Violation]:
    keyword, value = error.kind.name, error.kind.value
    code, rule = _WORDING[keyword]
    parents = [str(key) for key in error.instance_path]
    if keyword == "required":
        yield Violation(code, ".".join([*parents, value]), rule)
    elif keyword == "additionalProperties":
        for name in value:
            yield Violation(code, ".".join([*parents, name]), rule, lookup(error.instance, (name,)))
    elif error.instance is None:
        yield Violation(code, ".".join(parents), "must not be null")
    else:
        listed = ", ".join(map(str, value)) if isinstance(value, list) else value
        yield Violation(code, ".".join(parents), rule.format(listed), error.instance)
