"""The options of a write: the target's settings as text, and a few that only Spark has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from target_liveintent import config
from target_liveintent.conversions.coerce import COLUMNS
from target_liveintent.conversions.event_model import DEAD_LETTERS
from target_liveintent.errors import ConfigurationError, StreamMappingError
from target_liveintent.mapping.map_checks import lacking_for_events
from target_liveintent.mapping.map_findings import lacking_message
from target_liveintent.mapping.similar_names import meant_name
from target_liveintent.mapping.stream_maps import DELETION_COLUMNS, StreamPlan
from target_liveintent.settings import Settings

_FACT_COLUMNS = ("outcome", "record")  # By these, rows of the table of outcomes are recognized.
_EVENT_COLUMNS = (*sorted(COLUMNS), *DELETION_COLUMNS)
_INSTEAD = {
    "presets stream_maps stream_map_config limit validate_records": "change the DataFrame instead",
    "report_path metrics_path": "set store, whose history covers all tasks",
}
_RULES = {
    "stream_name": (
        rf"(?!{DEAD_LETTERS}$)[^\x00-\x1f\x7f@]+",
        f"is required, must have no '@' or control characters, and must not be '{DEAD_LETTERS}'",
    ),
    "concurrent_tasks": (
        "[1-9][0-9]{0,8}",
        "must be an integer and at least 1, and is required with max_requests_per_minute",
    ),
    "outcomes_path": (
        r"(/|[a-z][a-z0-9]*://|abfss?://[\w-]+@)[^@?#]+",
        "must be an absolute path or a URL such as s3://bucket/folder, without credentials",
    ),
    "write_id": (r"[A-Za-z][\w.-]{0,99}", "must be a letter, then letters, digits, '-', '_', '.'"),
    "store": (".*://.*", "must be the URL of a PostgreSQL database, which all machines can share"),
    **{
        name: ("(?!)", f"has no effect in Spark: {instead}")
        for names, instead in _INSTEAD.items()
        for name in names.split()
    },
}
"""What the texts of options must match, as a pattern of ASCII characters and in words."""
_NO_SETTINGS = ("stream_name", "concurrent_tasks", "outcomes_path", "write_id", "key_properties")


class Job(NamedTuple):
    """A write, as its options and its schema describe it on one machine.

    Attributes:
        settings: The settings. Each of the `tasks` has its share of the requests of the write.
        stream: The name of the stream; `DEAD_LETTERS` if rows come from the table of outcomes.
        columns: The columns that are needed: how the DataFrame spells each, by its own name.
        outcomes_path: The option, or empty; so is `write_id`. A dry run keeps no outcomes.
    """

    settings: Settings
    tasks: int
    stream: str
    keys: tuple[str, ...]
    columns: dict[str, str]
    outcomes_path: str
    write_id: str


def names_of(columns: Iterable[str], keys: Iterable[str] = ()) -> dict[str, str]:
    """Return columns by the names that a record has for them; upper and lower case do not matter.

    Spark takes `VALUE` and `value` for the same column, and Snowflake writes names in capitals.
    """
    known = {name.lower(): name for name in (*keys, *_EVENT_COLUMNS)}
    return {known.get(name.lower(), name): name for name in columns}


def job_of(options: Mapping[str, str], columns: Sequence[str]) -> Job:
    """Check the options of a write and the columns of its DataFrame.

    Raises:
        ConfigurationError: If options are wrong; its one line names all of them.
        StreamMappingError: If the columns can never give an event.
    """
    own = {name: options.get(name, "").strip() for name in (*_RULES, "key_properties")}
    keys = tuple(names_of(filter(None, map(str.strip, own["key_properties"].split(",")))))
    is_replay = {*_FACT_COLUMNS} <= {name.lower() for name in columns}
    names = names_of(columns, _FACT_COLUMNS if is_replay else keys)
    required = {"stream_name"}
    if "max_requests_per_minute" in options:
        required.add("concurrent_tasks")
    found = [
        f"option '{name}' {rule}"
        for name, (pattern, rule) in _RULES.items()
        if name in {*options, *required} and not re.fullmatch(pattern, own[name], re.ASCII)
    ]
    if same := {*columns} - {*names.values()}:
        found.append(f"columns differ from others only in upper and lower case: {', '.join(same)}")
    if (unknown := {*keys} - {*names}) and not is_replay:
        found.append(f"option 'key_properties' names unknown columns: {', '.join(unknown)}")
    ours = {name: text for name, text in options.items() if name == "store" or name not in _RULES}
    found += [
        f"option '{name}' is unknown; did you mean '{meant}'?"
        for name in ours
        if (meant := meant_name(name, _NO_SETTINGS))
    ]
    if found := [*found, *config.problems(ours)]:
        raise ConfigurationError("; ".join(found))
    settings = config.settings_of(ours)
    stream = DEAD_LETTERS if is_replay else own["stream_name"]
    plan = StreamPlan.without_map(stream, names)
    if not is_replay and (lacking := lacking_for_events(plan, {}, settings.events)):
        msg = lacking_message(stream, lacking)
        msg += f" The columns of the DataFrame are: {', '.join(columns)}."
        raise StreamMappingError(msg)
    tasks, per_minute = int(own["concurrent_tasks"] or 1), settings.max_requests_per_minute
    settings = msgspec.structs.replace(
        settings,
        max_requests_per_minute=per_minute and max(1, per_minute // tasks),
        max_concurrent_requests=max(1, settings.max_concurrent_requests // tasks),
    )
    # Without keys, event IDs may be derived from all columns.
    wanted = _FACT_COLUMNS if is_replay else (*_EVENT_COLUMNS, *keys) if keys else names
    needed = {name: given for name, given in names.items() if name in wanted}
    path = "" if settings.dry_run else own["outcomes_path"].rstrip("/")
    return Job(settings, tasks, stream, keys, needed, path, own["write_id"])


def warnings_of(options: Iterable[str]) -> Iterator[str]:
    """Yield a warning for each option that is probably misspelled."""
    known = {*_RULES, "key_properties", "checkpointlocation", "path"}  # (The last two: Spark's.)
    return config.setting_warnings(name for name in options if name.lower() not in known)
