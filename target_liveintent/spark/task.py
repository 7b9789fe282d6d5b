"""Delivers one partition of a write: one task."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa

from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.conversions import EventBuilder, watch_zone
from target_liveintent.delivery import Client, Delivery, DryRun, SharedRefusals, delivery_of
from target_liveintent.errors import DeliveryError, RunError
from target_liveintent.mapping import RecordConverter, StreamPlan
from target_liveintent.privacy import Suppressions, protect_logging
from target_liveintent.reporting import Tally
from target_liveintent.run import Outcomes, Run, RunCounts, RunParts, counted
from target_liveintent.settings import Settings
from target_liveintent.spark.acceptances import Acceptance
from target_liveintent.spark.attempts import Attempt
from target_liveintent.spark.audit import AuditFolder, TaskAudit
from target_liveintent.spark.dead_letters import DeadLetterFolder, TaskDeadLetters
from target_liveintent.spark.history import new_tally
from target_liveintent.spark.options import Job
from target_liveintent.spark.outcomes import TaskOutcomes
from target_liveintent.spark.reading import read_ahead
from target_liveintent.spark.records import records_of
from target_liveintent.store import (
    TASK,
    DryStore,
    Waiting,
    account_of,
    open_for_reading,
    open_store,
)

LOGGER = logging.getLogger("target_liveintent.spark")


class TaskResult(NamedTuple):
    """What became of a partition.

    Attributes:
        began_at: The Unix time at which the attempt began.
        has_dead_letters: Whether there is a pending file of dead letters.
        has_joined_audit: Whether there is a hidden file of the audit, with all rows.
        tally: What the history keeps of it, if there is one.
    """

    attempt: Attempt
    counts: RunCounts
    began_at: float
    has_dead_letters: bool
    has_joined_audit: bool
    tally: Tally | None


def deliver(job: Job, attempt: Attempt, batches: Iterable[pa.RecordBatch]) -> TaskResult:
    """Deliver the records of a partition.

    Raises:
        RunError: If a record has no outcome. The message holds nothing of a record.
    """
    began_at = time.time()
    failure: RunError
    task: _Task | None = None
    try:
        task = _Task(job, attempt)
        task.deliver(batches)
    except RunError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 (its text could hold what is in a record)
        frames = "".join(traceback.format_tb(error.__traceback__))
        LOGGER.error("the task failed at this place in the code:\n%s", frames)  # noqa: TRY400
        kind = type(error).__name__
        msg = (
            f"the task ended with an unexpected {kind}; the executor's log shows the place in the"
            " code"
        )
        failure = RunError(msg)
    else:
        joined = task.audit is not None and task.audit.is_joined
        return TaskResult(
            attempt, task.run.counts, began_at, task.dead_letters.written, joined, task.tally
        )
    events = counted(0 if task is None else task.run.counts.total.delivered, "event")
    msg = f"{failure}. Before the failure, this attempt of the task delivered {events}"
    raise type(failure)(msg)  # Outside of the handler: Spark shows a chain of exceptions whole.


class _Task:
    """An attempt at a task, with what it works with.

    Attributes:
        run: The accounts.
        dead_letters: The dead letters.
        audit: What became of each event; None without the option, and in a dry run.
        tally: What the history keeps of it; None if there is none.
    """

    def __init__(self, job: Job, attempt: Attempt) -> None:
        settings = job.settings()
        suppressions = Suppressions(settings.suppression_path)
        self._attempt = attempt
        self._folder = folder = DeadLetterFolder(job)
        folder.check()
        self.dead_letters = TaskDeadLetters(folder, attempt.name)
        self._acceptance = Acceptance(folder.store, job.account)
        self._refusals = SharedRefusals(accepted=self._acceptance.is_known())
        self._is_dry = settings.dry_run
        self.tally = new_tally(settings)
        sent: dict[int, set[str]] = {}
        self.audit = None
        if job.audit_folder and not self._is_dry:
            audit_folder = AuditFolder(job)
            audit_folder.check()
            sent = audit_folder.delivered_before(attempt)
            self.audit = TaskAudit(audit_folder, attempt, job.pixel)
        if not self._is_dry:
            folder.begin(attempt)
        parts = RunParts(
            SYSTEM_CLOCK,
            self._delivery(settings),
            self._outcomes(settings, sent),
            on_delivered=None if self.tally is None else self.tally.delivered,
            on_progress=lambda counts, _: self._keep_up(counts),
        )
        self.run = Run(settings, parts)
        plan = StreamPlan.without_map(job.stream, job.columns.names)
        self._stream = job.stream
        self._columns = job.columns
        self._counts = self.run.counts.of(job.stream)
        defaults = watch_zone(settings.events, self._counts.note_zone_use)
        builder = EventBuilder(job.stream, plan.properties, job.keys, defaults, suppressions)
        builder.causes = self._counts.causes
        self._counts.mapped = builder.identifying
        self._converter = RecordConverter(plan, builder, self._counts.left_out)

    def _delivery(self, settings: Settings) -> Delivery:
        client = Client(settings, SYSTEM_CLOCK)  # Also in a dry run: it hides the token in the log.
        if self._is_dry:
            return DryRun(LOGGER, SYSTEM_CLOCK)
        return delivery_of(settings, client, SYSTEM_CLOCK, self._refusals)

    def _outcomes(self, settings: Settings, sent: dict[int, set[str]]) -> Outcomes:
        """Return what keeps outcomes. Attempts at tasks are apart in the store, as runs are."""
        if self._is_dry:
            database = open_for_reading(settings) if settings.has_database_server else None
            return DryStore(database, account_of(settings))
        attempt, store = self._attempt, None
        if settings.has_database_server:
            waiting = Waiting(warn=LOGGER.warning)
            store = open_store(settings, attempt.name, kind=TASK, waiting=waiting)
        letters = self.dead_letters
        return TaskOutcomes(settings, attempt.write.name, letters, self.audit, sent, store)

    def deliver(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Deliver the rows to their end; what was sent is written down also if that fails."""
        try:
            for batch in read_ahead(batches, self.run.tick):
                for records in records_of(batch, self._columns):
                    for record in records:
                        self._counts.read += 1
                        self.run.take(self._stream, self._converter.convert(*record))
                    self.run.tick()
            self.run.finish()
            self._close()
        except BaseException:
            self._abandon()
            raise

    def _keep_up(self, counts: RunCounts) -> None:
        """Write what other tasks and readers are to know; called about once a second."""
        if self.audit is not None:
            self.audit.write_due()
        if self._is_dry:
            return
        if counts.has_taken:
            self._acceptance.note()
        elif self._refusals.suspects and not self._refusals.accepted:
            self._refusals.accepted = self._acceptance.is_known()

    def _close(self) -> None:
        """Write the rest."""
        self._keep_up(self.run.counts)
        if self.audit is not None:
            self.audit.close()

    def _abandon(self) -> None:
        """End after a failure; what is left, another attempt sends."""
        with _second_failures_logged():
            self.run.abandon(DeliveryError())
        with _second_failures_logged():
            self._close()
        with _second_failures_logged():
            self._folder.note_failure(self._attempt, self.run.counts.total.delivered)


@contextlib.contextmanager
def _second_failures_logged() -> Iterator[None]:
    try:
        yield
    except Exception as second:  # noqa: BLE001 (the user must fix the first failure)
        LOGGER.warning("a second failure followed: %s", type(second).__name__)


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
