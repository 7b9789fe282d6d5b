"""The rules of a single event: the schema of `openapi.json`, and what no schema can say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import jsonschema_rs
import msgspec

OPENAPI: bytes = (files(__package__) / "openapi.json").read_bytes()
"""The OpenAPI 3.1 document of the API, as it is served."""

_COMPONENTS: dict[str, Any] = msgspec.json.decode(OPENAPI)["components"]

SCHEMAS: Mapping[str, Any] = _COMPONENTS["schemas"]
"""The document's schemas by name."""

DAY = 86_400
WINDOW_DAYS = 7
OFFLINE_WINDOW_DAYS = 30

_INTEGERS = (("eventTime",), ("pixelId",), ("userData", "trackingEnabled"))

# By JSON Schema keyword: the code of the error entry, and the rule in words. `{}` stands for
# the keyword's value. Every keyword that an event's schema can fail on has its line here.
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
    """A rule that an event breaks: `field` as a dotted path, and the offending `value`.

    `value` is unset where there is none: the field is missing.
    """

    code: str
    field: str
    rule: str
    value: Any = msgspec.UNSET


def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    """Compile the validator of the document's schema `name`.

    OpenAPI 3.1 schemas are JSON Schema 2020-12; `format` is checked, not only noted.
    """
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def schema_violations(
    compiled: jsonschema_rs.Draft202012Validator, event: object
) -> Iterator[Violation]:
    """Yield what `event` breaks of its schema."""
    for error in compiled.iter_errors(event):
        yield from _worded(error)


def other_violations(event: Mapping[str, Any], now: float) -> Iterator[Violation]:
    """Yield what `event` breaks of the rules that JSON Schema cannot say.

    The windows are those of LiveIntent's guide, and count to the moment the request arrives.
    The event need not meet its schema: a field of another type is passed over.

    Args:
        event: The event as it came.
        now: When its request arrived, in Unix seconds.
    """
    for path in _INTEGERS:
        value = lookup(event, path)
        if type(value) is float:  # to JSON Schema, 1.0 is an integer too
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


def lookup(event: object, path: tuple[str, ...]) -> object:
    """Return the value at `path` in nested objects, or None where there is none."""
    for key in path:
        event = event.get(key) if isinstance(event, Mapping) else None
    return event


def _worded(error: jsonschema_rs.ValidationError) -> Iterator[Violation]:
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
