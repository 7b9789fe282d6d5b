"""The data source: implements Spark's interfaces for a write, its tasks and its end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql.datasource import (
    DataSource,
    DataSourceArrowWriter,
    DataSourceStreamArrowWriter,
    WriterCommitMessage,
)
from pyspark.sql.types import StructType

from target_liveintent.errors import ConfigurationError, RunError
from target_liveintent.run import RunCounts
from target_liveintent.run_id import new_run_id
from target_liveintent.spark.driver import end
from target_liveintent.spark.options import job_of, warnings_of
from target_liveintent.spark.outcomes import Attempt, FactTable
from target_liveintent.spark.task import LOGGER, configure_logging, deliver

_BATCHES = 10
"""If the API accepted an event in one of so many last micro-batches, the settings are right."""


@dataclasses.dataclass
class TaskMessage(WriterCommitMessage):  # type: ignore[misc]
    """Tells the driver of an attempt that has succeeded, and its counts."""

    attempt: Attempt
    counts: RunCounts


class LiveIntentDataSource(DataSource):  # type: ignore[misc]
    """Sends the conversions of a DataFrame to LiveIntent.

    `writer` and `streamWriter` raise a `RunError` if options are wrong, or no event is possible.
    """

    @classmethod
    def name(cls) -> str:
        """Return the name that `format` takes."""
        return "liveintent"

    def writer(self, schema: StructType, overwrite: bool) -> Writer:  # noqa: FBT001 (Spark's)
        """Return the writer of a batch or micro-batch; the driver calls this."""
        return Writer(self.options, schema, overwrite=overwrite)

    streamWriter = writer  # noqa: N815 (Spark's)


class Writer(DataSourceArrowWriter, DataSourceStreamArrowWriter):  # type: ignore[misc]
    """Writes a DataFrame, or a micro-batch, at whose end Spark makes another writer.

    Spark sends the writer to each task. So it has the options, and not the content of files that
    they name: each machine reads a token file itself.
    """

    def __init__(self, options: Mapping[str, str], schema: StructType, *, overwrite: bool) -> None:
        configure_logging()
        if overwrite:
            msg = "conversions cannot be overwritten: write with the mode 'append'"
            raise ConfigurationError(msg)
        for warning in warnings_of(options):
            LOGGER.warning(warning)
        self._given = dict(options), schema.fieldNames()
        self._run_id = new_run_id()
        FactTable(job_of(*self._given).outcomes_path, create=True)

    def write(self, iterator: Iterator[pa.RecordBatch]) -> TaskMessage:
        """Deliver a partition; runs in a task.

        Raises:
            RunError: If a record has no outcome.
        """
        configure_logging()
        job, context = job_of(*self._given), TaskContext.get()
        query = context.getLocalProperty("sql.streaming.queryId")
        number = int(context.getLocalProperty("streaming.sql.batchId") or 0)
        # This micro-batch first, then some before it; none outside of a stream.
        batches = tuple(f"{query}-{n}" for n in range(number, number - _BATCHES, -1) if query)
        write = job.write_id or next(iter(batches), self._run_id)
        attempt = Attempt(
            run_id=self._run_id,
            write=write,
            batches=batches,
            partition=context.partitionId(),
            is_first=write == self._run_id and context.attemptNumber() == 0,
            began_at=time.time(),
        )
        return TaskMessage(attempt, deliver(job, attempt, iterator))

    def commit(self, messages: list[TaskMessage | None], *_: int) -> None:
        """End a write whose tasks are all done.

        Raises:
            RunError: If records are missing, or too many of them were refused or rejected.
        """
        if (problem := self._end(messages)) is not None:
            raise problem

    def abort(self, messages: list[TaskMessage | None], *_: int) -> None:
        """End a write that has failed. If all tasks were done, `commit` has ended it."""
        if None in messages:
            LOGGER.error(self._end(messages))

    def _end(self, messages: list[TaskMessage | None]) -> RunError | None:
        configure_logging()
        done = [(one.attempt, one.counts) for one in messages if one is not None]
        return end(job_of(*self._given), self._run_id, done, tasks=len(messages))
