"""The JSON schema of all settings, and what people read about them, generated from `Settings`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from target_liveintent.conversions import WINDOWS
from target_liveintent.mapping import PRESETS
from target_liveintent.privacy import NORMALIZATIONS, URL_PARAMETERS
from target_liveintent.settings import GROUPS, Settings

_JSON_TYPES = {
    "str": "string",
    "int": "integer",
    "bool": "boolean",
    "Mapping[str, str]": "object",
    "Mapping[str, Any]": "object",
}
"""The types by the annotations in `Settings`."""
_ALLOWED_VALUES: dict[str, dict[str, Any]] = {
    "default_source": {"enum": list(WINDOWS)},
    "email_normalization": {"enum": list(NORMALIZATIONS)},
    "source_url_parameters": {"enum": list(URL_PARAMETERS)},
    "presets": {"additionalProperties": {"type": "string", "enum": list(PRESETS)}},
}
"""The rules of settings whose allowed values other rooms define."""
_NO_VALUE = (dataclasses.MISSING, None, "")


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def _property(field: dataclasses.Field[Any]) -> dict[str, Any]:
    """Return the schema of one setting. Null means "not set", so an optional one may be null."""
    kind = _JSON_TYPES[str(field.type).removesuffix(" | None")]
    return {
        "type": [kind] if _is_required(field) else [kind, "null"],
        **field.metadata["rules"],
        **({"writeOnly": True} if field.metadata["rules"].get("secret") else {}),
        **_ALLOWED_VALUES.get(field.name, {}),
        **({} if field.default in _NO_VALUE else {"default": field.default}),
        "description": field.metadata["description"],
    }


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {field.name: _property(field) for field in dataclasses.fields(Settings)},
    "required": [field.name for field in dataclasses.fields(Settings) if _is_required(field)],
    "$schema": "https://json-schema.org/draft/2020-12/schema",
}
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
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for name, schema in SCHEMA["properties"].items():
        if name in GROUPS:
            group = groups[GROUPS[name]] = []
        default = "required" if name in SCHEMA["required"] else str(schema.get("default", ""))
        options = ", ".join(f"`{option}`" for option in schema.get("enum", []))
        description = schema["description"] + (f" One of {options}." if options else "")
        group.append((name, default.lower(), description))
    return groups


def about_lines() -> Iterator[str]:
    """Yield what `--about` says of the settings, by group."""
    for heading, settings in settings_by_group().items():
        yield from ("", f"{heading}:")
        for name, default, description in settings:
            yield f"  {name}{default and f' ({default})'}: {description}"
