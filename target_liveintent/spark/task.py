"""Runs one task of a write, which delivers one partition of the DataFrame."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions.event_model import Conversion
from target_liveintent.delivery.client import client_of
from target_liveintent.delivery.pool import delivery_of
from target_liveintent.delivery.refusals import Refusals
from target_liveintent.errors import DeliveryError, RunError
from target_liveintent.failures import Failure, FailureCode
from target_liveintent.privacy.redaction import protect_logging
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.run import Run, RunParts
from target_liveintent.run_id import new_run_id
from target_liveintent.spark.options import SparkWrite
from target_liveintent.spark.outcomes import Attempt, OutcomeTable, TaskOutcomes
from target_liveintent.spark.rows import read_ahead, rows_of
from target_liveintent.store.opening import dry_store_in, empty_store, open_store
from target_liveintent.store.run_store import RunStore
from target_liveintent.store.runs import TASK

LOGGER = logging.getLogger("target_liveintent.spark")


def deliver(write: SparkWrite, attempt: Attempt, batches: Iterable[pa.RecordBatch]) -> RunCounts:
    """Deliver the rows of a partition, and return the counts of their outcomes.

    Raises:
        RunError: If a row has no outcome. The error contains no data of a row.
    """
    try:
        with contextlib.closing(_store_of(write, attempt)) as opened:
            return Task(write, attempt, opened).run(batches)
    except Exception as error:  # noqa: BLE001 (its text could hold what is in a row)
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {place.filename}, line {place.lineno}"
        unforeseen = RunError(Failure.of(FailureCode.UNEXPECTED, exception=where))
        failure = error if isinstance(error, RunError) else unforeseen
    raise type(failure)(failure.failure)  # Not chained: Spark shows all errors of a chain.


def _store_of(write: SparkWrite, attempt: Attempt) -> RunStore:
    if write.settings.storage.is_on_server and not write.settings.dry_run:
        # Each attempt has its own run ID in the store, so its reservations are its own.
        return open_store(write.settings.storage, new_run_id(), kind=TASK)
    return dry_store_in(empty_store(), write.settings.storage, attempt.run_id, send_again=True)


class Task:
    """An attempt at a task, which passes the rows of a partition to a run."""

    def __init__(
        self, write: SparkWrite, attempt: Attempt, opened: RunStore, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._source, self._attempt, settings = write.source, attempt, write.settings
        self._table = OutcomeTable(write)
        self._sent = self._table.sent_before(attempt)
        self._refusals = Refusals(shared=True)
        self._outcomes = TaskOutcomes(self._table, attempt, opened, settings.events, clock)
        client = client_of(settings, LOGGER)
        delivery = delivery_of(settings.delivery, client, clock, self._refusals, write.tasks)
        parts = RunParts(
            clock,
            delivery,
            self._outcomes,
            write.source.kind,
            on_progress=lambda *_: self._learn(),
        )
        # The driver judges the share of rejected rows over all tasks.
        self._run = Run(settings.run._replace(max_dead_letter_percent=100), parts)
        self._counts = self._run.counts.of(write.source.stream)
        suppressions = Suppressions(settings.suppression_path)
        self._convert = write.source.converter(
            settings.account, settings.events, self._counts, suppressions
        )

    def run(self, batches: Iterable[pa.RecordBatch]) -> RunCounts:
        """Deliver all rows, and return the counts; even after a failure, write what was sent."""
        try:
            for batch in read_ahead(batches, self._run.tick):
                for values, violation in rows_of(batch, self._source.columns):
                    self._take(values, violation)
            self._run.finish()
        except BaseException:
            with contextlib.suppress(Exception):  # A second failure must not hide the first.
                self._run.abandon(DeliveryError(Failure(FailureCode.STOPPED)))
            raise
        return self._run.counts

    def _take(self, values: dict[str, Any], violation: str | None) -> None:
        result = self._convert(values, violation)
        position = self._counts.read
        self._counts.read += 1
        if isinstance(result, Conversion) and self._was_sent(result):
            self._counts.dropped["already_sent"] += 1
            self._counts.note(result.remarks)
            return
        if result is not None:
            self._outcomes.positions[result.event_id] = position
        self._run.take(self._source.stream, result)

    def _was_sent(self, conversion: Conversion) -> bool:
        sent = self._sent.get((conversion.event.pixel_id, conversion.stream), set())
        return conversion.event_id in sent

    def _learn(self) -> None:
        """Note whether the API accepted an event of another task; called about once a second."""
        refusals = self._refusals
        if refusals.suspects and not refusals.accepted:
            refusals.accepted = self._table.has_accepted(self._attempt)


def configure_logging() -> None:
    """Log to standard error, where Spark collects its logs; hide secrets and e-mail addresses."""
    if not LOGGER.handlers:  # The handlers of the root logger are Spark's.
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s liveintent: %(message)s"))
        LOGGER.addHandler(handler)
        LOGGER.setLevel(logging.INFO)
        LOGGER.propagate = False
    protect_logging()
