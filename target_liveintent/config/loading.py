"""Loading of settings from files and environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from target_liveintent.config.checks import GONE, OBJECTS
from target_liveintent.config.schema import SCHEMA
from target_liveintent.errors import ConfigurationError

PREFIX = "TARGET_LIVEINTENT_"
"""The beginning of the names of environment variables of settings."""
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


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
    """Add the settings of environment variables, as texts, which take precedence over files.

    An empty variable sets nothing. Meltano flattens objects for the environment, so that not all of
    an object can be told. So an object of a file wins over its variable.
    """
    texts = {
        name: environment.get(PREFIX + name.upper(), "").strip()
        for name in (*SCHEMA["properties"], *GONE)
    }
    found: dict[str, Any] = {name: text for name, text in texts.items() if text}
    for name in found.keys() & OBJECTS:
        if given.get(name) is None:
            found[name] = _nested(found[name], OBJECTS[name])
        else:
            del found[name]
    return {**given, **found}


def _nested(text: str, splits: int) -> Any:
    """Read an object, which Meltano may have flattened; return what is not JSON as it is.

    Of `{"orders": {"email": "mail"}}`, the variable has `{"orders.email": "mail"}`. An object that
    has objects in it is not flattened.
    """
    try:
        flat = _decode_object(text)
    except (msgspec.DecodeError, RecursionError):
        return text
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
