"""The settings: their JSON schema, how they are loaded, and the checks before a run reads input.

The schema, and what people read about the settings, are generated from `Settings`. Each problem is
one line that names the setting and what it must be, and never the value that was given: it may be a
mistyped secret.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests

from target_liveintent.delivery.client import is_usable_token, read_token
from target_liveintent.errors import ConfigurationError
from target_liveintent.mapping.map_checks import map_problems, maps_with_dots, presets_with_dots
from target_liveintent.mapping.presets import PRESETS
from target_liveintent.mapping.similar_names import did_you_mean, meant_name
from target_liveintent.settings import Settings, is_loopback, is_url
from target_liveintent.system import identity_of

_PREFIX = "TARGET_LIVEINTENT_"
_OURS = re.compile("target|liveintent", re.IGNORECASE)
"""What a variable of the environment has in it that may be misspelled."""
_VARIABLE = re.compile(r"target[\W_]*liveintent[\W_]*(.+)", re.IGNORECASE)
OBJECTS = {"presets": 0, "stream_maps": 1, "stream_map_config": -1}
"""The settings that are objects, with the number of dots, from the end of a flattened name, that
separate levels: the name of a column has no dot, but the name of its stream can have dots."""
_WRITTEN = ("store", "report_path", "metrics_path")
"""The settings that name files which a run writes."""
_PATHS = ("auth_token_path", "suppression_path", *_WRITTEN)
"""The settings that name files."""
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Settings)}
_VARIABLES = [_PREFIX + name.upper() for name in _TYPES]
_READ = {*_VARIABLES, f"{_PREFIX}LOGLEVEL"}
"""The variables that have an effect; the last one is the SDK's."""
_LIBPQ = re.compile(r"\b(?:host|hostaddr|user|password|dbname|service)\s*=")
"""A connection string of libpq that is not a URL."""
_HEADING = re.compile(r"^(\w.+):\n((?:    .+\n?)+)", re.MULTILINE)
_SETTING = re.compile(r"^    (\w+): (.+(?:\n     .+)*)", re.MULTILINE)
_GROUPS = {
    heading: {name: " ".join(text.split()) for name, text in _SETTING.findall(listed)}
    for heading, listed in _HEADING.findall(inspect.cleandoc(Settings.__doc__ or ""))
}
"""The descriptions of the settings by the groups in the docstring of `Settings`."""


# What people and Meltano read of the settings


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


def _expected(schema: Mapping[str, Any]) -> str:
    """Describe in words the values that the schema of a setting allows."""
    kind = f"{'an' if schema['type'][0][0] in 'aeio' else 'a'} {schema['type'][0]}"
    kind += ", true or false" if kind == "a boolean" else ""
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


# How they are loaded, and checked


def read_config(path: str) -> dict[str, Any]:
    """Return the settings of a file of `--config`, which is JSON or YAML 1.2.

    Raises:
        ConfigurationError: If the file cannot be read. The message shows no value of it.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        msg = f"the configuration file '{path}' cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from None
    found, problem = _parsed(content)
    if problem is not None:
        msg = f"the configuration file '{path}' cannot be used: {problem}"
        raise ConfigurationError(msg)
    if not isinstance(found, dict):
        msg = f"the configuration file '{path}' is neither a JSON object nor a YAML mapping"
        raise ConfigurationError(msg)
    return found


def _parsed(content: bytes) -> tuple[Any, str | None]:
    """Return the value of a file, or why it has none."""
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return None, f"byte {error.start + 1} (line {line}) is not UTF-8: save the file as UTF-8"
    problem = None
    try:
        return _decode_object(text), None
    except _DuplicateKeyError as error:
        problem = str(error)
        text = text.replace("\t", " ")  # Read as YAML, the key has a line, but tabs are wrong.
    except (msgspec.DecodeError, RecursionError):
        pass
    from target_liveintent import yaml12  # noqa: PLC0415 (importing PyYAML takes long)

    try:
        return yaml12.load_yaml(text), problem
    except yaml12.YamlSyntaxError as error:
        return None, problem or _json_problem(text) or str(error)
    except yaml12.YamlError as error:
        return None, str(error)


def _json_problem(text: str) -> str | None:
    """Return where a text that begins as a JSON object is wrong; None if it is no such text."""
    if text.lstrip().startswith("{"):
        try:
            json.loads(text, parse_int=str)
        except json.JSONDecodeError as error:
            return f"line {error.lineno}, column {error.colno} is not valid JSON"
        except RecursionError:
            pass
    return None


class _DuplicateKeyError(ValueError):
    """A key occurs twice in a JSON object, so that it is unclear which value counts."""


def _decode_object(text: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DecodeError: If the text is none.
        _DuplicateKeyError: With the name of a key that occurs twice in it.
    """
    found: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    json.loads(text, object_pairs_hook=_unique)
    return found


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            msg = f"the key '{name}' occurs twice: remove one of them"
            raise _DuplicateKeyError(msg)
        names.add(name)


