"""The JSON schema of all settings, generated from `Settings`; `--about` and Meltano show it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from target_liveintent.conversions import WINDOWS
from target_liveintent.mapping import PRESETS
from target_liveintent.privacy import NORMALIZATIONS, URL_PARAMETERS
from target_liveintent.settings import Settings

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


def _schema() -> dict[str, Any]:
    fields = dataclasses.fields(Settings)
    return {
        "type": "object",
        "properties": {field.name: _property(field) for field in fields},
        "required": [field.name for field in fields if _is_required(field)],
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    }


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def _property(field: dataclasses.Field[Any]) -> dict[str, Any]:
    """Return the schema of one setting. Null means "not set", so an optional one may be null."""
    kind = _JSON_TYPES[str(field.type).removesuffix(" | None")]
    return {
        "type": [kind] if _is_required(field) else [kind, "null"],
        **field.metadata["rules"],
        **_ALLOWED_VALUES.get(field.name, {}),
        **({} if field.default in _NO_VALUE else {"default": field.default}),
        "description": field.metadata["description"],
    }


SCHEMA: dict[str, Any] = _schema()
"""The JSON schema of all settings."""


def expected(schema: Mapping[str, Any]) -> str:
    """Describe in words the values that the schema of a setting allows."""
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "pattern" in schema:
        return f"text that matches the pattern {schema['pattern']}"
    kind = schema["type"][0]
    article = "an" if kind[0] in "aeio" else "a"
    if "minLength" in schema:
        return f"{article} {kind} that is not empty"
    match schema:
        case {"minimum": least, "maximum": most}:
            return f"{article} {kind} from {least} to {most}"
        case {"minimum": least}:
            return f"{article} {kind} of at least {least}"
    return f"{article} {kind}"
