"""What became of each event of the writes: a folder of Parquet files that anyone can query.

A task adds a small file every two seconds. When it ends, it joins them in one, which is hidden; the
driver shows that one and deletes the small ones when the write ends. So whoever reads the folder
while the write runs finds every file that was listed. What was lost with its machine has only small
files; the driver joins those.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions import Conversion, Rejection, positive_integer
from target_liveintent.reasons import REASONS
from target_liveintent.spark.attempts import Attempt, Write
from target_liveintent.spark.object_store import ObjectStore
from target_liveintent.spark.options import Job
from target_liveintent.spark.shared_folder import check_shared

_LOGGER = logging.getLogger("target_liveintent.spark")
DELIVERED, REJECTED, DROPPED = "delivered", "rejected", "dropped"
"""The outcomes: the API took it; it has a dead letter; it was not to be sent."""
SCHEMA = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("stream", pa.string(), nullable=False),
        pa.field("pixel", pa.int64()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("sent_at", pa.timestamp("us", "UTC")),
        pa.field("write", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("attempt", pa.int64(), nullable=False),
    ]
)
_REPEATED = ["stream", "outcome", "reason", "write"]
"""The columns of text whose values repeat; a dictionary of event IDs would only take memory."""
_ENDING = ".parquet"
_EMPTY = f"empty{_ENDING}"
"""The name of a file without rows: so the folder can be read before anything is sent."""
_SECONDS = 2.0
"""Seconds after which rows are written; as a task looks once a second, none waits longer than 3."""
_MOST_ROWS = 100_000
"""Rows that are written at once, however early."""
_Row = tuple[str, str, "int | None", str, "str | None", "int | None"]
"""The first columns of the schema, with microseconds."""
_SMALL = re.compile(r"(?P<of>.+)-part\d{6}\.parquet")


class AuditFolder:
    """The folder that the option `audit_path` names.

    Args:
        job: The write. The constructor neither reads nor writes in its folder.

    Raises:
        ConfigurationError: If fsspec has no file system for it.
        StorageError: From methods, if the storage fails.
    """

    def __init__(self, job: Job) -> None:
        what = "option 'audit_path'"
        self._store = ObjectStore(what, job.audit_folder, job.retry_seconds, _LOGGER.warning)

    def prepare(self) -> None:
        """Create the folder, but no bucket; the driver calls this.

        Raises:
            ConfigurationError: If that is not possible.
        """
        self._store.check()
        if not self._store.exists(_EMPTY):
            self.put(_EMPTY, SCHEMA.empty_table())

    def check(self) -> None:
        """Check that the driver has prepared this folder and not another; a task calls this."""
        check_shared(self._store, _EMPTY)

    def put(self, name: str, rows: pa.Table) -> None:
        """Write a file, which appears whole."""
        content = pa.BufferOutputStream()
        pq.write_table(rows, content, use_dictionary=_REPEATED)
        whole = content.getvalue().to_pybytes()
        if self._store.has_folders:
            begun = f"_{uuid.uuid4().hex}-{name}"  # Another driver may put the same one.
            self._store.put(begun, whole)
            self._store.move(begun, name)
        else:
            self._store.put(name, whole)

    def delivered_before(self, attempt: Attempt) -> dict[int, set[str]]:
        """Return the IDs of the events that earlier attempts have delivered, by pixel.

        They are those at the same partition, and in a stream those at the same micro-batch.
        """
        write = attempt.write
        names = self._store.names(prefix=attempt.place)
        if write.batch is not None:
            kin = self._store.names(prefix=write.kin)
            names += [name for name in kin if not name.startswith(write.siblings)]
        sent: dict[int, set[str]] = defaultdict(set)
        for name in names:
            for rows in self._read(name):
                taken = rows.filter(pc.equal(rows.column("outcome"), DELIVERED))
                pixels = taken.column("pixel").to_pylist()
                for pixel, event_id in zip(
                    pixels, taken.column("event_id").to_pylist(), strict=True
                ):
                    sent[pixel].add(event_id)
        return dict(sent)

    def join(self, attempt: str, names: Iterable[str]) -> None:
        """Join small files of an attempt in one, which is hidden until `complete`."""
        with (
            self._store.open(_hidden(attempt)) as file,
            self._store.failures_named(),
            pq.ParquetWriter(file, SCHEMA, use_dictionary=_REPEATED) as writer,
        ):
            for rows in _in_groups(table for name in names for table in self._read(name)):
                writer.write_table(rows)

    def complete(self, write: Write, joined: Iterable[str]) -> None:
        """Leave one file of each attempt at the write, and of those that it has superseded.

        Args:
            write: The write, which has ended.
            joined: The attempts that have joined their files already.
        """
        small: dict[str, list[str]] = defaultdict(list)
        for name in self._store.names(prefix=write.kin):
            found = _SMALL.fullmatch(name)
            if found and (name.startswith(write.prefix) or write.is_outdated(name)):
                small[found["of"]].append(name)
        done = set(joined)
        for attempt, names in small.items():
            if attempt not in done:
                self.join(attempt, names)
            self._store.move(_hidden(attempt), f"{attempt}{_ENDING}")
            for name in names:
                self._store.delete(name)

    def find(self, write: Write) -> Write:
        """Return a write, of which no task is done, with the micro-batch that its files name."""
        return write.found_in(self._store.names())

    def delivered(self, write: Write) -> int:
        """Return how many events the attempts at a write have delivered, each counted once."""
        partitions: dict[str, list[str]] = defaultdict(list)
        for name in self._store.names(prefix=write.prefix):
            partitions[name.removeprefix(write.prefix).partition("-")[0]].append(name)
        events = 0
        for names in partitions.values():
            tables = [table for name in names for table in self._read(name)]
            taken = [pc.equal(table.column("outcome"), DELIVERED) for table in tables]
            ids = [one.filter(it).column("event_id") for one, it in zip(tables, taken, strict=True)]
            chunks = [chunk for column in ids for chunk in column.chunks]
            events += len(pc.unique(pa.chunked_array(chunks, pa.string())))
        return events

    def _read(self, name: str) -> Iterator[pa.Table]:
        """Yield the rows of a file, unless it is gone."""
        try:
            content = self._store.read(name)
        except FileNotFoundError:
            return
        yield pq.read_table(pa.BufferReader(content), schema=SCHEMA)


def _hidden(attempt: str) -> str:
    return f"_{attempt}{_ENDING}"


def _in_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables of many rows in place of small ones."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(len(one) for one in waiting) >= _MOST_ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


class TaskAudit:
    """The rows of one attempt at a task; see `run.OutcomeWriter`.

    Args:
        folder: The folder.
        attempt: The attempt.
        pixel: The pixel of events that do not name their own.
        clock: Tells when rows are due.

    Attributes:
        is_joined: Whether there is a hidden file with the rows of several small ones.
    """

    def __init__(
        self, folder: AuditFolder, attempt: Attempt, pixel: int | None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.is_joined = False
        self._folder = folder
        self._attempt = attempt
        self._pixel = pixel
        self._clock = clock
        self._rows: list[_Row] = []
        self._since = 0.0
        self._small: list[str] = []

    def delivered(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Note events that the API has taken, and the Unix time at which each was sent."""
        self._add(
            (one.event_id, one.stream, one.pixel_id, DELIVERED, None, int(at * 1e6))
            for one, at in zip(conversions, sent_at, strict=True)
        )

    def undelivered(self, rejection: Rejection, reason: str) -> None:
        """Note a record that is not delivered, and the reason under which it is counted."""
        own = positive_integer(rejection.columns.get("pixel_id"))
        pixel = own if isinstance(own, int) else self._pixel
        outcome = REJECTED if REASONS[reason].letter else DROPPED
        self._add([(rejection.event_id, rejection.stream, pixel, outcome, reason, None)])

    def already_sent(self, conversions: Iterable[Conversion]) -> None:
        """Note events that the ledger knows as delivered by another write or run."""
        self._add(
            (one.event_id, one.stream, one.pixel_id, DROPPED, "already_sent", None)
            for one in conversions
        )

    def _add(self, rows: Iterable[_Row]) -> None:
        if not self._rows:
            self._since = self._clock.monotonic()
        self._rows += rows
        if len(self._rows) >= _MOST_ROWS:
            self._write(self._part())

    def write_due(self) -> None:
        """Write a small file if rows have waited long enough; called about once a second."""
        if self._rows and self._clock.monotonic() - self._since >= _SECONDS:
            self._write(self._part())

    def close(self) -> None:
        """Write the rest, and join what was written."""
        name = self._attempt.name
        if not self._small:
            if self._rows:
                self._write(f"{name}{_ENDING}")
            return
        if self._rows:
            self._write(self._part())
        self._folder.join(name, self._small)
        self.is_joined = True

    def _part(self) -> str:
        self._small.append(f"{self._attempt.name}-part{len(self._small):06}{_ENDING}")
        return self._small[-1]

    def _write(self, name: str) -> None:
        count = len(self._rows)
        columns: list[Any] = [list(column) for column in zip(*self._rows, strict=True)]
        write, partition, number = self._attempt
        columns += [[write.name] * count, [partition] * count, [number] * count]
        arrays = [pa.array(v, field.type) for v, field in zip(columns, SCHEMA, strict=True)]
        self._folder.put(name, pa.Table.from_arrays(arrays, schema=SCHEMA))
        self._rows = []
