"""The checks of a configuration, before a run reads any input.

Each problem is one line that names the setting and what it must be, and never the value that was
given: it may be a mistyped secret.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import pathlib
import zoneinfo
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests
from jsonschema import Draft202012Validator, ValidationError

from target_liveintent.config.gone import gone_problems
from target_liveintent.config.nesting import is_column, joined, nesting_problems
from target_liveintent.config.schema import SCHEMA, expected
from target_liveintent.delivery import is_usable_token, read_token
from target_liveintent.errors import ConfigurationError
from target_liveintent.mapping import NULL_VALUES, nearest
from target_liveintent.settings import (
    Settings,
    endpoint,
    in_project,
    is_loopback,
    is_url,
    report_json,
)

_VALIDATOR = Draft202012Validator(SCHEMA)
_READ_PATHS = ("auth_token_path", "suppression_path")
_LEAVE_OUT = "If you do not need the file, remove the setting"
_WRITTEN_PATHS = {
    "store": (
        "Otherwise, the target could not remember which events it has delivered. If you do not need"
        " the file, delete it after the run"
    ),
    "report_path": _LEAVE_OUT,
    "metrics_path": _LEAVE_OUT,
}
"""The settings of files that a run writes, each with what to do instead of naming /dev/null."""


def problems(config: Mapping[str, Any]) -> list[str]:
    """Return the problems of a configuration, one line each, without the values of settings."""
    found = [*gone_problems(config), *nesting_problems(config)]
    given = {name: value for name, value in joined(config).items() if value is not None}
    errors = [error for error in _VALIDATOR.iter_errors(given) if error.path]  # (Of a value.)
    found += [*_missing_problems(given), *_schema_problems(errors)]
    # The other checks expect values of the right type, so they see no setting that is wrong.
    wrong = {error.path[0] for error in errors}
    sound = {name: value for name, value in given.items() if name not in wrong}
    return found + [problem for check in _CHECKS for problem in check(sound)]


def hint(given: Any, known: Iterable[str]) -> str:
    """Return the end of a message: the known name nearest to what was given; empty if none is."""
    near = nearest(str(given), known)
    return f"; did you mean '{near}'?" if near else ""


def _missing_problems(given: Mapping[str, Any]) -> Iterator[str]:
    for name in SCHEMA["required"]:
        if name not in given:
            yield f"setting '{name}' is required: {SCHEMA['properties'][name]['description']}"
    if "auth_token" not in given and "auth_token_path" not in given:
        yield "setting 'auth_token' or 'auth_token_path' is required"


def _schema_problems(errors: Iterable[ValidationError]) -> Iterator[str]:
    for error in errors:
        path = ".".join(map(str, error.path))
        near = hint(error.instance, error.schema.get("enum", []))
        yield f"setting '{path}' must be {expected(error.schema)}{near}"


def _token_problems(given: Mapping[str, Any]) -> Iterator[str]:
    if "auth_token" in given and "auth_token_path" in given:
        yield "settings 'auth_token' and 'auth_token_path' are both set: remove one of them"
    elif "auth_token_path" in given:
        try:
            read_token(in_project(given["auth_token_path"]))
        except ConfigurationError as error:
            yield str(error)
    elif "auth_token" in given and not is_usable_token(given["auth_token"].strip()):
        yield "setting 'auth_token' must consist of printable ASCII characters, without spaces"


def _url_problems(given: Mapping[str, Any]) -> Iterator[str]:
    url = given.get("api_url", Settings.api_url).strip()
    parts = _usable_url(url)
    if parts is None:
        yield (
            "setting 'api_url' must be an https URL that has a host and no query (the part after ?)"
        )
    elif parts.username or parts.password:
        yield (
            "setting 'api_url' must not contain a user name or a password: remove them, and set"
            " auth_token"
        )
    elif parts.scheme == "http" and not is_loopback(url):
        yield (
            "setting 'api_url' must use https, so that the token stays secret. Plain http is"
            " allowed only for loopback addresses, such as 127.0.0.1"
        )


def _usable_url(url: str) -> SplitResult | None:
    """Return the parts of a URL that events can be posted to; None if it is not one."""
    try:
        parts = urlsplit(url)
        has_host = parts.hostname and parts.port != 0  # (`port` raises if it is not a number.)
        is_plain = url.isprintable() and " " not in url and not (parts.query or parts.fragment)
        if parts.scheme not in {"http", "https"} or not has_host or not is_plain:
            return None
        # A URL that requests cannot call would otherwise fail at the first event.
        requests.Request("POST", endpoint(url, "a-1b2c")).prepare()
    except (ValueError, requests.RequestException):
        return None
    return parts


def _zone_problems(given: Mapping[str, Any]) -> Iterator[str]:
    try:
        zoneinfo.ZoneInfo(given.get("timezone", Settings.timezone))
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        yield (
            "setting 'timezone' must be the IANA name of a time zone, such as Europe/Berlin or UTC"
        )


def _path_problems(given: Mapping[str, Any]) -> Iterator[str]:
    for name, instead in _WRITTEN_PATHS.items():
        if name not in given or (name == "store" and is_url(given[name])):
            continue
        path = pathlib.Path(in_project(given[name].strip()))
        try:
            os.fsencode(path)
            in_folder, is_folder = path.absolute().parent.is_dir(), path.is_dir()
            is_special = path.exists() and not path.is_file()
        except ValueError:  # The path holds a NUL, or a character that no file name can hold.
            in_folder = is_folder = is_special = False
        if "\0" in str(path) or not in_folder:
            yield (
                f"setting '{name}' must name a file in a folder that exists: create the folder,"
                " or correct the path"
            )
        elif is_folder:
            yield f"setting '{name}' must name a file, not a folder: add a file name to the path"
        elif is_special:
            yield (
                f"setting '{name}' must name an ordinary file, not a device such as /dev/null, a"
                f" pipe or a socket. {instead}"
            )


def _shared_path_problems(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for two settings that name the same file: one would overwrite the other's."""
    used = {"store": Settings.store, **given}
    names = [*_READ_PATHS, *_WRITTEN_PATHS]
    paths = [(name, in_project(used[name].strip())) for name in names if name in used]
    if "report_path" in used:
        paths.append(("report_path", report_json(in_project(used["report_path"].strip()))))
    seen: dict[Hashable, tuple[str, str]] = {}
    for name, path in paths:
        other, there = seen.setdefault(_place(path), (name, path))
        if other != name:
            is_link = os.path.abspath(path) != os.path.abspath(there)  # noqa: PTH100
            way = " through a link" if is_link else ""
            yield (
                f"settings '{other}' and '{name}' name the same file{way}: give each setting its"
                " own file"
            )


