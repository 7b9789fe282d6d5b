"""Delivers one partition of a write: one task."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.conversions import Conversion, Rejection
from target_liveintent.delivery import Client, DryClient, Refusals, delivery_of
from target_liveintent.errors import DeliveryError, RunError
from target_liveintent.mapping import RecordConverter, Stream, StreamPlan
from target_liveintent.privacy import Suppressions, protect_logging
from target_liveintent.reasons import REASONS
from target_liveintent.run import Outcomes, ReplayChoice, ReplayConverter, Run, RunCounts, RunParts
from target_liveintent.run_id import new_run_id
from target_liveintent.spark.options import FACT_COLUMNS, Job
from target_liveintent.spark.outcomes import REJECTED, Attempt, FactTable, TaskOutcomes
from target_liveintent.spark.rows import Row, rows_of
from target_liveintent.store import TASK, DryStore, empty_store, open_store

LOGGER = logging.getLogger("target_liveintent.spark")
_decode_record = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def deliver(job: Job, attempt: Attempt, batches: Iterable[pa.RecordBatch]) -> RunCounts:
    """Deliver the rows of a partition, and return their outcomes.

    Raises:
        RunError: If a row has no outcome. The message holds nothing of a row.
    """
    failure: RunError
    try:
        with contextlib.ExitStack() as resources:
            return _Task(job, attempt, resources).deliver(batches)
    except RunError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 (its text could hold what is in a row)
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind, where = type(error).__name__, f"{place.filename}, line {place.lineno}"
        failure = RunError(f"the task ended with an unexpected {kind} in {where}")
    raise type(failure)(str(failure))  # Not in the handler: Spark shows the chain.


class _Task:
    """An attempt at a task, with what it works with; `resources` closes what it opens."""

    def __init__(self, job: Job, attempt: Attempt, resources: contextlib.ExitStack) -> None:
        self._job, self._attempt, settings = job, attempt, job.settings
        self._table = FactTable(job.outcomes_path)
        self._sent = self._table.sent_before(attempt)
        store: Outcomes = DryStore(empty_store(), settings, attempt.run_id)
        if settings.has_database_server and not settings.dry_run:
            # Attempts at tasks are separate in the store, as runs are.
            opened = open_store(settings, new_run_id(), kind=TASK)
            store = resources.enter_context(contextlib.closing(opened))
        self._outcomes = TaskOutcomes(settings, attempt, self._table, store)
        self._refusals = Refusals(shared=True)
        client = DryClient(settings, LOGGER) if settings.dry_run else Client(settings)
        delivery = delivery_of(settings, client, SYSTEM_CLOCK, self._refusals, job.tasks)
        parts = RunParts(
            SYSTEM_CLOCK,
            delivery,
            self._outcomes,
            on_progress=lambda *_: self._learn(),
        )
        # The driver judges the share of rejected rows over all tasks.
        self._run = Run(msgspec.structs.replace(settings, max_dead_letter_percent=100), parts)
        self._counts = self._run.counts.of(job.stream)
        suppressions = Suppressions(settings.suppression_path)
        self._converter: RecordConverter
        if job.is_replay:
            left_out = self._counts.left_out
            self._converter = ReplayConverter(settings, suppressions, ReplayChoice(), left_out)
        else:
            stream = Stream(job.stream, {}, job.keys)
            plan = StreamPlan.without_map(job.stream, job.columns)
            self._converter = self._counts.converter(stream, plan, settings.events, suppressions)

    def deliver(self, batches: Iterable[pa.RecordBatch]) -> RunCounts:
        """Deliver all rows; write what was sent even if the delivery fails."""
        run = self._run
        try:
            for row in rows_of(batches, self._job.columns, run.tick):
                self._take(row)
            run.finish()
        except BaseException:
            with contextlib.suppress(Exception):  # (The user must fix the first failure.)
                run.abandon(DeliveryError())  # Another attempt sends the rest.
            raise
        return run.counts

    def _take(self, row: Row) -> None:
        """Give a row its outcome, or put its event into a batch."""
        counts, is_replay = self._counts, self._job.is_replay
        result = self._replayed(row[0]) if is_replay else self._converter.convert(*row)
        counts.read += 1
        if isinstance(result, Rejection) and is_replay and REASONS[result.reason].is_kept:
            counts.not_replayed[result.reason] += 1  # The table has its outcome already.
        elif isinstance(result, Conversion) and self._sent and self._was_sent(result):
            counts.dropped["already_sent"] += 1
        else:
            if result is not None:
                self._outcomes.positions[result.event_id] = counts.read - 1
            self._run.take(self._job.stream, result)

    def _was_sent(self, one: Conversion) -> bool:
        place = (*self._job.settings.account, one.pixel_id, one.stream)
        return one.event_id in self._sent.get(place, ())

    def _replayed(self, values: dict[str, Any]) -> Conversion | Rejection | None:
        """Convert a row of the table of outcomes; None if it has no record that was rejected."""
        outcome, text = (values[name] for name in FACT_COLUMNS)
        if outcome != REJECTED or text is None:
            return None
        record = _decode_record(text)
        result = self._converter.convert(record)
        return result and msgspec.structs.replace(result, stream=str(record.get("stream")))

    def _learn(self) -> None:
        """Look in the table whether the API accepts events of other tasks; called once a second."""
        refusals = self._refusals
        if refusals.suspects and not refusals.accepted:
            refusals.accepted = self._table.has_accepted(self._attempt, self._job.settings)


def configure_logging() -> None:
    """Log to standard error, the log of a driver or an executor, without secrets and addresses."""
    if not LOGGER.handlers:  # The root logger's are those of Spark.
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s liveintent: %(message)s"))
        LOGGER.addHandler(handler)
        LOGGER.setLevel(logging.INFO)
        LOGGER.propagate = False
    protect_logging()
    protect_logging(LOGGER)
