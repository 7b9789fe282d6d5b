"""Batches, connections, retries and the answers that end a run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from faulty_server import Reply, Request
from integration_support import (
    CUSTOMER,
    TOKEN,
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


# Connections


def test_concurrency(to_server: Launcher, server: FaultyServer) -> None:
    """Requests in flight reach max_concurrent_requests, never more, on kept connections."""
    most = 3
    together = threading.Event()

    def answer(_: Request) -> Reply:
        # Each answer waits for a moment until as many requests as may be are there.
        if server.busy >= most:
            together.set()
        together.wait(0.5)
        return Reply(delay=0.03)  # So that one too many would show.

    server.answer = answer
    run = to_server.run(schema(), *orders(60), batch_size_rows=5, max_concurrent_requests=most)
    assert run.code == 0
    assert server.busiest == most
    assert (len(server.accepted), len(server.requests)) == (60, 12)
    assert server.connections <= most


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
    assert not wrote.wait(0.5)  # 4 MB do not fit into a pipe
    gate.set()
    assert wrote.wait(20)
    feeder.join()
    run.close_input().wait()
    assert run.code == 0
    assert len(server.accepted) == 2000


def test_request(to_server: Launcher, server: FaultyServer) -> None:
    """A request goes to the customer's path with the token, as a JSON array.

    On loopback, no proxy of the environment is used, and no netrc replaces the token.
    """
    netrc = to_server.folder / ".netrc"
    netrc.write_text("default login somebody password secret\n")
    netrc.chmod(0o600)
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY")
    env = dict.fromkeys(names, "http://127.0.0.1:9") | {"no_proxy": "", "NO_PROXY": ""}
    for more in ({}, {"NETRC": str(netrc)}):
        assert (
            to_server.run(schema(), order(1), env=env | more, options=("--send-again",)).code == 0
        )
        request = server.requests.pop()
        assert (request.path, server.requests) == (f"/conversions/{CUSTOMER}", [])
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.headers["Content-Type"] == "application/json"
        assert len(request.events) == 1


# Answers that end a run


def test_a_rotated_token(to_server: Launcher, server: FaultyServer) -> None:
    """A token file is read once more, and the run goes on with the new token."""
    at_once = 8
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
        return Reply() if request.headers["Authorization"] == f"Bearer {valid}" else Reply(401)

    server.answer = answer
    own = {"auth_token": ..., "auth_token_path": str(file), "max_concurrent_requests": at_once}
    run = to_server.run(schema(), *orders(2_000), state(1), **own)
    assert (run.code, run.states, run.letters) == (0, [1], [])
    used = [p.headers["Authorization"] for p in server.requests]
    assert set(used) == {f"Bearer {TOKEN}", f"Bearer {new}"}
    assert len(used) <= 20 + at_once  # Each request in flight was denied at most once.
    told = (
        "the API denied access, but the file of auth_token_path now contains another token, so the"
        " run continues with that token"
    )
    assert run.log.count(told) == 1
    assert TOKEN not in run.log
    assert new not in run.log
