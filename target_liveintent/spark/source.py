"""The data source: Spark's names for a write, its tasks and its end."""

from __future__ import annotations

import dataclasses
import time
import uuid
from typing import TYPE_CHECKING

from pyspark import TaskContext
from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, WriterCommitMessage

from target_liveintent.delivery.breaker import refused_as_a_whole
from target_liveintent.errors import (
    AllRefusedError,
    ConfigurationError,
    RunError,
    TooManyRejectedError,
)
from target_liveintent.run.counts import RunCounts
from target_liveintent.spark.dead_letters import LetterFolder
from target_liveintent.spark.options import job_of, unknown_options
from target_liveintent.spark.task import LOGGER, Attempt, Done, deliver, tell

try:
    from pyspark.sql.datasource import DataSourceStreamArrowWriter
except ImportError:  # PySpark 4.0
    DataSourceStreamArrowWriter = None

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from pyspark.sql.types import StructType

    from target_liveintent.spark.options import Job

_QUERY, _BATCH = "sql.streaming.queryId", "streaming.sql.batchId"
"""What Spark tells the tasks of a micro-batch."""


@dataclasses.dataclass
class Message(WriterCommitMessage):  # type: ignore[misc]
    """What a task tells the driver."""

    done: Done


class LiveIntentDataSource(DataSource):  # type: ignore[misc]
    """Conversions for LiveIntent, from a DataFrame."""

    @classmethod
    def name(cls) -> str:
        """What `format` takes."""
        return "liveintent"

    def writer(self, schema: StructType, overwrite: bool) -> BatchWriter:  # noqa: FBT001 (Spark's)
        """Make the writer of a batch, on the driver.

        Raises:
            RunError: If no event can come of it.
        """
        return BatchWriter(self._job(schema, overwrite=overwrite))

    def streamWriter(self, schema: StructType, overwrite: bool) -> StreamWriter:  # noqa: FBT001, N802
        """Make the writer of a micro-batch, on the driver; once more to commit it.

        Raises:
            RunError: If no event can come of it.
        """
        if DataSourceStreamArrowWriter is None:
            msg = "streaming needs PySpark 4.1 or newer; with 4.0, write batches in foreachBatch"
            raise ConfigurationError(msg)
        return StreamWriter(self._job(schema, overwrite=overwrite))

    def _job(self, schema: StructType, *, overwrite: bool) -> Job:
        tell()
        if overwrite:
            msg = "conversions cannot be overwritten: write in the mode 'append'"
            raise ConfigurationError(msg)
        for warning in unknown_options(self.options):
            LOGGER.warning(warning)
        job = job_of(self.options, schema.fieldNames())
        LetterFolder(job.letters).prepare()
        return job


class _Writer:
    """What batches and micro-batches have in common."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._write = uuid.uuid4().hex

    def write(self, iterator: Iterator[pa.RecordBatch]) -> Message:
        """Deliver a partition; runs in a task.

        Raises:
            RunError: If a record has no fate.
        """
        tell()
        context = TaskContext.get()
        attempt = Attempt(self._name(context), context.partitionId(), context.taskAttemptId())
        return Message(deliver(self._job, attempt, iterator))

    def _name(self, context: TaskContext) -> str:
        query = context.getLocalProperty(_QUERY)
        return f"{query}-{context.getLocalProperty(_BATCH)}" if query else self._write

    def commit(self, messages: list[Message | None], *_: int) -> None:
        """End a write whose tasks are all done: count, keep the dead letters, judge.

        Raises:
            RunError: If the write must count as failed after all.
        """
        tell()
        done = [message.done for message in messages if message is not None]
        report = _sum(done, dry_run=self._job.dry_run)
        for line in (*report.lines(), *report.advice("the folder of dead_letter_path")):
            LOGGER.info(line)
        if len(done) < len(messages) or report.total.unsettled:
            msg = "not every record has its fate: the counts of the tasks do not add up"
            raise RunError(msg)
        self._keep_letters(done, report)
        if problem := report.too_many_rejected(self._job.allowed_percent):
            raise TooManyRejectedError(problem)

    def _keep_letters(self, done: Sequence[Done], report: RunCounts) -> None:
        total = report.total
        if total.rejected["refused_by_api"] and not total.delivered:
            said = f"{total.rejected['refused_by_api']} events were refused"
            raise AllRefusedError(refused_as_a_whole("the API took nothing of this write", said))
        folder = LetterFolder(self._job.letters)
        for one in done:
            if one.letters:
                folder.publish(one.attempt.pending, one.attempt.final)
        for name in {one.attempt.job for one in done}:
            folder.discard(f"{name}-")

    def abort(self, messages: list[Message | None], *_: int) -> None:
        """Forget the dead letters of a write that failed: its records come again."""
        tell()
        folder = LetterFolder(self._job.letters)
        for name in {self._write, *(m.done.attempt.job for m in messages if m is not None)}:
            folder.discard(f"{name}-")


class BatchWriter(_Writer, DataSourceArrowWriter):  # type: ignore[misc]
    """Writes a DataFrame."""


class StreamWriter(_Writer, DataSourceStreamArrowWriter or object):  # type: ignore[misc]
    """Writes a micro-batch."""


def _sum(done: Sequence[Done], *, dry_run: bool) -> RunCounts:
    began_at = min((one.began_at for one in done), default=time.time())
    report = RunCounts(dry_run=dry_run, seconds=time.time() - began_at)
    for one in done:
        report.add(one.report)
    return report
