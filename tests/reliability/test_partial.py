"""A 200 says that a part was processed: whatever its body is, nothing is delivered by guess."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fakes import FakeClock, FakeDelivery
from faulty_server import FaultyServer, Reply, Request
from integration_support import SETTINGS as USUAL
from integration_support import STORE
from reliability_support import (
    Feed,
    assert_adds_up,
    launcher,
    letters_by_id,
    name,
    run_against,
    run_file,
)

from target_liveintent.config import settings_of
from target_liveintent.conversions.model import Rejection
from target_liveintent.run.parts import RunParts
from target_liveintent.run.run import Run
from target_liveintent.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from integration_forks import Forks

BATCH = 4
DEEP = b"[" * 60_000
BODIES: dict[str, tuple[Callable[[list[str]], bytes], int]] = {
    "one": (lambda ids: json.dumps(ids[:1]).encode(), 1),
    "the last": (lambda ids: json.dumps(ids[-1:]).encode(), 1),
    "all but one": (lambda ids: json.dumps(ids[1:]).encode(), 3),
    "one, twice": (lambda ids: json.dumps([ids[2], ids[2]]).encode(), 1),
    "one, in white space": (lambda ids: b'\n [ "' + ids[0].encode() + b'" ] \r\n', 1),
    "one, escaped": (lambda ids: rb'["\u0065' + ids[0][1:].encode() + b'"]', 1),
    "all": (lambda ids: json.dumps(ids).encode(), 0),
    "all, twice": (lambda ids: json.dumps(ids * 2).encode(), 0),
    "all and another": (lambda ids: json.dumps([*ids, "else"]).encode(), 0),
    "one and another": (lambda ids: json.dumps([ids[0], "else"]).encode(), 0),
    "another": (lambda _: b'["else"]', 0),
    "one in capitals": (lambda ids: json.dumps([ids[0].upper()]).encode(), 0),
    "one in spaces": (lambda ids: json.dumps([f" {ids[0]} "]).encode(), 0),
    "none": (lambda _: b"[]", 0),
    "one and null": (lambda ids: json.dumps([ids[0], None]).encode(), 0),
    "one and a number": (lambda ids: json.dumps([ids[0], 1]).encode(), 0),
    "lists": (lambda ids: json.dumps([[ids[0]]]).encode(), 0),
    "objects": (lambda ids: json.dumps([{"eventId": ids[0]}]).encode(), 0),
    "an object": (lambda ids: json.dumps({"failed": ids[:1]}).encode(), 0),
    "a text": (lambda ids: json.dumps(ids[0]).encode(), 0),
    "no JSON": (lambda ids: ids[0].encode(), 0),
    "half of it": (lambda ids: json.dumps(ids[:2]).encode()[:-2], 0),
    "more after it": (lambda ids: json.dumps(ids[:1]).encode() + b" []", 0),
    "two lines": (lambda ids: f'["{ids[0]}"]\n["{ids[1]}"]'.encode(), 0),
    "a number": (lambda _: b"4", 0),
    "true": (lambda _: b"true", 0),
    "null": (lambda _: b"null", 0),
    "nothing": (lambda _: b"", 0),
    "no text": (lambda _: b"\xff\xfe\x00", 0),
    "UTF-16": (lambda ids: json.dumps(ids[:1]).encode("utf-16"), 0),
    "lone surrogates": (lambda _: rb'["\ud800"]', 0),
    "nested deeply": (lambda _: DEEP, 0),
    "endless": (lambda ids: json.dumps(ids[:1] * 20_000).encode(), 0),
}
"""Bodies by name: from the IDs of the batch, and how many of them it names properly."""
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


@pytest.mark.parametrize(
    ("size", "reasons"),
    [(1, {"e0": "unconfirmed", "e1": "unconfirmed"}), (2, {"e0": "not_processed"})],
)
def test_a_batch_of_one(tmp_path: Path, forks: Forks, size: int, reasons: dict[str, str]) -> None:
    """A 200 that names the only event of its batch names no proper part: it is unconfirmed."""

    def name_the_first(request: Request) -> Reply:
        return Reply(200, json.dumps(request.ids[:1]).encode(), skipped=request.ids[:1])

    lines = Feed(2, 3, every=1, mixed=False).lines()
    run, _, _ = run_against(name_the_first, tmp_path, forks, lines, batch_size_rows=size)
    assert run.code == 0
    letters = letters_by_id(tmp_path).items()
    assert {event: letter["reason"] for event, letter in letters} == reasons


def test_an_id_twice_in_a_batch(tmp_path: Path, forks: Forks) -> None:
    """Of two records with one event ID, the second waits until a 200 has named the first."""
    lines = [line.replace('"e1"', '"e0"') for line in Feed(3, 3, mixed=False).lines()]

    def name_it_once(request: Request) -> Reply:
        return Reply(200, b'["e0"]', skipped=["e0"]) if len(request.ids) > 1 else Reply()

    run, _, server = run_against(name_it_once, tmp_path, forks, lines)
    assert run.code == 0
    assert [request.ids for request in server.requests] == [["e0", "e2"], ["e0"]]
    assert run.summary["total"].reasons == {"not_processed": 1}
    assert run.summary["total"].delivered == 2
    assert run.letters == []  # The dead letter of the first is gone, as its event was delivered.


def test_letters_are_on_the_disk_before_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a STATE is written, each letter before it is in the store, and survives a power cut."""
    settings = settings_of({**USUAL, "store": str(tmp_path / STORE)})
    clock = FakeClock()
    store = open_store(settings, "run-1", clock)
    really, is_durable = store.database.transact, [False]

    def transact(*steps: Any, durable: bool = False) -> Any:
        is_durable.append(durable)
        return really(*steps, durable=durable)

    monkeypatch.setattr(store.database, "transact", transact)
    seen = []

    def write_state(state: str) -> None:
        seen.append((int(state), len(letters_by_id(tmp_path)), is_durable[-1]))

    run = Run(settings, RunParts(clock, FakeDelivery(clock), store, write_state))
    for n in range(5):
        run.take("orders", Rejection("orders", name(n), "no_identity", None, {}))
        run.gate.hold(str(n + 1))
        clock.now += 1.0
        run.tick()
    run.finish()
    store.close()
    assert seen == [(n, n, True) for n in range(1, 6)]
