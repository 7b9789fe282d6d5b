"""Refused batches: halved until the bad events are alone, and when a refusal is not believed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from faulty_server import refusing
from integration_support import TOKEN, WITH_ID, numbered, order, schema, state

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher, Message

    from target_liveintent.sandbox import Sandbox


def ids(*numbers: int) -> set[str]:
    return {f"order-{n}" for n in numbers}


def test_one_bad_event(target: Launcher, sandbox: Sandbox) -> None:
    """One bad event in 100 is found in about 11 requests, and the others are delivered once."""
    bad = 99
    sandbox.add_faults({"kind": "refuse", "event_ids": [f"order-{bad}"], "times": None})
    run = target.run(schema(columns=WITH_ID), *numbered(100), state(1))
    assert (run.code, run.states) == (0, [1])
    assert {e["eventId"] for e in sandbox.events} == ids(*range(100)) - ids(bad)
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (99, 0)
    (letter,) = run.letters
    assert (letter["event_id"], letter["reason"]) == (f"order-{bad}", "refused_by_api")
    assert "refused by a scripted fault" in json.dumps(letter)
    assert run.requests == sandbox.stats.requests <= 15


def test_what_the_api_said(to_server: Launcher, server: FaultyServer) -> None:
    """A letter says what the API said, without the addresses and the token that it echoes."""
    address = "Jane.Roe+x@Example.com"
    text = f"bad value for {address} or jane.roe%2Bx%40example.com (Bearer {TOKEN})"
    entry = {"httpStatus": 422, "message": text, "errorCode": "VALUE"}
    server.answer = refusing("order-1", status=422, body=json.dumps({"errors": [entry]}).encode())
    run = to_server.run(schema(columns=WITH_ID), *numbered(4), state(1))
    assert run.code == 0
    (letter,) = run.letters
    assert "bad value for" in letter["detail"]
    assert "422" in letter["detail"]
    everything = (json.dumps(letter) + run.log + run.stdout).lower()
    assert "@example.com" not in everything
    assert "example.com" not in json.dumps(letter).lower()
    assert TOKEN not in everything


def events(stream: str, *numbers: int) -> list[Message]:
    """Return RECORD messages whose event IDs name the stream and the number."""
    return [order(n, stream, event_id=f"{stream}-{n}") for n in range(*numbers)]


def test_fail_delivers_what_another_stream_had_read(
    to_server: Launcher, server: FaultyServer
) -> None:
    """A refusal that ends the run while a full batch waits to be sent does not lose that batch."""
    server.answer = refusing("b-150")
    run = to_server.run(
        schema("a", WITH_ID),
        schema("b", WITH_ID),
        *events("a", 99),
        *events("b", 200),
        *events("a", 99, 100),
        state("all"),
        on_rejection="fail",
        max_concurrent_requests=1,
    )
    assert (run.code, run.states) == (1, [])
    assert "refused_by_api" in run.last_line
    assert sorted(x for x in server.accepted if x.startswith("a-")) == sorted(
        f"a-{n}" for n in range(100)
    )
