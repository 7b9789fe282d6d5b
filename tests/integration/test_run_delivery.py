"""Batches, connections, retries and the answers that end a run."""

from __future__ import annotations

import datetime as dt
import email.utils
import itertools
import threading
import time
from typing import TYPE_CHECKING

import pytest
from faulty_server import Reply, Request, in_turn
from integration_support import (
    CUSTOMER,
    DAY,
    TOKEN,
    WITH_ID,
    numbered,
    order,
    orders,
    schema,
    state,
    wait_until,
)

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

# Batches


def test_batches(target: Launcher, sandbox: Sandbox) -> None:
    """Events go in batches of at most 100, one sink a stream, however streams are mixed."""
    messages = [schema(), schema("returns")]
    for n in range(230):
        messages += [order(n), order(f"r{n}", "returns")]
    run = target.run(*messages, state({"done": 1}))
    assert (run.code, run.states) == (0, [{"done": 1}])
    assert sandbox.stats.accepted == 460
    assert sorted(r.events or 0 for r in sandbox.requests) == [30, 30, 100, 100, 100, 100]


@pytest.mark.parametrize("keys", [("id",), ()])
def test_repeated_schemas(target: Launcher, sandbox: Sandbox, keys: tuple[str, ...]) -> None:
    """A SCHEMA before every record breaks up no batch, with stream maps and without keys too."""
    messages = itertools.chain.from_iterable((schema(keys=keys), order(n)) for n in range(120))
    maps = {"orders": {"event_time": "event_time", "email": "email", "__else__": "__NULL__"}}
    run = target.run(*messages, stream_maps=maps)
    assert run.code == 0
    assert sorted(r.events or 0 for r in sandbox.requests) == [20, 100]
    assert run.summary["orders"].delivered == 120


def test_batch_size_rows(target: Launcher, sandbox: Sandbox) -> None:
    """The setting batch_size_rows makes batches smaller."""
    run = target.run(schema(), *orders(25), batch_size_rows=10)
    assert run.code == 0
    assert sorted(r.events or 0 for r in sandbox.requests) == [5, 10, 10]


def test_small_batches_keep_their_events(target: Launcher, sandbox: Sandbox) -> None:
    """Each event arrives once, with the ID of its record."""
    run = target.run(schema(columns=WITH_ID), *numbered(57), batch_size_rows=1)
    assert run.code == 0
    assert sorted(e["eventId"] for e in sandbox.events) == sorted(f"order-{n}" for n in range(57))
    assert sandbox.stats.duplicates == 0
    assert sandbox.stats.largest_batch == 1


# Connections


@pytest.mark.parametrize("most", [1, 3])
def test_concurrency(
    to_server: Launcher, server: FaultyServer, sandbox: Sandbox, most: int
) -> None:
    """Requests in flight reach max_concurrent_requests, never more, on kept connections."""
    together = threading.Event()

    def answer(_: Request) -> Reply:
        # Each answer waits until as many requests as may be are there, or for a little while.
        if server.busy >= most:
            together.set()
        server.hold(together)
        threading.Event().wait(0.03)  # so that one too many would show
        return Reply()

    server.answer = answer
    run = to_server.run(schema(), *orders(60), batch_size_rows=5, max_concurrent_requests=most)
    assert run.code == 0
    assert server.busiest == most
    assert len(server.accepted) == 60
    assert len(server.requests) == 12
    assert server.connections <= most


def test_concurrency_pays(target: Launcher, sandbox: Sandbox) -> None:
    """Sixteen slow requests, eight at a time, take the time of two."""
    sandbox.add_faults({"kind": "latency", "seconds": 0.25, "times": None})
    run = target.run(schema(), *orders(160), batch_size_rows=10)
    assert run.code == 0
    arrived = [r.received_at for r in sandbox.requests]
    assert max(arrived) - min(arrived) < 1.5  # one at a time: 3.75


