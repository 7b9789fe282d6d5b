"""Loading of settings: from environment variables and other texts, and into `Settings`."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from target_liveintent.config.checks import hint, problems
from target_liveintent.config.gone import GONE
from target_liveintent.config.nesting import joined, unflattened
from target_liveintent.config.schema import SCHEMA, expected
from target_liveintent.delivery import read_token
from target_liveintent.errors import ConfigurationError
from target_liveintent.settings import Settings, in_project, is_url

_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_PARSERS: dict[str, Callable[[str], Any]] = {
    "integer": int,
    "boolean": lambda text: _BOOLEANS[text.lower()],
    "object": json.loads,
    "string": str,
}
"""What makes a value from a text, by the type of the setting."""

READABLE: dict[str, Any] = {
    **{name: {"type": ["string"]} for name in GONE},
    **SCHEMA["properties"],
}
"""The schemas of all settings that can be given, those that are gone included."""
_PATHS = ("auth_token_path", "store", "suppression_path", "report_path", "metrics_path")
"""The settings that name files."""
_FLATTENED = {"stream_maps", "stream_map_config"}
"""The settings whose objects can hold objects, which Meltano flattens in the environment."""


def settings_of(config: Mapping[str, Any]) -> Settings:
    """Check a configuration, and return it as settings that nobody can change.

    Raises:
        ConfigurationError: With everything that is wrong, in one line.
    """
    if found := problems(config):
        raise ConfigurationError("; ".join(found))
    given = joined(config)
    values = {
        name: _clean(given[name]) for name in SCHEMA["properties"] if given.get(name) is not None
    }
    for name in _PATHS:
        if name in values and not is_url(values[name]):
            values[name] = in_project(values[name])
    values.setdefault("store", in_project(Settings.store))
    if "auth_token_path" in values:
        values["auth_token"] = read_token(values["auth_token_path"])
    return Settings(**values)


def _clean(value: Any) -> Any:
    """Remove what files and JSON add to a value: the line end of a secret, the `.0` of 12345.0."""
    if isinstance(value, str):
        return value.strip()
    return int(value) if isinstance(value, float) else value


def from_environment(environment: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """Return the settings that environment variables hold; an empty variable sets nothing.

    Raises:
        ConfigurationError: If the value of a variable does not fit its setting.
    """
    variables = {name: prefix + name.upper() for name in READABLE}
    texts = {name: environment.get(variable, "") for name, variable in variables.items()}
    found = from_texts(texts, {name: f" ({variable})" for name, variable in variables.items()})
    for name in _FLATTENED.intersection(found):
        if isinstance(found[name], dict):
            found[name] = unflattened(found[name])
    return found


def from_texts(
    texts: Mapping[str, str], also: Mapping[str, str] = types.MappingProxyType({})
) -> dict[str, Any]:
    """Return the settings that are given as texts; an empty text sets nothing.

    Args:
        texts: The texts by name; names that are not settings are ignored.
        also: What an error message adds after the name of a setting.

    Raises:
        ConfigurationError: If a text does not fit its setting.
    """
    found = {}
    for name, schema in READABLE.items():
        if text := texts.get(name, "").strip():
            try:
                found[name] = _PARSERS[schema["type"][0]](text)
            except (ValueError, KeyError, RecursionError):
                msg = f"setting '{name}'{also.get(name, '')} must be {expected(schema)}"
                raise ConfigurationError(msg) from None
    return found


def warnings_of(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning for each setting that does not exist."""
    for name in config:
        if name not in READABLE:
            near = hint(name, SCHEMA["properties"])
            yield f"setting '{name}' is unknown and has no effect{near}"
