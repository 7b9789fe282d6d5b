"""A target that is killed again and again loses nothing, and repeats no more than it must."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faults import Faults
from faulty_server import SURE_WITHIN, FaultyServer, Reply, Request
from integration_support import STORE, Launcher, Running, wait_until
from other_systems import SYSTEMS, pretend
from reliability_support import (
    LONG,
    Feed,
    Watch,
    assert_adds_up,
    assert_true_letters,
    bury,
    in_parallel,
    lost,
    name,
    number,
    reserved,
)
from reliability_support import SETTINGS as DEFAULTS
from store_tables import ask, is_connected, letters_by_id

from target_liveintent.delivery.pool import most_batches

EVENTS = 40_000 if LONG else 6_000
CAMPAIGNS = 7 if LONG else 2
BATCH = 20
AT_ONCE = 8
HANDED_OVER = most_batches(AT_ONCE, BATCH)
"""Batches that can be answered before the run looks, and tells the store."""
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
ORDERLY = (signal.SIGTERM, signal.SIGINT)
STOP_RETRIES = 5.0
"""Seconds for which a run still sends after a signal."""
SOON = 8.0
"""Seconds within which a signal ends a run: 5 of retrying, and some for a busy machine."""
LOOKS = 2.5
"""Seconds within which the store has what the API confirmed: half a second, and some for a busy
machine."""


class Ended(NamedTuple):
    """A run that a signal ended: the last STATE then, and whether each record had its outcome."""

    token: str
    bookmark: int
    at: float
    is_complete: bool


def none(_: Request) -> None:
    """No trouble."""


class Campaign:
    """One input, many runs: each goes on from the last STATE until a signal ends it.

    Args:
        folder: Where the runs take place.
        seed: Of all choices.
        rate: Share of requests that the API fails.
        url: The database of the store; without it, the store is a file.
        system: On which the runs are, or seem to be.
        settings: Of the target.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        rate: float = 0.0,
        url: str | None = None,
        system: str = "linux",
        **settings: Any,
    ) -> None:
        self.rng = random.Random(seed)  # noqa: S311
        self.feed = Feed(EVENTS, seed)
        self.store: Path | str = url or folder / STORE
        self.settings = settings
        self.orderly = ORDERLY if system != "win32" else (signal.SIGINT,)
        self._system = system
        self._faults = Faults(seed, rate, in_a_row=2, poison=self.feed.poison)
        self.server = FaultyServer(self._rule)
        self._folder = folder
        self.trouble: Callable[[Request], Reply | None] = none
        self.latency = 0.15
        self.ended: list[Ended] = []
        self.beside: set[str] = set()  # The tokens of runs that went on beside another one.
        self.gone: dict[str, float] = {}  # When a run had ended, or was told to, by token.
        self.runs = 0
        self.feedings: dict[Running, Feeding] = {}

    def _rule(self, request: Request) -> Reply:
        if plan := self.trouble(request):
            poisoned = plan.status == 204 and self.feed.poison.intersection(request.ids)
            return plan._replace(status=400, skipped=None) if poisoned else plan
        plan = self._faults(request)
        return plan if plan.fault else plan._replace(delay=self.rng.uniform(0, self.latency))

    @contextlib.contextmanager
    def going(self) -> Any:
        """Run the API."""
        with self.server:
            self.target = Launcher(self._folder, self.server.url)
            pretend(self.target, self._system)
            self.watch = Watch(self.server, self.store)
            try:
                yield
            finally:
                self.target.close()

    # One run

    def another_watch(self) -> Watch:
        """Watch over a run that begins with the last STATE."""
        return Watch(self.server, self.store, self.watch.bookmark)

    def start(
        self, upto: int = EVENTS, *, close: bool = True, watch: Watch | None = None
    ) -> Running:
        """Start a run that goes on from the last STATE, and feed it; the watch looks at its STATE.

        Unless the input is closed at its end, the tap is silent then.
        """
        self.runs += 1
        if isinstance(self.store, str):
            name = self._connection(f"run-{self.runs}")
            self.settings["store"] = f"{self.store}&application_name={name}"
        run = self.target.start(
            on_stdout=(watch or self.watch).look,
            batch_size_rows=BATCH,
            max_concurrent_requests=AT_ONCE,
            auth_token=f"run-{self.runs}",
            max_dead_letter_percent=100,  # Faults pick whole batches, and runs are short.
            keep_delivered=True,
            **DEFAULTS | self.settings,
        )
        self.feedings[run] = Feeding(self, run, upto, close=close)
        return run

    def _connection(self, token: str) -> str:
        """What a run's connection to the database is called."""
        return f"{self._folder.name}-{token}"

    def plan(self, first: int, plan: Reply) -> Trouble:
        """Let trouble begin with one of the next run's requests."""
        self.trouble = trouble = Trouble(first, plan)
        return trouble

    def fresh(self) -> int:
        """The first record after STATE that must still be sent."""
        is_complete = (self.server.delivered, self.feed.expected, self.feed.expires)
        fresh = self.watch.bookmark
        while any(name(fresh) in events for events in is_complete):
            fresh += 1
        return fresh

    def beyond(self) -> int:
        """The first record of which no later one was delivered either."""
        return 1 + max(map(number, self.server.delivered.copy()), default=-1)

    def requests(self) -> int:
        """How many requests of the present run have arrived."""
        return self.server.arrivals[f"run-{self.runs}"]

    def signal(self, run: Running, *numbers: int, lasting: bool = False, token: str = "") -> None:
        """End a run, by default the last one, by a signal or two; note where STATE stands then.

        Unless the API's trouble is lasting, it passes right after the signal.
        """
        token = token or f"run-{self.runs}"
        at = time.monotonic()
        for one in numbers:
            run.signal(one)
        if signal.SIGKILL not in numbers and not lasting:
            self.trouble = none
            self.server.release()
        run.wait(30)
        self.feedings.pop(run).join()
        took = time.monotonic() - at
        assert took < SOON, f"{numbers} took {took:.1f} s: {run.log}"
        assert run.code in {CODES[one] for one in numbers}, (numbers, run.code, run.log)
        self.trouble = none
        self.end_reservations(run, token, in_order=run.code >= 0)
        self.server.release()
        is_complete = run.code > 0 and not assert_adds_up(run).no_outcome
        if run.code > 0 and not lasting and not self._failed(token, at):
            assert is_complete or self._sent_to_the_end(token, at), run.log
        self.gone[token] = at
        self.ended.append(Ended(token, self.watch.bookmark, at, is_complete))

    def end_reservations(self, run: Running, token: str, *, in_order: bool) -> None:
        """Check the reservations of a run that has ended, and let them lapse.

        A run that ends in order has ended them itself.
        """
        if not self.server.requests:
            return  # There may be no store yet.
        if run.run_id is None:  # It was killed before it could say so, let alone reserve anything.
            assert not self.server.arrivals[token], run.log
            return
        if in_order:
            assert reserved(self.store, run.run_id) == 0, run.log
            return
        if isinstance(store := self.store, str):
            name = self._connection(token)
            wait_until(lambda: not is_connected(store, name), "the end of its connection")
        requests = [r for r in self.server.requests if r.token == token]
        answered = {event for r in requests if r.answered_at is not None for event in r.ids}
        in_flight = {event for r in requests for event in r.ids} - answered
        held = reserved(self.store, run.run_id)
        assert held >= len(in_flight - self.feed.expires.keys()), run.log
        bury(self.store, run.run_id)  # Nobody waits for half a minute after each kill.

    def _sent_to_the_end(self, token: str, at: float) -> bool:
        """Whether a run used the time that it has after a signal, as it may need on a busy machine.

        So it has if it sent something in the last part of this time.
        """
        late = at + STOP_RETRIES - LOOKS
        return any(r.at > late for r in self.server.requests if r.token == token)

    def _failed(self, token: str, at: float) -> bool:
        """Whether the API has failed a run, before it was told to stop at this time.

        So it has if answers were held for so long that the run has given up on them. It goes slowly
        after that, and may need more than the seconds that are left to send what it has read.
        """
        return any(
            r.reply.fault or (r.reply.held and at - r.at > SURE_WITHIN)
            for r in self.server.requests
            if r.token == token
        )

    # The verdict

    def finish(self) -> None:
        """Let the last run come to its end, and judge all of them."""
        self.latency = 0.0
        run = self.start()
        run.wait(240)
        self.feedings.pop(run).join()
        assert run.code == 0, run.log
        assert self.watch.bookmark == EVENTS
        assert_adds_up(run)
        self.end_reservations(run, f"run-{self.runs}", in_order=True)
        self.judge()

    def judge(self) -> None:
        """Nothing is lost, STATE was true, and what was repeated had to be."""
        server = self.server
        assert self.watch.problems == []
        assert server.problems == []
        assert lost(server, self.feed, self.store) == []
        assert_true_letters(server, self.feed, self.store)
        by_token = {ended.token: ended for ended in self.ended}
        repeated: dict[str, list[tuple[str, Request]]] = {}
        for event, before, again in server.repeats:
            if before.answered_at is None or not before.sure:
                continue  # The answer was lost.
            if again.token in self.beside and before.reply.status == 200:
                continue  # It had begun before, and the store knows only what a 204 confirmed.
            assert before.token != again.token, f"{event} twice in {again.token}"
            repeated.setdefault(before.token, []).append((event, before))
        self._judge_store()
        for token, events in repeated.items():
            self._judge_repeated(by_token[token], events)
        for ended in self.ended:
            self._judge_bookmark(ended)

    def _judge_store(self) -> None:
        """It has what a 204 confirmed, and no run sent what another one had reserved."""
        assert self._sent_in_two_runs_at_once() == []
        known: set[str] = set()
        possible: set[str] = set()
        ends = {ended.token: ended for ended in self.ended}
        for request in self.server.requests:
            if request.reply.status != 204 or request.answered_at is None:
                continue
            possible.update(request.ids)
            ended = ends.get(request.token)
            if ended is None or ended.is_complete or request.answered_at < ended.at - LOOKS:
                known.update(request.ids if request.sure else ())
        ((count,),) = ask(self.store, "SELECT count(*) FROM event")
        assert len(known) <= count <= len(possible)
        delivered = {event for (event,) in ask(self.store, "SELECT event_id FROM delivered")}
        assert known <= delivered <= self.server.delivered
        # An event is delivered, or a dead letter, unless the tap sends it again when it is too old.
        assert not known & letters_by_id(self.store).keys() - self.feed.expires.keys()

    def _sent_in_two_runs_at_once(self) -> list[str]:
        """The events that a run sent while another one had reserved them."""
        last: dict[str, Request] = {}
        found = []
        for request in self.server.requests:
            for event in request.ids:
                before = last.setdefault(event, request)
                last[event] = request
                if before.token == request.token or event in self.feed.expected:
                    continue
                # After a 200, no reservation is left, and the store does not know the event.
                if before.reply.status != 200 and request.seen < self.gone[before.token]:
                    found.append(event)
        return found

    def _judge_repeated(self, ended: Ended, events: list[tuple[str, Request]]) -> None:
        """What one run sent and a later one sent again."""
        sent_again = {number(event) for event, _ in events}
        assert min(sent_again) >= ended.bookmark
        assert len(sent_again) <= BATCH * HANDED_OVER, ended
        for _, before in events:
            assert before.answered_at is not None
            # (The store knows only what a 204 confirmed.)
            is_late = before.answered_at > ended.at - LOOKS and not ended.is_complete
            assert is_late or before.reply.status == 200, (ended, before)
        if ended.is_complete:
            # All was delivered: only what the tap sent after its last STATE comes again.
            assert self._states_in(ended.bookmark, min(sent_again)) == 0, ended

    def _judge_bookmark(self, ended: Ended) -> None:
        """STATE follows delivery soon: what was answered a while before the end is covered."""
        covered = ended.bookmark
        early = {
            number(event)
            for request in self.server.requests
            if request.token == ended.token
            and request.answered_at is not None
            and request.answered_at < ended.at - LOOKS
            for event in request.processed
        }
        while covered in early:
            covered += 1
        assert self._states_in(ended.bookmark, covered) == 0, ended

    def _states_in(self, after: int, upto: int) -> int:
        return sum(after < state <= upto for state in self.feed.states)


