"""Delivers one batch: sends it, retries it, and isolates the events that the API refuses."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from target_liveintent.clock import Clock
from target_liveintent.conversions import Conversion
from target_liveintent.delivery.answers import Answer, Verdict
from target_liveintent.delivery.breaker import Breaker
from target_liveintent.delivery.client import Client
from target_liveintent.delivery.deadline import RunDeadline
from target_liveintent.delivery.model import Batch, BatchResult, Undelivered
from target_liveintent.errors import AccessDeniedError, DeliveryError, OutageError, SetUpError
from target_liveintent.settings import Settings

FIRST_WAIT = 0.5
"""Seconds of the longest wait before the first retry."""
LONGEST_WAIT = 30.0
"""Seconds that a wait never exceeds, unless the API asks for more."""


def backoff(attempt: int, jitter: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait before a retry.

    The wait doubles with each attempt. Half of it is random, so that threads which failed together
    do not come back together.

    Args:
        attempt: How many retries came before: 0 before the first one.
        jitter: A random number from 0 to 1.
        retry_after: Seconds that the API asks to wait; the least that is waited.
    """
    longest = min(FIRST_WAIT * 2.0 ** min(attempt, 10), LONGEST_WAIT)  # (2.0 ** 10000 overflows.)
    return max(longest * (1 + jitter) / 2, retry_after or 0.0)


class SenderParts(NamedTuple):
    """What all senders of a run share."""

    settings: Settings
    client: Client
    breaker: Breaker
    deadline: RunDeadline
    clock: Clock
    jitter: Callable[[], float] = random.random  # For `backoff`.


