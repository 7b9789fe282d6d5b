"""A 200 says that a part was processed: whatever its body is, nothing is delivered by guess."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import FaultyServer, Reply, Request
from reliability_support import (
    Feed,
    assert_adds_up,
    launcher,
    letters_by_id,
    name,
    run_against,
    run_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from integration_forks import Forks

BATCH = 4
BODIES: dict[str, tuple[Callable[[list[str]], bytes], int]] = {
    "one": (lambda ids: json.dumps(ids[:1]).encode(), 1),
    "all but one": (lambda ids: json.dumps(ids[1:]).encode(), 3),
    "all": (lambda ids: json.dumps(ids).encode(), 0),
    "one and another": (lambda ids: json.dumps([ids[0], "else"]).encode(), 0),
    "none": (lambda _: b"[]", 0),
    "no JSON": (lambda ids: ids[0].encode(), 0),
    "nothing": (lambda _: b"", 0),
    "endless": (lambda ids: json.dumps(ids[:1] * 20_000).encode(), 0),
}
"""Bodies by name: from the IDs of the batch, and how many of them it names properly.

(`tests/unit/delivery/test_api.py` has the others.)
"""
EVENTS = BATCH * (len(BODIES) + 1)
SETTINGS: dict[str, Any] = {"batch_size_rows": BATCH, "max_dead_letter_percent": 100}


def batch_of(event_id: str) -> int:
    return int(event_id[1:]) // BATCH


class Partial:
    """An API that answers each batch with another 200, and the last one with a 204."""

    def __call__(self, request: Request) -> Reply:
        number = batch_of(request.ids[0])
        if number == len(BODIES):
            return Reply()
        body, named = list(BODIES.values())[number]
        text = body(request.ids)
        skipped = json.loads(text) if named else ()
        return Reply(200, text, skipped=frozenset(skipped))


def test_every_body(tmp_path: Path, forks: Forks) -> None:
    """What a 200 names properly was not processed; any other 200 leaves its batch unconfirmed."""
    feed = Feed(EVENTS, 3, every=3, mixed=False)
    run, watch, server = run_against(Partial(), tmp_path, forks, feed.lines(), **SETTINGS)
    assert (run.code, watch.problems, watch.bookmark) == (0, [], EVENTS), run.log
    assert len(server.requests) == len(BODIES) + 1
    letters = letters_by_id(tmp_path)
    for number, (said, (body, named)) in enumerate(BODIES.items()):
        ids = [name(n) for n in range(BATCH * number, BATCH * (number + 1))]
        found = {event: letters[event]["reason"] for event in ids if event in letters}
        if named:
            assert found == dict.fromkeys(json.loads(body(ids)), "not_processed"), said
        else:
            assert found == dict.fromkeys(ids, "unconfirmed"), said
    assert len(letters) == sum(named or BATCH for _, named in BODIES.values())
    totals = assert_adds_up(run, EVENTS)
    assert totals["delivered"] == EVENTS - len(letters)
    assert totals["dead-lettered"] == len(letters)


@pytest.mark.parametrize("options", [(), ("--unconfirmed",)], ids=["plain", "unconfirmed"])
def test_replay(tmp_path: Path, forks: Forks, options: Sequence[str]) -> None:
    """A replay sends what was not processed; what is unconfirmed only when it is asked to."""
    feed = Feed(EVENTS, 3, every=3, mixed=False)
    with FaultyServer(Partial()) as server:
        target = launcher(tmp_path, server, forks)
        assert run_file(target, feed.lines(), **SETTINGS).code == 0
        letters = letters_by_id(tmp_path)
        before = len(server.requests)
        server.answer = lambda _: Reply()
        again = target.ask("replay", *options, **SETTINGS)
        target.close()
    assert again.code == 0, again.log
    wanted = {e for e, letter in letters.items() if options or letter["reason"] == "not_processed"}
    sent = [event for request in server.requests[before:] for event in request.ids]
    assert sorted(sent) == sorted(wanted)
    assert letters_by_id(tmp_path) == {e: x for e, x in letters.items() if e not in wanted}
    assert again.summary["total"].delivered == len(wanted)
    assert again.summary["total"].not_replayed == len(letters) - len(wanted)
    assert again.summary["total"].adds_up


def test_the_store_knows_only_what_a_204_confirmed(tmp_path: Path, forks: Forks) -> None:
    """A second run sends all again of which a 200 was the answer, and no more."""
    feed = Feed(EVENTS, 3, every=3, mixed=False)
    with FaultyServer(Partial()) as server:
        target = launcher(tmp_path, server, forks)
        assert run_file(target, feed.lines(), **SETTINGS).code == 0
        before = len(server.requests)
        server.answer = lambda _: Reply()
        again = run_file(target, feed.lines(), **SETTINGS)
        assert letters_by_id(tmp_path) == {}
        third = run_file(target, feed.lines(), **SETTINGS)
        target.close()
    assert (again.code, third.code) == (0, 0)
    sent = [event for request in server.requests[before:] for event in request.ids]
    assert sorted(sent) == sorted(name(n) for n in range(BATCH * len(BODIES)))
    assert assert_adds_up(again, EVENTS)["already_sent"] == BATCH
    assert assert_adds_up(third, EVENTS)["already_sent"] == EVENTS
