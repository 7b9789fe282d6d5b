"""What went wrong once, below the level of a whole run."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import random
import signal
import socket
import stat
import threading
import time
import types
from typing import TYPE_CHECKING, Any

import pytest
from unit_support import TIME, order, rejection
from unit_support import build as build_one

from target_liveintent.config import settings_of
from target_liveintent.conversions.builder import EventBuilder
from target_liveintent.conversions.model import Conversion, Rejection
from target_liveintent.delivery import pool as delivery
from target_liveintent.delivery.breaker import SUSPICIOUS, Breaker
from target_liveintent.delivery.client import Answer, Client, Verdict
from target_liveintent.delivery.model import Batch, BatchResult
from target_liveintent.delivery.pool import Delivery
from target_liveintent.errors import DeliveryError, StorageError, TooManyRejectedError
from target_liveintent.run.run import Run
from target_liveintent.storage.dead_letters import dead_letter_line
from target_liveintent.target import TargetLiveIntent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from target_liveintent.settings import Settings

JANE = "jane.roe+x@example.com"
PATIENCE = 5.0


def settings(tmp_path: Path, **changes: Any) -> Settings:
    """Return settings with an API that is not there."""
    config = {
        "customer_id": "a-1b2c",
        "auth_token": "a-token-of-hard-cases",
        "api_url": "http://127.0.0.1:9",
        "dead_letter_path": str(tmp_path / "letters.singer"),
        **changes,
    }
    return settings_of(config)


def conversion(name: str, expires_at: float | None = None) -> Conversion:
    """Return an event that has a day left, or less."""
    until = time.time() + 86_400 if expires_at is None else expires_at
    return Conversion("orders", name, 1, int(until), b"{}", {"value": 1})


class Api:
    """A client that asks a function whether it refuses."""

    def __init__(self, refuses: Callable[[list[str]], bool]) -> None:
        self.posted: list[list[str]] = []
        self.accepted: list[str] = []
        self._refuses = refuses

    def __call__(self, _: Any) -> Api:
        return self

    def post(self, body: bytes, event_ids: Collection[str], within: float) -> Answer:
        ids = list(event_ids)
        self.posted.append(ids)
        if self._refuses(ids):
            return Answer(Verdict.REFUSED, "HTTP 400: bad", 400)
        self.accepted += ids
        return Answer(Verdict.ACCEPTED, "HTTP 204", 204)


def deliver(ids: list[str], of: Settings) -> BatchResult:
    """Deliver one batch by a delivery of its own."""
    done: list[BatchResult] = []
    one = Delivery(of, done.append)
    one.submit(Batch(0, "orders", 0.0, [conversion(name) for name in ids]), lambda: None)
    assert one.join(PATIENCE), "the delivery hangs"
    return done[0]


# Delivery


def test_refused_events_were_sent_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the API refuses together, no event is a dead letter that it did not refuse alone."""
    chance = random.Random(1)  # noqa: S311
    for _ in range(200):
        ids = [f"k{n}" for n in range(chance.randint(2, 24))]
        pairs = [set(chance.sample(ids, 2)) for _ in range(chance.randint(1, 3))]
        bad = set(chance.sample(ids, chance.randint(0, 2)))

        def refuses(asked: list[str], pairs: list[set[str]] = pairs, bad: set[str] = bad) -> bool:
            return bool(bad & set(asked)) or any(pair <= set(asked) for pair in pairs)

        api = Api(refuses)
        monkeypatch.setattr(delivery, "Client", api)
        done = deliver(ids, settings(tmp_path))
        assert done.failure is None
        refused = {refusal.conversion.event_id for refusal in done.refusals}
        assert refused == bad
        assert all([name] in api.posted for name in refused)
        assert sorted(api.accepted) == sorted(set(ids) - bad)


