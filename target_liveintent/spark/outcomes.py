"""The outcome of each record: in the table of outcomes, which anyone can query, and in a store.

What the API has accepted is a fact that no failed attempt can take back. So Parquet files are only
added to the table: none is changed, moved or deleted later. Each write has its own folder there,
`write=<its ID>`. So an attempt finds what its write has delivered without a look at other writes,
and readers see the ID as a column.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions import Conversion, Rejection, unix_time
from target_liveintent.errors import StorageError
from target_liveintent.privacy import scrub
from target_liveintent.reasons import REASONS
from target_liveintent.run import Outcomes
from target_liveintent.settings import Settings, is_url
from target_liveintent.store import Claim, letter_of

DELIVERED, REJECTED, DROPPED = "delivered", "rejected", "dropped"
"""The outcomes: the API took it; it cannot be sent; it was not to be sent."""
_TEXT, _TIME = pa.string(), pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        *(("run_id", _TEXT), ("partition", pa.int32()), ("position", pa.int64())),
        *(("customer_id", _TEXT), ("host", _TEXT), ("pixel", pa.int64()), ("stream", _TEXT)),
        *(("event_id", _TEXT), ("event_time", _TIME), ("outcome", _TEXT), ("reason", _TEXT)),
        *(("detail", _TEXT), ("sent_at", _TIME), ("record", _TEXT)),
    ]
)
_EMPTY = "write=none/empty.parquet"
"""A file without rows: with it, the table can be read before anything was sent."""
_SECONDS = 1.5
"""Seconds after which rows are written. A run looks once a second, at the answers of the API and at
what is due, so a row is in the table at the latest 3 seconds after the answer."""
_encode = msgspec.json.Encoder(decimal_format="number").encode
Sent = Mapping[tuple[str, str, int, str], set[str]]
"""The IDs of events that were delivered, by customer ID, host, pixel and stream."""


class Attempt(NamedTuple):
    """An attempt at a task.

    Attributes:
        run_id: The ID of this execution of the write.
        write: The ID of the write, by which a later attempt finds what it has delivered.
        batches: The IDs of this and of earlier micro-batches; empty outside of a streaming query.
        partition: The number of the partition.
        is_first: Whether the write has a new ID, and Spark has not tried the task before.
        began_at: The Unix time at which the attempt began.
    """

    run_id: str
    write: str
    batches: tuple[str, ...]
    partition: int
    is_first: bool
    began_at: float


class FactTable:
    """The table that the option `outcomes_path` names.

    Args:
        url: A path, or a URL that pyarrow has a file system for. If it is empty, nothing is kept.
        create: Whether the table is created. The driver does that, before a task starts.

    Raises:
        StorageError: From all methods, if the file system cannot be used; and if there is no table.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        self._files, self._root = fs.LocalFileSystem(), url
        if not url:
            return
        with _failures_named("used"):
            if is_url(url):
                url = url.replace("s3a://", "s3://", 1)
                self._files, self._root = fs.FileSystem.from_uri(url)
            found = self._files.get_file_info(f"{self._root}/{_EMPTY}")
        if found.type == fs.FileType.NotFound and create:
            self.add(_EMPTY, [])
        elif found.type == fs.FileType.NotFound:
            msg = (
                "option 'outcomes_path' must name a folder that all machines share: this machine"
                " does not find the file that the driver wrote to this folder"
            )
            raise StorageError(msg)

    def add(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Add rows in a file of this name; they appear all at once."""
        if not self._root:
            return
        content = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), content)
        path = begun = f"{self._root}/{name}"
        with _failures_named("written"):
            if self._files.type_name in {"local", "hdfs"}:  # A half-written file could be seen.
                folder, _, file = path.rpartition("/")
                self._files.create_dir(folder)
                begun = f"{folder}/_{uuid.uuid4().hex}-{file}"  # Readers ignore such a name.
            with self._files.open_output_stream(begun) as stream:
                stream.write(content.getvalue())
            if self._files.type_name == "local":
                with open(begun, "rb") as local:  # noqa: PTH123 (a path of pyarrow's)
                    os.fchmod(local.fileno(), 0o600)
                    os.fsync(local.fileno())  # It must survive a power cut.
            if begun != path:
                self._files.move(begun, path)

    def sent_before(self, attempt: Attempt) -> Sent:
        """Return which events earlier attempts of the same write have delivered.

        A first attempt reads nothing unless its partition has rows, as a write may have many
        partitions. If Spark begins a stage again, attempts are the first once more.
        """
        return self._delivered(attempt.write, attempt.partition if attempt.is_first else None)

    def has_accepted(self, attempt: Attempt, settings: Settings) -> bool:
        """Return whether the API accepted an event of the write, or of a micro-batch before it."""
        return any(
            (customer_id, host) == settings.account and settings.pixel_id in {None, pixel}
            for write in (attempt.write, *attempt.batches)
            for customer_id, host, pixel, _ in self._delivered(write)
        )

    def _delivered(self, write: str, partition: int | None = None) -> Sent:
        """Return which events a write has delivered, if this partition has rows, or any has."""
        sent: Sent = defaultdict(set)
        columns = ["customer_id", "host", "pixel", "stream", "event_id"]
        if not self._root:
            return sent
        with _failures_named("read"), contextlib.suppress(FileNotFoundError):
            folder = f"{self._root}/write={write}"
            rows = ds.dataset(folder, schema=SCHEMA, format="parquet", filesystem=self._files)
            if partition is None or any(f"/{partition:05}-" in file for file in rows.files):
                is_delivered = ds.field("outcome") == DELIVERED
                for batch in rows.to_batches(columns=columns, filter=is_delivered):
                    for *key, event_id in zip(*batch.to_pydict().values(), strict=True):
                        sent[tuple(key)].add(event_id)
        return sent


@contextlib.contextmanager
def _failures_named(action: str) -> Iterator[None]:
    """Turn an exception of a file system into an error that names the option."""
    try:
        yield
    except (OSError, ValueError, NotImplementedError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        msg = (
            f"option 'outcomes_path': the table of outcomes cannot be {action}:"
            f" {scrub(reason)[:300]}"
        )
        raise StorageError(msg) from None


class TaskOutcomes:
    """Keeps the outcomes of a task, in the table and in the store: see `run.Outcomes`.

    Attributes:
        positions: The number of each record in its partition, by event ID. The caller sets it
            before the record has its outcome.
        confirm: Notes which events of a batch the API has confirmed: the store does that.
    """

    def __init__(
        self,
        settings: Settings,
        attempt: Attempt,
        table: FactTable,
        store: Outcomes,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.positions: dict[str, int] = {}
        self.confirm = store.confirm
        self._settings, self._attempt = settings, attempt
        self._table, self._store, self._clock = table, store, clock
        self._rows: list[dict[str, Any]] = []
        self._since = 0.0

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> Mapping[int, Claim]:
        """Reserve the events of batches in the store; note those that another write has sent."""
        claims = self._store.claim(batches)
        for claim in claims.values():
            for one in claim.sent:
                self._add(one, DROPPED, pixel=one.pixel_id, reason="already_sent")
        return claims

    def deliver(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Note events that LiveIntent has, and the Unix time at which each was sent."""
        self._store.deliver(conversions, sent_at)
        for one, sent in zip(conversions, sent_at, strict=True):
            times = {"event_time": one.event.event_time * 1_000_000, "sent_at": int(sent * 1e6)}
            self._add(one, DELIVERED, pixel=one.pixel_id, **times)

    def reject(self, rejection: Rejection) -> None:
        """Note a record that is not sent, with the redacted record if it may be kept."""
        settings, reason = self._settings, rejection.reason
        outcome = REJECTED if REASONS[reason].letter else DROPPED
        now = self._clock.time()
        key, record, _ = letter_of(rejection, settings, self._attempt.run_id, now)
        time = unix_time(rejection.columns.get("event_time"), settings.events.zone)
        values: dict[str, Any] = {"event_time": time * 1_000_000 if isinstance(time, int) else None}
        if outcome == REJECTED:
            values |= {"detail": record.get("detail"), "record": _encode(record).decode()}
        self._add(rejection, outcome, pixel=key.pixel_id or None, reason=reason, **values)

    def _add(self, event: Conversion | Rejection, outcome: str, **values: Any) -> None:
        """Add a row, with times in microseconds; columns without a value stay empty."""
        values["position"] = self.positions.pop(event.event_id, None)
        if not self._rows:
            self._since = self._clock.monotonic()
        values |= {"outcome": outcome, "stream": event.stream, "event_id": event.event_id}
        values["run_id"], values["partition"] = self._attempt.run_id, self._attempt.partition
        values["customer_id"], values["host"] = self._settings.account
        self._rows.append(values)

    def write(self, *, durable: bool = False) -> None:
        """Write the rows that are due, and what the store must know."""
        if self._clock.monotonic() - self._since >= _SECONDS:
            self._write_rows()
        self._store.write(durable=durable)

    def release(self) -> None:
        """Write the rest, and end the reservations of the task."""
        try:
            self._write_rows()
        finally:
            self._store.release()

    def _write_rows(self) -> None:
        if self._rows:
            attempt, unique = self._attempt, uuid.uuid4().hex
            name = f"write={attempt.write}/{attempt.partition:05}-{unique}.parquet"
            self._table.add(name, self._rows)
            self._rows = []