class Feeding:
    """Feeds a run, in a thread, as a tap does that starts at the last STATE."""

    def __init__(self, campaign: Campaign, run: Running, upto: int, *, close: bool) -> None:
        self._run = run
        self._close = close
        self._lines = campaign.feed.lines(campaign.watch.bookmark, upto)
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # It was killed, and its pipe closed.
            for line in self._lines:
                self._run.stdin.write(line.encode() + b"\n")
            self._run.stdin.flush()
            if self._close:
                self._run.stdin.close()
            self.done.set()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(10)
        assert not self._thread.is_alive()


# The moments

HELD = (Reply(held=True), Reply(None, skipped=None, held=True))
"""Answers that wait: of an event that is processed already, and of one that never is."""


class Trouble:
    """Something that begins after the first requests of a run, and goes on."""

    def __init__(self, first: int, plan: Reply) -> None:
        self.left = first
        self.plan = plan

    def __call__(self, request: Request) -> Reply | None:
        self.left -= 1
        return None if self.left >= 0 else self.plan

    def only(self, token: str) -> Callable[[Request], Reply | None]:
        """Return the same for the requests of one run."""
        return lambda request: self(request) if request.token == token else None

    def began(self) -> bool:
        """Whether it has met a request."""
        return self.left < 0


def mid_parse(campaign: Campaign, number: int) -> None:
    """While records flow and requests are answered."""
    first = campaign.rng.randrange(1, 60)
    run = campaign.start()
    wait_until(lambda: campaign.requests() >= first, "requests")
    campaign.signal(run, number)


