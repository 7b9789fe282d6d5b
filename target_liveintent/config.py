"""The settings: their JSON schema, the environment, and the checks before a run reads input.

The schema and the descriptions are generated from `Settings`. Each problem is one line that names
the setting and says what is allowed. The line does not show the value, which may be a secret.
(Only the question in a proposed `__filter__` is shown: see `map_problems`.)
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from target_liveintent.config_files import DuplicateKeyError, decode_json_object
from target_liveintent.delivery.client import is_usable_token, read_token
from target_liveintent.delivery.transport import can_post_to
from target_liveintent.errors import ConfigurationError
from target_liveintent.mapping.map_settings import map_problems, maps_with_dots, presets_with_dots
from target_liveintent.mapping.presets import PRESETS
from target_liveintent.mapping.similar_names import did_you_mean, meant_name
from target_liveintent.settings import Settings, is_loopback, is_url
from target_liveintent.system import identity_of

_PREFIX = "TARGET_LIVEINTENT_"
_PREFIX_PART = re.compile("target|liveintent", re.IGNORECASE)
"""Matches the words that show that an environment variable may be meant for this program."""
_VARIABLE = re.compile(r"target[\W_]*liveintent[\W_]*(.+)", re.IGNORECASE)
OBJECTS = {"presets": 0, "stream_maps": 1, "stream_map_config": -1}
"""The settings that are objects. The number says how many of the last dots in a flattened name
separate levels; -1 means all dots. A stream's name may have dots; a column's name has no dot."""
_WRITTEN = ("store", "report_path", "metrics_path")
"""The settings for the files that a run writes."""
_PATHS = ("auth_token_path", "suppression_path", *_WRITTEN)
"""The settings whose values are paths of files; some of the values may be URLs instead."""
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Settings)}
_VARIABLES = [_PREFIX + name.upper() for name in _TYPES]
_VARIABLES_IN_USE = {*_VARIABLES, f"{_PREFIX}LOGLEVEL"}
"""The environment variables that have an effect. The SDK reads `…LOGLEVEL`."""
_LIBPQ = re.compile(r"\b(?:host|hostaddr|user|password|dbname|service)\s*=")
"""Matches a connection string of libpq that is not a URL, such as `host=localhost user=me`."""
_HEADING = re.compile(r"^(\w.+):\n((?:    .+\n?)+)", re.MULTILINE)
_SETTING = re.compile(r"^    (\w+): (.+(?:\n     .+)*)", re.MULTILINE)
_GROUPS = {
    heading: {name: " ".join(text.split()) for name, text in _SETTING.findall(listed)}
    for heading, listed in _HEADING.findall(inspect.cleandoc(Settings.__doc__ or ""))
}
"""The descriptions of settings by name, for each heading in the docstring of `Settings`."""


# What people and Meltano read about the settings


def _schema() -> dict[str, Any]:
    """Return the JSON schema that msgspec generates from `Settings`, as Meltano's tools need it.

    These tools expect a type and a description for each setting. Null means "not set", so every
    setting that is not required may be null.
    """
    schema: dict[str, Any] = msgspec.json.schema(Settings)["$defs"]["Settings"]
    properties: dict[str, Any] = {}
    descriptions = (pair for group in _GROUPS.values() for pair in group.items())
    for name, description in descriptions:
        field = schema["properties"][name]
        rules = {"type": "string", **field.pop("anyOf", [field])[0], **field}
        rules["type"] = [rules["type"]]
        if name not in schema["required"]:
            rules["type"].append("null")
        if rules.get("default") in (None, "", {}):
            rules.pop("default", None)
        properties[name] = {**rules, "description": description}
    properties["presets"]["additionalProperties"] = {"type": "string", "enum": list(PRESETS)}
    return {
        "type": "object",
        "properties": properties,
        "required": schema["required"],
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    }


SETTINGS_SCHEMA = _schema()
"""The JSON schema of all settings, which Meltano and `--about --format=json` show."""


def _expected(schema: Mapping[str, Any]) -> str:
    """Return a description of the values that the schema of a setting allows."""
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
    """Return the settings of each group, by the heading of the group.

    Each setting has its name, its default and its description. If a configuration must contain the
    setting, `required` takes the place of the default.
    """
    return {heading: [_shown(name) for name in group] for heading, group in _GROUPS.items()}


def _shown(name: str) -> tuple[str, str, str]:
    schema = SETTINGS_SCHEMA["properties"][name]
    default = "required" if name in SETTINGS_SCHEMA["required"] else str(schema.get("default", ""))
    options = ", ".join(f"`{option}`" for option in schema.get("enum", []))
    return name, default.lower(), schema["description"] + (f" One of {options}." if options else "")


def about_lines() -> Iterator[str]:
    """Yield the lines of `--about` that describe the settings, by group."""
    for heading, settings in settings_by_group().items():
        yield from ("", f"{heading}:")
        for name, default, description in settings:
            yield f"  {name}{default and f' ({default})'}: {description}"


# How the settings are loaded


class Given(NamedTuple):
    """The unchecked settings from files and the environment.

    Attributes:
        values: The values of the settings, by name. A value may still be a text that must be
            converted to the type of the setting.
        unknown_variables: The names of environment variables that are probably meant for this
            program, but belong to no setting.
    """

    values: dict[str, Any]
    unknown_variables: tuple[str, ...] = ()


def with_environment(files: Mapping[str, Any], environment: Mapping[str, str]) -> Given:
    """Return the merged settings of files and environment variables.

    A variable takes precedence over a file, but an empty variable sets nothing. Meltano flattens
    objects for the environment, and the original object cannot always be restored. So an object in
    a file takes precedence over the variable of the same setting.

    Args:
        files: The settings of the configuration files, by their names.
        environment: The values of environment variables, by their names.
    """
    texts = {name: environment.get(_PREFIX + name.upper(), "").strip() for name in _TYPES}
    values = dict(files)
    for name, text in texts.items():
        if text and name not in OBJECTS:
            values[name] = text
        elif text and files.get(name) is None:
            values[name] = _nested(text, OBJECTS[name])
    return Given(values, tuple(_unknown_variables(files, environment)))


def _unknown_variables(files: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the environment variables that are meant for this program, but belong to no setting.

    If a file contains the same unknown setting, the variable is left out, because the run warns of
    the setting. Meltano sets many variables, also for parts of objects and for other loaders. So in
    a Meltano project, only misspelled names count.
    """
    is_by_meltano = "MELTANO_PROJECT_ROOT" in environment
    for variable, text in environment.items():
        if not text.strip() or variable in _VARIABLES_IN_USE or not _PREFIX_PART.search(variable):
            continue
        is_of_file = variable.removeprefix(_PREFIX).lower() in files
        is_misspelled = (_meant(variable) or "").startswith(_PREFIX)
        if not is_of_file and (is_misspelled or (not is_by_meltano and _is_ours(variable))):
            yield variable


