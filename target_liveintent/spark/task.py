"""One task: the records of a partition in, what became of them out."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.model import Conversion
from target_liveintent.errors import RunError
from target_liveintent.privacy import logs
from target_liveintent.run.run import Run
from target_liveintent.spark.dead_letters import LetterFolder, TaskLetters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from target_liveintent.run.counts import RunCounts
    from target_liveintent.spark.options import Job

LOGGER = logging.getLogger("target_liveintent.spark")


class Attempt(NamedTuple):
    """An attempt at a task.

    Attributes:
        job: Names the write; the same when a micro-batch is begun again.
        partition: The partition's number.
        number: Tells attempts apart.
    """

    job: str
    partition: int
    number: int

    @property
    def pending(self) -> str:
        """The name of its dead letters while they are pending."""
        return f"{self.job}-{self.partition:05}-{self.number}"

    @property
    def final(self) -> str:
        """The name of the task's dead letters."""
        return f"{self.job}-{self.partition:05}.singer"


class Done(NamedTuple):
    """What became of a partition.

    Attributes:
        attempt: Who delivered it.
        report: Its counts.
        began_at: Unix time.
        letters: Whether there are dead letters.
    """

    attempt: Attempt
    report: RunCounts
    began_at: float
    letters: bool


def deliver(job: Job, attempt: Attempt, batches: Iterable[pa.RecordBatch]) -> Done:
    """Deliver a partition.

    Args:
        job: The write.
        attempt: Which attempt this is at which task.
        batches: The partition.

    Returns:
        What became of each record, as counts.

    Raises:
        RunError: If a record has no fate; the message is for people and holds nothing of a record.
    """
    try:
        return _deliver(job, attempt, batches)
    except RunError:
        raise
    except Exception as error:  # noqa: BLE001 (its text could hold what is in a record)
        frames = "".join(traceback.format_tb(error.__traceback__))
        LOGGER.error("the task ended here:\n%s", frames)  # noqa: TRY400
        msg = f"the task ended on an unforeseen {type(error).__name__}; its log says where"
    raise RunError(msg)


def _deliver(job: Job, attempt: Attempt, batches: Iterable[pa.RecordBatch]) -> Done:
    began_at = time.time()
    settings = job.settings()
    folder = LetterFolder(job.letters)
    folder.check()
    letters = TaskLetters(folder, attempt.pending)
    run = Run(settings, _no_state, LOGGER, letters=letters)
    run.accepted = True  # Whether the API takes anything is judged over all tasks.
    builder = EventBuilder(job.stream, job.columns, job.keys, settings.events, run.suppressions)
    try:
        _take(job, builder, run, batches)
        run.finish()
    except BaseException as failure:
        try:
            run.abandon(failure)
        except Exception as second:  # noqa: BLE001 (the first one is what the user must mend)
            LOGGER.warning("and then: %s", type(second).__name__)
        raise
    return Done(attempt, run.counts, began_at, letters.written is not None)


def _take(job: Job, builder: EventBuilder, run: Run, batches: Iterable[pa.RecordBatch]) -> None:
    """Give each record its fate, or put its event on the way."""
    counts = run.counts.of(job.stream)
    columns = list(job.columns)
    for batch in batches:
        for record in _in_utc(batch.select(columns)).to_pylist():
            counts.read += 1
            result = builder.build(record, record, time.time(), counts.left_out)
            if isinstance(result, Conversion):
                run.deliver(job.stream, result)
            else:
                run.reject(job.stream, result)
        run.tick()


def _in_utc(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch whose moments are in UTC: derived event IDs depend on no session's time zone."""
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


def _no_state(state: str) -> None:
    """There is none: Spark remembers what is done."""


def tell() -> None:
    """Write what is logged to standard error, which is the log of executor or driver; scrubbed."""
    if not LOGGER.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s liveintent: %(message)s"))
        LOGGER.addHandler(handler)
        LOGGER.setLevel(logging.INFO)
        LOGGER.propagate = False
    logs.protect_logging()
    logs.protect_logging(LOGGER)