def mid_request(campaign: Campaign, number: int) -> None:
    """While requests wait for their answers: processed already, or never to be."""
    trouble = campaign.plan(campaign.rng.randrange(40), campaign.rng.choice(HELD))
    run = campaign.start()
    wait_until(trouble.began, "a request that waits")
    campaign.signal(run, number)


def in_back_off(campaign: Campaign, number: int) -> None:
    """While requests wait to be sent again, for seconds or for minutes."""
    wait = campaign.rng.choice(({}, {"Retry-After": "100"}, {"Retry-After": "2"}))
    lasting = campaign.rng.random() < 0.5
    trouble = campaign.plan(campaign.rng.randrange(40), Reply(503, headers=wait, skipped=None))
    run = campaign.start()
    wait_until(trouble.began, "a failure")
    campaign.signal(run, number, lasting=lasting or bool(wait))


def in_the_final_drain(campaign: Campaign, number: int) -> None:
    """After the end of the input, while the last answers are awaited."""
    upto = min(EVENTS, campaign.fresh() + campaign.rng.randrange(BATCH, AT_ONCE * BATCH))
    trouble = campaign.plan(0, campaign.rng.choice(HELD))
    run = campaign.start(upto)
    assert campaign.feedings[run].done.wait(20)
    wait_until(trouble.began, "the last requests")
    campaign.signal(run, number)


