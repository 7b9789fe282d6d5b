"""The data source: implements Spark's interfaces for a write, its tasks and its commit."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, WriterCommitMessage
from pyspark.sql.types import StructType

from target_liveintent.delivery import MOST_UNPROVEN_OF_NONE, refused_as_a_whole
from target_liveintent.errors import (
    AllRefusedError,
    ConfigurationError,
    RunError,
    TooManyRejectedError,
)
from target_liveintent.reporting import DONE, FAILED, Ending
from target_liveintent.run import RunCounts
from target_liveintent.settings import Settings
from target_liveintent.spark.dead_letters import DeadLetterFolder
from target_liveintent.spark.history import Written, keep
from target_liveintent.spark.options import Job, job_of, warnings_of
from target_liveintent.spark.task import LOGGER, Attempt, TaskResult, configure_logging, deliver

try:
    from pyspark.sql.datasource import DataSourceStreamArrowWriter
except ImportError:  # PySpark 4.0
    DataSourceStreamArrowWriter = None

_QUERY, _BATCH = "sql.streaming.queryId", "streaming.sql.batchId"
"""The local properties in which Spark names a micro-batch to its tasks."""


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
            msg = "conversions cannot be overwritten: write in the mode 'append'"
            raise ConfigurationError(msg)
        for warning in warnings_of(self.options, schema.fieldNames()):
            LOGGER.warning(warning)
        job = job_of(self.options, schema.fieldNames())
        DeadLetterFolder(job).prepare()
        return job


class _Writer:
    """What the writers of batches and of micro-batches have in common."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._write = uuid.uuid4().hex

    def write(self, iterator: Iterator[pa.RecordBatch]) -> TaskMessage:
        """Deliver a partition; runs in a task.

        Raises:
            RunError: If a record has no outcome.
        """
        configure_logging()
        context = TaskContext.get()
        attempt = Attempt(self._name(context), context.partitionId(), context.taskAttemptId())
        return TaskMessage(deliver(self._job, attempt, iterator))

    def _name(self, context: TaskContext) -> str:
        query = context.getLocalProperty(_QUERY)
        return f"{query}-{context.getLocalProperty(_BATCH)}" if query else self._write

    def commit(self, messages: list[TaskMessage | None], *_: int) -> None:
        """End a write whose tasks are all done: log the counts, publish the dead letters.

        Raises:
            RunError: If records are missing, or too many of them were refused or rejected.
        """
        configure_logging()
        results = [message.result for message in messages if message is not None]
        counts = _sum(results, dry_run=self._job.dry_run)
        for warning in counts.warnings(self._job.given.get("timezone", Settings.timezone)):
            LOGGER.warning(warning)
        for line in (*counts.lines(), *counts.advice("the folder of dead_letter_path")):
            LOGGER.info(line)
        ending = Ending(DONE)
        try:
            self._end(results, counts, len(messages))
        except RunError as failure:
            ending = Ending(FAILED, str(failure))
            raise
        finally:
            self._keep_history(results, counts, ending)

    def _end(self, results: Sequence[TaskResult], counts: RunCounts, tasks: int) -> None:
        if len(results) < tasks or counts.total.unsettled:
            msg = "not every record has its fate: the counts of the tasks do not add up"
            raise RunError(msg)
        self._publish_dead_letters(results, counts)
        if problem := counts.too_many_rejected(self._job.allowed_percent, at_end=True):
            raise TooManyRejectedError(problem)

    def _keep_history(
        self, results: Sequence[TaskResult], counts: RunCounts, ending: Ending
    ) -> None:
        settings = self._job.settings_of_the_write()
        name = results[0].attempt.write if results else self._write
        keep(settings, Written(name, counts, ending), [one.tally for one in results], LOGGER)

    def _publish_dead_letters(self, results: Sequence[TaskResult], counts: RunCounts) -> None:
        total = counts.total
        refused = total.rejected["refused_by_api"]
        if refused > MOST_UNPROVEN_OF_NONE and not total.delivered:
            said = f"{refused} events were refused"
            raise AllRefusedError(refused_as_a_whole("the API took nothing of this write", said))
        folder = DeadLetterFolder(self._job)
        for result in results:
            if result.has_dead_letters:
                folder.publish(result.attempt.pending, result.attempt.final)
        for name in {result.attempt.write for result in results}:
            folder.discard(f"{name}-")

    def abort(self, messages: list[TaskMessage | None], *_: int) -> None:
        """Delete the dead letters of a write that failed: its records come again."""
        configure_logging()
        results = [message.result for message in messages if message is not None]
        folder = DeadLetterFolder(self._job)
        for name in {self._write, *(result.attempt.write for result in results)}:
            folder.discard(f"{name}-")
        if len(results) < len(messages):  # Else a commit has failed, which has said so itself.
            done, tasks = len(results), len(messages)
            msg = f"the write failed; counted are the {done} of its {tasks} tasks that were done"
            counts = _sum(results, dry_run=self._job.dry_run)
            self._keep_history(results, counts, Ending(FAILED, msg))


class BatchWriter(_Writer, DataSourceArrowWriter):  # type: ignore[misc]
    """Writes a DataFrame."""


class StreamWriter(_Writer, DataSourceStreamArrowWriter or object):  # type: ignore[misc]
    """Writes a micro-batch."""


def _sum(results: Sequence[TaskResult], *, dry_run: bool) -> RunCounts:
    began_at = min((result.began_at for result in results), default=time.time())
    counts = RunCounts(dry_run=dry_run, seconds=time.time() - began_at)
    for result in results:
        counts.add(result.counts)
    return counts
