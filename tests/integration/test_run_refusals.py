"""Refused batches: halved until the bad events are alone, and when a refusal is not believed."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from faulty_server import Reply, Request, refusing
from integration_support import CUSTOMER, TOKEN, WITH_ID, numbered, order, schema, state

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher, Message

    from target_liveintent.sandbox import Sandbox


def ids(*numbers: int) -> set[str]:
    return {f"order-{n}" for n in numbers}


@pytest.mark.parametrize("bad", [0, 99])
def test_one_bad_event(target: Launcher, sandbox: Sandbox, bad: int) -> None:
    """One bad event in 100 is found in about 11 requests, and the others are delivered once."""
    sandbox.add_faults({"kind": "refuse", "event_ids": [f"order-{bad}"], "times": None})
    run = target.run(schema(columns=WITH_ID), *numbered(100), state(1))
    assert (run.code, run.states) == (0, [1])
    assert {e["eventId"] for e in sandbox.events} == ids(*range(100)) - ids(bad)
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (99, 0)
    (letter,) = run.letters
    assert (letter["event_id"], letter["reason"]) == (f"order-{bad}", "refused_by_api")
    assert "refused by a scripted fault" in json.dumps(letter)
    assert run.requests == sandbox.stats.requests <= 15


@pytest.mark.parametrize("status", [413, 422])
def test_several_bad_events(to_server: Launcher, server: FaultyServer, status: int) -> None:
    """Several bad events, neighbours included, are found; all others are delivered once."""
    bad = ids(3, 4, 50, 98, 117, 149)
    server.answer = refusing(*bad, status=status)
    run = to_server.run(schema(columns=WITH_ID), *numbered(150), state(1))
    assert (run.code, run.states) == (0, [1])
    assert Counter(server.accepted) == Counter(ids(*range(150)) - bad)
    assert {(x["event_id"], x["reason"]) for x in run.letters} == {
        (i, "refused_by_api") for i in bad
    }
    assert len(run.letters) == len(bad)
    assert run.summary["total"].reasons == {"refused_by_api": 6}


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


@pytest.mark.parametrize("bad", [("order-1",), tuple(ids(*range(4)))], ids=["fail", "nothing"])
def test_what_the_api_said_last(
    to_server: Launcher, server: FaultyServer, bad: tuple[str, ...]
) -> None:
    """The last line of a run that refusals end holds none of the addresses that they echo."""
    said = f"jane.roe@example.com and jane.roe%40example.com, {TOKEN}".encode()
    server.answer = refusing(*bad, body=said)
    run = to_server.run(schema(columns=WITH_ID), *numbered(4), state(1), on_rejection="fail")
    assert (run.code, run.states) == (1, [])
    assert "400" in run.last_line
    assert "jane" not in run.log
    assert TOKEN not in run.log


STRANGE_BODIES = [
    b"",
    b"<html>\n\nno\n</html>",
    b"\xff\x00\xfe",
    b"[" * 50_000,
    b'{"errors": 5}',
    b'{"errors": [{"message": {"a": 1}}, 7]}',
    b"x" * 200_000,
]


def test_refusals_in_any_form(to_server: Launcher, server: FaultyServer) -> None:
    """Whatever stands in a refusal, the bad event is found and its letter stays short."""
    bad = {f"order-{4 * n + 2}": body for n, body in enumerate(STRANGE_BODIES)}

    def answer(request: Request) -> Reply:
        said = [bad[event_id] for event_id in request.ids if event_id in bad]
        return Reply(400, said[0]) if said else Reply()

    server.answer = answer
    events = 4 * len(bad)
    run = to_server.run(schema(columns=WITH_ID), *numbered(events), state(1), batch_size_rows=4)
    assert (run.code, run.states) == (0, [1])
    assert Counter(server.accepted) == Counter(ids(*range(events)) - set(bad))
    assert sorted(x["event_id"] for x in run.letters) == sorted(bad)
    assert all(len(json.dumps(letter)) < 2000 for letter in run.letters)
    assert len(max(run.log.splitlines(), key=len)) < 2000


def test_too_large(to_server: Launcher, server: FaultyServer) -> None:
    """A batch of too many bytes is split, and no event is blamed for its size."""
    limit = 10_000
    server.answer = lambda request: Reply(413 if len(request.body) > limit else 204)
    run = to_server.run(schema(columns=WITH_ID), *numbered(100, order_id="x" * 50), state(1))
    assert (run.code, run.states, run.letters) == (0, [1], [])
    assert Counter(server.accepted) == Counter(ids(*range(100)))


def test_too_large_and_one_bad(to_server: Launcher, server: FaultyServer) -> None:
    """A bad event in a batch of too many bytes is found, and it alone."""

    def answer(request: Request) -> Reply:
        if len(request.body) > 5_000:
            return Reply(413)
        return Reply(422 if "order-70" in request.ids else 204)

    server.answer = answer
    run = to_server.run(schema(columns=WITH_ID), *numbered(100), state(1))
    assert (run.code, run.states) == (0, [1])
    assert [x["event_id"] for x in run.letters] == ["order-70"]
    assert Counter(server.accepted) == Counter(ids(*range(100)) - ids(70))


def test_one_event_too_large(to_server: Launcher, server: FaultyServer) -> None:
    """An event that is too large by itself is a dead letter."""
    server.answer = lambda request: Reply(413 if len(request.body) > 7_000 else 204)
    messages = numbered(10)
    messages[6]["record"]["source_url"] = "https://shop.example.com/" + "x" * 7_500
    run = to_server.run(schema(columns=(*WITH_ID, "source_url")), *messages, state(1))
    assert (run.code, run.states) == (0, [1])
    assert [x["event_id"] for x in run.letters] == ["order-6"]
    assert len(server.accepted) == 9


def test_isolation_survives_faults(to_server: Launcher, server: FaultyServer) -> None:
    """A fault of the moment in the midst of halving changes nothing of what is found."""
    count = iter(range(1000))

    def answer(request: Request) -> Reply:
        if next(count) in {1, 3}:
            return Reply(503)
        return Reply(400 if "order-5" in request.ids else 204)

    server.answer = answer
    run = to_server.run(schema(columns=WITH_ID), *numbered(8), state(1))
    assert (run.code, run.states) == (0, [1])
    assert [x["event_id"] for x in run.letters] == ["order-5"]
    assert Counter(server.accepted) == Counter(ids(0, 1, 2, 3, 4, 6, 7))


def test_partly_processed_in_isolation(to_server: Launcher, server: FaultyServer) -> None:
    """A 200 in the midst of halving infers nothing wrong about the other half."""

    def answer(request: Request) -> Reply:
        if "order-6" in request.ids:
            return Reply(400)
        if "order-1" in request.ids and len(request.ids) > 1:
            return Reply(200, b'["order-1"]')
        return Reply()

    server.answer = answer
    run = to_server.run(schema(columns=WITH_ID), *numbered(8), state(1))
    assert (run.code, run.states) == (0, [1])
    assert {x["event_id"]: x["reason"] for x in run.letters} == {
        "order-1": "not_processed",
        "order-6": "refused_by_api",
    }
    assert run.summary["total"].delivered == 6
    assert run.summary["total"].adds_up


@pytest.mark.parametrize("count", [10, 100])
def test_nothing_accepted(to_server: Launcher, server: FaultyServer, count: int) -> None:
    """A run in which nothing was ever accepted fails without STATE and without dead letters."""
    server.answer = lambda _: Reply(400, b"no such pixel")
    run = to_server.run(schema(columns=WITH_ID), *numbered(count), state(1))
    assert (run.code, run.states, run.letters) == (1, [], [])
    assert re.search("pixel.?id", run.last_line, re.IGNORECASE)
    assert re.search("customer.?id", run.last_line, re.IGNORECASE)
    assert len(server.requests) <= 100
    assert run.summary["total"].dead_lettered == 0


def test_few_events_and_none_accepted(to_server: Launcher, server: FaultyServer) -> None:
    """Fewer than ten refused events of a run become dead letters, so that it is not stuck."""
    server.answer = lambda _: Reply(400, b"no such pixel")
    run = to_server.run(schema(columns=WITH_ID), *numbered(9), state(1))
    assert (run.code, run.states, len(run.letters)) == (0, [1], 9)
    assert any(
        "the API refused 9 events at the end of the input, or before a pause" in line
        for line in run.warnings
    )


def test_nothing_accepted_but_rejections(to_server: Launcher, server: FaultyServer) -> None:
    """Where the API takes nothing, the records that were rejected before it still add up."""
    server.answer = lambda _: Reply(422)
    messages = numbered(16)
    messages[2]["record"]["email"] = None
    run = to_server.run(schema(columns=WITH_ID), *messages, state(1))
    assert (run.code, run.states) == (1, [])
    assert {x["reason"] for x in run.letters} <= {"no_identity"}
    assert run.summary["total"].adds_up


def test_refusing_everything_stops_soon(to_server: Launcher, server: FaultyServer) -> None:
    """An API that refuses whatever comes is not asked more than 100 times."""
    server.answer = lambda _: Reply(400)
    run = to_server.run(
        schema(columns=WITH_ID), *numbered(5000), state(1), max_concurrent_requests=16
    )
    assert (run.code, run.states, run.letters) == (1, [], [])
    assert len(server.requests) <= 100
    assert "customer_id" in run.last_line
    assert CUSTOMER in run.last_line or "pixel" in run.last_line


def test_acceptance_in_another_batch(to_server: Launcher, server: FaultyServer) -> None:
    """One acceptance in the run is enough to believe the refusal of a batch before it."""
    server.answer = refusing("order-0")
    run = to_server.run(
        schema(columns=WITH_ID),
        *numbered(3),
        state(1),
        batch_size_rows=1,
        max_concurrent_requests=1,
    )
    assert (run.code, run.states) == (0, [1])
    assert [x["event_id"] for x in run.letters] == ["order-0"]
    assert sorted(server.accepted) == ["order-1", "order-2"]


def test_no_state_before_acceptance(to_server: Launcher, server: FaultyServer) -> None:
    """While nothing was accepted yet, no STATE passes a refused batch."""
    server.answer = refusing("order-0")
    seen = []
    run = to_server.run(
        schema(columns=WITH_ID),
        numbered(1)[0],
        state("after the refused one"),
        *numbered(3)[1:],
        state("end"),
        batch_size_rows=1,
        max_concurrent_requests=1,
        on_stdout=lambda _: seen.append(len(server.accepted)),
    )
    assert run.code == 0
    assert run.states[-1] == "end"
    assert all(accepted > 0 for accepted in seen)


def test_fail_on_refusal(to_server: Launcher, server: FaultyServer) -> None:
    """With on_rejection fail, a refusal ends the run after what precedes it was delivered."""
    server.answer = refusing("order-5")
    messages = [part for n, m in enumerate(numbered(8)) for part in (m, state(n))]
    run = to_server.run(
        schema(columns=WITH_ID),
        *messages,
        on_rejection="fail",
        batch_size_rows=1,
        max_concurrent_requests=1,
    )
    assert (run.code, run.letters) == (1, [])
    assert run.states[-1] == 4
    assert "refused_by_api" in run.last_line
    assert ids(0, 1, 2, 3, 4) <= set(server.accepted)


def test_a_batch_of_refused_events_among_good_ones(
    to_server: Launcher, server: FaultyServer
) -> None:
    """A run goes on after a row of refused events if other batches are accepted."""
    bad = {f"order-{n}" for n in range(500, 518)}

    def answer(request: Request) -> Reply:
        if bad & set(request.ids):
            return Reply(400, b"bad")
        return Reply()

    server.answer = answer
    good, others = numbered(500), numbered(1000)[500:]
    run = to_server.run(schema(columns=WITH_ID), *good, state(500), *others, state(1000))
    assert run.code == 0, run.log
    assert run.states[-1] == 1000
    assert {x["event_id"] for x in run.letters} == bad
    assert len(run.letters) == 18
    assert {x["reason"] for x in run.letters} == {"refused_by_api"}
    assert len(server.accepted) == len(set(server.accepted)) == 982
    assert not bad & set(server.accepted)


def test_no_letter_for_what_was_never_sent_alone(to_server: Launcher, server: FaultyServer) -> None:
    """Where an ID twice in a request is what the API refuses, no event becomes a dead letter."""

    def answer(request: Request) -> Reply:
        return Reply(400 if len(set(request.ids)) < len(request.ids) else 204)

    server.answer = answer
    messages = [order(n, event_id=x) for n, x in enumerate(["k0", "same", "same", "k3"])]
    run = to_server.run(schema(columns=WITH_ID), *messages, state(4), ledger=False)
    assert (run.code, run.states, run.letters) == (0, [4], [])
    assert sorted(server.accepted) == ["k0", "k3", "same", "same"]


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