def test_age_is_judged_after_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that grows too old while its batch waits for its turn is not sent any more."""
    now = [time.time()]
    clock = types.SimpleNamespace(time=lambda: now[0], monotonic=time.monotonic)
    monkeypatch.setattr(delivery, "time", clock)
    waiting = threading.Event()

    class Watched(Breaker):
        def wait_for_turn(self, batch: Any) -> Any:
            if batch == 0:
                waiting.set()
            return super().wait_for_turn(batch)

    breaker = Watched()
    breaker._refused = list(range(SUSPICIOUS))
    breaker.wait_for_turn("another")
    api = Api(lambda _: False)
    monkeypatch.setattr(delivery, "Client", api)
    monkeypatch.setattr(delivery, "Breaker", lambda: breaker)
    done: list[BatchResult] = []
    one = Delivery(settings(tmp_path), done.append)
    short = [conversion("old", now[0] + 100), conversion("young", now[0] + 10_000)]
    one.submit(Batch(0, "orders", 0.0, short), lambda: None)
    assert waiting.wait(PATIENCE)
    now[0] += 1_000
    breaker.done("another")
    assert one.join(PATIENCE)
    assert api.posted == [["young"]]
    assert [(r.conversion.event_id, r.reason) for r in done[0].refusals] == [
        ("old", "event_too_old")
    ]


def test_one_fate_when_the_token_rotates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that had grown too old before a denied request is not too old twice."""
    outcomes = [Answer(Verdict.ROTATED, "HTTP 401", 401), Answer(Verdict.ACCEPTED, "HTTP 204", 204)]
    monkeypatch.setattr(Client, "post", lambda *_: outcomes.pop(0))
    done: list[BatchResult] = []
    one = Delivery(settings(tmp_path), done.append)
    events = [conversion("old", time.time() - 10), conversion("young")]
    one.submit(Batch(0, "orders", 0.0, events), lambda: None)
    assert one.join(PATIENCE), "the delivery hangs"
    assert [refusal.conversion.event_id for refusal in done[0].refusals] == ["old"]
    assert [event.event_id for event in done[0].delivered] == ["young"]


def test_a_client_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread whose client fails gives its batch back as failed, and goes on to the next."""
    problem = ValueError("no client")

    def fail(*_: Any) -> Answer:
        raise problem

    monkeypatch.setattr(Client, "post", fail)
    done: list[BatchResult] = []
    one = Delivery(settings(tmp_path, max_concurrent_requests=1), done.append)
    end = time.monotonic() + PATIENCE

    def tick() -> None:
        assert time.monotonic() < end, "the delivery hangs"

    for number in range(3):
        one.submit(Batch(number, "orders", 0.0, [conversion("1")]), tick)
    assert one.join(PATIENCE), "the delivery hangs"
    assert len(done) == 3
    assert done[0].failure is problem
    assert all(isinstance(x.failure, DeliveryError) for x in done[1:])  # "The run was stopped."


@pytest.mark.parametrize("proxy", ["http://:80", "https://", "foo://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """A proxy that no retry can mend ends the run at once, and is a failure and no hanging run."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("https_proxy", proxy)
    done = deliver(["1"], settings(tmp_path, api_url="https://127.0.0.1.invalid"))
    assert done.failure is not None
    assert (done.requests, done.retries) == (1, 0)