def test_back_pressure(to_server: Launcher, server: FaultyServer) -> None:
    """While no request is answered, the target stops reading instead of piling records up."""
    gate = threading.Event()

    def answer(_: Request) -> Reply:
        server.hold(gate)
        return Reply()

    server.answer = answer
    padding = "x" * 2000
    run = to_server.start(max_concurrent_requests=2, batch_size_rows=10)
    wrote = threading.Event()

    def feed() -> None:
        run.send(schema(), *orders(2000, padding=padding))
        wrote.set()

    feeder = threading.Thread(target=feed)
    feeder.start()
    wait_until(lambda: server.busy == 2, "both requests")
    assert not wrote.wait(1.0)  # 4 MB do not fit into a pipe
    gate.set()
    assert wrote.wait(20)
    feeder.join()
    run.close_input().wait()
    assert run.code == 0
    assert len(server.accepted) == 2000


def test_request(to_server: Launcher, server: FaultyServer) -> None:
    """A request goes to the customer's path with the token, as a JSON array."""
    assert to_server.run(schema(), order(1)).code == 0
    (request,) = server.requests
    assert request.path == f"/conversions/{CUSTOMER}"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Content-Type"] == "application/json"
    assert len(request.events) == 1


def test_api_url_with_customer(to_server: Launcher, server: FaultyServer) -> None:
    """An api_url that contains {customer_id} is the whole URL."""
    run = to_server.run(schema(), order(1), api_url=server.url + "/v2/{customer_id}/events")
    assert run.code == 0
    assert [p.path for p in server.requests] == [f"/v2/{CUSTOMER}/events"]


@pytest.mark.parametrize("env", [False, True])
def test_netrc(to_server: Launcher, server: FaultyServer, env: bool) -> None:
    """A netrc entry, a default one included, does not replace the token."""
    name = "other-netrc" if env else ".netrc"
    netrc = to_server.folder / name
    netrc.write_text("default login somebody password secret\n")
    netrc.chmod(0o600)
    run = to_server.run(schema(), order(1), env={"NETRC": str(netrc)} if env else {})
    assert run.code == 0
    assert [p.headers["Authorization"] for p in server.requests] == [f"Bearer {TOKEN}"]


def test_proxies(to_server: Launcher, server: FaultyServer) -> None:
    """Loopback bypasses the proxies of the environment."""
    proxy = "http://127.0.0.1:9"
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY")
    run = to_server.run(
        schema(), order(1), env=dict.fromkeys(names, proxy) | {"no_proxy": "", "NO_PROXY": ""}
    )
    assert run.code == 0
    assert len(server.requests) == 1


# Retries


def test_retries(to_server: Launcher, server: FaultyServer) -> None:
    """Faults of the network and of the moment are retried, and nothing is lost or doubled."""
    statuses = [408, 425, 429, 500, 502, 503, 504, 599, 0]  # 0: the connection drops
    seen: set[str] = set()

    def answer(request: Request) -> Reply:
        (event_id,) = request.ids
        if event_id in seen:
            return Reply()
        seen.add(event_id)
        return Reply(statuses[int(event_id.partition("-")[2])])

    server.answer = answer
    run = to_server.run(
        schema(columns=WITH_ID), *numbered(len(statuses)), state({"n": 9}), batch_size_rows=1
    )
    assert (run.code, run.states, run.letters) == (0, [{"n": 9}], [])
    assert sorted(server.accepted) == [f"order-{n}" for n in range(9)]
    assert len(server.requests) == run.requests == 18
    assert "5 retries, 4 throttled" in run.log


def test_retries_back_off(to_server: Launcher, server: FaultyServer) -> None:
    """While the API takes nothing, the pauses between requests grow."""
    server.answer = in_turn(*[Reply(500)] * 4)
    assert to_server.run(schema(), order(1)).code == 0
    times = [p.seen for p in server.requests]
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert len(pauses) == 4
    assert pauses[0] > 0.1
    assert pauses[-1] > pauses[0]


def test_dropped_connections(target: Launcher, sandbox: Sandbox) -> None:
    """Connections that drop before or after processing are retried with the same event IDs."""
    sandbox.add_faults({"kind": "drop", "when": "before"}, {"kind": "drop", "when": "after"})
    run = target.run(schema(), *orders(2), state(1))
    assert (run.code, run.states) == (0, [1])
    assert len({e["eventId"] for e in sandbox.events}) == 2
    assert len({r.event_ids for r in sandbox.requests}) == 1


