"""The table of outcomes, to which the tasks of a write add a row for each event.

A failed attempt cannot take back events that the API has accepted. So an attempt only adds Parquet
files to the table, and nothing changes, moves or deletes a file later. Each write has its own
folder, `write=<ID of the write>`. So an attempt finds the events of its write without reading other
writes, and readers see the ID as a column.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from target_liveintent.clock import Clock
from target_liveintent.conversions.coerce import unix_time
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.errors import StorageError
from target_liveintent.privacy.addresses import scrub
from target_liveintent.reasons import REASONS
from target_liveintent.settings import EventDefaults
from target_liveintent.spark.options import SparkWrite
from target_liveintent.store.dead_letters import letter_of
from target_liveintent.store.deduplication import Claim
from target_liveintent.store.run_store import RunStore
from target_liveintent.system import sync

OUTCOME_DELIVERED = "delivered"
"""The outcome of an accepted event. The other outcomes are `rejected` and `dropped`."""
_COLUMNS = {
    pa.string(): "run_id customer_id host stream event_id outcome reason detail record",
    pa.int64(): "partition position pixel",
    pa.timestamp("us", "UTC"): "event_time sent_at",
}
OUTCOME_SCHEMA = pa.schema(
    [(name, kind) for kind, names in _COLUMNS.items() for name in names.split()]
)
_WRITE_SECONDS = 1.5
"""Minimum seconds between two writes of rows. A run calls `write` about once a second, so a row is
in the table at most 3 seconds after the answer."""
_encode = msgspec.json.Encoder(decimal_format="number").encode
Sent = Mapping[tuple[int, str], set[str]]
"""The IDs of delivered events, by pixel and stream."""


class Attempt(NamedTuple):
    """An attempt of Spark at one task of a write.

    Attributes:
        run_id: The ID of this execution of the write.
        began_at: The Unix time when the execution began, in seconds.
        writes: The ID of the write, by which a later attempt finds the delivered events. In a
            streaming query, the IDs of this micro-batch and of earlier micro-batches follow.
        partition: The number of the partition, from 0.
    """

    run_id: str
    began_at: float
    writes: tuple[str, ...]
    partition: int


class OutcomeTable:
    """The table of outcomes at `outcomes_path`; without this option, nothing is kept.

    If the table is absent, `create` creates it. The driver does this before a task starts.

    Raises:
        StorageError: If the file system cannot be used, or the table is absent. All methods may
            raise this error.
    """

    def __init__(self, write: SparkWrite, *, create: bool = False) -> None:
        self.account, self._pixel_id = write.settings.account, write.settings.pixel_id
        self._root = write.outcomes_path
        if not self._root:
            return
        with _failures_named("used"):
            url = self._root.replace("s3a://", "s3://", 1)
            self._files, self._root = fs.FileSystem.from_uri(url)
            if self._files.get_file_info(f"{self._root}/write=none").type != fs.FileType.NotFound:
                return
            if not create:
                msg = "this machine does not find the driver's table, which all machines must share"
                raise FileNotFoundError(0, msg)
        # With an empty file, readers can open the table from now on.
        self.add(Attempt("", 0.0, ("none",), 0), OUTCOME_SCHEMA.empty_table())

    def add(self, attempt: Attempt, rows: pa.Table) -> None:
        """Add rows of an attempt as a new file; readers never see a partly written file."""
        if not self._root:
            return
        folder = f"{self._root}/write={attempt.writes[0]}"
        name = f"{attempt.partition:05}-{attempt.run_id}-{uuid.uuid4().hex}.parquet"
        path = begun = f"{folder}/{name}"
        with _failures_named("written"):
            if self._files.type_name in {"local", "hdfs"}:  # Readers would see an incomplete file.
                self._files.create_dir(folder)
                begun = f"{folder}/_{name}"  # Readers ignore names with a "_" in front.
            with self._files.open_output_stream(begun) as stream:
                pq.write_table(rows, stream)
            if self._files.type_name == "local":
                Path(begun).chmod(0o600)
                with Path(begun).open("rb+") as local:
                    sync(local.fileno())
            if begun != path:
                self._files.move(begun, path)

    def sent_before(self, attempt: Attempt) -> Sent:
        """Return the events that earlier attempts of the same write have delivered.

        A write may have many partitions. So this reads the write's files only if some of them are
        of another execution or of this partition. In this case, Spark has repeated tasks, and rows
        may have moved to other partitions.
        """
        own, run_id = f"/{attempt.partition:05}-", attempt.run_id
        return self._delivered(attempt.writes[0], lambda file: own in file or run_id not in file)

    def has_accepted(self, attempt: Attempt) -> bool:
        """Return whether the API has accepted an event of one of the writes `attempt.writes`.

        If the setting `pixel_id` is set, only events of this pixel count.
        """
        pixels = {pixel for write in attempt.writes for pixel, _ in self._delivered(write)}
        return bool(pixels) and self._pixel_id in {None, *pixels}

    def _delivered(self, write: str, concerns: Callable[[str], bool] = bool) -> Sent:
        """Return the events that a write delivered, if `concerns` is True for any of its files."""
        sent: Sent = defaultdict(set)
        if not self._root:
            return sent
        with _failures_named("read"), contextlib.suppress(FileNotFoundError):
            folder = f"{self._root}/write={write}"
            rows = ds.dataset(
                folder, schema=OUTCOME_SCHEMA, format="parquet", filesystem=self._files
            )
            if any(map(concerns, rows.files)):
                customer_id, host = self.account
                wanted = (ds.field("customer_id") == customer_id) & (ds.field("host") == host)
                wanted &= ds.field("outcome") == OUTCOME_DELIVERED
                columns = ["pixel", "stream", "event_id"]
                for batch in rows.to_batches(columns=columns, filter=wanted):
                    for pixel, stream, event_id in zip(*batch.to_pydict().values(), strict=True):
                        sent[pixel, stream].add(event_id)
        return sent


@contextlib.contextmanager
def _failures_named(action: str) -> Iterator[None]:
    """Convert an exception of a file system to a `StorageError` that names the option."""
    try:
        yield
    except (OSError, ValueError, NotImplementedError, pa.ArrowException) as error:
        reason = scrub(getattr(error, "strerror", None) or str(error).partition("\n")[0])[:300]
        msg = f"option 'outcomes_path': the table of outcomes cannot be {action}: {reason}"
        raise StorageError(msg) from None


class _OutcomeRow(NamedTuple):
    """The columns of one event, without those of the attempt and the account.

    Times are Unix times in microseconds; `position` is the number of the row in the partition.
    """

    stream: str
    event_id: str
    position: int | None
    outcome: str
    pixel: int | None
    event_time: int | None = None
    sent_at: int | None = None
    reason: str | None = None
    detail: str | None = None
    record: str | None = None


class TaskOutcomes:
    """Keeps the outcomes of an attempt in the table and in the store: see `Outcomes` (run.py).

    Attributes:
        positions: The number, in the partition, of each row without an outcome, by event ID.
        confirm: Notes which events of a batch the API has confirmed, and whether the batch is done.
    """

    def __init__(
        self,
        table: OutcomeTable,
        attempt: Attempt,
        store: RunStore,
        events: EventDefaults,
        clock: Clock,
    ) -> None:
        self.positions: dict[str, int] = {}
        self.note_confirmed = store.note_confirmed
        self.note_left_out = store.note_left_out
        self._table, self._attempt, self._store = table, attempt, store
        self._events, self._clock = events, clock
        self._rows: list[_OutcomeRow] = []  # Rows that are not in the table yet.
        self._written_at = clock.monotonic()

    @property
    def reserved_until(self) -> float:
        """The time until which the reservations surely hold, in seconds of `Clock.since_boot`."""
        return self._store.reserved_until

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> Mapping[int, Claim]:
        """Reserve the events of batches in the store; note the events that were sent before."""
        claims = self._store.claim(batches)
        for claim in claims.values():
            for sent in claim.sent:
                pixel = sent.event.pixel_id
                row = _OutcomeRow(*self._origin(sent), "dropped", pixel, reason="already_sent")
                self._rows.append(row)
        return claims

    def note_delivered(
        self, conversions: Sequence[Conversion], sent_at: Sequence[float], read_at: float
    ) -> None:
        """Note the delivered events, and the Unix time at which each event was sent."""
        self._store.note_delivered(conversions, sent_at, read_at)
        for conversion, sent in zip(conversions, sent_at, strict=True):
            event = conversion.event
            times = (event.event_time * 1_000_000, int(sent * 1e6))
            origin = self._origin(conversion)
            self._rows.append(_OutcomeRow(*origin, OUTCOME_DELIVERED, event.pixel_id, *times))

    def note_rejected(self, rejection: Rejection, _: float) -> None:
        """Note a rejected or dropped record; keep the redacted record if it was rejected."""
        run_id, now = self._attempt.run_id, self._clock.time()
        letter = letter_of(rejection, self._table.account, self._events, run_id, now)
        record = letter.record
        event_time = unix_time(rejection.columns.get("event_time"), self._events.zone)
        is_kept = REASONS[rejection.reason].letter
        self._rows.append(
            _OutcomeRow(
                *self._origin(rejection),
                outcome="rejected" if is_kept else "dropped",
                pixel=letter.key.pixel_id or None,  # 0 means: the record has no usable pixel.
                event_time=event_time * 1_000_000 if isinstance(event_time, int) else None,
                reason=rejection.reason,
                detail=record.get("detail"),
                record=_encode(record).decode() if is_kept else None,
            )
        )

    def _origin(self, event: Conversion | Rejection) -> tuple[str, str, int | None]:
        """Return the stream and the ID of an event, and its position, removed from `positions`."""
        return event.stream, event.event_id, self.positions.pop(event.event_id, None)

    def write(self, *, before_state: bool = False) -> None:
        """Write the noted rows to the table, if it is time, and the noted outcomes to the store."""
        if self._clock.monotonic() - self._written_at >= _WRITE_SECONDS:
            self._write_rows()
        self._store.write(before_state=before_state)

    def release(self, unreserved: Mapping[int, Sequence[Conversion]]) -> None:
        """Write the remaining rows, and end the reservations of the attempt."""
        try:
            self._write_rows()
        finally:
            self._store.release(unreserved)

    def _write_rows(self) -> None:
        if not self._rows:
            return
        equal = {**self._table.account._asdict(), **self._attempt._asdict()}
        arrays = [
            pa.repeat(pa.scalar(equal[field.name], field.type), len(self._rows))
            if field.name in equal
            else pa.array([*map(attrgetter(field.name), self._rows)], field.type)
            for field in OUTCOME_SCHEMA
        ]
        self._table.add(self._attempt, pa.table(arrays, schema=OUTCOME_SCHEMA))
        self._rows = []
        self._written_at = self._clock.monotonic()