def _is_ours(variable: str) -> bool:
    """Return whether a variable that belongs to no setting is probably meant for this program."""
    ends_as_ours = variable.upper().endswith(tuple(f"_{name.upper()}" for name in _TYPES))
    return variable.startswith(_PREFIX) or ("LIVEINTENT" in variable.upper() and ends_as_ours)


def _meant(name: str) -> str | None:
    """Return the known name that an unknown setting or variable probably means, or None.

    If a variable's name contains the whole name of a setting besides other words, it is not
    misspelled: the variable belongs to another loader, such as `target-liveintent-eu`, or to a part
    of an object, such as `…_STREAM_MAPS_ORDERS_EMAIL`.
    """
    variable = _VARIABLE.fullmatch(name)
    if variable is None:
        return meant_name(name, _TYPES) or meant_name(name, _VARIABLES)
    rest = variable[1].lower().strip("_")
    setting = rest if rest in _TYPES else meant_name(rest, _TYPES)
    if setting is None or (setting != rest and f"_{setting}_" in f"_{rest}_"):
        return None
    meant = _PREFIX + setting.upper()
    return setting if name == meant else meant  # (A file may contain the variable's name.)


def _nested(text: str, splits: int) -> Any:
    """Return the JSON object of a text as it was before Meltano flattened it.

    Meltano turns `{"orders": {"email": "mail"}}` into `{"orders.email": "mail"}`. An object that
    contains objects has not been flattened. A text without a JSON object is returned unchanged.

    Args:
        text: The value of an environment variable.
        splits: The number of dots that separate levels, as in `OBJECTS`.
    """
    try:
        flat = decode_json_object(text)
    except (DuplicateKeyError, msgspec.DecodeError, RecursionError):
        return text
    if any(isinstance(value, dict) for value in flat.values()):
        return flat
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.rsplit(".", splits)
        inner = nested
        for step in path:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):  # (`map_problems` reports this.)
                return flat
        inner[last] = value
    return nested


# How the settings are checked


def settings_of(config: Mapping[str, Any], unknown_variables: Sequence[str] = ()) -> Settings:
    """Check a configuration, and return it as immutable settings.

    Args:
        config: The values of settings by their names. None means "not set".
        unknown_variables: The names of environment variables that belong to no setting. A
            misspelled name is a problem.

    Raises:
        ConfigurationError: If the configuration has problems. The message is one line that lists
            all problems.
    """
    settings, wrong = _checked(config, unknown_variables)
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    return settings


