"""The table of outcomes, which anyone can query.

What the API has accepted is a fact that no failed attempt can take back. So Parquet files are only
added to the table: none is changed, moved or deleted later. Each write has its own folder there,
`write=<its ID>`. So an attempt finds what its write has delivered without a look at other writes,
and readers see the ID as a column.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from target_liveintent.errors import StorageError
from target_liveintent.privacy.addresses import scrub
from target_liveintent.spark.options import SparkWrite
from target_liveintent.system import sync

OUTCOME_DELIVERED = "delivered"
"""The outcome of what the API took, beside `rejected` and `dropped`."""
_COLUMNS = {
    pa.string(): "run_id customer_id host stream event_id outcome reason detail record",
    pa.int64(): "partition position pixel",
    pa.timestamp("us", "UTC"): "event_time sent_at",
}
OUTCOME_SCHEMA = pa.schema(
    [(name, kind) for kind, names in _COLUMNS.items() for name in names.split()]
)
Sent = Mapping[tuple[int, str], set[str]]
"""The IDs of delivered events, by pixel and stream."""


class Attempt(NamedTuple):
    """An attempt at a task, in the execution `run_id` of a write, which began at a Unix time.

    `writes` has the ID of the write, by which a later attempt finds what it has delivered; in a
    streaming query, then those of this and of earlier micro-batches.
    """

    run_id: str
    began_at: float
    writes: tuple[str, ...]
    partition: int


class FactTable:
    """The table that the option `outcomes_path` names; without it, nothing is kept.

    The driver lets it `create` the table, before a task starts.

    Raises:
        StorageError: From all methods, if the file system cannot be used; and if there is no table.
    """

    def __init__(self, write: SparkWrite, *, create: bool = False) -> None:
        self._account, self._pixel_id = write.settings.account, write.settings.pixel_id
        self._root = write.outcomes_path
        if not self._root:
            return
        with _failures_named("used"):
            url = self._root.replace("s3a://", "s3://", 1)
            self._files, self._root = fs.FileSystem.from_uri(url)
            if self._files.get_file_info(f"{self._root}/write=none").type != fs.FileType.NotFound:
                return
            if not create:
                msg = "this machine does not find what the driver wrote there. All must share it"
                raise FileNotFoundError(0, msg)
        # The table can be read at once.
        self.add(Attempt("", 0.0, ("none",), 0), OUTCOME_SCHEMA.empty_table())

    def add(self, attempt: Attempt, facts: pa.Table) -> None:
        """Add the facts of an attempt in a file, which appears as a whole."""
        if not self._root:
            return
        folder = f"{self._root}/write={attempt.writes[0]}"
        name = f"{attempt.partition:05}-{attempt.run_id}-{uuid.uuid4().hex}.parquet"
        path = begun = f"{folder}/{name}"
        with _failures_named("written"):
            if self._files.type_name in {"local", "hdfs"}:  # A half-written file could be seen.
                self._files.create_dir(folder)
                begun = f"{folder}/_{name}"  # Readers ignore such a name.
            with self._files.open_output_stream(begun) as stream:
                pq.write_table(facts, stream)
            if self._files.type_name == "local":
                Path(begun).chmod(0o600)
                with Path(begun).open("rb+") as local:
                    sync(local.fileno())
            if begun != path:
                self._files.move(begun, path)

    def sent_before(self, attempt: Attempt) -> Sent:
        """Return which events earlier attempts of the same write have delivered.

        A write may have many partitions. So nothing is read, unless there are rows of another
        execution or of this partition: then Spark has begun again, and rows may have moved.
        """
        own, run_id = f"/{attempt.partition:05}-", attempt.run_id
        return self._delivered(attempt.writes[0], lambda file: own in file or run_id not in file)

    def has_accepted(self, attempt: Attempt) -> bool:
        """Return whether the API accepted an event of the write, or of a micro-batch before it."""
        pixels = {pixel for write in attempt.writes for pixel, _ in self._delivered(write)}
        return bool(pixels) and self._pixel_id in {None, *pixels}

    def _delivered(self, write: str, concerns: Callable[[str], bool] = bool) -> Sent:
        """Return which events a write has delivered, if any of its files concerns the caller."""
        sent: Sent = defaultdict(set)
        if not self._root:
            return sent
        with _failures_named("read"), contextlib.suppress(FileNotFoundError):
            folder = f"{self._root}/write={write}"
            rows = ds.dataset(
                folder, schema=OUTCOME_SCHEMA, format="parquet", filesystem=self._files
            )
            if any(map(concerns, rows.files)):
                customer_id, host = self._account
                wanted = (ds.field("customer_id") == customer_id) & (ds.field("host") == host)
                wanted &= ds.field("outcome") == OUTCOME_DELIVERED
                columns = ["pixel", "stream", "event_id"]
                for batch in rows.to_batches(columns=columns, filter=wanted):
                    for pixel, stream, event_id in zip(*batch.to_pydict().values(), strict=True):
                        sent[pixel, stream].add(event_id)
        return sent


@contextlib.contextmanager
def _failures_named(action: str) -> Iterator[None]:
    """Turn an exception of a file system into an error that names the option."""
    try:
        yield
    except (OSError, ValueError, NotImplementedError, pa.ArrowException) as error:
        reason = scrub(getattr(error, "strerror", None) or str(error).partition("\n")[0])[:300]
        msg = f"option 'outcomes_path': the table of outcomes cannot be {action}: {reason}"
        raise StorageError(msg) from None
