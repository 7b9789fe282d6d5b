"""Keeps the outcome of each row of a task: in the table of outcomes, and in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from target_liveintent.clock import Clock
from target_liveintent.conversions.coerce import unix_time
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.reasons import REASONS
from target_liveintent.settings import Settings
from target_liveintent.spark.outcomes import (
    OUTCOME_DELIVERED,
    OUTCOME_SCHEMA,
    Attempt,
    FactTable,
)
from target_liveintent.store.dead_letters import letter_of
from target_liveintent.store.ledger import Claim
from target_liveintent.store.run_store import RunStore

_WRITE_SECONDS = 1.5
"""Seconds until rows are written. A run looks at answers, and at what is due, once a second, so a
row is in the table at the latest 3 seconds after the answer."""
_encode = msgspec.json.Encoder(decimal_format="number").encode


class TaskOutcomes:
    """Keeps the outcomes of an attempt at a task: see `Outcomes` of the run.

    Attributes:
        positions: The places in the partition of rows without an outcome, by event ID.
        confirm: Notes which events of a batch the API has confirmed, and whether it is done.
    """

    def __init__(
        self,
        settings: Settings,
        table: FactTable,
        attempt: Attempt,
        store: RunStore,
        clock: Clock,
    ) -> None:
        self.positions: dict[str, int] = {}
        self.confirm = store.confirm
        self._account, self._events, self._attempt = settings.account, settings.events, attempt
        self._table, self._store, self._clock = table, store, clock
        self._same = {**settings.account._asdict(), **attempt._asdict()}
        self._facts: list[dict[str, Any]] = []  # The table lacks these yet.
        self._written_at = clock.monotonic()

    @property
    def reserved_until(self) -> float:
        """Until when the reservations surely hold, by `Clock.since_boot`."""
        return self._store.reserved_until

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> Mapping[int, Claim]:
        """Reserve the events of batches in the store; note those that another write has sent."""
        claims = self._store.claim(batches)
        for claim in claims.values():
            for conversion in claim.sent:
                self._note(
                    conversion,
                    outcome="dropped",
                    reason="already_sent",
                    pixel=conversion.event.pixel_id,
                )
        return claims

    def deliver(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Note events that LiveIntent has, and the Unix time at which each was sent."""
        self._store.deliver(conversions, sent_at)
        for conversion, sent in zip(conversions, sent_at, strict=True):
            self._note(
                conversion,
                outcome=OUTCOME_DELIVERED,
                pixel=conversion.event.pixel_id,
                event_time=conversion.event.event_time * 1_000_000,
                sent_at=int(sent * 1e6),
            )

    def reject(self, rejection: Rejection) -> None:
        """Note a record that is not sent, with the redacted record if it may be kept."""
        run_id, now = self._attempt.run_id, self._clock.time()
        key, record, _ = letter_of(rejection, self._account, self._events, run_id, now)
        event_time = unix_time(rejection.columns.get("event_time"), self._events.zone)
        is_kept = REASONS[rejection.reason].letter
        self._note(
            rejection,
            outcome="rejected" if is_kept else "dropped",
            reason=rejection.reason,
            detail=record.get("detail"),
            record=_encode(record).decode() if is_kept else None,
            pixel=key.pixel_id or None,  # 0 stands for a record without a usable pixel.
            event_time=event_time * 1_000_000 if isinstance(event_time, int) else None,
        )

    def _note(self, event: Conversion | Rejection, **values: Any) -> None:
        """Note the outcome of an event; times are in microseconds."""
        values["event_id"], values["stream"] = event.event_id, event.stream
        values["position"] = self.positions.pop(event.event_id, None)
        self._facts.append(self._same | values)

    def write(self, *, before_state: bool = False) -> None:
        """Write the rows that are due, and what the store must know."""
        if self._clock.monotonic() - self._written_at >= _WRITE_SECONDS:
            self._write_facts()
        self._store.write(before_state=before_state)

    def release(self) -> None:
        """Write the rest, and end the reservations of the task."""
        try:
            self._write_facts()
        finally:
            self._store.release()

    def _write_facts(self) -> None:
        if not self._facts:
            return
        self._table.add(self._attempt, pa.Table.from_pylist(self._facts, OUTCOME_SCHEMA))
        self._facts = []
        self._written_at = self._clock.monotonic()