def idle(campaign: Campaign, number: int) -> None:
    """While the tap is silent: events wait for their batch to fill, or all is done."""
    before = campaign.watch.bookmark
    upto = min(EVENTS, before + campaign.rng.randrange(300, 600))
    run = campaign.start(upto, close=False)
    assert campaign.feedings[run].done.wait(20)
    wait_until(lambda: campaign.requests() or campaign.watch.bookmark > before, "the start", 90)
    states = [state for state in campaign.feed.states if state <= upto]
    if campaign.rng.random() < 0.5 and states and states[-1] > campaign.watch.bookmark:
        wait_until(lambda: campaign.watch.bookmark == states[-1], "STATE on a silent tap", 90)
    campaign.signal(run, number)


def twice_in_a_row(campaign: Campaign, number: int) -> None:
    """A second signal while the first is obeyed, and the next run killed at its first request."""
    trouble = campaign.plan(campaign.rng.randrange(20), HELD[0])
    run = campaign.start()
    wait_until(trouble.began, "a request that waits")
    campaign.signal(run, campaign.rng.choice(campaign.orderly), number)
    run = campaign.start()
    wait_until(lambda: campaign.requests() > 0, "the first request after it", 90)
    campaign.signal(run, signal.SIGKILL)


def beside_another(campaign: Campaign, number: int) -> None:
    """While another run over the same events waits for what this one has reserved."""
    beyond = campaign.beyond()
    upto = next(state for state in campaign.feed.states if state >= beyond + 600)
    trouble = campaign.plan(campaign.rng.randrange(10), campaign.rng.choice(HELD))
    campaign.trouble = trouble.only(f"run-{campaign.runs + 1}")
    watch = campaign.another_watch()
    run = campaign.start(beyond + 300)
    token = f"run-{campaign.runs}"
    wait_until(trouble.began, "a request that waits")
    other = campaign.start(upto, watch=watch)
    campaign.beside.add(f"run-{campaign.runs}")
    # It sends what it alone has read, unless so much of the rest waits that it reads no further.
    said = "has reserved them in the store"
    wait_until(lambda: campaign.requests() > 0 or said in other.log, "the other run", 90)
    campaign.signal(run, number, token=token)
    other.wait(60)
    campaign.gone[f"run-{campaign.runs}"] = time.monotonic()
    campaign.feedings.pop(other).join()
    assert other.code == 0, other.log
    assert_adds_up(other)
    assert watch.bookmark == upto
    campaign.end_reservations(other, f"run-{campaign.runs}", in_order=True)
    watch.problems += campaign.watch.problems
    campaign.watch = watch