def _place(path: str) -> Hashable:
    """Return what two paths of the same file have in common, also if one of them is a link."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:  # It is absent.
        return os.path.realpath(path)
    except ValueError:  # No file can have this path, which another check says.
        return path
    return status.st_dev, status.st_ino


def _report_problems(given: Mapping[str, Any]) -> Iterator[str]:
    if "report_path" in given and importlib.util.find_spec("pygal") is None:
        yield (
            "setting 'report_path' needs a library that is not installed: run pip install"
            " 'target-liveintent[report]'"
        )


def _store_problems(given: Mapping[str, Any]) -> Iterator[str]:
    """Check the URL of a database, without showing it; the run asks the database at its start."""
    url = given.get("store", Settings.store).strip()
    if not is_url(url):
        return
    scheme, _, rest = url.partition("://")
    before_host, has_user, _ = rest.partition("?")[0].rpartition("@")
    if scheme not in {"postgresql", "postgres"} or not rest:
        yield ("setting 'store' must be a path, or a URL such as postgresql://user@host/database")
    elif has_user and set("@/?#[]") & set(before_host):  # Else a part of it is taken for the host.
        yield (
            "the user or the password in setting 'store' contains special characters: write %40 for"
            " @, %2F for /, %3F for ? and %23 for #"
        )
    if importlib.util.find_spec("psycopg") is None:
        yield (
            "the PostgreSQL database of setting 'store' needs a library that is not installed: run"
            " pip install 'target-liveintent[postgres]'"
        )


def _preset_problems(given: Mapping[str, Any]) -> Iterator[str]:
    for name in given.get("presets", {}):
        if str(name).startswith("__"):
            yield (
                f"setting 'presets.{name}' does not name a stream: in presets, each key must be"
                " the name of a stream"
            )


def _map_problems(given: Mapping[str, Any]) -> Iterator[str]:
    """Check stream maps; the SDK would find most problems only when a stream's SCHEMA comes."""
    for name, definition in given.get("stream_maps", {}).items():
        where = f"stream_maps.{name}"
        if name == "__else__":
            if not _is_null(definition):
                yield f"setting '{where}' must be null or '__NULL__'"
        elif str(name).startswith("__"):
            yield (
                f"setting '{where}' is in the wrong place: a key of stream_maps must be the name of"
                " a stream, or __else__. If this key is an option, move it into the map of a stream"
            )
        elif isinstance(definition, dict):
            yield from _column_problems(where, definition)
        elif not _is_null(definition):
            yield (
                f"setting '{where}' must be null, '__NULL__', or an object whose keys are column"
                " names"
            )


def _column_problems(where: str, definition: Mapping[Any, Any]) -> Iterator[str]:
    for key, value in definition.items():
        column = str(key)
        is_valid, wanted = _MAP_OPTIONS.get(column, _COLUMN)
        if column not in _MAP_OPTIONS and column.startswith("__") and column.endswith("__"):
            near = hint(column, _MAP_OPTIONS)
            yield f"setting '{where}.{column}' is not an option of a stream map{near}"
        elif isinstance(value, dict) and not is_column(column):
            stream = f"{where}.{column}".partition(".")[2]
            dotless = stream.replace(".", "?")
            yield (
                f"setting '{where}.{column}' is an object, but must be an expression that"
                f" computes a column. If '{stream}' is the name of a stream, its dots were read as"
                " separators between levels of the setting. In this case, write ? in place of"
                f" each dot: '{dotless}'"
            )
        elif not is_valid(value):
            yield f"setting '{where}.{column}' must be {wanted}"


def _is_null(value: Any) -> bool:
    return value in NULL_VALUES


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_list_of_texts(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(key, str) for key in value))


def _is_null_or_expression(value: Any) -> bool:
    if _is_null(value) or not isinstance(value, str):
        return _is_null(value)
    try:
        ast.parse(value.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


_COLUMN = (
    _is_null_or_expression,
    (
        "a Python expression. If the expression is a fixed text, write this text in two pairs of"
        " quotes, such as \"'web'\""
    ),
)
_MAP_OPTIONS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "__else__": (_is_null, "null or '__NULL__'"),
    "__source__": (_is_text, "text"),
    "__alias__": (_is_text, "text"),
    "__key_properties__": (_is_list_of_texts, "a list of column names"),
    "__filter__": _COLUMN,
}
"""What the options of one stream's map must be. A misspelled one would pass for a column."""
_CHECKS: tuple[Callable[[Mapping[str, Any]], Iterator[str]], ...] = (
    _token_problems,
    _url_problems,
    _zone_problems,
    _path_problems,
    _store_problems,
    _shared_path_problems,
    _report_problems,
    _preset_problems,
    _map_problems,
)
"""The checks of values that the JSON schema cannot express, in the order of their messages."""
