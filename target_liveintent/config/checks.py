"""The checks of a configuration, before a run reads any input.

Each problem is one line that names the setting and what it must be, and never the value that was
given: it may be a mistyped secret.
"""

from __future__ import annotations

import importlib.util
import os
import re
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from jsonschema import Draft202012Validator, ValidationError

from target_liveintent.config.schema import SCHEMA, expected
from target_liveintent.delivery import is_usable_token, read_token
from target_liveintent.errors import ConfigurationError
from target_liveintent.mapping import did_you_mean, dots_advice, map_problems
from target_liveintent.settings import Settings, endpoint, in_project, is_loopback, is_url

_STORE = "set store to the path of a file, or to the URL of a PostgreSQL database"
GONE = {
    "dead_letter_path": "dead letters are in the store now: see the command dead-letters",
    "delivered_path": "set keep_delivered to true, and use the command delivered",
    "history_path": "the history is in the store now: remove the setting",
    "ledger": "to send delivered events once more, use the option --send-again",
    "ledger_password": "set PGPASSWORD, or write the password into the URL of store",
    "ledger_path": _STORE,
    "ledger_url": _STORE,
    "on_invalid": "set on_rejection",
    "replay_other_accounts": "use the option --other-accounts of the command replay",
    "replay_unconfirmed": "use the option --unconfirmed of the command replay",
}
"""Settings that no longer exist, and what to do instead of each."""
_WRITTEN = ("store", "report_path", "metrics_path")
"""The settings that name files which a run writes."""
_PATHS = ("auth_token_path", "suppression_path", *_WRITTEN)
"""The settings that name files."""
_VALIDATOR = Draft202012Validator(SCHEMA)
_LIBPQ = re.compile(r"\b(?:host|hostaddr|user|password|dbname|service)\s*=")
"""A connection string of libpq that is not a URL."""


def problems(config: Mapping[str, Any]) -> list[str]:
    """Return the problems of a configuration, one line each, without the values of settings."""
    return checked(config)[1]


