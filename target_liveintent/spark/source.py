"""The data source: implements Spark's interfaces for a write, its tasks and its commit."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, WriterCommitMessage
from pyspark.sql.types import DataType, StructType

from target_liveintent.errors import ConfigurationError
from target_liveintent.spark.attempts import Attempt, Write, write_of
from target_liveintent.spark.audit import AuditFolder
from target_liveintent.spark.dead_letters import DeadLetterFolder
from target_liveintent.spark.ending import abort, commit
from target_liveintent.spark.options import Job, job_of, warnings_of
from target_liveintent.spark.task import LOGGER, TaskResult, configure_logging, deliver

try:
    from pyspark.sql.datasource import DataSourceStreamArrowWriter
except ImportError:  # PySpark 4.0
    DataSourceStreamArrowWriter = None


@dataclasses.dataclass
class TaskMessage(WriterCommitMessage):  # type: ignore[misc]
    """Carries the result of a task to the driver."""

    result: TaskResult


class LiveIntentDataSource(DataSource):  # type: ignore[misc]
    """Sends the conversions of a DataFrame to LiveIntent.

    `writer` and `streamWriter` raise a `RunError` if options are wrong, or no event is possible.
    """

    @classmethod
    def name(cls) -> str:
        """Return the name that `format` takes."""
        return "liveintent"

    def writer(self, schema: StructType, overwrite: bool) -> BatchWriter:  # noqa: FBT001 (Spark's)
        """Return the writer of a batch; the driver calls this."""
        return BatchWriter(self._job(schema, overwrite=overwrite))

    def streamWriter(self, schema: StructType, overwrite: bool) -> StreamWriter:  # noqa: FBT001, N802
        """Return the writer of a micro-batch; the driver calls this again for the commit."""
        if DataSourceStreamArrowWriter is None:
            msg = "streaming needs PySpark 4.1 or newer; with 4.0, write batches in foreachBatch"
            raise ConfigurationError(msg)
        return StreamWriter(self._job(schema, overwrite=overwrite))

    def _job(self, schema: StructType, *, overwrite: bool) -> Job:
        configure_logging()
        if overwrite:
            msg = "conversions cannot be overwritten: write with the mode 'append'"
            raise ConfigurationError(msg)
        for warning in warnings_of(self.options, schema.fieldNames()):
            LOGGER.warning(warning)
        if months := [field.name for field in schema if _holds_months(field.dataType)]:
            msg = (
                f"PySpark cannot pass intervals of months to a task (columns: {', '.join(months)})."
                " Drop these columns, or cast them to strings, for example with"
                " .withColumn('…', col.cast('string'))"
            )
            raise ConfigurationError(msg)
        job = job_of(self.options, schema.fieldNames())
        DeadLetterFolder(job).prepare()
        if job.audit_folder:
            AuditFolder(job).prepare()
        return job


def _holds_months(kind: DataType) -> bool:
    """Return whether a type is an interval of months, or has one within."""
    return "interval year" in kind.simpleString() or "interval month" in kind.simpleString()


class _Writer:
    """What the writers of batches and of micro-batches have in common."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._id = uuid.uuid4().hex

    def write(self, iterator: Iterator[pa.RecordBatch]) -> TaskMessage:
        """Deliver a partition; runs in a task.

        Raises:
            RunError: If a record has no outcome.
        """
        configure_logging()
        context = TaskContext.get()
        write = write_of(self._id, self._job.target, context.getLocalProperty)
        attempt = Attempt(write, context.partitionId(), context.taskAttemptId())
        return TaskMessage(deliver(self._job, attempt, iterator))

    def commit(self, messages: list[TaskMessage | None], *_: int) -> None:
        """End a write whose tasks are all done.

        Raises:
            RunError: If records are missing, or too many of them were refused or rejected.
        """
        configure_logging()
        commit(self._job, _results(messages), tasks=len(messages))

    def abort(self, messages: list[TaskMessage | None], *_: int) -> None:
        """End a write that has failed."""
        configure_logging()
        results = _results(messages)
        write = results[0].attempt.write if results else Write(self._id, self._job.target)
        abort(self._job, write, results, tasks=len(messages))


def _results(messages: Iterable[TaskMessage | None]) -> list[TaskResult]:
    return [message.result for message in messages if message is not None]


class BatchWriter(_Writer, DataSourceArrowWriter):  # type: ignore[misc]
    """Writes a DataFrame."""


class StreamWriter(_Writer, DataSourceStreamArrowWriter or object):  # type: ignore[misc]
    """Writes a micro-batch."""
