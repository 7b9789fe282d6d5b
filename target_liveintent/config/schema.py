"""The JSON schema of all settings, and what people read about them, generated from `Settings`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from target_liveintent.mapping.presets import PRESETS
from target_liveintent.settings import Settings

_HEADING = re.compile(r"^(\w.+):\n((?:    .+\n?)+)", re.MULTILINE)
_SETTING = re.compile(r"^    (\w+): (.+(?:\n     .+)*)", re.MULTILINE)
_GROUPS = {
    heading: {name: " ".join(text.split()) for name, text in _SETTING.findall(listed)}
    for heading, listed in _HEADING.findall(inspect.cleandoc(Settings.__doc__ or ""))
}
"""The descriptions of the settings by the groups in the docstring of `Settings`."""


def _schema() -> dict[str, Any]:
    """Return the schema that msgspec makes of `Settings`, in the form that Meltano's tools read.

    They expect a type and a description for each setting. Null means "not set", so each setting but
    a required one may be null.
    """
    schema: dict[str, Any] = msgspec.json.schema(Settings)["$defs"]["Settings"]
    properties: dict[str, Any] = {}
    for name, text in (pair for group in _GROUPS.values() for pair in group.items()):
        given = schema["properties"][name]
        rules = {"type": "string", **given.pop("anyOf", [given])[0], **given}
        rules["type"] = [rules["type"], *([] if name in schema["required"] else ["null"])]
        if rules.get("default") in (None, "", {}):
            rules.pop("default", None)
        properties[name] = {**rules, "description": text}
    properties["presets"]["additionalProperties"] = {"type": "string", "enum": list(PRESETS)}
    return {
        "type": "object",
        "properties": properties,
        "required": schema["required"],
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    }


SCHEMA = _schema()
"""The JSON schema of all settings, which Meltano and `--about --format=json` show."""


def expected(schema: Mapping[str, Any]) -> str:
    """Describe in words the values that the schema of a setting allows."""
    kind = f"{'an' if schema['type'][0][0] in 'aeio' else 'a'} {schema['type'][0]}"
    match schema:
        case {"enum": values}:
            return f"one of {', '.join(values)}"
        case {"pattern": pattern}:
            return f"text that matches the pattern {pattern}"
        case {"minLength": _}:
            return f"{kind} that is not empty"
        case {"minimum": least, "maximum": most}:
            return f"{kind} from {least} to {most}"
        case {"minimum": least}:
            return f"{kind} of at least {least}"
    return kind


def settings_by_group() -> dict[str, list[tuple[str, str, str]]]:
    """Return the name, the default and the description of settings, by the heading of their group.

    The default is `required` if there must be a value.
    """
    return {heading: [_shown(name) for name in group] for heading, group in _GROUPS.items()}


def _shown(name: str) -> tuple[str, str, str]:
    schema = SCHEMA["properties"][name]
    default = "required" if name in SCHEMA["required"] else str(schema.get("default", ""))
    options = ", ".join(f"`{option}`" for option in schema.get("enum", []))
    return name, default.lower(), schema["description"] + (f" One of {options}." if options else "")


def about_lines() -> Iterator[str]:
    """Yield what `--about` says of the settings, by group."""
    for heading, settings in settings_by_group().items():
        yield from ("", f"{heading}:")
        for name, default, description in settings:
            yield f"  {name}{default and f' ({default})'}: {description}"