def checked(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the settings that are given and right, ready to use, and the problems of the others.

    Null means "not set". Relative paths start at the root of a Meltano project.
    """
    given = {name: _clean(value) for name, value in config.items() if value is not None}
    errors = [error for error in _VALIDATOR.iter_errors(given) if error.path]  # (In a setting.)
    found = [*_gone_problems(given), *_missing_problems(given), *_schema_problems(errors)]
    # The other checks expect values of the right type, so they see no setting that is wrong.
    wrong = {error.path[0] for error in errors}
    known = {"store": Settings.store, **given}
    sound = {n: known[n] for n in SCHEMA["properties"] if n in known and n not in wrong}
    for name in sound.keys() & {*_PATHS}:
        if not is_url(sound[name]):
            sound[name] = in_project(sound[name])
    for check in (_token_problems, _url_problems, _zone_problems, _path_problems, _store_problems):
        found += check(sound)
    found += map_problems(sound.get("stream_maps", {}))
    return sound, list(dict.fromkeys(found))


def _clean(value: Any) -> Any:
    """Remove what files and JSON add to a value: the line end of a secret, the `.0` of 12345.0."""
    if isinstance(value, str):
        return value.strip()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _gone_problems(given: Mapping[str, Any]) -> Iterator[str]:
    for name, instead in GONE.items():
        if name in given:
            yield f"setting '{name}' no longer exists: {instead}"


def _missing_problems(given: Mapping[str, Any]) -> Iterator[str]:
    for name in SCHEMA["required"]:
        if name not in given:
            yield f"setting '{name}' is required: {SCHEMA['properties'][name]['description']}"
    if "auth_token" not in given and "auth_token_path" not in given:
        yield "setting 'auth_token' or 'auth_token_path' is required"


def _schema_problems(errors: Iterable[ValidationError]) -> Iterator[str]:
    for error in errors:
        path = ".".join(map(str, error.path))
        end = ""
        if isinstance(error.instance, str):
            end = did_you_mean(error.instance, error.schema.get("enum", []))
        elif isinstance(error.instance, dict) and path.startswith("presets."):
            end = f". {dots_advice('.'.join([path.partition('.')[2], *error.instance][:2]))}"
        yield f"setting '{path}' must be {expected(error.schema)}{end}"


def _token_problems(given: Mapping[str, Any]) -> Iterator[str]:
    if "auth_token" in given and "auth_token_path" in given:
        yield "settings 'auth_token' and 'auth_token_path' are both set: remove one of them"
    elif "auth_token_path" in given:
        try:
            read_token(given["auth_token_path"])
        except ConfigurationError as error:
            yield str(error)
    elif "auth_token" in given and not is_usable_token(given["auth_token"]):
        yield "setting 'auth_token' must consist of printable ASCII characters, without spaces"


def _url_problems(given: Mapping[str, Any]) -> Iterator[str]:
    if not _is_usable_url(given.get("api_url", Settings.api_url)):
        yield (
            "setting 'api_url' must be an https URL that has a host, and neither a user name, a"
            " password nor a query (the part after ?). Plain http is allowed only for loopback"
            " addresses, such as 127.0.0.1, so that the token stays secret"
        )


def _is_usable_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # A URL that requests cannot call would otherwise fail at the first event.
        requests.Request("POST", endpoint(url, "a-1b2c")).prepare()
        has_host = bool(parts.hostname) and parts.port != 0  # (`port` raises if it is no number.)
    except (ValueError, requests.RequestException):
        return False
    is_secret = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))
    has_more = parts.username or parts.password or parts.query or parts.fragment
    return is_secret and has_host and not has_more and url.isprintable() and " " not in url


def _zone_problems(given: Mapping[str, Any]) -> Iterator[str]:
    try:
        zoneinfo.ZoneInfo(given.get("timezone", Settings.timezone))
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        yield (
            "setting 'timezone' must be the IANA name of a time zone, such as Europe/Berlin or UTC"
        )


def _path_problems(given: Mapping[str, Any]) -> Iterator[str]:
    names: dict[str, str] = {}
    for name in _PATHS:
        if name not in given or (name in {"suppression_path", "store"} and is_url(given[name])):
            continue
        place = _real_path(given[name])
        if names.setdefault(place, name) != name:  # A run would destroy what the other one keeps.
            yield (
                f"settings '{names[place]}' and '{name}' name the same file: give each setting its"
                " own file"
            )
        if name in _WRITTEN and not _is_for_a_file(Path(place)):
            yield (
                f"setting '{name}' must name an ordinary file, in a folder that exists, and no"
                " folder or device such as /dev/null. Create the folder, correct the path, or"
                " remove the setting"
            )


def _real_path(place: str) -> str:
    """Resolve the links of a path; return the root if no file can have this path."""
    try:
        return os.path.realpath(place)
    except ValueError:  # It contains a NUL, or a character that file names cannot contain.
        return os.sep


def _is_for_a_file(path: Path) -> bool:
    """Return whether a path names a file that exists or can be created."""
    # (Another run may create the file at any time: so what is there is looked at last.)
    return path.parent.is_dir() and (not path.exists() or path.is_file())


def _store_problems(given: Mapping[str, Any]) -> Iterator[str]:
    """Check the URL of a database, without showing it; the run asks the database at its start."""
    url = given.get("store", "")
    scheme, _, rest = url.partition("://")
    before_host = rest.partition("?")[0].rpartition("@")[0]
    is_wrong_url = is_url(url) and (scheme not in {"postgresql", "postgres"} or not rest)
    # (A connection string in words may hold a password, so it must not become the name of a file.)
    if is_wrong_url or (_LIBPQ.search(url) and not is_url(url)):
        yield "setting 'store' must be a path, or a URL such as postgresql://user@host/database"
    elif set("@/?#[]") & set(before_host):  # Otherwise, a part of it is read as the host.
        yield (
            "the user or the password in setting 'store' contains special characters: write %40 for"
            " @, %2F for /, %3F for ? and %23 for #"
        )
    elif is_url(url) and importlib.util.find_spec("psycopg") is None:
        yield (
            "setting 'store' needs a library that is not installed: run pip install"
            " 'target-liveintent[postgres]'"
        )