def problems(config: Mapping[str, Any], unknown_variables: Sequence[str] = ()) -> list[str]:
    """Return the problems of a configuration, one line each, without the values of settings.

    The arguments are those of `settings_of`. A correct configuration has no problems.
    """
    return _checked(config, unknown_variables)[1]


def setting_warnings(names: Iterable[str], unknown_variables: Sequence[str] = ()) -> Iterator[str]:
    """Yield a warning for each unknown setting and environment variable.

    Names that `settings_of` treats as problems, such as misspelled names, are left out.
    """
    for name in names:
        if name not in _TYPES and not _name_problem(name):
            yield f"setting '{name}' is unknown and has no effect{did_you_mean(name, _TYPES)}"
    for variable in unknown_variables:
        if not _misspelling(variable):
            near = did_you_mean(variable.removeprefix(_PREFIX), _TYPES)
            yield f"environment variable '{variable}' is unknown and has no effect{near}"


def _checked(
    config: Mapping[str, Any], unknown_variables: Sequence[str]
) -> tuple[Settings, list[str]]:
    """Return the settings, in which defaults replace wrong values, and the list of problems."""
    given = {name: value for name, value in config.items() if value is not None}
    values, wrong_values = _converted(given)
    token, wrong_token = _token(values)
    if token is not None:
        values["auth_token"] = token
    values["presets"], presets_twice = _joined("presets", presets_with_dots(values["presets"]))
    values["stream_maps"], maps_twice = _joined(
        "stream_maps", maps_with_dots(values["stream_maps"])
    )
    settings = Settings(**values)
    wrong = [
        *filter(None, map(_name_problem, config)),
        *filter(None, map(_misspelling, unknown_variables)),
        *_missing_problems(given),
        *wrong_values,
        *wrong_token,
        *presets_twice,
        *maps_twice,
        *_url_problems(settings),
        *_zone_problems(settings.timezone),
        *_path_problems(settings),
        *_store_problems(settings.store),
        *map_problems(settings.presets, settings.stream_maps),
    ]
    return settings, wrong