@contextlib.contextmanager
def dripping(head: bytes, drop: bytes, drops: int = 100) -> Iterator[str]:
    """Serve one answer whose rest comes drop by drop, over five seconds."""
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65_536)
            connection.sendall(head)
            for _ in range(drops):
                if ended.wait(0.05):
                    return
                connection.sendall(drop)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        ended.set()
        thread.join(5)


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request"])
def test_an_answer_that_drips(tmp_path: Path, status: bytes) -> None:
    """An answer that comes byte by byte takes no longer than an answer may take."""
    head = b"HTTP/1.1 " + status + b"\r\nContent-Length: 100\r\n\r\n"
    with dripping(head, b"x") as url:
        client = Client(settings(tmp_path, api_url=url, request_timeout_seconds=1))
        outcome = client.post(b"[]", ["1"], 60.0)
    assert (outcome.kind, outcome.detail) == (Verdict.RETRY, "no answer in time")
    assert 1.0 <= outcome.seconds < 3.0


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[int]]]:
    """Give all requests of one connection after the other the same answer; counts them."""
    seen: list[int] = []

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                seen.append(0)
                with connection, connection.makefile("rb") as requests:
                    while any(line == b"\r\n" for line in requests) and requests.read(2):
                        seen[-1] += 1
                        connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n["1"]',
    ],
    ids=["204", "200-empty", "200"],
)
def test_a_connection_that_is_taken_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """A thread may send over a connection while another still judges the answer before."""
    with answering(answer) as (url, seen):
        client = Client(settings(tmp_path, api_url=url, request_timeout_seconds=5))
        judge = Client._judge
        outcomes: list[Answer] = []

        def judge_late(*given: Any) -> Answer:
            monkeypatch.setattr(client, "_judge", judge)
            outcomes.append(client.post(b"[]", ["1"], 5.0))
            return judge(*given)

        monkeypatch.setattr(client, "_judge", judge_late)
        outcomes.append(client.post(b"[]", ["1"], 5.0))
    assert [outcome.status for outcome in outcomes] == [int(answer[9:12])] * 2
    assert seen == [2]


# The books


def run_of(tmp_path: Path, write_state: Callable[[str], None], **changes: Any) -> Run:
    return Run(settings(tmp_path, **changes), write_state, logging.getLogger("test"))


def reject(run: Run, count: int) -> None:
    """Read records that cannot be sent."""
    for n in range(count):
        run.counts.of("orders").read += 1
        run.reject("orders", Rejection("orders", str(n), "missing_event_time", "event_time", {}))


def test_no_state_after_a_failed_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once letters may not be on the disk, no STATE is written, though later syncs succeed."""
    real = os.fsync
    failures = iter([OSError(errno.EIO, "Input/output error")])

    def sync(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and (failure := next(failures, None)):
            raise failure
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    states: list[str] = []
    run = run_of(tmp_path, states.append)
    reject(run, 1)
    run.hold_state("1")
    with pytest.raises(StorageError, match="dead_letter_path") as raised:
        run.finish()
    run.hold_state("2")
    with contextlib.suppress(StorageError):
        run.abandon(raised.value)
    assert states == []


def test_no_state_after_one_that_failed(tmp_path: Path) -> None:
    """A STATE that could not be written is not followed by another."""
    states: list[str] = []

    def write(state: str) -> None:
        states.append(state)
        if len(states) == 1:
            msg = "STATE cannot be written"
            raise StorageError(msg)

    run = run_of(tmp_path, write)
    run.hold_state("1")
    with pytest.raises(StorageError) as raised:
        run.finish()
    run.hold_state("2")
    run.abandon(raised.value)
    assert states == ["1"]


def test_the_percentage_is_judged_before_a_state(tmp_path: Path) -> None:
    """Too many dead letters are no matter until a STATE is due, and then none is written."""
    states: list[str] = []
    run = run_of(tmp_path, states.append)
    reject(run, 120)
    run._next_look = 0.0
    run.tick()
    run.hold_state("1")
    run._next_look = 0.0
    with pytest.raises(TooManyRejectedError, match="120 of 120"):
        run.tick()
    assert states == []


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_percentage_is_judged_at_the_end(tmp_path: Path, dry_run: bool) -> None:
    """Without any STATE, and in a dry run, too many dead letters fail the run at its end."""
    run = run_of(tmp_path, lambda _: None, dry_run=dry_run)
    reject(run, 120)
    with pytest.raises(TooManyRejectedError, match="120 of 120"):
        run.finish()


# After a signal


@pytest.fixture
def keep_signals() -> Iterator[None]:
    """Put the handlers of signals back."""
    kept = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("keep_signals")
@pytest.mark.parametrize("where", ["listen", "abandon"])
def test_a_stranger_after_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Of an unexpected exception after a signal the kind is logged, not the text."""
    config = {
        "customer_id": "a-1b2c",
        "auth_token": "a-token-of-hard-cases",
        "dead_letter_path": str(tmp_path / "letters.singer"),
    }
    target = TargetLiveIntent(config=config)
    said: list[str] = []  # As it is logged, before any handler could scrub it.
    monkeypatch.setattr(target.logger, "handle", lambda entry: said.append(entry.getMessage()))

    def listen(_: Any) -> None:
        target._handle_termination(signal.SIGTERM, None)
        raise KeyError(JANE if where == "listen" else "x")

    def abandon(_: BaseException) -> None:
        if where == "abandon":
            raise KeyError(JANE)

    monkeypatch.setattr(target, "listen", listen)
    monkeypatch.setattr(target.run, "abandon", abandon)
    with pytest.raises(SystemExit) as ended:
        target.process(None)
    assert ended.value.code == 128 + signal.SIGTERM
    log = "\n".join(said)
    assert "KeyError" in log
    assert "jane" not in log


