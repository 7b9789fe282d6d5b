"""The options of a write, which the driver checks before any task starts.

They are the target's settings as text, and three that only Spark has. A `Job` goes to each task. It
holds the options but not the content of the files that they name: each machine reads a token file
itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from target_liveintent import config
from target_liveintent.conversions import (
    DEAD_LETTERS,
    missing_columns,
    missing_columns_message,
)
from target_liveintent.errors import ConfigurationError, StreamMappingError
from target_liveintent.settings import Settings, is_url
from target_liveintent.spark.attempts import short_hash
from target_liveintent.spark.columns import (
    Columns,
    case_problems,
    columns_of,
    needed,
    similar_columns,
    spelled,
)

OWN = {
    "stream_name": "The name of the stream under which the write counts its records. Derived"
    " event IDs depend on it. If the target also sends the same records from a tap, use the"
    " name that the tap gives to their stream. Required.",
    "key_properties": "The columns that identify a record, separated by commas. If there is no"
    " column `event_id`, event IDs are derived from these columns. Without `event_id`"
    " and `key_properties`, event IDs are derived from the whole record.",
    "concurrent_tasks": "How many tasks of the write can run at the same time. Set this to the"
    " number of cores that Spark uses for the write. The tasks share `max_concurrent_requests`"
    " and `max_requests_per_minute` equally, and each share is at least 1. Without this"
    " option, each task may have up to `max_concurrent_requests` requests in flight. Required"
    " with `max_requests_per_minute`.",
    "dead_letter_path": "A folder that all machines share, or its URL. Into this folder, a write"
    " puts files with the records that could not be sent. The command replay sends them. Required.",
    "audit_path": "A folder that all machines share. Into this folder, the tasks write Parquet"
    " files with the outcome of each event. The next attempt at a task or a micro-batch skips the"
    " events that these files show as delivered.",
}
"""The options that only Spark has, with their descriptions."""
_BY_COLUMNS = (
    "add the columns of the events to the DataFrame, for example with"
    " .withColumn('event_time', col('created_at'))"
)
_OF_ONE_MACHINE = (
    "set store to a PostgreSQL database, whose history covers all tasks. The file of {} would cover"
    " only the tasks of one machine"
)
REFUSED = {
    "presets": _BY_COLUMNS,
    "stream_maps": _BY_COLUMNS,
    "stream_map_config": _BY_COLUMNS,
    "report_path": _OF_ONE_MACHINE.format("report_path"),
    "metrics_path": _OF_ONE_MACHINE.format("metrics_path"),
    "limit": "call limit() on the DataFrame",
    "validate_records": (
        "remove the option, because the columns of a DataFrame already have types"
    ),
}
"""The settings that do nothing in Spark, and what to do instead."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A write, as its options and its schema describe it.

    Attributes:
        given: The target's settings, as the user gave them.
        keys: The columns that event IDs are derived from.
        columns: The columns that are needed.
        tasks: How many tasks share what is allowed to the write.
        dead_letter_folder: The option `dead_letter_path`.
        retry_seconds: The setting `max_retry_seconds`.
        allowed_percent: The setting `max_dead_letter_percent`.
        audit_folder: The option `audit_path`; empty without it.
        pixel: The setting `pixel_id`; None where the rows name their own.
        account: Stands for the account and the pixel in file names.
    """

    given: dict[str, Any] = dataclasses.field(repr=False)
    stream: str
    keys: tuple[str, ...]
    columns: Columns
    tasks: int
    dead_letter_folder: str
    retry_seconds: int
    dry_run: bool
    allowed_percent: int
    audit_folder: str = ""
    pixel: int | None = None
    account: str = ""

    @property
    def target(self) -> str:
        """What stands for the stream name, the account and the pixel in file names."""
        return short_hash(self.stream, self.account)

    def settings(self) -> Settings:
        """Return the settings of a task, which has its share of what is allowed to the write.

        Raises:
            ConfigurationError: If a setting is wrong on this machine.
        """
        settings = self.settings_of_the_write()
        per_minute = settings.max_requests_per_minute
        return dataclasses.replace(
            settings,
            max_requests_per_minute=per_minute and max(1, per_minute // self.tasks),
            max_concurrent_requests=max(1, settings.max_concurrent_requests // self.tasks),
            max_dead_letter_percent=100,  # The driver judges the share over all tasks.
        )

    def settings_of_the_write(self) -> Settings:
        """Return the settings of the write as a whole.

        Raises:
            ConfigurationError: If a setting is wrong on this machine.
        """
        return config.settings_of(self.given)


def job_of(options: Mapping[str, str], columns: list[str]) -> Job:
    """Check the options of a write and the columns of its DataFrame.

    Raises:
        ConfigurationError: If options are wrong; its one line names all of them.
        StreamMappingError: If the columns can never give an event.
    """
    if not any(name in options for name in (*OWN, *config.SCHEMA["properties"])):
        msg = (
            "the write received no options. Spark does not pass on the options of CREATE TABLE."
            " Set the options in CREATE TEMPORARY VIEW (after OPTIONS), in INSERT INTO (after"
            " WITH), or in Python with df.writeTo(table).option(name, value).append()"
        )
        raise ConfigurationError(msg)
    given = config.from_texts({k: v for k, v in options.items() if k not in OWN})
    folder = options.get("dead_letter_path", "").strip()
    audit_folder = options.get("audit_path", "").strip()
    keys = _keys(options)
    all_columns = columns_of(columns, keys)
    found = [
        *_problems(options, folder, audit_folder),
        *config.problems(given),
        *case_problems(columns),
    ]
    if unknown := [key for key in keys if key not in all_columns.names]:
        found.append(
            f"option 'key_properties' names columns that the DataFrame does not have:"
            f" {', '.join(unknown)}"
        )
    if found:
        raise ConfigurationError("; ".join(found))
    settings = config.settings_of(given)
    stream = options["stream_name"].strip()
    if missing := missing_columns(all_columns.names, settings.events):
        why = f"{missing_columns_message(stream, missing)} Its columns are: {', '.join(columns)}."
        msg = (
            f"{why} Add the missing columns to the DataFrame, for example with"
            " .withColumn('event_time', col('created_at'))"
        )
        raise StreamMappingError(msg)
    pixel = None if {"pixel_id", "pixelId"} & set(all_columns.names) else settings.pixel_id
    return Job(
        given=given,
        stream=stream,
        keys=keys,
        columns=needed(all_columns, keys),
        tasks=int(options.get("concurrent_tasks", "1")),
        dead_letter_folder=folder,
        retry_seconds=settings.max_retry_seconds,
        dry_run=settings.dry_run,
        allowed_percent=settings.max_dead_letter_percent,
        audit_folder=audit_folder,
        pixel=pixel,
        account=short_hash(settings.customer_id, settings.api_host, str(pixel)),
    )


def _keys(options: Mapping[str, str]) -> tuple[str, ...]:
    keys = options.get("key_properties", "").split(",")
    return spelled(key.strip() for key in keys if key.strip())


def warnings_of(options: Mapping[str, str], columns: list[str]) -> Iterator[str]:
    """Yield a warning for each option, and each column, that is probably misspelled."""
    yield from unknown_options(options)
    keys = _keys(options)
    stream = options.get("stream_name", "").strip()
    yield from similar_columns(stream, columns_of(columns, keys), keys)


def unknown_options(options: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each option that does nothing."""
    known = {*OWN, "checkpointlocation", "path"}  # The last two are options of Spark itself.
    yield from config.warnings_of({name: "" for name in options if name.lower() not in known})


