"""The simulated API with its network. It decides the reply when a request arrives."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from simulated_feed import place_of

from target_liveintent.delivery.api import REFUSALS, Answer, Verdict, answer_of

if TYPE_CHECKING:
    from simulated_feed import Feed
    from simulated_plan import Plan

    from target_liveintent.conversions.event_model import Conversion

FAILURES = {"500": 500, "502": 502, "504": 504, "503": 503, "429": 429, "408": 408}
"""The failures that have a status. Failures without a status are `reset` (no connection), `silence`
(no answer comes, and no event was processed), `lost` (the events were processed, but the answer is
lost) and `slow` (the answer comes late, or too late)."""
_BY_CHANCE = (*FAILURES, "reset", "silence", "lost", "lost", "slow", "slow")
FAULTY = frozenset({Verdict.FAULT, Verdict.LIMITED, Verdict.STARVED})
"""The verdicts after which the same events are sent again."""
WRONG_SETTINGS = "pixelId is unknown"
"""The answer of the API if the settings are wrong."""
_SILENCE = Answer(Verdict.LIMITED, "no answer came in time")
_RESET = Answer(Verdict.FAULT, "the connection failed")


class Reply(NamedTuple):
    """The reply to a request."""

    seconds: float  # The time until the reply arrives.
    answer: Answer  # The answer as the client understands it.
    processed: list[Conversion]  # The events that the API processed, whatever the answer says.


class SimulatedApi:
    """The Conversions API, with the network between the API and the client.

    Attributes:
        processed: How often the event of each record was processed, by the record's place.
        refused_alone: The places of events that were refused in a request of their own.
        failed_alone: How often the event of each record got a fault in a request of its own.
    """

    def __init__(self, plan: Plan, feed: Feed) -> None:
        self.processed: Counter[int] = Counter()
        self.refused_alone: set[int] = set()
        self.failed_alone: Counter[int] = Counter()
        self.heals = False  # Outages and wrong settings are over.
        lost = plan.betrayals.lost_answers
        self._outages = plan.outages if lost is None else [*plan.outages, lost]
        self._plan = plan
        self._feed = feed
        self._rng = random.Random(f"api {plan.seed}")  # noqa: S311 (a seed, not secrecy)
        self._tokens = float(plan.limit.burst) if plan.limit else 0.0
        self._filled_at = 0.0

    def post(self, conversions: list[Conversion], within: float, now: float) -> Reply:
        """Return the reply to a request. A reply after `within` seconds comes too late."""
        seconds = self._plan.latency * self._rng.uniform(0.5, 1.5)
        reply = self._reply(conversions, now, seconds)
        if reply.seconds >= within:
            reply = reply._replace(seconds=within, answer=_SILENCE)
        for conversion in reply.processed:
            self.processed[place_of(conversion)] += 1
        if len(conversions) == 1:
            place = place_of(conversions[0])
            if reply.answer.verdict in REFUSALS:
                self.refused_alone.add(place)
            elif reply.answer.verdict in FAULTY:
                self.failed_alone[place] += 1
        return reply

    def _reply(self, conversions: list[Conversion], now: float, seconds: float) -> Reply:
        plan, rng = self._plan, self._rng
        for outage in () if self.heals else self._outages:
            if outage.start <= now < outage.end:
                failed = self._fail(outage.kind, conversions, now, seconds)
                return _asking_to_wait(failed, outage.retry_after)
        if plan.denied_from is not None and now >= plan.denied_from and not self.heals:
            return Reply(seconds, answer_of(plan.denied_status, b"", ()), [])
        if plan.limit is not None and not self._has_token(now):
            answer = answer_of(plan.limit.status, b"", (), plan.limit.retry_after)
            return Reply(seconds, answer, [])
        if rng.random() < plan.fault_share:
            failed = self._fail(rng.choice(_BY_CHANCE), conversions, now, seconds)
            return _asking_to_wait(failed, rng.choice((0.0, 0.0, 0.0, 2.0)))
        return self._judge(conversions, now, seconds)

    def _has_token(self, now: float) -> bool:
        limit = self._plan.limit
        assert limit is not None
        self._tokens = min(limit.burst, self._tokens + (now - self._filled_at) * limit.rate)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _fail(self, kind: str, conversions: list[Conversion], now: float, seconds: float) -> Reply:
        if kind in FAILURES:
            return Reply(seconds, answer_of(FAILURES[kind], b"", ()), [])
        if kind == "reset":
            return Reply(seconds, _RESET, [])
        if kind == "silence":
            return Reply(math.inf, _SILENCE, [])
        arrived = self._judge(conversions, now, seconds)
        if kind == "slow":
            return arrived._replace(seconds=seconds * self._rng.uniform(2, 40))
        late = self._rng.choice((seconds, math.inf))
        return arrived._replace(seconds=late, answer=_RESET)

    def _judge(self, conversions: list[Conversion], now: float, seconds: float) -> Reply:
        """Return the reply to a request that arrived, which depends on its events and settings."""
        ids = [conversion.event_id for conversion in conversions]
        bad = self._feed.bad.intersection(ids)
        good = [conversion for conversion in conversions if conversion.event_id not in bad]
        refusal = self._refusal(conversions, now)
        if refusal is None and bad and not (self._plan.names_bad and good):
            refusal = answer_of(self._rng.choice((400, 422)), b"bad", ids)
        if refusal is not None:
            return Reply(seconds, refusal, [])
        if bad:
            return Reply(seconds, self._naming(bad, ids), good)
        if self._rng.random() < self._plan.unclear_share:
            part = [conversion for conversion in good if self._rng.random() < 0.7]
            return Reply(seconds, answer_of(200, b"some", ids), part)
        return Reply(seconds, answer_of(204, b"", ids), good)

    def _naming(self, bad: set[str], ids: list[str]) -> Answer:
        """Return a 200 that names the events that the setting `partial_answer` describes."""
        partial_answer = self._plan.settings.partial_answer or "failed"
        named = set(ids) - bad if partial_answer == "processed" else bad
        return answer_of(200, json.dumps(sorted(named)).encode(), ids, 0.0, partial_answer)

    def _refusal(self, conversions: list[Conversion], now: float) -> Answer | None:
        """Return the refusal of a request for other causes than bad events, or None."""
        wrong_from = self._plan.wrong_from
        if sum(len(conversion.body) + 1 for conversion in conversions) + 1 > self._plan.largest:
            return answer_of(413, b"", ())
        if wrong_from is not None and now >= wrong_from and not self.heals:
            return answer_of(400, WRONG_SETTINGS.encode(), ())
        if any(conversion.event_id in self._feed.poison for conversion in conversions):
            return answer_of(self._plan.poison_status, b"", ())
        return None


def _asking_to_wait(reply: Reply, retry_after: float) -> Reply:
    """Return the reply with a `Retry-After`, if the reply is a failure with a status."""
    if reply.answer.status is None or reply.answer.verdict not in FAULTY:
        return reply
    return reply._replace(answer=msgspec.structs.replace(reply.answer, retry_after=retry_after))