# Events


COLUMNS = (
    "event_id", "event_time", "pixel_id", "source", "decision_id", "email", "md5", "sha2", "ip",
    "user_agent", "idfa", "aaid", "tracking_enabled", "currency", "value", "order_id",
    "source_url", "app_bundle", "consent",
)  # fmt: skip
FORMS: dict[str, Any] = {
    "plain": JANE,
    "within": f"2026-08-01 web 12.50 {JANE.upper()} true",
    "encoded": "https://shop.example/thanks?who=jane.roe%2Bx%40example.com",
    "list": [JANE, {"to": JANE}],
    "object": {JANE: [JANE]},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("column", COLUMNS)
def test_repr_holds_no_address(column: str, form: str) -> None:
    """Whatever column holds an address, no repr does, and so no traceback and no log."""
    for changes in ({}, {"event_time": None}, {"source": "shop"}, {"event_time": TIME - 10**7}):
        result = build_one(order(**{"email": "x@example.com", **changes, column: FORMS[form]}))
        assert "roe" not in repr(result).lower(), (column, changes)
        if isinstance(result, Rejection):
            assert b"roe" not in dead_letter_line(result).lower()


def test_both_kinds_are_tested() -> None:
    """An optional column with an address leaves an event, a required one does not."""
    assert isinstance(build_one(order(order_id=JANE)), Conversion)
    assert isinstance(build_one(order(event_time=JANE)), Rejection)


@pytest.mark.parametrize("form", FORMS)
def test_repr_of_keys_holds_no_address(form: str) -> None:
    """The key properties that a letter is found by hold no address either."""
    builder = EventBuilder("orders", COLUMNS, ("who", "n"), settings_defaults())
    unmapped = builder.reject_unmapped("value", {"who": FORMS[form], "n": 1}, "ValueError")
    assert unmapped.keys is not None
    assert unmapped.keys["n"] == 1
    assert "roe" not in repr(unmapped).lower()
    without = rejection(order(event_id=None), raw={"n": FORMS[form]}, keys=("who", "n"))
    assert without.reason == "missing_key"
    assert "roe" not in repr(without).lower()


def settings_defaults() -> Any:
    """Return what the usual settings say about events."""
    return settings_of({"customer_id": "a-1b2c", "auth_token": "a-token-of-hard-cases"}).events


def test_columns_that_were_left_out_are_named_once() -> None:
    """What was left out for its address is named for a replay, once a column."""
    result = build_one(order(order_id=JANE, user_agent=f"curl {JANE}"))
    assert isinstance(result, Conversion)
    assert sorted(result.columns["scrubbed"]) == ["order_id", "user_agent"]
    record = json.loads(dead_letter_line(delivery.Refusal(result, "refused_by_api").rejection))[
        "record"
    ]
    assert sorted(record["scrubbed"]) == ["order_id", "user_agent"]