def test_no_answer_in_time(to_server: Launcher, server: FaultyServer) -> None:
    """An answer that takes longer than request_timeout_seconds is retried."""
    slow = itertools.count()
    never = threading.Event()

    def answer(_: Request) -> Reply:
        if next(slow) == 0:
            server.hold(never)
        return Reply()

    server.answer = answer
    run = to_server.run(schema(), order(1), state(1), request_timeout_seconds=1)
    assert (run.code, run.states) == (0, [1])
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 204 No Content\r\n\r\n" * 9, b"HTTP/1.1 100 Continue\r\n\r\n" * 9]
)
def test_an_answer_that_drips(to_server: Launcher, server: FaultyServer, raw: bytes) -> None:
    """An answer that comes byte by byte is given up in time, whatever its bytes are."""
    server.answer = in_turn(Reply(raw=raw, drip=0.1, skipped=None))
    run = to_server.run(schema(), order(1), state(1), request_timeout_seconds=1)
    assert (run.code, run.states) == (0, [1])
    first, second = (request.seen for request in server.requests)
    assert 1 <= second - first < 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after(to_server: Launcher, server: FaultyServer, form: str) -> None:
    """Retry-After is obeyed, in seconds and as a date."""
    asked = []

    def answer(_: Request) -> Reply:
        if asked:
            return Reply()
        at = dt.datetime.now(dt.timezone.utc).replace(microsecond=0) + dt.timedelta(seconds=2)
        asked.append(at.timestamp())
        value = "1" if form == "seconds" else email.utils.format_datetime(at, usegmt=True)
        return Reply(429, headers={"Retry-After": value})

    server.answer = answer
    assert to_server.run(schema(), order(1)).code == 0
    first, second = (p.seen for p in server.requests)
    assert 0.95 <= second - first < 4  # the first back-off by itself is half a second at most


def test_retry_after_beyond_the_budget(to_server: Launcher, server: FaultyServer) -> None:
    """A Retry-After beyond max_retry_seconds is obeyed for so long; one more request is made."""
    server.answer = lambda _: Reply(503, headers={"Retry-After": "3600"})
    started = time.monotonic()
    run = to_server.run(schema(), order(1), state(1), max_retry_seconds=2)
    assert 2 <= time.monotonic() - started < 8
    assert (run.code, run.states, run.letters) == (1, [], [])
    assert len(server.requests) == 2
    assert "2 seconds (max_retry_seconds): HTTP 503 (Retry-After 3600 seconds)" in run.last_line


def test_senseless_retry_after(to_server: Launcher, server: FaultyServer) -> None:
    """A Retry-After that cannot be read, or lies in the past, is no obstacle."""
    values = ("soon", "Wed, 21 Oct 2015 07:28:00 GMT")
    server.answer = in_turn(*(Reply(503, headers={"Retry-After": v}) for v in values))
    assert to_server.run(schema(), order(1)).code == 0
    assert len(server.requests) == 3


def test_max_retry_seconds(to_server: Launcher, server: FaultyServer) -> None:
    """After max_retry_seconds the run fails, with STATE for what was delivered and no further."""
    accept = [True]
    server.answer = lambda _: Reply() if accept[0] else Reply(503)
    run = to_server.start(max_retry_seconds=1, flush_interval_seconds=1)
    run.send(schema(), order(1), state({"n": 1}))
    wait_until(lambda: run.states == [{"n": 1}], "the first STATE")
    accept[0] = False
    run.send(order(2), state({"n": 2})).close_input().wait()
    assert (run.code, run.states, run.letters) == (1, [{"n": 1}], [])
    assert "max_retry_seconds" in run.last_line
    assert "503" in run.last_line
    assert "Traceback" not in run.log


def test_nobody_listens(target: Launcher) -> None:
    """An API that cannot be reached ends the run, in one readable last line."""
    run = target.run(
        schema(), order(1), state(1), api_url="http://127.0.0.1:9", max_retry_seconds=1
    )
    assert (run.code, run.states, run.letters) == (1, [], [])
    assert "http://127.0.0.1:9" in run.last_line
    assert "Traceback" not in run.log


