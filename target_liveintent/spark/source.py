"""The data source: implements Spark's interfaces for writing a DataFrame."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import datasource as sql
from pyspark.sql.types import StructType

from target_liveintent.errors import ConfigurationError, RunError
from target_liveintent.run.counts import RunCounts
from target_liveintent.run_id import new_run_id
from target_liveintent.spark.driver import end_write
from target_liveintent.spark.options import option_warnings, write_of
from target_liveintent.spark.outcomes import Attempt, OutcomeTable
from target_liveintent.spark.task import LOGGER, configure_logging, deliver

_BATCHES = 10
"""An accepted event in this many of the newest micro-batches shows that the settings are right."""


@dataclasses.dataclass
class TaskMessage(sql.WriterCommitMessage):  # type: ignore[misc]
    """Tells the driver that an attempt at a task has succeeded, and carries its counts."""

    attempt: Attempt
    counts: RunCounts


class LiveIntentDataSource(sql.DataSource):  # type: ignore[misc]
    """Sends the conversions of a DataFrame to LiveIntent.

    `writer` and `streamWriter` raise a `RunError` if options are wrong, or if the columns can never
    give an event.
    """

    @classmethod
    def name(cls) -> str:
        """Return the name of the data source, for `DataFrameWriter.format`."""
        return "liveintent"

    def writer(self, schema: StructType, overwrite: bool) -> Writer:  # noqa: FBT001 (Spark's)
        """Return the writer of a batch or micro-batch; the driver calls this."""
        return Writer(self.options, schema, overwrite=overwrite)

    streamWriter = writer  # noqa: N815 (Spark's)


class Writer(sql.DataSourceArrowWriter, sql.DataSourceStreamArrowWriter):  # type: ignore[misc]
    """Writes a DataFrame or one micro-batch; Spark makes a writer for each micro-batch.

    Spark sends a copy of the writer to each task. The writer has the options, but not the content
    of files that the options name, such as a token file: each machine reads these files itself.
    """

    def __init__(self, options: Mapping[str, str], schema: StructType, *, overwrite: bool) -> None:
        configure_logging()
        if overwrite:
            msg = "conversions cannot be overwritten: write with the mode 'append'"
            raise ConfigurationError(msg)
        for warning in option_warnings(options):
            LOGGER.warning(warning)
        self._given = dict(options), schema.fieldNames()
        self._begun = Attempt(new_run_id(), time.time(), (), 0)
        OutcomeTable(write_of(*self._given), create=True)

    def write(self, iterator: Iterator[pa.RecordBatch]) -> TaskMessage:
        """Deliver a partition; a task calls this. Raise a `RunError` if a row has no outcome."""
        configure_logging()
        write, context = write_of(*self._given), TaskContext.get()
        query = context.getLocalProperty("sql.streaming.queryId")
        number = int(context.getLocalProperty("streaming.sql.batchId") or 0)
        # This micro-batch, then earlier ones. A write that is not streaming has no micro-batches.
        batches = [f"{query}-{n}" for n in range(number, number - _BATCHES, -1) if query]
        write_id = write.write_id or (batches[0] if query else self._begun.run_id)
        writes, partition = (write_id, *batches), context.partitionId()
        attempt = self._begun._replace(writes=writes, partition=partition)
        return TaskMessage(attempt, deliver(write, attempt, iterator))

    def commit(self, messages: list[TaskMessage | None], *_: int) -> None:
        """End a write whose tasks are all done; raise a `RunError` if the write fails."""
        if (problem := self._end(messages)) is not None:
            raise problem

    def abort(self, messages: list[TaskMessage | None], *_: int) -> None:
        """End a write with failed tasks, and log its error; `commit` has ended any other write."""
        if None in messages:
            LOGGER.error(self._end(messages))

    def _end(self, messages: list[TaskMessage | None]) -> RunError | None:
        configure_logging()
        done = [(one.attempt, one.counts) for one in messages if one is not None]
        return end_write(write_of(*self._given), self._begun, done, len(messages))
