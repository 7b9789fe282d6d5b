"""A 200 says that a part was processed: whatever its body is, nothing is delivered by guess."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faulty_server import FaultyServer, Reply, Request
from integration_forks import Forks
from integration_support import Launcher
from reliability_support import Feed, Watch, assert_adds_up, letters_by_id, name, run_file

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


def partial(request: Request) -> Reply:
    """Answer each batch with another 200, and the last one with a 204."""
    number = int(request.ids[0][1:]) // BATCH
    if number == len(BODIES):
        return Reply()
    body, named = list(BODIES.values())[number]
    text = body(request.ids)
    return Reply(200, text, skipped=frozenset(json.loads(text) if named else ()))


def test_every_body(tmp_path: Path, forks: Forks) -> None:
    """What a 200 names properly was not processed; any other 200 leaves its batch unconfirmed.

    A replay sends what was not processed; what is unconfirmed only when it is asked to.
    """
    feed = Feed(EVENTS, 3, every=3, mixed=False)
    with FaultyServer(partial) as server:
        target = Launcher(tmp_path, server.url, forks)
        watch = Watch(server, tmp_path)
        run = run_file(target, feed.lines(), on_stdout=watch.look, **SETTINGS)
        assert (run.code, watch.problems, watch.bookmark) == (0, [], EVENTS), run.log
        assert len(server.requests) == len(BODIES) + 1
        letters = {event: one["reason"] for event, one in letters_by_id(tmp_path).items()}
        expected: dict[str, str] = {}
        for number, (body, named) in enumerate(BODIES.values()):
            ids = [name(n) for n in range(BATCH * number, BATCH * (number + 1))]
            reason = "not_processed" if named else "unconfirmed"
            expected |= dict.fromkeys(json.loads(body(ids)) if named else ids, reason)
        assert letters == expected
        total = assert_adds_up(run, EVENTS)
        assert (total.delivered, total.dead_lettered) == (EVENTS - len(letters), len(letters))
        server.answer = lambda _: Reply()
        for options, reason in (((), "not_processed"), (("--unconfirmed",), "unconfirmed")):
            before, left = len(server.requests), letters_by_id(tmp_path)
            again = target.ask("replay", *options, **SETTINGS)
            assert again.code == 0, again.log
            sent = [event for request in server.requests[before:] for event in request.ids]
            assert sorted(sent) == sorted(e for e, why in letters.items() if why == reason)
            assert letters_by_id(tmp_path) == {e: one for e, one in left.items() if e not in sent}
            total = assert_adds_up(again, len(left))
            assert (total.delivered, total.not_replayed) == (len(sent), len(left) - len(sent))
        target.close()


def test_the_store_knows_only_what_a_204_confirmed(tmp_path: Path, forks: Forks) -> None:
    """A second run sends all again of which a 200 was the answer, and no more."""
    feed = Feed(EVENTS, 3, every=3, mixed=False)
    with FaultyServer(partial) as server:
        target = Launcher(tmp_path, server.url, forks)
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
    assert assert_adds_up(again, EVENTS).drops == {"already_sent": BATCH}
    assert assert_adds_up(third, EVENTS).drops == {"already_sent": EVENTS}
