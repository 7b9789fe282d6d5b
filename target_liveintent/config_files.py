"""Reads configuration files (JSON or YAML 1.2), and settings that are given as JSON objects.

An error message names the line if it is known. It never shows a value, which may be a secret.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from target_liveintent.errors import ConfigurationError


class _UnusableFileError(Exception):
    """A file cannot be used as configuration; the message gives the reason, but shows no value."""


class DuplicateKeyError(ValueError):
    """A key occurs twice in a JSON object, so it is unclear which of the values is meant."""


def read_config(path: str) -> dict[str, Any]:
    """Return the settings of a configuration file (JSON or YAML 1.2), by their names.

    Raises:
        ConfigurationError: If the file cannot be read, or does not contain settings. The message
            shows no value of the file.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        msg = f"the configuration file '{path}' cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from None
    try:
        values = _parse(content)
    except _UnusableFileError as error:
        msg = f"the configuration file '{path}' cannot be used: {error}"
        raise ConfigurationError(msg) from None
    if not isinstance(values, dict):
        msg = f"the configuration file '{path}' is neither a JSON object nor a YAML mapping"
        raise ConfigurationError(msg)
    return values


def _parse(content: bytes) -> Any:
    """Return the value that a JSON or YAML file contains.

    Raises:
        _UnusableFileError: If the content is not valid, or a key occurs twice.
    """
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        msg = f"byte {error.start + 1} (line {line}) is not UTF-8: save the file as UTF-8"
        raise _UnusableFileError(msg) from None
    try:
        return decode_json_object(text)
    except DuplicateKeyError as error:
        # The YAML parser also reports the line of the key. YAML allows no tabs between values.
        _parse_yaml(text.replace("\t", " "), syntax_problem=str(error))
        raise _UnusableFileError(str(error)) from None
    except (msgspec.DecodeError, RecursionError):
        return _parse_yaml(text, syntax_problem=_json_problem(text))


def _parse_yaml(text: str, *, syntax_problem: str | None) -> Any:
    """Return the value that a YAML text contains.

    Raises:
        _UnusableFileError: If the text cannot be used. If the text is not YAML, the message is
            `syntax_problem`, unless this is None.
    """
    from target_liveintent import yaml12  # noqa: PLC0415 (importing PyYAML takes long)

    try:
        return yaml12.load_yaml(text)
    except yaml12.YamlSyntaxError as error:
        raise _UnusableFileError(syntax_problem or str(error)) from None
    except yaml12.YamlError as error:
        raise _UnusableFileError(str(error)) from None


def _json_problem(text: str) -> str | None:
    """Return a message about the syntax error in a JSON object; None for any other text."""
    if text.lstrip().startswith("{"):
        try:
            json.loads(text, parse_int=str)
        except json.JSONDecodeError as error:
            return f"line {error.lineno}, column {error.colno} is not valid JSON"
        except RecursionError:
            pass
    return None


def decode_json_object(text: str) -> dict[str, Any]:
    """Return the JSON object that a text contains, as a dictionary.

    Raises:
        DecodeError: If the text is not a JSON object.
        DuplicateKeyError: If a key occurs twice. The message names the key.
    """
    decoded: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    json.loads(text, object_pairs_hook=_check_keys)
    return decoded


def _check_keys(pairs: list[tuple[str, Any]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            msg = f"the key '{name}' occurs twice: remove one of them"
            raise DuplicateKeyError(msg)
        names.add(name)
