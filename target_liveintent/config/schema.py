"""The settings: their schema, for `--about` and Meltano, and what is wrong with given ones.

Below this module nobody sees a dict, but a frozen `Settings`. What is wrong with a setting is said
in one line that names it and what it must be, never its value, which may be a mistyped secret.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib.util
import json
import os
import pathlib
import types
import zoneinfo
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from jsonschema import Draft202012Validator

from target_liveintent.conversions.model import SOURCES
from target_liveintent.delivery import tokens
from target_liveintent.errors import ConfigurationError
from target_liveintent.mapping.presets import PRESETS
from target_liveintent.privacy.identity import NORMALIZATIONS
from target_liveintent.settings import EventDefaults, Settings, endpoint, is_loopback, report_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

CUSTOMER_ID = "^[a-b]-[0-9a-z]{4}$"
"""Source: LiveIntent's guide."""
MAX_BATCH = 100
"""Events a request. Source: LiveIntent's guide."""
REPORT_NAME = r"^.+\.html$"
"""The JSON beside the page has its name, and `.json` at the end."""


def _setting(
    name: str, kind: Mapping[str, Any], description: str, *, required: bool = False, **more: Any
) -> tuple[str, dict[str, Any]]:
    """An entry of the schema. Null is as good as not set, so what is not required may be null."""
    kinds = [kind["type"]] if required else [kind["type"], "null"]
    return name, {**kind, "type": kinds, **more, "description": description}


def _schema(*settings: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(settings),
        "required": [name for name, schema in settings if "null" not in schema["type"]],
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    }


