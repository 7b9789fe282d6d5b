"""Delivers one partition of a write: one task."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Iterable
from typing import Any, NamedTuple

import pyarrow as pa

from target_liveintent.conversions import EventBuilder, watch_zone
from target_liveintent.errors import RunError
from target_liveintent.mapping import RecordConverter, StreamPlan
from target_liveintent.privacy import protect_logging
from target_liveintent.reporting import Tally
from target_liveintent.run import Run, RunCounts, parts_of
from target_liveintent.spark.columns import renamed
from target_liveintent.spark.dead_letters import DeadLetterFolder, TaskDeadLetters
from target_liveintent.spark.history import new_tally
from target_liveintent.spark.options import Job
from target_liveintent.storage import Places

LOGGER = logging.getLogger("target_liveintent.spark")


class Attempt(NamedTuple):
    """An attempt at a task.

    Attributes:
        write: Names the write; a micro-batch that Spark begins again has the same name.
        number: A number that no other attempt of the write has.
    """

    write: str
    partition: int
    number: int

    @property
    def pending(self) -> str:
        """The name of the task's dead letters while they are pending."""
        return f"{self.write}-{self.partition:05}-{self.number}"

    @property
    def final(self) -> str:
        """The name of the task's dead letters once they are published."""
        return f"{self.write}-{self.partition:05}.singer"


class TaskResult(NamedTuple):
    """What became of a partition.

    Attributes:
        began_at: The Unix time at which the attempt began.
        has_dead_letters: Whether there is a pending file of dead letters.
        tally: What the history keeps of it, if there is one.
    """

    attempt: Attempt
    counts: RunCounts
    began_at: float
    has_dead_letters: bool
    tally: Tally | None = None


def deliver(job: Job, attempt: Attempt, batches: Iterable[pa.RecordBatch]) -> TaskResult:
    """Deliver the records of a partition.

    Raises:
        RunError: If a record has no outcome. The message holds nothing of a record.
    """
    try:
        return _deliver(job, attempt, batches)
    except RunError:
        raise
    except Exception as error:  # noqa: BLE001 (its text could hold what is in a record)
        frames = "".join(traceback.format_tb(error.__traceback__))
        LOGGER.error("the task ended here:\n%s", frames)  # noqa: TRY400
        msg = f"the task ended on an unforeseen {type(error).__name__}; its log says where"
    raise RunError(msg)  # Outside of the handler: Spark shows a chain of exceptions whole.


def _deliver(job: Job, attempt: Attempt, batches: Iterable[pa.RecordBatch]) -> TaskResult:
    began_at = time.time()
    settings = job.settings()
    folder = DeadLetterFolder(job)
    folder.check()
    dead_letters = TaskDeadLetters(folder, attempt.pending)
    # The driver judges over all tasks whether the API accepts anything.
    parts = parts_of(settings, LOGGER, run_id=attempt.write, accepted=True)
    tally = new_tally(settings)
    on_delivered = None if tally is None else tally.delivered
    run = Run(settings, parts._replace(dead_letters=dead_letters, on_delivered=on_delivered))
    plan = StreamPlan.without_map(job.stream, job.columns.names)
    suppressions = Places(settings, LOGGER).suppressions()
    counts = run.counts.of(job.stream)
    defaults = watch_zone(settings.events, counts.note_zone_use)
    builder = EventBuilder(job.stream, plan.properties, job.keys, defaults, suppressions)
    counts.mapped = builder.identifying
    converter = RecordConverter(plan, builder, counts.left_out)
    try:
        for batch in batches:
            for record in records(job, batch):
                counts.read += 1
                run.take(job.stream, converter.convert(record))
            run.tick()
        run.finish()
    except BaseException as failure:
        try:
            run.abandon(failure)
        except Exception as second:  # noqa: BLE001 (the user must fix the first failure)
            LOGGER.warning("and then: %s", type(second).__name__)
        raise
    return TaskResult(attempt, run.counts, began_at, dead_letters.written, tally)


def records(job: Job, batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a batch as records."""
    rows: list[dict[str, Any]] = _in_utc(renamed(batch, job.columns)).to_pylist()
    return rows


def _in_utc(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch with its times in UTC: event IDs must not depend on Spark's time zone."""
    wanted = pa.schema([field.with_type(_utc(field.type)) for field in batch.schema])
    return batch if wanted.equals(batch.schema) else batch.cast(wanted)


def _utc(kind: Any) -> Any:
    if pa.types.is_timestamp(kind) and kind.tz:
        return pa.timestamp(kind.unit, "UTC")
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_utc(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_utc(kind.value_type)))
    return kind


def configure_logging() -> None:
    """Log to standard error, the log of a driver or an executor, without secrets and addresses."""
    if not LOGGER.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s liveintent: %(message)s"))
        LOGGER.addHandler(handler)
        LOGGER.setLevel(logging.INFO)
        LOGGER.propagate = False
    protect_logging()
    protect_logging(LOGGER)