def test_age_is_judged_again(to_server: Launcher, server: FaultyServer) -> None:
    """An event that grows too old in a back-off is left out of the retry and dead-lettered."""
    expires = 0
    grown = threading.Event()

    def answer(_: Request) -> Reply:
        if grown.is_set():
            return Reply()
        wait_until(lambda: time.time() > expires, "the end of the window")
        grown.set()
        return Reply(503)

    server.answer = answer
    run = to_server.start().started()
    expires = int(time.time()) + 2
    old = order(1, event_id="old", event_time=expires - 7 * DAY + 60)
    run.send(schema(columns=WITH_ID), order(0, event_id="young"), old, state(1))
    run.close_input().wait()
    assert (run.code, run.states) == (0, [1])
    assert [p.ids for p in server.requests] == [["young", "old"], ["young"]]
    assert [(x["event_id"], x["reason"]) for x in run.letters] == [("old", "event_too_old")]


# Answers that end a run


@pytest.mark.parametrize("status", [401, 403])
def test_denied(to_server: Launcher, server: FaultyServer, status: int) -> None:
    """401 and 403 end the run at once, and say that the token may have been rotated."""
    server.answer = lambda _: Reply(status, TOKEN.encode())
    run = to_server.run(schema(), *orders(3), state(1))
    assert (run.code, run.states, run.letters) == (1, [], [])
    assert len(server.requests) == 1
    assert "token" in run.last_line
    assert "rotated" in run.last_line
    assert TOKEN not in run.log


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("at_once", [1, 8])
def test_a_rotated_token(
    to_server: Launcher, server: FaultyServer, status: int, at_once: int
) -> None:
    """A token file is read once more, and the run goes on with the new token."""
    file = to_server.folder / "token"
    file.write_text(f"{TOKEN}\n")
    new = "a-new-token-after-rotation"
    lock, rotated = threading.Lock(), False

    def answer(request: Request) -> Reply:
        nonlocal rotated
        with lock:
            if not rotated and len(server.requests) > at_once:
                file.write_text(f"{new}\n")
                rotated = True
        valid = new if rotated else TOKEN
        return Reply() if request.headers["Authorization"] == f"Bearer {valid}" else Reply(status)

    server.answer = answer
    run = to_server.run(
        schema(),
        *orders(2_000),
        state(1),
        auth_token=...,
        auth_token_path=str(file),
        max_concurrent_requests=at_once,
    )
    assert (run.code, run.states, run.letters) == (0, [1], [])
    used = [p.headers["Authorization"] for p in server.requests]
    assert set(used) == {f"Bearer {TOKEN}", f"Bearer {new}"}
    accepted = 20
    assert len(used) <= accepted + at_once  # Each request in flight was denied at most once.
    told = (
        "the API denied access, but the file of auth_token_path now contains another token, so the"
        " run continues with that token"
    )
    assert run.log.count(told) == 1
    assert TOKEN not in run.log
    assert new not in run.log


@pytest.mark.parametrize("content", [TOKEN, "", None])
def test_a_token_file_without_a_new_token(
    to_server: Launcher, server: FaultyServer, content: str | None
) -> None:
    """It is read once, and the run ends as it does without a file."""
    file = to_server.folder / "token"
    file.write_text(TOKEN)

    def answer(_: Request) -> Reply:
        if content is None:
            file.unlink()
        else:
            file.write_text(content)
        return Reply(401)

    server.answer = answer
    run = to_server.run(schema(), order(1), state(1), auth_token=..., auth_token_path=str(file))
    assert (run.code, run.states, run.letters) == (1, [], [])
    assert len(server.requests) == 1
    assert "auth_token_path" in run.last_line
    assert TOKEN not in run.log


@pytest.mark.parametrize(
    "reply",
    [
        Reply(404),
        Reply(418, b"teapot"),
        Reply(201),
        Reply(301, headers={"Location": "/elsewhere"}),
        Reply(302, headers={"Location": "/elsewhere"}),
    ],
    ids=lambda reply: str(reply.status),
)
def test_unknown_status(to_server: Launcher, server: FaultyServer, reply: Reply) -> None:
    """A status that is not known ends the run and is named; a redirect is not followed."""
    server.answer = lambda request: reply if request.path.startswith("/conv") else Reply()
    run = to_server.run(schema(), *orders(3), state(1))
    assert (run.code, run.states, run.letters) == (1, [], [])
    assert [p.path for p in server.requests] == [f"/conversions/{CUSTOMER}"]
    for told in (str(reply.status), server.url, CUSTOMER):
        assert told in run.last_line
    assert run.summary["total"].delivered == 0