class Sender:
    """Delivers one batch, in one thread."""

    def __init__(self, batch: Batch, parts: SenderParts) -> None:
        self._result = BatchResult(batch)
        self._parts = parts
        self._budget = float(parts.settings.max_retry_seconds)
        self._request = 0  # The number of the last request,
        self._sent_at = 0.0  # and the Unix time at which it was sent.

    def deliver(self) -> BatchResult:
        """Deliver what can be delivered, and return the outcome of each conversion."""
        batch = self._result.batch
        try:
            self._deliver(batch.conversions)
        except Exception as failure:  # noqa: BLE001 (the main thread ends the run with it)
            self._result.failure = failure
        finally:
            self._parts.breaker.done(batch.number)
        if self._result.undelivered:  # Dead letters are in the order of the records.
            place = {id(conversion): n for n, conversion in enumerate(batch.conversions)}
            self._result.undelivered.sort(key=lambda refusal: place[id(refusal.conversion)])
        return self._result

    def _deliver(self, conversions: Sequence[Conversion]) -> None:
        """Send, and narrow down what is refused: each round isolates one bad event.

        The largest part that was not sent yet comes first, so that a few requests show whether the
        API accepts anything at all.
        """
        unknown = [list(conversions)]
        while unknown:
            unknown.sort(key=len)
            bad, refusal = self._send(unknown.pop())
            if refusal.verdict is not Verdict.REFUSED:
                continue
            while len(bad) > 1:
                half = len(bad) // 2
                left, right = bad[:half], bad[half:]
                sent, answer = self._send(left)
                all_good = answer.verdict is Verdict.ACCEPTED and len(sent) == len(left)
                if answer.verdict is Verdict.REFUSED:
                    unknown.append(right)
                    bad, refusal = sent, answer
                elif all_good and refusal.proves_bad_event and right[1:]:
                    bad = right  # All of the left is good, so the right holds the bad one.
                else:  # No proof that the right half is bad, or one event left: send it as unknown.
                    unknown.append(right)
                    break
            else:
                self._parts.breaker.isolated(refusal.detail)
                refused = Undelivered(bad[0], "refused_by_api", refusal.detail)
                self._result.undelivered.append(refused)

    def _send(self, conversions: list[Conversion]) -> tuple[list[Conversion], Answer]:
        """Send until there is an answer; return it with those that were young enough to be sent."""
        retries = 0
        while True:
            # Ages are judged after the wait for a turn, during which events may grow too old.
            self._request = self._parts.breaker.wait_for_turn(self._result.batch.number)
            conversions = self._young_enough(conversions)
            if not conversions:
                return conversions, Answer(Verdict.ACCEPTED, "nothing left to send")
            answer = self._post(conversions)
            if answer.verdict is Verdict.ROTATED:
                self._result.retries += 1
                continue
            if answer.verdict is not Verdict.RETRY:
                self._book(conversions, answer)
                return conversions, answer
            self._back_off(retries, answer)
            retries += 1

    def _young_enough(self, conversions: list[Conversion]) -> list[Conversion]:
        """Take out what is too old: one such event makes the API refuse the whole request."""
        now = self._parts.clock.time()
        young = [conversion for conversion in conversions if now < conversion.expires_at]
        self._result.undelivered += [
            Undelivered(conversion, "event_too_old")
            for conversion in conversions
            if now >= conversion.expires_at
        ]
        return young

    def _post(self, conversions: list[Conversion]) -> Answer:
        if self._parts.deadline.passed:
            msg = "the run was stopped"
            raise DeliveryError(msg)
        body = b"[" + b",".join(conversion.body for conversion in conversions) + b"]"
        event_ids = [conversion.event_id for conversion in conversions]
        self._result.requests += 1
        self._sent_at = self._parts.clock.time()
        answer = self._parts.client.post(body, event_ids, self._budget)
        self._result.latencies.append(answer.seconds)
        return answer

    def _book(self, sent: list[Conversion], answer: Answer) -> None:
        """Note what an answer means for the conversions that were sent, or end the run."""
        verdict = answer.verdict
        if verdict in {Verdict.ACCEPTED, Verdict.PARTLY}:
            self._book_accepted(sent, answer)
        elif verdict is Verdict.UNCONFIRMED:
            self._result.undelivered += [
                Undelivered(conversion, "unconfirmed") for conversion in sent
            ]
        elif verdict is Verdict.REFUSED:
            self._parts.breaker.refused(answer.detail)
        elif verdict is Verdict.DENIED:
            raise AccessDeniedError(
                self._explain(
                    f"the API denied access ({answer.detail}). The token may have been rotated,"
                    f" or be that of another customer_id: {self._advice_on_token()}"
                )
            )
        elif verdict is Verdict.UNREACHABLE:
            raise SetUpError(self._explain(answer.detail))
        else:
            raise DeliveryError(
                self._explain(
                    f"the API answered with {answer.detail}, which it is"
                    " not known to do. Check api_url and customer_id"
                )
            )

    def _book_accepted(self, sent: list[Conversion], answer: Answer) -> None:
        result = self._result
        result.accepted = True
        self._parts.breaker.accepted(self._request)
        if answer.verdict is Verdict.ACCEPTED:
            result.confirmed += sent
        if answer.not_processed:
            unprocessed = [one for one in sent if one.event_id in answer.not_processed]
            result.undelivered += [Undelivered(one, "not_processed") for one in unprocessed]
            sent = [one for one in sent if one.event_id not in answer.not_processed]
        result.delivered += sent
        result.sent_at += [self._sent_at] * len(sent)

    def _advice_on_token(self) -> str:
        if self._parts.settings.auth_token_path is None:
            return "ask your account manager for the present auth_token"
        return (
            "the file that auth_token_path names was read again and holds no other. Ask your"
            " account manager for the present token"
        )

    def _explain(self, what: str) -> str:
        settings = self._parts.settings
        return f"{what} (api_url {settings.api_url}, customer_id {settings.customer_id})"

    def _back_off(self, retries: int, answer: Answer) -> None:
        """Wait, unless that uses up the batch's budget or the run's deadline: both end the run."""
        delay = backoff(retries, self._parts.jitter(), answer.retry_after)
        self._budget -= answer.seconds + delay
        if self._budget < 0:
            raise OutageError(
                self._explain(
                    "no luck within max_retry_seconds"
                    f" ({self._parts.settings.max_retry_seconds}): {answer.detail}"
                )
            )
        if not self._parts.deadline.wait(delay):
            raise OutageError(self._explain(f"stopped while retrying: {answer.detail}"))
        self._result.retries += 1