_SETTINGS = _schema(
    _setting(
        "customer_id",
        {"type": "string", "pattern": CUSTOMER_ID},
        "Your LiveIntent customer ID, such as `a-1b2c`; from your account manager.",
        required=True,
    ),
    _setting(
        "auth_token",
        {"type": "string", "minLength": 1},
        "The API token; from your account manager, and rotated from time to time. Required, unless"
        " `auth_token_path` is set.",
        secret=True,
        writeOnly=True,
    ),
    _setting(
        "auth_token_path",
        {"type": "string", "minLength": 1},
        "A file or mounted secret with the token, in place of `auth_token`. When the API denies"
        " access it is read again, and a token that has changed is used at once.",
    ),
    _setting(
        "pixel_id",
        {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
        "The pixel that conversions belong to, where the record names none.",
    ),
    _setting(
        "api_url",
        {"type": "string"},
        "Base URL; `/conversions/{customer_id}` is appended, unless it contains `{customer_id}`:"
        " then it is the whole URL. Plain http for loopback only.",
        default="https://conversions.liveintent.com",
    ),
    _setting(
        "default_source",
        {"type": "string"},
        "The source of events whose record has none.",
        enum=list(SOURCES),
    ),
    _setting(
        "timezone",
        {"type": "string"},
        "IANA name of the zone of times that come without one, such as `America/New_York`.",
        default="UTC",
    ),
    _setting(
        "email_normalization",
        {"type": "string"},
        "What is dropped before hashing, beside spaces and case: dots and `+…` for Gmail only,"
        " for all domains, or nothing.",
        enum=list(NORMALIZATIONS),
        default="gmail",
    ),
    _setting(
        "batch_size_rows",
        {"type": "integer", "minimum": 1, "maximum": MAX_BATCH},
        "Events a request, 1 to 100.",
        default=MAX_BATCH,
    ),
    _setting(
        "max_concurrent_requests",
        {"type": "integer", "minimum": 1, "maximum": 64},
        "Requests in flight at the same time, 1 to 64.",
        default=8,
    ),
    _setting(
        "flush_interval_seconds",
        {"type": "integer", "minimum": 1},
        "Events wait at most this long for their batch to fill.",
        default=60,
    ),
    _setting(
        "request_timeout_seconds",
        {"type": "integer", "minimum": 1},
        "How long an answer may take.",
        default=30,
    ),
    _setting(
        "max_retry_seconds",
        {"type": "integer", "minimum": 0},
        "How long a batch is retried before the run fails.",
        default=300,
    ),
    _setting(
        "on_invalid",
        {"type": "string"},
        "What a record that cannot be sent means: a dead letter, or the end of the run.",
        enum=["dead_letter", "fail"],
        default="dead_letter",
    ),
    _setting(
        "max_dead_letter_percent",
        {"type": "integer", "minimum": 0, "maximum": 100},
        "The run fails when more of its records than this become dead letters, once 100 were seen."
        " Guests and events that are too old do not count.",
        default=50,
    ),
    _setting(
        "dead_letter_path",
        {"type": "string", "minLength": 1},
        "The file that takes what could not be sent, and can be piped back.",
        default="liveintent-dead-letters.singer",
    ),
    _setting(
        "replay_unconfirmed",
        {"type": "boolean"},
        "When dead letters are piped back, send those again that LiveIntent may have counted.",
        default=False,
    ),
    _setting(
        "ledger_path",
        {"type": "string", "minLength": 1},
        "An SQLite file that remembers delivered events until their window closes, so that what was"
        " confirmed is not sent again; what is in flight when a run is killed may be. Off without"
        " it.",
    ),
    _setting(
        "suppression_path",
        {"type": "string", "minLength": 1},
        "A file of people never to send: addresses or hashes of them, one a line.",
    ),
    _setting(
        "report_path",
        {"type": "string", "pattern": REPORT_NAME},
        "The run's report is written there: one page, such as `liveintent-report.html`, and beside"
        " it the same as JSON. Needs `pip install 'target-liveintent[report]'`.",
    ),
    _setting(
        "delivered_path",
        {"type": "string", "minLength": 1},
        "A CSV file to which each delivered event is appended, for the reconciliation with what"
        " LiveIntent has counted.",
    ),
    _setting(
        "metrics_path",
        {"type": "string", "minLength": 1},
        "A file of metrics for Prometheus's textfile collector, such as `liveintent.prom`; written"
        " at the end and every `flush_interval_seconds`.",
    ),
    _setting(
        "validate_records",
        {"type": "boolean"},
        "Check each record against the tap's schema; a failure is a dead letter.",
        default=False,
    ),
    _setting(
        "dry_run",
        {"type": "boolean"},
        "Do everything but the sending: no STATE, no dead letters; shows the first events.",
        default=False,
    ),
    _setting(
        "limit",
        {"type": "integer", "minimum": 1},
        "Send the first so many events and stop: no STATE, so the next run sends all of them.",
    ),
    _setting(
        "presets",
        {"type": "object", "additionalProperties": {"type": "string", "enum": list(PRESETS)}},
        "Ready stream maps for known taps, by stream: `{orders: shopify}`. What `stream_maps` says"
        " of the same stream goes first, column by column.",
    ),
    # The SDK's schema of stream maps cannot be used: a part of it is no JSON schema, so a wrong
    # `__else__` would end in a traceback. What they must be is checked in `_map_problems`.
    _setting(
        "stream_maps",
        {"type": "object", "additionalProperties": True},
        "How columns become those of an event, and which records are left out, stream by stream:"
        " https://sdk.meltano.com/en/latest/stream_maps.html",
    ),
    _setting(
        "stream_map_config",
        {"type": "object", "additionalProperties": True},
        "Values that stream maps use, as `config['name']`.",
    ),
)

SCHEMA: dict[str, Any] = _SETTINGS
"""The JSON schema of all settings."""


def problems(config: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with a configuration, a line each, without any value of it."""
    found = [
        f"setting '{name}' is required: {SCHEMA['properties'][name]['description']}"
        for name in SCHEMA["required"]
        if config.get(name) is None
    ]
    if config.get("auth_token") is None and config.get("auth_token_path") is None:
        found.append("setting 'auth_token' is required, or 'auth_token_path' in its place")
    validator = Draft202012Validator(SCHEMA)
    given = {name: value for name, value in config.items() if value is not None}
    for error in validator.iter_errors(given):
        if error.path:
            path = ".".join(str(step) for step in error.path)
            near = _near(error.instance, error.schema.get("enum", []))
            found.append(f"setting '{path}' must be {_expected(error.schema)}{near}")
    if found:
        return found
    return [
        *_token_problems(given),
        *_url_problems(given),
        *_zone_problems(given),
        *_path_problems(given),
        *_preset_problems(given),
        *_map_problems(given),
    ]


def _expected(schema: Mapping[str, Any]) -> str:
    """What a setting must be, in words, from its schema."""
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"] if value is not None)
    if "pattern" in schema:
        return f"text of the form {schema['pattern']}"
    kinds = schema.get("type", "valid")
    kind = next((k for k in kinds if k != "null"), "") if isinstance(kinds, list) else kinds
    bounds = [
        f"{word} {schema[key]}"
        for key, word in (("minimum", "at least"), ("maximum", "at most"))
        if key in schema
    ]
    if schema.get("minLength"):
        bounds.append("not empty")
    article = "an" if kind[:1] in "aeio" else "a"
    return " and ".join([f"{article} {kind}", *bounds])


def _url_problems(config: Mapping[str, Any]) -> Iterator[str]:
    url = config.get("api_url", _SETTINGS["properties"]["api_url"]["default"]).strip()
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0  # (`port` raises for what is none.)
        is_plain = url.isprintable() and " " not in url and not (parts.query or parts.fragment)
        valid = bool(parts.hostname) and has_port and is_plain
    except ValueError:
        valid = False
    if valid:
        try:  # What requests cannot call would otherwise fail at the first event.
            requests.Request("POST", endpoint(url, "a-1b2c")).prepare()
        except requests.RequestException:
            valid = False
    if not valid or parts.scheme not in {"http", "https"}:
        yield "setting 'api_url' must be an https URL with a host and without a query"
    elif parts.username or parts.password:
        yield "setting 'api_url' must not hold a user name or password; use auth_token"
    elif parts.scheme == "http" and not is_loopback(url):
        yield (
            "setting 'api_url' must use https, so that the token stays secret; plain http is for"
            " loopback only"
        )


def _token_problems(config: Mapping[str, Any]) -> Iterator[str]:
    if "auth_token" in config and "auth_token_path" in config:
        yield "setting 'auth_token_path' takes the place of 'auth_token': remove one of them"
    elif "auth_token_path" in config:
        try:
            tokens.read(config["auth_token_path"])
        except ConfigurationError as error:
            yield str(error)
    elif not tokens.is_usable(config["auth_token"].strip()):
        yield "setting 'auth_token' must be printable ASCII without spaces"


def _path_problems(config: Mapping[str, Any]) -> Iterator[str]:
    for name in _WRITTEN:
        path = pathlib.Path(config.get(name) or "file")
        try:
            os.fsencode(path)
            in_folder, is_folder = path.absolute().parent.is_dir(), path.is_dir()
        except ValueError:  # A NUL, or what no file name can hold.
            in_folder = is_folder = False
        if "\0" in str(path) or not in_folder:
            yield f"setting '{name}' must name a file in a folder that exists"
        elif is_folder:
            yield f"setting '{name}' must name a file, not a folder"
    yield from _shared_paths(config)
    if "report_path" in config and importlib.util.find_spec("pygal") is None:
        yield (
            "setting 'report_path' needs a library that draws:"
            " pip install 'target-liveintent[report]'"
        )


_WRITTEN = ("dead_letter_path", "ledger_path", "report_path", "delivered_path", "metrics_path")
_READ = ("auth_token_path", "suppression_path")


def _shared_paths(config: Mapping[str, Any]) -> Iterator[str]:
    """No two settings may name one file: a file is of one kind, and some are replaced whole."""
    defaults = {"dead_letter_path": SCHEMA["properties"]["dead_letter_path"]["default"]}
    given = {**defaults, **config}
    paths = [(name, given[name].strip()) for name in (*_READ, *_WRITTEN) if name in given]
    if "report_path" in given:
        paths.append(("report_path", report_json(given["report_path"].strip())))
    seen: dict[str, str] = {}
    for name, path in paths:
        place = os.path.abspath(path)  # noqa: PTH100 (no matter whether it is there)
        other = seen.setdefault(place, name)
        if other != name:
            yield f"settings '{other}' and '{name}' must not name the same file"


def _zone_problems(config: Mapping[str, Any]) -> Iterator[str]:
    try:
        zoneinfo.ZoneInfo(config.get("timezone", "UTC"))
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        yield "setting 'timezone' must be an IANA name such as Europe/Berlin or UTC"


def _preset_problems(config: Mapping[str, Any]) -> Iterator[str]:
    for name in config.get("presets", {}):
        if str(name).startswith("__"):
            yield f"setting 'presets.{name}' is no stream; give presets by the streams' names"


def _map_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with stream maps; most of it the SDK would only find at a stream's SCHEMA."""
    for name, definition in config.get("stream_maps", {}).items():
        where = f"stream_maps.{name}"
        if name == "__else__":
            if definition not in _NULL:
                yield f"setting '{where}' must be null or '__NULL__'"
        elif str(name).startswith("__"):
            yield f"setting '{where}' is no stream; the only option at this level is __else__"
        elif isinstance(definition, dict):
            for column, value in definition.items():
                if problem := _column_problem(str(column), value):
                    yield f"setting '{where}.{column}' must be {problem}"
        elif definition not in _NULL:
            yield f"setting '{where}' must be an object of columns, or null or '__NULL__'"


_NULL: tuple[Any, ...] = (None, "__NULL__")


def _column_problem(column: str, value: Any) -> str | None:
    """What a part of a stream's map must be, if it is not."""
    if column == "__else__":
        return None if value in _NULL else "null or '__NULL__'"
    if column in {"__source__", "__alias__"}:
        return None if isinstance(value, str) and value else "text"
    if column == "__key_properties__":
        is_list = isinstance(value, list) and all(isinstance(key, str) for key in value)
        return None if value is None or is_list else "a list of column names"
    if value in _NULL or (isinstance(value, str) and _is_expression(value)):
        return None
    return "a Python expression; a text constant needs quotes of its own, such as \"'web'\""


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "integer": int,
    "boolean": lambda text: _BOOLEANS[text.lower()],
    "object": json.loads,
    "string": str,
}


def from_environment(environment: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """The settings that environment variables hold; an empty variable is no setting.

    Raises:
        ConfigurationError: If a variable is not what its setting must be.
    """
    variables = {name: prefix + name.upper() for name in SCHEMA["properties"]}
    texts = {name: environment.get(variable, "") for name, variable in variables.items()}
    return from_texts(texts, {name: f" ({variable})" for name, variable in variables.items()})


def from_texts(
    texts: Mapping[str, str], also: Mapping[str, str] = types.MappingProxyType({})
) -> dict[str, Any]:
    """The settings that come as texts; an empty text is no setting.

    Args:
        texts: The texts by the settings' names; what is no setting is passed over.
        also: What a message says after a setting's name.

    Raises:
        ConfigurationError: If a text is not what its setting must be.
    """
    found = {}
    for name, schema in SCHEMA["properties"].items():
        if text := texts.get(name, "").strip():
            kind = next(kind for kind in schema["type"] if kind != "null")
            try:
                found[name] = _FROM_TEXT[kind](text)
            except (ValueError, KeyError, RecursionError):
                msg = f"setting '{name}'{also.get(name, '')} must be {_expected(schema)}"
                raise ConfigurationError(msg) from None
    return found


def unknown_settings(config: Mapping[str, Any]) -> Iterator[str]:
    """A warning for each setting that does nothing, with the nearest name that does."""
    known = list(SCHEMA["properties"])
    for name in config:
        if name not in known:
            yield f"setting '{name}' is unknown and does nothing{_near(name, known)}"


def _near(given: Any, known: Iterable[Any]) -> str:
    """A hint at the nearest of the words that would have been right, without what was given."""
    words = [word for word in known if isinstance(word, str)]
    near = difflib.get_close_matches(str(given), words, 1)
    return f"; did you mean '{near[0]}'?" if near else ""


def settings_of(config: Mapping[str, Any]) -> Settings:
    """Check a configuration and freeze it.

    Raises:
        ConfigurationError: With everything that is wrong, in one line.
    """
    if found := problems(config):
        raise ConfigurationError("; ".join(found))
    values = {name: schema.get("default") for name, schema in SCHEMA["properties"].items()}
    values |= {name: _plain(value) for name, value in config.items() if value is not None}
    if values["auth_token_path"] is not None:
        values["auth_token"] = tokens.read(values["auth_token_path"])
    same = {field.name for field in dataclasses.fields(Settings)} & set(values)
    return Settings(
        **{name: values[name] for name in same},
        url=endpoint(values["api_url"], values["customer_id"]),
        events=EventDefaults(
            pixel_id=values["pixel_id"],
            source=values["default_source"],
            zone=zoneinfo.ZoneInfo(values["timezone"]),
            normalization=values["email_normalization"],
        ),
        fail_on_invalid=values["on_invalid"] == "fail",
    )


def _plain(value: Any) -> Any:
    """A value without what files and JSON add to it: a secret's line end, a `12345.0`."""
    if isinstance(value, str):
        return value.strip()
    return int(value) if isinstance(value, float) else value