def test_state_of_what_was_delivered_before(to_server: Launcher, server: FaultyServer) -> None:
    """A run that fails for good has written the STATE of what was delivered before."""
    server.answer = lambda request: Reply(404 if "order-4" in request.ids else 204)
    run = to_server.run(
        schema(columns=WITH_ID),
        *itertools.chain.from_iterable((m, state(i)) for i, m in enumerate(numbered(8))),
        batch_size_rows=2,
        max_concurrent_requests=1,
    )
    assert run.code == 1
    assert run.states[-1] == 3
    assert "order-3" in server.accepted


# 200

PARTLY: dict[bytes, tuple[int, ...]] = {
    b'["order-0"]': (0,),
    b' [ "order-3" , "order-4", "order-3" ] ': (3, 4),
}
"""Bodies that name a proper part of their batch of three, and the events that they name."""
UNCLEAR = [
    b'["order-6","order-7","order-8"]',  # all of it
    b"[]",
    b'["order-99"]',
    b'["order-15","order-99"]',
    b'{"processed":2}',
    b"[21]",
    b'[["order-24"]]',
    b"null",
    b"<h1>fine</h1>",
    b"\xff\xfe",
    b"[" * 30_000,
    b"",
]


def test_partly_processed(to_server: Launcher, server: FaultyServer) -> None:
    """A 200 that names a proper part of the batch is believed; any other leaves all unconfirmed."""
    bodies = [*PARTLY, *UNCLEAR]
    server.answer = lambda request: Reply(200, bodies[int(request.ids[0].split("-")[1]) // 3])
    events = 3 * len(bodies)
    run = to_server.run(
        schema(columns=WITH_ID),
        *numbered(events),
        state(1),
        batch_size_rows=3,
        max_dead_letter_percent=100,
    )
    assert (run.code, run.states) == (0, [1])
    named = {f"order-{n}" for numbers in PARTLY.values() for n in numbers}
    unclear = {f"order-{n}" for n in range(3 * len(PARTLY), events)}
    found = [(x["event_id"], x["reason"]) for x in run.letters]
    assert sorted(found) == sorted(
        [(i, "not_processed") for i in named] + [(i, "unconfirmed") for i in unclear]
    )
    assert run.summary["total"].delivered == events - len(found)
    assert len(server.requests) == len(bodies)


def test_partly_processed_in_the_sandbox(target: Launcher, sandbox: Sandbox) -> None:
    """What the sandbox says it did not process is a letter, and the rest has arrived there."""
    sandbox.add_faults({"kind": "partial", "event_ids": ["order-1", "order-7"]})
    run = target.run(schema(columns=WITH_ID), *numbered(10), state(1))
    assert (run.code, run.states) == (0, [1])
    assert {x["event_id"] for x in run.letters} == {"order-1", "order-7"}
    assert sandbox.stats.accepted == run.summary["total"].delivered == 8


# URLs that cannot be called, and URLs that are not


@pytest.mark.parametrize("url", ["https://*.example.com", "https://*", "https://.example.com"])
def test_a_url_that_cannot_be_called(target: Launcher, url: str) -> None:
    """A URL that cannot be called is a wrong setting, and no run that hangs."""
    run = target.run(schema(), *orders(3), state(3), api_url=url)
    assert (run.code, run.states) == (2, [])
    assert "api_url" in run.last_line
    assert url not in run.log
    assert "Traceback" not in run.log


def test_a_schema_is_not_fetched(to_server: Launcher, server: FaultyServer) -> None:
    """With validate_records, a SCHEMA that refers to a URL makes this machine call nobody."""
    server.answer = lambda _: Reply(200, b"{}")
    reference = {"$ref": f"{server.url}/column.json"}
    run = to_server.run(
        schema(columns=WITH_ID, value=reference), *numbered(2), state(2), validate_records=True
    )
    assert server.connections == 0
    assert (run.code, run.states, run.letters) == (1, [], [])
    assert "SCHEMA" in run.last_line
    assert "Traceback" not in run.log
