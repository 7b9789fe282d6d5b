"""Changes a batch by the answer to its request, as the table of outcomes says.

`AnswerActions.take` looks the action up (outcome_table.py) and runs the method of this action,
which changes the parts of the batch (batch.py). An error that ends the run is returned as a value.
Refused events get their outcome later: when the API accepts other events, or when the input ends
(machine.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

from target_liveintent.delivery import api
from target_liveintent.delivery.api import REPEATED, Answer, Verdict
from target_liveintent.delivery.batch import BatchDelivery, LetterKind, Request
from target_liveintent.delivery.batch_queue import BatchQueue
from target_liveintent.delivery.outcome_table import Action, Faults, action_for
from target_liveintent.delivery.refusals import LetterRefusals, Refusals
from target_liveintent.delivery.retry import (
    MOST_BATCHES_TO_HALVE,
    Outage,
    OutagePhase,
    counted_faults,
    faults_of,
    rest_seconds,
)
from target_liveintent.errors import DeliveryError
from target_liveintent.settings import DeliverySettings


class Answered(NamedTuple):
    """A request with its answer, and what was known when the answer came."""

    request: Request
    answer: Answer
    now: float  # Monotonic seconds.
    newest: int  # The number of the newest request.
    input_has_ended: bool
    is_last: bool  # The input has ended, and no other request is in flight.

    @property
    def delivery(self) -> BatchDelivery:
        """The batch whose first part is in the request."""
        return self.request.delivery


class AnswerActions:
    """Changes the batches of a queue by the answers to their requests."""

    def __init__(
        self,
        settings: DeliverySettings,
        refusals: Refusals,
        letter_refusals: Mapping[LetterKind, LetterRefusals],
        queue: BatchQueue,
        outage: Outage,
    ) -> None:
        self._settings = settings
        self._refusals = refusals
        self._letter_refusals = letter_refusals
        self._queue = queue
        self._outage = outage

    def take(self, answered: Answered) -> DeliveryError | None:
        """Do what the table says for an answer; return the error that ends the run, if any."""
        verdict = answered.answer.verdict
        if verdict in REPEATED:
            faults = self._note_fault(answered)
        else:
            faults = Faults.FEW
            self._outage.note_work(answered.now)
        action = action_for(verdict, answered.delivery.kind, faults)
        return self._METHODS[action](self, answered)

    # Faults

    def _note_fault(self, answered: Answered) -> Faults:
        """Count a fault, and return what is known about the faults of the part."""
        request, answer, delivery = answered.request, answered.answer, answered.delivery
        if request.is_sample:
            delivery.samples -= 1  # The answer says nothing about the event.
        if answer.is_throttled:
            delivery.result.throttled += 1
        else:
            delivery.result.retries += 1
        self._outage.note_fault(answer, request.started_at)
        phase = self._outage.phase(answered.now)
        if self._outage.asks_too_much(answer):
            return Faults.OUTAGE
        if phase is OutagePhase.OVER:
            are_at_fault = answered.is_last and self._queue.has_only_faulty_events
            return Faults.LAST_EVENTS if are_at_fault else Faults.OUTAGE
        if answer.verdict is Verdict.STARVED:  # This says nothing about the events.
            delivery.parts[0].failed_at = answered.newest
            return Faults.FEW
        self._count_fault(answered)
        is_late = (
            phase is OutagePhase.LATE
            and answered.input_has_ended
            and self._queue.batches_to_send <= MOST_BATCHES_TO_HALVE
        )
        return faults_of(delivery.parts[0].faults, is_late=is_late)

    def _count_fault(self, answered: Answered) -> None:
        delivery, part = answered.delivery, answered.delivery.parts[0]
        was_accepted_since = self._refusals.accepted_after(part.failed_at)
        part.failed_at = answered.newest
        delivery.failed_at = min(delivery.failed_at, answered.newest)
        if was_accepted_since:
            part.faults += counted_faults(answered.answer)

    # The actions

    def _accept(self, answered: Answered) -> None:
        """Note that the API accepted events."""
        self._refusals.accept(answered.request.number)
        letter_kind = answered.delivery.letter_kind
        answered.delivery.accepted.add(letter_kind)
        if letter_kind in self._letter_refusals:
            self._letter_refusals[letter_kind].accept()

    def _deliver(self, answered: Answered) -> None:
        self._accept(answered)
        answered.delivery.confirm(answered.request.sent_at)

    def _deliver_and_halve_right(self, answered: Answered) -> None:
        self._accept(answered)
        answered.delivery.confirm_and_halve_right(answered.request.sent_at)

    def _deliver_processed(self, answered: Answered) -> None:
        self._accept(answered)
        failed = answered.answer.not_processed
        answered.delivery.deliver_processed(failed, answered.request.sent_at)

    def _reject_unconfirmed(self, answered: Answered) -> None:
        answered.delivery.reject("unconfirmed", None)

    def _halve_refused(self, answered: Answered) -> DeliveryError | None:
        answered.delivery.halve(has_bad_event=True)
        return self._note_refusal(answered)

    def _halve_too_large(self, answered: Answered) -> DeliveryError | None:
        answered.delivery.halve()
        return self._note_refusal(answered)

    def _hold_refused(self, answered: Answered) -> DeliveryError | None:
        answered.delivery.hold_refused(answered.answer.detail)
        return self._note_refusal(answered)

    def _note_refusal(self, answered: Answered) -> DeliveryError | None:
        """Note a refusal; return an error if the refusals show that the settings are wrong."""
        answered.delivery.refused_at = answered.newest
        letter_kind = LetterKind.of(answered.request.conversions[0])
        if letter_kind in self._letter_refusals:
            self._letter_refusals[letter_kind].refuse()
            return None
        self._refusals.refuse(answered.newest, is_sample=answered.request.is_sample)
        if not self._refusals.settings_are_wrong:
            return None
        if answered.input_has_ended and self._refusals.allows_unproven(self._queue.undecided):
            return None  # So few events are left that they may all be bad.
        return api.all_refused(self._refusals.in_a_row, answered.answer.detail)

    def _retry_at_once(self, answered: Answered) -> None:
        answered.delivery.result.retries += 1

    def _retry(self, answered: Answered) -> None:
        """Leave the part where it is: the queue chooses batches without a recent fault first."""

    def _retry_last(self, answered: Answered) -> None:
        retry_at = answered.now + rest_seconds(answered.delivery.parts[0].faults)
        answered.delivery.retry_last(min(retry_at, self._outage.ends_run_at))

    def _halve_faulty(self, answered: Answered) -> None:
        answered.delivery.halve()

    def _reject_faulty(self, answered: Answered) -> None:
        answered.delivery.reject("api_error", answered.answer.detail)

    def _reject_last_events(self, answered: Answered) -> None:
        for delivery in self._queue:
            while delivery.parts:
                delivery.reject("api_error", answered.answer.detail)
        # The run may go on: an event that waits for the outcome of an equal event may still come.
        self._outage.end()

    def _end_run(self, answered: Answered) -> DeliveryError:
        accepted = self._refusals.accepted_after(0)
        return api.ended_by(answered.answer, self._settings, accepted=accepted)

    def _end_run_in_outage(self, answered: Answered) -> DeliveryError:
        return api.outage(answered.answer, self._settings)

    _METHODS: ClassVar[dict[Action, Callable[[AnswerActions, Answered], DeliveryError | None]]] = {
        Action.DELIVER: _deliver,
        Action.DELIVER_AND_HALVE_RIGHT: _deliver_and_halve_right,
        Action.DELIVER_PROCESSED: _deliver_processed,
        Action.REJECT_UNCONFIRMED: _reject_unconfirmed,
        Action.HALVE_REFUSED: _halve_refused,
        Action.HALVE_TOO_LARGE: _halve_too_large,
        Action.HOLD_REFUSED: _hold_refused,
        Action.RETRY_AT_ONCE: _retry_at_once,
        Action.RETRY: _retry,
        Action.RETRY_LAST: _retry_last,
        Action.HALVE_FAULTY: _halve_faulty,
        Action.REJECT_FAULTY: _reject_faulty,
        Action.REJECT_LAST_EVENTS: _reject_last_events,
        Action.END_RUN: _end_run,
        Action.END_RUN_IN_OUTAGE: _end_run_in_outage,
    }
