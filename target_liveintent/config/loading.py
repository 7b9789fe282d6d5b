"""Loading of settings: from files, environment variables and other texts, and into `Settings`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from target_liveintent.config.checks import GONE, checked
from target_liveintent.config.schema import SCHEMA
from target_liveintent.delivery import read_token
from target_liveintent.errors import ConfigurationError
from target_liveintent.mapping import did_you_mean
from target_liveintent.settings import Settings

PREFIX = "TARGET_LIVEINTENT_"
"""The beginning of the names of environment variables of settings."""
_TYPES = {
    **dict.fromkeys(GONE, "string"),
    **{name: schema["type"][0] for name, schema in SCHEMA["properties"].items()},
}
"""The types of all settings that can be given, including those that no longer exist."""
_SPLITS = {"stream_maps": 1, "stream_map_config": -1}
"""The settings that hold objects in objects, with the number of dots at which a name is split: the
name of a column has no dot, but the name of its stream can have dots."""
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def settings_of(config: Mapping[str, Any]) -> Settings:
    """Check a configuration, and return it as settings that nobody can change.

    Raises:
        ConfigurationError: With everything that is wrong, in one line.
    """
    values, found = checked(config)
    if found:
        raise ConfigurationError("; ".join(found))
    if "auth_token_path" in values:
        values["auth_token"] = read_token(values["auth_token_path"])
    return Settings(**values)


def read_config(path: str) -> dict[str, Any]:
    """Return the settings of a file of `--config`, which is JSON or YAML.

    Raises:
        ConfigurationError: If the file cannot be read. The message shows nothing of its content.
    """
    try:
        text = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        msg = f"the configuration file '{path}' cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from None
    try:
        return _decode_object(text)
    except msgspec.DecodeError:
        pass
    import yaml  # noqa: PLC0415 (importing it takes longer than importing this whole package)

    try:
        # As JSON, a date is text, and a key is always text.
        return _decode_object(msgspec.json.encode(yaml.safe_load(text)))
    except (yaml.YAMLError, msgspec.DecodeError, TypeError, ValueError, RecursionError):
        msg = f"the configuration file '{path}' is neither a JSON object nor a YAML mapping"
        raise ConfigurationError(msg) from None


def with_environment(given: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Add the settings of environment variables, which take precedence over files.

    Meltano flattens objects for the environment, so that not all of an object can be told. So an
    object of a file wins over its variable.
    """
    texts = {
        name: environment.get(PREFIX + name.upper(), "")
        for name, kind in _TYPES.items()
        if kind != "object" or given.get(name) is None
    }
    found = from_texts(texts)
    for name in _SPLITS.keys() & found.keys():
        if isinstance(found[name], dict):
            found[name] = _nested(found[name], _SPLITS[name])
    return {**given, **found}


def _nested(flat: dict[str, Any], splits: int) -> dict[str, Any]:
    """Rebuild an object that Meltano has flattened for an environment variable.

    Of `{"orders": {"email": "mail"}}`, the variable has `{"orders.email": "mail"}`. An object that
    has objects in it is not flattened, and is returned as it is.
    """
    if any(isinstance(value, dict) for value in flat.values()):
        return flat
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.rsplit(".", splits)
        inner = nested
        for step in path:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):  # A name is both: the rules for maps will say so.
                return flat
        inner[last] = value
    return nested


def from_texts(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that are given as texts by name; other names are ignored.

    An empty text sets nothing. A text that does not fit its setting stays as it is, so that the
    checks name the setting.
    """
    given = {name: texts.get(name, "").strip() for name in _TYPES}
    return {name: _value(text, _TYPES[name]) for name, text in given.items() if text}


def _value(text: str, kind: str) -> Any:
    if kind == "string":
        return text
    try:
        if kind == "object":
            return _decode_object(text)
        return msgspec.convert(text, int if kind == "integer" else bool, strict=False)
    except (msgspec.DecodeError, RecursionError):
        return text


def warnings_of(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning for each setting that does not exist."""
    for name in config:
        if name not in _TYPES:
            near = did_you_mean(name, SCHEMA["properties"])
            yield f"setting '{name}' is unknown and has no effect{near}"