def _converted(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the converted values of settings, and a problem for each value that is not allowed.

    In a Meltano project, relative paths start at the root of the project.
    """
    values: dict[str, Any] = {"customer_id": "", "presets": {}, "stream_maps": {}}
    values["store"] = SETTINGS_SCHEMA["properties"]["store"]["default"]
    wrong = []
    for name, schema in SETTINGS_SCHEMA["properties"].items():
        if name in given:
            try:
                values[name] = _read_value(name, given[name])
            except DuplicateKeyError as error:
                wrong.append(f"setting '{name}' cannot be used: {error}")
            except (msgspec.DecodeError, RecursionError):  # The error may show the value.
                near = did_you_mean(str(given[name]), schema.get("enum", []))
                wrong.append(f"setting '{name}' must be {_expected(schema)}{near}")
    root = os.environ.get("MELTANO_PROJECT_ROOT", "")
    for name in values.keys() & {*_PATHS}:
        if not is_url(values[name]):
            values[name] = os.path.join(root, values[name])  # noqa: PTH118 (may be absolute)
    return values, wrong


def _read_value(name: str, value: Any) -> Any:
    """Return the value of a setting, converted to the type of the setting.

    White space around a text is removed, such as the line end of a secret.

    Raises:
        DecodeError: If the value cannot be converted.
        DuplicateKeyError: If a key occurs twice in the text of an object.
    """
    if isinstance(value, str):
        value = value.strip()
        if name in OBJECTS:
            value = decode_json_object(value)
    return msgspec.convert(value, _TYPES[name], strict=False)


def _token(values: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """Return the token (None if there is no token), and the problems of the settings for a token.

    The token comes from the setting `auth_token`, or from the file of `auth_token_path`.
    """
    token, path = values.get("auth_token"), values.get("auth_token_path")
    if path is None:
        wrong = "setting 'auth_token' must consist of printable ASCII characters, without spaces"
        return token, [] if token is None or is_usable_token(token) else [wrong]
    if token is not None:
        wrong = "settings 'auth_token' and 'auth_token_path' are both set: remove one of them"
        return token, [wrong]
    try:
        return read_token(path), []
    except ConfigurationError as error:
        return None, [str(error)]


def _joined(setting: str, streams: Iterable[tuple[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Return the values of a setting by stream, and a problem for each stream that occurs twice."""
    joined: dict[str, Any] = {}
    twice = []
    for stream, definition in streams:
        if stream in joined:
            twice.append(f"setting '{setting}' has the stream '{stream}' twice: remove one of them")
        joined[stream] = definition
    return joined, twice


def _name_problem(name: str) -> str | None:
    """Return the problem of a setting's name, or None.

    A name may be misspelled, in the wrong place, or flattened, such as `stream_maps.orders`.
    """
    group, dot, path = name.partition(".")
    if name in _TYPES:
        return None
    if name.startswith("__"):
        return f"setting '{name}' is in the wrong place: options belong in the map of a stream"
    if dot and group in OBJECTS:
        steps = [group, *path.rsplit(".", OBJECTS[group])]
        form = ": {".join(steps) + ": …" + "}" * (len(steps) - 1)
        return f"setting '{name}' has no effect in this form: write {form}"
    meant_group = meant_name(group, OBJECTS) if dot else None
    return _misspelling(name, meant_group)


def _misspelling(name: str, meant_group: str | None = None) -> str | None:
    """Return the problem of an unknown name that resembles a known one, or None.

    The name is that of a setting or an environment variable. `meant_group` is the setting that the
    first part of a flattened name resembles.
    """
    meant = _meant(name) or meant_group
    if meant is None and not name.startswith(_PREFIX):  # The prefix itself may be misspelled.
        meant = meant_name(name, _VARIABLES)
    if meant is None:
        return None
    kind = "environment variable" if meant.startswith(_PREFIX) else "setting"
    return f"{kind} '{name}' is unknown; did you mean '{meant}'?"


def _missing_problems(given: Mapping[str, Any]) -> Iterator[str]:
    for name in SETTINGS_SCHEMA["required"]:
        if name not in given:
            description = SETTINGS_SCHEMA["properties"][name]["description"]
            yield f"setting '{name}' is required: {description}"
    if "auth_token" not in given and "auth_token_path" not in given:
        yield "setting 'auth_token' or 'auth_token_path' is required"


def _url_problems(settings: Settings) -> Iterator[str]:
    url = settings.api_url
    has_more = set("@?# ") & set(url) or not url.isprintable()
    if has_more or not _is_secret(url) or not can_post_to(settings.url):
        yield (
            "setting 'api_url' must be an https URL with a host, and without a user name, a"
            " password, a query (the part after ?) and a fragment (the part after #). Plain http is"
            " allowed only for loopback addresses, such as 127.0.0.1, so that the token stays"
            " secret"
        )


def _is_secret(url: str) -> bool:
    """Return whether a URL has a host, and only this host can read what is sent."""
    try:
        parts = urlsplit(url)
        if not parts.hostname or parts.port == 0:
            return False
        return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))
    except ValueError:  # The port is not a number, or the host is not valid.
        return False


def _zone_problems(timezone: str) -> Iterator[str]:
    try:
        zoneinfo.ZoneInfo(timezone)
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
        except ValueError:  # The path contains a character that is not allowed, such as NUL.
            place = os.sep
        first = names.setdefault(identity_of(place), name)
        if first != name:  # For example, the report would overwrite the store.
            yield (
                f"settings '{first}' and '{name}' name the same file: give each setting its"
                " own file"
            )
        if name in _WRITTEN and not _can_be_file(Path(place)):
            yield (
                f"setting '{name}' must be the path of an ordinary file in an existing folder, not"
                " of a folder or device. Create the folder, correct the path, or remove the setting"
            )


def _can_be_file(path: Path) -> bool:
    """Return whether the folder of a path exists, and the path is free or an ordinary file.

    Another run may create the file between the two checks, so `is_file` is checked last.
    """
    return path.parent.is_dir() and (not path.exists() or path.is_file())


def _store_problems(store: str) -> Iterator[str]:
    """Yield the problem of the setting `store`, without connecting to it or showing its URL."""
    scheme, _, rest = store.partition("://")
    before_host = rest.partition("?")[0].rpartition("@")[0]
    is_wrong_url = is_url(store) and (scheme not in {"postgresql", "postgres"} or not rest)
    # (A connection string such as `host=… password=…` must not become the name of a file.)
    if is_wrong_url or (_LIBPQ.search(store) and not is_url(store)):
        yield "setting 'store' must be a path, or a URL such as postgresql://user@host/database"
    elif set("@/?#[]") & set(before_host):  # libpq would read a part of it as the host.
        yield (
            "the user or the password in setting 'store' contains special characters: write %40 for"
            " @, %2F for /, %3F for ? and %23 for #"
        )
    elif is_url(store) and importlib.util.find_spec("psycopg") is None:
        yield (
            "setting 'store' needs a library that is not installed: run pip install"
            " 'target-liveintent[postgres]'"
        )
