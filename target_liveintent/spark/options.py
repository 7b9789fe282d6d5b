"""Checks the options of a write: the target's settings as text, and options only for Spark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from target_liveintent import config
from target_liveintent.conversions.event_model import DEAD_LETTERS
from target_liveintent.errors import ConfigurationError, StreamMappingError
from target_liveintent.mapping.map_checks import lacking_message
from target_liveintent.mapping.similar_names import meant_name
from target_liveintent.settings import Settings
from target_liveintent.spark.rows import RowInput, input_of

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
    "write_id": (
        r"[A-Za-z][\w.-]{0,99}",
        "must start with a letter, and have at most 100 letters, digits, '-', '_' and '.'",
    ),
    "store": (".*://.*", "must be the URL of a PostgreSQL database, which all machines can share"),
    **{
        name: ("(?!)", f"has no effect in Spark: {instead}")
        for names, instead in _INSTEAD.items()
        for name in names.split()
    },
}
"""For each option, the pattern that its whole text must match, and the words of the message."""
_NO_SETTINGS = ("stream_name", "concurrent_tasks", "outcomes_path", "write_id", "key_properties")


class SparkWrite(NamedTuple):
    """The checked options of a write.

    Attributes:
        settings: The settings of one task, whose limits of requests are divided by `tasks`.
        tasks: How many tasks may run at the same time: the option `concurrent_tasks`.
        source: How the rows of the DataFrame are read.
        outcomes_path: The option of this name; empty if it is not set, and in a dry run.
        write_id: The option of this name; empty if it is not set.
    """

    settings: Settings
    tasks: int
    source: RowInput
    outcomes_path: str
    write_id: str


def write_of(options: Mapping[str, str], columns: Sequence[str]) -> SparkWrite:
    """Check the options of a write and the columns of its DataFrame; return the write.

    Raises:
        ConfigurationError: If options are wrong. The message is one line with each wrong option.
        StreamMappingError: If the columns can never give an event.
    """
    own = {name: options.get(name, "").strip() for name in (*_RULES, "key_properties")}
    source = input_of(columns, own["stream_name"], own["key_properties"])
    ours = {name: text for name, text in options.items() if name == "store" or name not in _RULES}
    problems = [
        *_broken_rules(options, own),
        *source.problems,
        *_misspelled(ours),
        *config.problems(ours),
    ]
    if problems:
        raise ConfigurationError("; ".join(problems))
    settings = config.settings_of(ours)
    if lacking := source.lacking(settings.events):
        msg = lacking_message(source.stream, lacking)
        msg += f" The columns of the DataFrame are: {', '.join(columns)}."
        raise StreamMappingError(msg)
    tasks = int(own["concurrent_tasks"] or 1)
    path = "" if settings.dry_run else own["outcomes_path"].rstrip("/")
    return SparkWrite(_share(settings, tasks), tasks, source, path, own["write_id"])


def _broken_rules(options: Mapping[str, str], own: Mapping[str, str]) -> Iterator[str]:
    """Yield a problem for each option that breaks its rule in `_RULES`."""
    required = {"stream_name"}
    if "max_requests_per_minute" in options:
        required.add("concurrent_tasks")
    for name, (pattern, rule) in _RULES.items():
        is_judged = name in options or name in required
        if is_judged and not re.fullmatch(pattern, own[name], re.ASCII):
            yield f"option '{name}' {rule}"


def _misspelled(options: Iterable[str]) -> Iterator[str]:
    """Yield a problem for each option that looks like a misspelled option of the data source."""
    for name in options:
        if meant := meant_name(name, _NO_SETTINGS):
            yield f"option '{name}' is unknown; did you mean '{meant}'?"


def _share(settings: Settings, tasks: int) -> Settings:
    """Return the settings of one task, with the limits of requests divided by `tasks`."""
    per_minute = settings.max_requests_per_minute
    return msgspec.structs.replace(
        settings,
        max_requests_per_minute=per_minute and max(1, per_minute // tasks),
        max_concurrent_requests=max(1, settings.max_concurrent_requests // tasks),
    )


def option_warnings(options: Iterable[str]) -> Iterator[str]:
    """Yield a warning for each option that is probably misspelled."""
    known = {*_RULES, "key_properties", "checkpointlocation", "path"}  # (The last two: Spark's.)
    return config.setting_warnings(name for name in options if name.lower() not in known)
