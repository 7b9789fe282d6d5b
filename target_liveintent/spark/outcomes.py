"""Keeps the outcome of each record of a task: in the files of the write, and in a store."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence

import msgspec

from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.conversions import DEAD_LETTERS, Conversion, Rejection
from target_liveintent.reasons import REASONS
from target_liveintent.settings import Settings
from target_liveintent.spark.audit import TaskAudit
from target_liveintent.spark.dead_letters import TaskDeadLetters
from target_liveintent.store import Claim, RunStore, letter_of

_encode = msgspec.json.Encoder(decimal_format="number").encode


class TaskOutcomes:
    """Keeps outcomes, and knows what earlier attempts have delivered; see `run.Outcomes`.

    Args:
        settings: The settings of the task.
        run_id: The ID of the write.
        dead_letters: The file of dead letters.
        audit: The file of the audit; None without one.
        sent: The IDs of events that earlier attempts have delivered, by pixel.
        store: The store that all jobs share; None without one.
    """

    def __init__(  # noqa: PLR0913, PLR0917 (one for each place)
        self,
        settings: Settings,
        run_id: str,
        dead_letters: TaskDeadLetters,
        audit: TaskAudit | None,
        sent: Mapping[int, Collection[str]],
        store: RunStore | None,
    ) -> None:
        self._settings = settings
        self._run_id = run_id
        self._dead_letters = dead_letters
        self._audit = audit
        self._sent = sent
        self._store = store

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        """Reserve the events of batches, but those that an earlier attempt has delivered."""
        new = {number: self._new(conversions) for number, conversions in batches.items()}
        claims = {number: Claim(conversions, [], []) for number, conversions in new.items()}
        asked = {number: conversions for number, conversions in new.items() if conversions}
        if self._store is not None and asked:
            claims |= self._store.claim(asked)
            if self._audit is not None:  # It has the others already.
                self._audit.already_sent(one for number in asked for one in claims[number].sent)
        for number, conversions in batches.items():
            if len(new[number]) < len(conversions):
                chosen = set(map(id, new[number]))
                claims[number].sent.extend(one for one in conversions if id(one) not in chosen)
        return claims

    def _new(self, conversions: Sequence[Conversion]) -> list[Conversion]:
        return [one for one in conversions if one.event_id not in self._sent.get(one.pixel_id, ())]

    def deliver(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Note events that LiveIntent has, and the Unix time at which each was sent."""
        if self._audit is not None:
            self._audit.delivered(conversions, sent_at)
        if self._store is not None:
            self._store.deliver(conversions, sent_at)

    def confirm(self, number: int, confirmed: Sequence[Conversion], *, is_last: bool) -> None:
        """Note which events of a batch the API has confirmed, and whether the batch is done."""
        if self._store is not None:
            self._store.confirm(number, confirmed, is_last=is_last)

    def reject(self, rejection: Rejection) -> None:
        """Write a dead letter, if its reason deserves one."""
        if REASONS[rejection.reason].letter:
            now = SYSTEM_CLOCK.time()
            letter = letter_of(rejection, self._settings, self._run_id, now)
            message = {"type": "RECORD", "stream": DEAD_LETTERS, "record": letter.record}
            self._dead_letters.write(_encode(message) + b"\n")
        if self._audit is not None:
            self._audit.undelivered(rejection, rejection.reason)

    def write(self, *, durable: bool = False) -> None:
        """Write what the store must know."""
        if self._store is not None:
            self._store.write(durable=durable)

    def release(self) -> None:
        """End the reservations of the task, and close its files."""
        with contextlib.ExitStack() as stack:
            if self._store is not None:
                stack.callback(self._store.close)
                stack.callback(self._store.release)
            self._dead_letters.close()
