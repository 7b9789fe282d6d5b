"""The rules for requests: what they contain, when they start, and when they must end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simulated_api import FAULTY, WRONG_SETTINGS
from simulated_feed import event_key, place_of
from simulation_facts import SILENT_INTERVALS, require

from target_liveintent.delivery.api import REFUSALS, Answer, Verdict

if TYPE_CHECKING:
    from simulated_api import Reply
    from simulation_facts import Facts

    from target_liveintent.conversions.event_model import Conversion
    from target_liveintent.delivery.batch import Request

MOST_EVENTS = 100
FIRST_REQUESTS = 2
"""The maximum number of requests in flight before the first answer."""
HANGING_SECONDS = 12.9
"""The seconds after which one more request may start, because requests in flight may hang."""
MOST_FAILING = 100
"""The maximum number of requests during an outage."""
MOST_WRONG_FROM_THE_START = 100
MOST_WRONG_FROM_THE_MIDDLE = 200
"""The maximum number of requests with wrong settings before a run ends, if the settings are wrong
from the beginning or become wrong later. Requests with events that the API refused in an earlier
run show nothing new, so they do not count."""
FEW_SECONDS = 12.0
"""The seconds that an outage may last longer than `max_retry_seconds` before the run ends."""
STOP_SECONDS = 26.0
"""The maximum number of seconds from SIGTERM to the end of the run."""
STUCK_SECONDS = 100.0
"""The seconds without a request after which a run is stuck: the lowest pace is one per minute."""
LONGEST_RUN = 6 * 3_600.0
"""The seconds in which each run must end, in addition to the time that its input takes."""
A_MINUTE = 59.999
"""A minute in seconds, less the maximum error of sums of times."""
MOST_IDLE_ASKS = 3
MOST_FAULTS_ALONE = 60
"""The maximum number of faults of a single event while the API accepts other events."""
THROTTLING = frozenset({"answers", "limit", "outages"})
"""The faults that give a 429 or 503 to any event, and not only to poison."""


class RequestChecks:
    """Checks the requests of a history."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._settings = facts.settings
        per_minute = facts.settings.max_requests_per_minute
        self._least_gap = 60 / per_minute if per_minute else 0.0
        # Many events that always get a 429 or 503 look like a limit, and like an outage at the end.
        plan = facts.plan
        self._looks_limited = "poison" in plan.faults and plan.poison_status != 500

    def started(self, request: Request, now: float, unix_time: float) -> None:
        run, events = self._facts.run, request.conversions
        require(1 <= len(events) <= MOST_EVENTS, "a request has 1 to 100 events", len(events))
        for event in events:
            self._check_event(event, unix_time)
            run.on_their_way.add(place_of(event))
            run.keys_on_their_way.add(event_key(event))
        self._check_reservations(events)
        run.requests += 1
        run.in_flight += 1
        run.idle_asks = 0
        self._check_end(now)
        self._check_pace(now)
        run.last_start = now
        if now >= run.failing_since:
            run.failing_requests += 1
            self._check_outage(now)

    def _check_event(self, event: Conversion, unix_time: float) -> None:
        facts, run, place = self._facts, self._facts.run, place_of(event)
        require(unix_time < event.expires_at, "no event is sent when it is too old", event)
        require(not facts.has_outcome(event), "an event with an outcome is not sent again", event)
        require(place not in run.on_their_way, "an event is in one request at a time", event)
        require(place >= facts.covered, "what STATE covers is not sent again", event)
        key = event_key(event)
        # (A reservation that a failover has lost protects no event.)
        has_expired = facts.was_silent or run.database.server.has_lost
        is_repeated = facts.is_known(key) and not has_expired
        require(not is_repeated, "what the store knows is not sent again", event)
        rule = "copies of an event are not sent at once"
        require(key not in run.keys_on_their_way, rule, event)

    def _check_reservations(self, events: list[Conversion]) -> None:
        """Check that this run has reserved the events; a failover may lose reservations."""
        run, keys = self._facts.run, set(map(event_key, events))
        if run.database.server.has_lost:
            return
        now = self._facts.world.now
        require(keys <= run.held(now), "no request starts on an expired reservation", events[0])
        others = [one for one in self._facts.runs if one is not run and keys & one.held(now)]
        require(not others, "an event is not sent while another run has reserved it", events[0])

    def _check_end(self, now: float) -> None:
        """Check that nothing is sent after the end of the delivery."""
        run = self._facts.run
        require(now <= run.stop_at, "nothing is sent after the stop", (now, run.stop_at))
        require(not run.is_denied, "nothing is sent after access was denied", now)
        most = 1_000 + 60 * self._facts.plan.records
        require(run.requests <= most, "the requests of a run are bounded", run.requests)

    def _check_pace(self, now: float) -> None:
        run, settings = self._facts.run, self._settings
        is_over = now >= min(run.quiet_until, run.failing_since + settings.max_retry_seconds)
        require(is_over, "nothing is sent before the end of Retry-After", (now, run.quiet_until))
        most = settings.max_concurrent_requests
        require(run.in_flight <= most, "max_concurrent_requests is kept", run.in_flight)
        answered = run.requests - run.in_flight
        hanging = now - run.last_start >= HANGING_SECONDS
        few = answered or hanging or run.in_flight <= FIRST_REQUESTS
        require(few, "a run starts with at most two requests in flight", run.in_flight)
        if settings.max_requests_per_minute is not None:
            run.starts.append(now)
            while run.starts[0] <= now - A_MINUTE:
                run.starts.popleft()
            few = len(run.starts) <= settings.max_requests_per_minute
            require(few, "max_requests_per_minute is kept", len(run.starts))

    def arrived(self, request: Request, reply: Reply) -> None:
        """Check that the client understands from an answer what the API did with the events."""
        named = reply.answer.not_processed
        expected = {
            Verdict.ACCEPTED: request.conversions,
            Verdict.PARTLY: [one for one in request.conversions if one.event_id not in named],
            Verdict.REFUSED: [],
            Verdict.TOO_LARGE: [],
        }.get(reply.answer.verdict, reply.processed)
        require(reply.processed == expected, "an answer is understood", (reply, expected))

    def answered(self, request: Request, answer: Answer, now: float) -> None:
        """Record what an answer means for the events of its request."""
        run = self._facts.run
        places = {place_of(event) for event in request.conversions}
        run.in_flight -= 1
        run.on_their_way -= places
        run.keys_on_their_way.difference_update(map(event_key, request.conversions))
        if answer.verdict in FAULTY:
            self._note_fault(request, answer, now)
            return
        run.taken_at = now
        run.failing_since = math.inf
        run.failing_requests = 0
        if request.started_at >= run.quiet_since:  # The API works again, whatever it asked for.
            run.quiet_until = -math.inf
        if answer.verdict in REFUSALS:
            run.refused_at.update(dict.fromkeys(places, now))
        self._note_verdict(request, answer, places)

    def _note_verdict(self, request: Request, answer: Answer, places: set[int]) -> None:
        run = self._facts.run
        if answer.verdict is Verdict.UNCONFIRMED:
            run.unclear |= places
        elif answer.verdict in {Verdict.ACCEPTED, Verdict.PARTLY}:
            named = answer.not_processed
            run.newest_accepted = max(run.newest_accepted, request.started_at)
            accepted = {place_of(one) for one in request.conversions if one.event_id not in named}
            run.accepted |= accepted
            self._facts.accepted |= accepted
            if answer.verdict is Verdict.ACCEPTED:
                run.confirmed |= accepted
        elif answer.verdict in {Verdict.DENIED, Verdict.UNKNOWN}:
            run.is_denied = True
        elif answer.detail.endswith(WRONG_SETTINGS) and not request.conversions[0].was_refused:
            run.wrong += 1
            most = MOST_WRONG_FROM_THE_MIDDLE if run.accepted else MOST_WRONG_FROM_THE_START
            require(run.wrong <= most, "wrong settings end the run in time", run.wrong)

    def _note_fault(self, request: Request, answer: Answer, now: float) -> None:
        run = self._facts.run
        run.throttled += answer.is_throttled
        run.retried += not answer.is_throttled
        self._note_failing(request, now)
        is_chance = answer.is_throttled and not self._facts.plan.faults.isdisjoint(THROTTLING)
        if len(request.conversions) == 1 and not is_chance:
            self._count_fault_alone(place_of(request.conversions[0]))
        if answer.retry_after:
            run.longest_asked = max(run.longest_asked, answer.retry_after)
            longest = min(answer.retry_after, self._facts.plan.settings.max_retry_seconds)
            run.quiet_until = max(run.quiet_until, now + longest)
            run.quiet_since = now

    def _note_failing(self, request: Request, now: float) -> None:
        run = self._facts.run
        run.failing_since = min(run.failing_since, max(request.started_at, run.taken_at))
        run.longest_failing = max(run.longest_failing, now - run.failing_since)

    def _count_fault_alone(self, place: int) -> None:
        """Check that the run gives up an event on which the API fails while others succeed."""
        run = self._facts.run
        faults, accepted = run.faults_alone.get(place, (0, -1))
        if len(run.accepted) > accepted:
            run.faults_alone[place] = (faults + 1, len(run.accepted))
            rule = "an event on which the API always fails is given up"
            require(faults < MOST_FAULTS_ALONE, rule, self._facts.feed.records[place])

    def stopped(self, at: float) -> None:
        self._facts.run.stop_at = min(self._facts.run.stop_at, at)

    # Waits

    def idle(self, until: float, now: float, *, has_outage: bool) -> None:
        """Check that a thread is not repeatedly told to wait until a time that has passed.

        The delivery may end an outage by itself only while it waits for input. The time to ask
        again does not show this alone: the budget of an outage may end when the input is silent.

        Args:
            until: The time until which the thread is told to wait.
            now: The present time.
            has_outage: Whether the delivery says that there is an outage.
        """
        run = self._facts.run
        silent_at = run.submitted_at + SILENT_INTERVALS * self._settings.flush_interval_seconds
        may_wait_for_input = math.isinf(until) or until == silent_at
        if may_wait_for_input and not has_outage and not run.in_flight:
            run.failing_since = math.inf
            run.failing_requests = 0
        run.idle_asks = run.idle_asks + 1 if until <= now else 0
        require(run.idle_asks <= MOST_IDLE_ASKS, "nobody waits for a time that is over", until)

    def time_passed(self, now: float, *, is_waiting: bool) -> None:
        """Check that a run does not wait without a reason, and not for too long.

        Args:
            now: The time until which nothing happened.
            is_waiting: Whether there is something to send.
        """
        facts, run = self._facts, self._facts.run
        longest = LONGEST_RUN + facts.plan.gap * facts.plan.records + run.requests * self._least_gap
        longest += facts.betrayed_seconds
        require(now - run.started_at <= longest, "a run ends", now)
        if run.signalled_at is not None:
            in_time = now <= run.signalled_at + STOP_SECONDS + facts.betrayed_seconds
            require(in_time, "a run ends soon after SIGTERM", now)
        if not is_waiting or not run.drained or run.failed_at is not None or run.in_flight:
            return
        stuck_at = max(run.last_start, run.quiet_until) + STUCK_SECONDS + facts.betrayed_seconds
        in_time = now <= stuck_at
        require(in_time, "a run goes on while there is something to send", now)
        self._check_outage(now)

    def _check_outage(self, now: float) -> None:
        run = self._facts.run
        few = run.failing_requests <= MOST_FAILING or self._looks_limited
        require(few, "an outage costs at most 100 requests", run.failing_since)
        longest = self._settings.max_retry_seconds + FEW_SECONDS + self._least_gap
        longest += self._facts.betrayed_seconds
        in_time = now <= run.failing_since + longest
        require(in_time, "an outage ends the run in time", (now, run.failing_since))