def with_environment(given: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Add the settings of environment variables, as texts, which take precedence over files.

    An empty variable sets nothing. Meltano flattens objects for the environment, so that not all of
    an object can be told. So an object of a file wins over its variable.
    """
    names = SCHEMA["properties"]
    texts = ((name, environment.get(_PREFIX + name.upper(), "").strip()) for name in names)
    found: dict[str, Any] = {name: text for name, text in texts if text}
    for name in found.keys() & OBJECTS:
        if given.get(name) is None:
            found[name] = _nested(found[name], OBJECTS[name])
        else:
            del found[name]
    unknown = dict.fromkeys(_unknown_variables(given, environment), "")
    return {**given, **found, **unknown}


def _unknown_variables(given: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield variables that no setting has, although they are meant for this program.

    Meltano makes many: for what the settings of a file say, their parts, and other loaders. So with
    Meltano, only those count that are meant to be another one, and are in no file.
    """
    is_by_meltano = "MELTANO_PROJECT_ROOT" in environment
    for variable, text in environment.items():
        name = variable.removeprefix(_PREFIX).lower()
        if not text.strip() or variable in _READ or name in given or not _OURS.search(variable):
            continue
        is_misspelled = (_meant(variable) or "").startswith(_PREFIX)
        if is_misspelled or (not is_by_meltano and _is_ours(variable)):
            yield variable


def _is_ours(variable: str) -> bool:
    """Return whether a variable that no setting has is probably one of this program's."""
    ends_as_ours = variable.upper().endswith(tuple(f"_{name.upper()}" for name in _TYPES))
    return variable.startswith(_PREFIX) or ("LIVEINTENT" in variable.upper() and ends_as_ours)


def _meant(name: str) -> str | None:
    """Return what an unknown setting, or variable of the environment, is meant to be.

    A variable with the whole name of a setting and more is a setting of another loader, such as
    `target-liveintent-eu`, or a part of an object, such as `…_STREAM_MAPS_ORDERS_EMAIL`.
    """
    variable = _VARIABLE.fullmatch(name)
    if variable is None:
        return meant_name(name, _TYPES) or meant_name(name, _VARIABLES)
    rest = variable[1].lower().strip("_")
    setting = rest if rest in _TYPES else meant_name(rest, _TYPES)
    if setting is None or (setting != rest and f"_{setting}_" in f"_{rest}_"):
        return None
    meant = _PREFIX + setting.upper()
    return setting if name == meant else meant  # (A file has the name of a variable.)


def _nested(text: str, splits: int) -> Any:
    """Read an object, which Meltano may have flattened; return what is not JSON as it is.

    Of `{"orders": {"email": "mail"}}`, the variable has `{"orders.email": "mail"}`. An object that
    has objects in it is not flattened.
    """
    try:
        flat = _decode_object(text)
    except (_DuplicateKeyError, msgspec.DecodeError, RecursionError):
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


def settings_of(config: Mapping[str, Any]) -> Settings:
    """Check a configuration, and return it as settings that nobody can change.

    Raises:
        ConfigurationError: With everything that is wrong, in one line.
    """
    settings, found = _checked(config)
    if found:
        raise ConfigurationError("; ".join(found))
    return settings


def problems(config: Mapping[str, Any]) -> list[str]:
    """Return the problems of a configuration, one line each, without the values of settings."""
    return _checked(config)[1]


def warnings_of(names: Iterable[str]) -> Iterator[str]:
    """Yield a warning for each name of a setting that does not exist, and is not misspelled."""
    for name in names:
        if name not in _TYPES and not _name_problem(name):
            is_variable = "LIVEINTENT" in name
            near = did_you_mean(name.removeprefix(_PREFIX), _TYPES)
            kind = "environment variable" if is_variable else "setting"
            yield f"{kind} '{name}' is unknown and has no effect{near}"


def _read_value(name: str, value: Any) -> Any:
    """Convert the value of a setting, or a text for it, or raise a `DecodeError`.

    Texts lose the space around them, such as the line end of a secret.
    """
    if isinstance(value, str):
        value = value.strip()
        if name in OBJECTS:
            value = _decode_object(value)
    return msgspec.convert(value, _TYPES[name], strict=False)


def _checked(config: Mapping[str, Any]) -> tuple[Settings, list[str]]:
    """Return the settings, with the defaults of those that are wrong, and what is wrong.

    Null means "not set".
    """
    given = {name: value for name, value in config.items() if value is not None}
    values, wrong = _converted(given)
    found = [*filter(None, map(_name_problem, config)), *_missing_problems(given), *wrong]
    if "auth_token" in values and "auth_token_path" in values:
        found.append("settings 'auth_token' and 'auth_token_path' are both set: remove one of them")
    elif "auth_token_path" in values:
        try:
            values["auth_token"] = read_token(values["auth_token_path"])
        except ConfigurationError as error:
            found.append(str(error))
    elif "auth_token" in values and not is_usable_token(values["auth_token"]):
        found.append(
            "setting 'auth_token' must consist of printable ASCII characters, without spaces"
        )
    for setting, join in (("presets", presets_with_dots), ("stream_maps", maps_with_dots)):
        values[setting], twice = _joined(setting, join(values.get(setting, {})))
        found += twice
    settings = Settings(**values)
    for check in (_url_problems, _zone_problems, _path_problems, _store_problems):
        found += check(settings)
    found += map_problems(settings.presets, settings.stream_maps)
    return settings, found


def _joined(setting: str, streams: Iterable[tuple[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Return a setting by stream, and a problem for each stream that it has twice."""
    joined: dict[str, Any] = {}
    twice = []
    for stream, definition in streams:
        if stream in joined:
            twice.append(f"setting '{setting}' has the stream '{stream}' twice: remove one of them")
        joined[stream] = definition
    return joined, twice


def _converted(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the settings that can be converted to their types, and the problems of the others.

    Relative paths start at the root of a Meltano project.
    """
    values: dict[str, Any] = {"customer_id": "", "store": SCHEMA["properties"]["store"]["default"]}
    found = []
    for name, schema in SCHEMA["properties"].items():
        if name in given:
            try:
                values[name] = _read_value(name, given[name])
            except _DuplicateKeyError as error:
                found.append(f"setting '{name}' cannot be used: {error}")
            except (msgspec.DecodeError, RecursionError):  # Its text can have the value.
                near = did_you_mean(str(given[name]), schema.get("enum", []))
                found.append(f"setting '{name}' must be {_expected(schema)}{near}")
    root = os.environ.get("MELTANO_PROJECT_ROOT", "")
    for name in values.keys() & {*_PATHS}:
        if not is_url(values[name]):
            values[name] = os.path.join(root, values[name])  # noqa: PTH118 (it may be absolute)
    return values, found


def _name_problem(name: str) -> str | None:
    """Return what is wrong with a name that is nearly one of a setting, or has levels."""
    group, dot, path = name.partition(".")
    if name in _TYPES:
        return None
    if name.startswith("__"):
        return f"setting '{name}' is in the wrong place: an option belongs into the map of a stream"
    if dot and group in OBJECTS:
        steps = [group, *path.rsplit(".", OBJECTS[group])]
        form = ": {".join(steps) + ": …" + "}" * (len(steps) - 1)
        return f"setting '{name}' has no effect in this form: write {form}"
    meant = _meant(name) or (meant_name(group, OBJECTS) if dot else None)
    if not name.startswith(_PREFIX):  # The prefix itself may be misspelled.
        meant = meant or meant_name(name, _VARIABLES)
    if meant is not None:
        kind = "environment variable" if meant.startswith(_PREFIX) else "setting"
        return f"{kind} '{name}' is unknown; did you mean '{meant}'?"
    return None


def _missing_problems(given: Mapping[str, Any]) -> Iterator[str]:
    for name in SCHEMA["required"]:
        if name not in given:
            yield f"setting '{name}' is required: {SCHEMA['properties'][name]['description']}"
    if "auth_token" not in given and "auth_token_path" not in given:
        yield "setting 'auth_token' or 'auth_token_path' is required"


def _url_problems(settings: Settings) -> Iterator[str]:
    url = settings.api_url
    try:
        parts = urlsplit(url)
        # A URL that requests cannot call would otherwise fail at the first event.
        requests.Request("POST", settings.url).prepare()
        is_usable = bool(parts.hostname) and parts.port != 0  # (`port` raises if it is no number.)
        is_secret = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))
    except (ValueError, requests.RequestException):
        is_usable = is_secret = False
    has_more = set("@?# ") & set(url) or not url.isprintable()
    if not is_usable or not is_secret or has_more:
        yield (
            "setting 'api_url' must be an https URL that has a host, and neither a user name, a"
            " password nor a query (the part after ?). Plain http is allowed only for loopback"
            " addresses, such as 127.0.0.1, so that the token stays secret"
        )


def _zone_problems(settings: Settings) -> Iterator[str]:
    try:
        zoneinfo.ZoneInfo(settings.timezone)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        yield "setting 'timezone' must be an IANA name, such as Europe/Berlin or UTC"


def _path_problems(settings: Settings) -> Iterator[str]:
    names: dict[str, str] = {}
    for name in _PATHS:
        path = getattr(settings, name)
        if not path or (name in {"suppression_path", "store"} and is_url(path)):
            continue
        try:
            place = os.path.realpath(path)
        except ValueError:  # It contains a character that file names cannot contain, such as NUL.
            place = os.sep
        file = Path(place)
        first = names.setdefault(identity_of(place), name)
        if first != name:  # A run would destroy what the other one keeps.
            yield (
                f"settings '{first}' and '{name}' name the same file: give each setting its"
                " own file"
            )
        # (Another run may create the file at any time: so what is there is looked at last.)
        is_file = file.parent.is_dir() and (not file.exists() or file.is_file())
        if name in _WRITTEN and not is_file:
            yield (
                f"setting '{name}' must name an ordinary file, in a folder that exists, and no"
                " folder or device. Create the folder, correct the path, or remove the setting"
            )


def _store_problems(settings: Settings) -> Iterator[str]:
    """Check the URL of a database, without showing it; the run asks the database at its start."""
    url = settings.store
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