def _problems(options: Mapping[str, str], folder: str, audit_folder: str) -> Iterator[str]:
    for name, instead in REFUSED.items():
        if name in options:
            yield f"option '{name}' has no effect in Spark: {instead}"
    stream = options.get("stream_name", "").strip()
    if not stream:
        yield "option 'stream_name' is required: derived event IDs depend on it"
    elif stream == DEAD_LETTERS or not stream.isprintable():
        yield (
            "option 'stream_name' must contain only printable characters, and must not be"
            f" '{DEAD_LETTERS}', which is reserved for dead letters"
        )
    yield from _task_problems(options)
    yield from _path_problems(options)
    if not folder:
        yield "option 'dead_letter_path' is required: set it to a folder that all machines share"
    store = options.get("store", "").strip()
    if store and not is_url(store):
        yield (
            "option 'store' must be the URL of a PostgreSQL database, because machines cannot share"
            " a file of SQLite's. Or use audit_path: its files show which events were delivered, so"
            " that you can remove these events from the DataFrame"
        )
    for name, url in (("dead_letter_path", folder), ("audit_path", audit_folder)):
        if is_url(url) and ("@" in url or "?" in url or "#" in url):
            yield (
                f"option '{name}' must be a URL without a user, a password or parameters, such as"
                " s3://bucket/folder: put the credentials into environment variables"
            )


def _task_problems(options: Mapping[str, str]) -> Iterator[str]:
    tasks = options.get("concurrent_tasks", "1").strip()
    if not (tasks.isascii() and tasks.isdigit() and int(tasks)):
        yield (
            "option 'concurrent_tasks' must be an integer and at least 1: set it to the number of"
            " tasks that run at the same time and share max_concurrent_requests"
        )
    if "max_requests_per_minute" in options and "concurrent_tasks" not in options:
        yield (
            "option 'concurrent_tasks' is required with max_requests_per_minute, because the"
            " requests per minute are divided among the tasks that run at the same time"
        )


def _path_problems(options: Mapping[str, str]) -> Iterator[str]:
    for name in options:
        if name.endswith("_path") and options[name].strip().lower().startswith("dbfs:"):
            yield (
                f"option '{name}' must not begin with dbfs:, which Python cannot open: give a path"
                " that all machines see, such as /Volumes/catalog/schema/volume/folder"
            )