MOMENTS = (
    beside_another,
    mid_parse,
    mid_request,
    in_back_off,
    in_the_final_drain,
    idle,
    twice_in_a_row,
)


def kill_and_resume(campaign: Campaign, numbers: tuple[int, ...], *, each: bool = True) -> None:
    """Kill a target at each moment, resume it each time, and judge the whole.

    Unless each signal comes at each moment, they come in turn.
    """
    if each:
        moments = list(itertools.product(MOMENTS, numbers))
    else:
        moments = list(zip(MOMENTS, itertools.cycle(numbers), strict=False))
    campaign.rng.shuffle(moments)
    with campaign.going():
        for moment, number in moments:
            if campaign.beyond() < EVENTS - 1_000:
                moment(campaign, number)
            else:
                assert each, f"the input was over before {moment.__name__}"
        campaign.finish()


@pytest.mark.promise("After a SIGKILL, a crash or a failure of the store")
@pytest.mark.parametrize("system", ["linux", *SYSTEMS])
def test_kill_campaign(tmp_path: Path, system: str) -> None:
    """Killed at any moment, and resumed from STATE: nothing is lost, and little is repeated."""
    campaign = Campaign(tmp_path, 5, system=system, flush_interval_seconds=1)
    kill_and_resume(campaign, (signal.SIGKILL, campaign.orderly[0]), each=False)


SHARES = [(signal.SIGKILL, *ORDERLY)] if LONG else [(signal.SIGKILL,), ORDERLY]
RATES = (0.0, 0.1)


@pytest.mark.slow
def test_kill_campaigns(tmp_path: Path) -> None:
    """The same with any signal, and with an API that fails."""
    _campaigns(tmp_path, itertools.product(range(CAMPAIGNS), RATES, [None]))


@pytest.mark.postgres
@pytest.mark.slow
def test_kill_campaigns_in_postgres(tmp_path: Path, new_store_url: Callable[[], str]) -> None:
    """The same, with the store in PostgreSQL."""
    _campaigns(tmp_path, ((n, RATES[n % len(RATES)], new_store_url()) for n in range(CAMPAIGNS)))


def _campaigns(folder: Path, cases: Iterable[tuple[int, float, str | None]]) -> None:
    def one(seed: int, rate: float, url: str | None) -> None:
        place = folder / f"{seed}-{rate}"
        campaign = Campaign(place, seed, rate, url, flush_interval_seconds=1)
        kill_and_resume(campaign, SHARES[seed % len(SHARES)])

    in_parallel(one, cases)
