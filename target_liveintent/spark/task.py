"""Delivers one partition of a write: one task, whose outcomes are in the table and in a store."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions.coerce import unix_time
from target_liveintent.conversions.event_model import DEAD_LETTERS, Conversion, Rejection
from target_liveintent.delivery.client import client_of
from target_liveintent.delivery.pool import delivery_of
from target_liveintent.delivery.refusals import Refusals
from target_liveintent.errors import DeliveryError, RunError
from target_liveintent.mapping.converter import converter_of
from target_liveintent.mapping.stream_maps import Stream, StreamPlan
from target_liveintent.privacy.redaction import protect_logging
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.reasons import REASONS
from target_liveintent.run.counts import RunCounts
from target_liveintent.run.replay import ReplayChoice, ReplayConverter
from target_liveintent.run.run import Run, RunParts
from target_liveintent.run_id import new_run_id
from target_liveintent.spark.options import Job
from target_liveintent.spark.outcomes import DELIVERED, SCHEMA, Attempt, FactTable
from target_liveintent.spark.rows import read_ahead, rows_of
from target_liveintent.store.dead_letters import letter_of
from target_liveintent.store.ledger import Claim
from target_liveintent.store.opening import dry_store_in, empty_store, open_store
from target_liveintent.store.run_store import RunStore
from target_liveintent.store.runs import TASK

LOGGER = logging.getLogger("target_liveintent.spark")
_SECONDS = 1.5
"""Seconds until rows are written. A run looks at answers, and at what is due, once a second, so a
row is in the table at the latest 3 seconds after the answer."""
_Columns = dict[str, list[Any]]
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode_record = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def deliver(job: Job, attempt: Attempt, batches: Iterable[pa.RecordBatch]) -> RunCounts:
    """Deliver the rows of a partition, and return their outcomes.

    Raises:
        RunError: If a row has no outcome. The message holds nothing of a row.
    """
    try:
        with contextlib.closing(_store_of(job, attempt)) as opened:
            return Task(job, attempt, opened).run(batches)
    except Exception as error:  # noqa: BLE001 (its text could hold what is in a row)
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {place.filename}, line {place.lineno}"
        unforeseen = RunError(f"the task ended with an unexpected {where}")
        failure = error if isinstance(error, RunError) else unforeseen
    raise type(failure)(failure.failure)  # Not in the handler: Spark shows the chain.


def _store_of(job: Job, attempt: Attempt) -> RunStore:
    if job.settings.has_database_server and not job.settings.dry_run:
        # Attempts at tasks are separate in the store, as runs are.
        return open_store(job.settings, new_run_id(), kind=TASK)
    return dry_store_in(empty_store(), job.settings, attempt.run_id, send_again=True)


class Task:
    """An attempt at a task: gives rows to a run, and keeps their outcomes: see `Outcomes`."""

    def __init__(
        self, job: Job, attempt: Attempt, opened: RunStore, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._job, self._attempt, self._clock, settings = job, attempt, clock, job.settings
        self._table, self._store = FactTable(job), opened
        self._sent = self._table.sent_before(attempt)
        self.confirm = opened.confirm
        self._refusals = Refusals(shared=True)
        client = client_of(settings, LOGGER)
        delivery = delivery_of(settings, client, clock, self._refusals, job.tasks)
        parts = RunParts(clock, delivery, self, on_progress=lambda *_: self._learn())
        # The driver judges the share of rejected rows over all tasks.
        self._run = Run(msgspec.structs.replace(settings, max_dead_letter_percent=100), parts)
        self._counts = self._run.counts.of(job.stream)
        self._positions: dict[str, int] = {}  # Of records without an outcome, by event ID.
        self._same = {**settings.account._asdict(), **attempt._asdict()}
        self._facts: _Columns = {name: [] for name in SCHEMA.names}  # The table lacks these yet.
        self._written_at = clock.monotonic()
        suppressions = Suppressions(settings.suppression_path)
        self._convert: Callable[[dict[str, Any], str | None], Conversion | Rejection | None]
        if job.stream == DEAD_LETTERS:
            letters = ReplayConverter(settings, suppressions, ReplayChoice())
            # A row of the table has a record if this was rejected.
            self._convert = lambda row, _: (
                row["record"] and letters.convert(_decode_record(row["record"]))
            )
        else:
            stream = Stream(job.stream, {}, job.keys)
            plan = StreamPlan.without_map(job.stream, job.columns)
            self._counts.mapped |= plan.identifying
            self._convert = converter_of(stream, plan, settings.events, suppressions).convert

    def run(self, batches: Iterable[pa.RecordBatch]) -> RunCounts:
        """Deliver all rows; write what was sent even if the delivery fails."""
        try:
            for batch in read_ahead(batches, self._run.tick):
                for row in rows_of(batch, self._job.columns):
                    self._take(*row)
            self._run.finish()
        except BaseException:
            with contextlib.suppress(Exception):  # (The user must fix the first failure.)
                self._run.abandon(DeliveryError("another attempt sends the rest"))
            raise
        return self._run.counts

    def _take(self, values: dict[str, Any], violation: str | None) -> None:
        result, counts = self._convert(values, violation), self._counts
        counts.read += 1
        if self._sent and isinstance(result, Conversion) and self._was_sent(result):
            counts.dropped["already_sent"] += 1
            counts.note(result.remarks)
            return
        if result is not None:
            self._positions[result.event_id] = counts.read - 1
        self._run.take(self._job.stream, result)

    def _was_sent(self, one: Conversion) -> bool:
        return one.event_id in self._sent.get((one.event.pixel_id, one.stream), ())

    def _learn(self) -> None:
        """Look in the table whether the API accepts events of other tasks; called once a second."""
        refusals = self._refusals
        if refusals.suspects and not refusals.accepted:
            refusals.accepted = self._table.has_accepted(self._attempt)

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> Mapping[int, Claim]:
        """Reserve the events of batches in the store; note those that another write has sent."""
        claims = self._store.claim(batches)
        sent = [one for claim in claims.values() for one in claim.sent]
        pixels = [one.event.pixel_id for one in sent]
        self._add(sent, {"pixel": pixels}, outcome="dropped", reason="already_sent")
        return claims

    def deliver(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Note events that LiveIntent has, and the Unix time at which each was sent."""
        self._store.deliver(conversions, sent_at)
        columns = {
            "pixel": [one.event.pixel_id for one in conversions],
            "event_time": [one.event.event_time * 1_000_000 for one in conversions],
            "sent_at": [int(sent * 1e6) for sent in sent_at],
        }
        self._add(conversions, columns, outcome=DELIVERED)

    def reject(self, rejection: Rejection) -> None:
        """Note a record that is not sent, with the redacted record if it may be kept."""
        account, events = self._job.settings.account, self._job.settings.events
        reason, now = rejection.reason, self._clock.time()
        key, record, _ = letter_of(rejection, account, events, self._attempt.run_id, now)
        time = unix_time(rejection.columns.get("event_time"), events.zone)
        row = {"pixel": key.pixel_id or None, "reason": reason, "detail": record.get("detail")}
        row["event_time"] = time * 1_000_000 if isinstance(time, int) else None
        kept = {"record": _encode(record).decode()} if REASONS[reason].letter else {}
        self._add([rejection], {}, outcome="rejected" if kept else "dropped", **row, **kept)

    def _add(self, events: Sequence[Conversion | Rejection], given: _Columns, **same: Any) -> None:
        """Note the outcome of events: columns, with times in microseconds, and what is the same."""
        ids = [one.event_id for one in events]
        given |= {"event_id": ids, "stream": [one.stream for one in events]}
        given["position"] = [self._positions.pop(event_id, None) for event_id in ids]
        same |= self._same
        for name, values in self._facts.items():
            values.extend(given.get(name) or [same.get(name)] * len(ids))

    def write(self, *, durable: bool = False) -> None:
        """Write the rows that are due, and what the store must know."""
        if self._clock.monotonic() - self._written_at >= _SECONDS:
            self._write_rows()
        self._store.write(durable=durable)

    def release(self) -> None:
        """Write the rest, and end the reservations of the task."""
        try:
            self._write_rows()
        finally:
            self._store.release()

    def _write_rows(self) -> None:
        if self._facts["outcome"]:
            self._table.add(self._attempt, pa.table(self._facts, SCHEMA))
            self._facts = {name: [] for name in SCHEMA.names}
            self._written_at = self._clock.monotonic()


def configure_logging() -> None:
    """Log to standard error, the log of a driver or an executor, without secrets and addresses."""
    if not LOGGER.handlers:  # The root logger's are those of Spark.
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s liveintent: %(message)s"))
        LOGGER.addHandler(handler)
        LOGGER.setLevel(logging.INFO)
        LOGGER.propagate = False
    protect_logging()
