"""A whole target in memory that is fed with any bytes, and the promises that must hold for them."""

import errno
import json
import logging
import os
import threading
from typing import Any, NamedTuple
from unittest import mock

from integration_support import batch, schema, state
from singer_sdk.exceptions import (
    InvalidJSONSchema,
    MissingKeyPropertiesError,
    RecordsWithoutSchemaException,
)
from unit_support import convert_both_ways

from target_liveintent.errors import RunError, StreamMappingError
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.run.counts import StreamCounts
from target_liveintent.singer import batch_files
from target_liveintent.target import TargetLiveIntent

MARK = "fuzz.q9x7"
ADDRESS = f"{MARK}@leaky.example"
_EXPECTED = (RunError, MissingKeyPropertiesError, RecordsWithoutSchemaException, InvalidJSONSchema)
_SETTINGS = {
    "customer_id": "a-1b2c",
    "auth_token": "s3cr3t-token",
    "pixel_id": 1,
    "default_source": "web",
    "dry_run": True,
    "store": "/dev/no-such-store",
}
MAPS: dict[str, Any] = {
    "mapped": {
        "event_id": "str(id)",
        "event_time": "event_time",
        "email": "email",
        "value": "float(value)",
        "source_url": "_.get('source_url')",
        "__filter__": "id != 7",
    }
}
COLUMNS = ("id", "event_time", "email", "value", "source_url")
VARIANTS: list[dict[str, Any]] = [
    {},
    {"stream_maps": MAPS},
    {"validate_records": True},
    {"on_rejection": "fail", "validate_records": True},
]


def _record(stream: str, **columns: Any) -> dict[str, Any]:
    return {"type": "RECORD", "stream": stream, "record": columns}


_URL = "https://u:p@x.example/?key=1&utm_source=a#b"
_MESSAGES = (
    schema("orders", COLUMNS),
    schema("mapped", (*COLUMNS, "consent"), ()),
    _record("orders", id=1, event_time=1_790_000_000, email=ADDRESS, value=87.10, source_url=_URL),
    _record(
        "mapped",
        id=1e2,
        event_time="2026-08-01T00:00:00Z",
        email="\ud800",
        value=float("nan"),
        consent="yes",
    ),
    _record("orders", id=[{"a": -1e-9}], event_time=9_999_999_999_999),
    state({"bookmarks": {"orders": {"v": 1.10}}}),
    {"type": "ACTIVATE_VERSION", "stream": "orders", "version": 5},
    batch("file:///x/%00", "file://[x", compression="gzip"),
)
SEEDS = [json.dumps(message).encode() for message in _MESSAGES]


class Fed(NamedTuple):
    """What a target made of its input: the last line, if it failed, all of the log, the counts."""

    failure: str | None
    log: str
    total: StreamCounts


class _Lines(logging.Handler):
    """Keeps the lines that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _no_file(_: str) -> None:
    """Stand in for the files of this machine, and of others, that BATCH messages may name."""
    raise FileNotFoundError(errno.ENOENT, "No such file or directory")


def feed(data: bytes, **settings: Any) -> Fed:
    """Run a target over an input to its end, as a dry run."""
    logged = _Lines()
    target = TargetLiveIntent(config={**_SETTINGS, **settings})
    loggers = [target.logger, logging.getLogger("singer_sdk"), logging.getLogger("py.warnings")]
    for logger in loggers:
        logger.addHandler(logged)
        logger.propagate = False
    readable, writable = os.pipe()

    def write() -> None:
        with os.fdopen(writable, "wb") as pipe:
            try:
                pipe.write(data)
            except BrokenPipeError:  # The run has ended already.
                pipe.detach()

    writer = threading.Thread(target=write)
    writer.start()
    failure, has_block = None, False
    try:
        with (
            os.fdopen(readable, encoding="utf-8") as source,
            mock.patch.object(batch_files, "open_anywhere", side_effect=_no_file),
            mock.patch.object(RecordConverter, "convert", convert_both_ways),
        ):
            try:
                target.process(source)
            except _EXPECTED as error:
                failure = str(error)
                has_block = isinstance(error, StreamMappingError)
    finally:
        writer.join()
        for logger in loggers:
            logger.removeHandler(logged)
            logger.propagate = True
    log = "\n".join(logged.lines)
    assert has_block or "\n" not in (failure or ""), failure
    assert len(failure or "") < 5_000 + 3 * len(data), failure
    assert MARK not in f"{failure} {log}".lower(), (failure, log)
    total = target.run.counts.total
    assert failure is not None or total.without_outcome == 0, total
    return Fed(failure, log, total)
