"""`target-liveintent replay`: sends what can be sent, and leaves the rest, each letter once."""

import json
from collections.abc import Iterator
from typing import Any

from faulty_server import FaultyServer, Reply, refusing
from integration_support import (
    DAY,
    OFTEN,
    WITH_ID,
    Launcher,
    Message,
    dead_letter,
    dead_letter_lines,
    numbered,
    order,
    orders,
    schema,
    state,
    wait_until,
)

from target_liveintent.sandbox import Sandbox

COLUMNS = (*WITH_ID, "source", "pixel_id")


def letters(*event_ids: str) -> list[Message]:
    """Return dead letters with these event IDs; of `bad` ones, the source is unknown."""
    return [
        dead_letter(one, **({"source": "shop"} if one.startswith("bad") else {}))
        for one in event_ids
    ]


# What is sent and what is left


def test_each_outcome(to_server: Launcher, server: FaultyServer) -> None:
    """The summary counts by outcome, and the store has what is left; the exit code is 0."""
    now = order(1)["record"]["event_time"]
    maybe = dead_letter("maybe", reason="unconfirmed")
    server.answer = refusing("refused")
    assert to_server.run(schema(columns=WITH_ID), order(1, event_id="again")).code == 0
    old = dead_letter("old", event_time=now - 8 * DAY)
    to_server.put_letters(*letters("good", "again", "refused", "bad"), old, maybe)
    run = to_server.ask("replay")
    assert (run.code, sorted(server.accepted)) == (0, ["again", "good"])
    said = (
        "read 6, filtered 0, unmapped 0, delivered 1, dead-lettered 2 (invalid_source 1,"
        " refused_by_api 1), dropped 2 (expired 1, already_sent 1), not replayed 1 (unconfirmed 1)"
    )
    assert said in run.log
    left = to_server.letters
    assert sorted(left) == ["bad", "maybe", "refused"]
    assert left["maybe"] == maybe["record"]
    assert left["refused"]["reason"] == "refused_by_api"
    assert to_server.ask("replay", "--unconfirmed").code == 0
    assert sorted(to_server.letters) == ["bad", "refused"]


# Dead letters from a file


def test_letters_from_elsewhere(to_server: Launcher, server: FaultyServer) -> None:
    """What is printed can be edited and sent; what cannot be sent is in the store, as edited.

    Dead letters of the store that are not in the file, or on standard input, are not sent.
    """
    to_server.put_letters(*letters("bad", "bad-value", "good"))
    text = to_server.exported().replace('"source":"shop"', '"source":"app"', 1)
    (to_server.folder / "edited").write_text(text.replace('"source":"shop"', '"source":"pos"'))
    to_server.put_letters(*letters("other"))
    run = to_server.ask("replay", "edited")
    assert (run.code, sorted(server.accepted)) == (0, ["bad", "good"])
    left = {name: one.get("source") for name, one in to_server.letters.items()}
    assert left == {"bad-value": "pos", "other": None}
    run = to_server.start("replay", "-")
    run.stdin.write(dead_letter_lines(*letters("good-too", "bad")))
    assert run.close_input().wait().code == 0
    assert server.accepted[2:] == ["good-too"]
    assert sorted(to_server.letters) == ["bad", "bad-value", "other"]


# Whose dead letters


def test_letters_of_another_pixel(to_server: Launcher, server: FaultyServer) -> None:
    """Another loader's replay leaves them in the store, and says whose they are."""
    server.answer = refusing("order-1")
    first = to_server.run(schema(columns=WITH_ID), *numbered(3), state(1), pixel_id=2001)
    server.answer = lambda _: Reply()
    server.requests.clear()
    other = to_server.ask("replay", pixel_id=2002)
    assert (other.code, server.requests, other.letters) == (0, [], first.letters)
    total = other.summary["total"]
    assert (total.read, total.not_replayed, total.not_settled) == (1, 1, 0)
    assert other.warnings == []
    assert "other_account 1: The dead letter belongs to another account" in other.log
    assert other.last_line.startswith("dead letters are in the store; to see what to do")
    exported = to_server.exported()
    own = to_server.ask("replay", pixel_id=2001)
    assert (own.code, own.warnings, own.letters) == (0, [], [])
    (to_server.folder / "exported").write_text(exported)
    right = to_server.ask("replay", "exported", "--other-accounts", pixel_id=2002)
    assert (right.code, right.letters) == (0, [])
    sent = [(e["eventId"], e["pixelId"]) for p in server.requests for e in p.events]
    assert sent == [("order-1", 2001), ("order-1", 2002)]


def by_prospect(target: Launcher, **settings: Any) -> dict[str, int]:
    """Return what `dead-letters` says that a replay would do."""
    shown = json.loads(target.ask("dead-letters", "--format=json", **settings).stdout)
    return {name: count for name, count in shown["replay"].items() if count}


def test_a_replay_does_what_is_shown(target: Launcher, sandbox: Sandbox) -> None:
    """The letters that a replay sends are as many as are shown, with the settings of then.

    Stream maps change nothing in dead letters; they are sent with the event IDs that they have.
    """
    maps = {"stream_maps": {"*": {"event_id": "'shop-' + str(id)", "order_id": "'x' + str(id)"}}}
    wrong = {**maps, "pixel_id": ...}
    columns = ("id", "event_time", "email", "pixel_id")
    run = target.run(schema(columns=columns), *orders(4), order(5, event_time="someday"), **wrong)
    assert len(run.letters) == 5
    assert by_prospect(target, **wrong) == {"cannot_send": 5}
    assert by_prospect(target, **maps) == {"sends": 4, "cannot_send": 1}
    assert target.ask("replay", **maps).code == 0
    sent = {(one["eventId"], one["purchaseData"]["orderId"]) for one in sandbox.events}
    assert sent == {(f"shop-{n}", f"x{n}") for n in range(4)}
    assert by_prospect(target, **maps) == {"cannot_send": 1}


# How it ends


def test_all_are_refused(to_server: Launcher, server: FaultyServer) -> None:
    """A replay fails if the API refuses 100 or more and accepts none, and keeps all of them.

    With a limit, so many are sent, and the rest is left as it was; the next replay sends it.
    """
    names = [f"e{n}" for n in range(100)]
    to_server.put_letters(*letters(*names))
    server.answer = lambda _: Reply(400)
    run = to_server.ask("replay")
    assert (run.code, len(run.letters)) == (1, 100)
    assert "the API refused" in run.last_line
    assert len(server.requests) < 200
    server.answer = lambda _: Reply()
    run = to_server.ask("replay", limit=4)
    assert (run.code, len(server.accepted), len(run.letters)) == (0, 4, 96)
    assert "the limit of 4 events (setting 'limit') is reached; run the replay again" in run.log
    assert to_server.ask("replay").letters == []
    assert sorted(server.accepted) == sorted(names)
    to_server.put_letters(*letters(*(f"new{n}" for n in range(20))))
    server.answer = lambda _: Reply(400)
    run = to_server.ask("replay")
    assert (run.code, len(run.letters)) == (0, 20)  # Perhaps only bad events are left.


EVENTS = 10_000


def feed(start: int, end: int) -> Iterator[Message]:
    """Return events, of which each fifth has no source, with a STATE after each 500."""
    for number, message in enumerate(numbered(end)[start:], start):
        if number % 5:
            message["record"]["source"] = "web"
        yield message
        if number % 500 == 499:
            yield state(number + 1)


def test_replays_during_a_run(to_server: Launcher, server: FaultyServer) -> None:
    """Each event is delivered once, however often dead letters are sent meanwhile."""
    run = to_server.start(default_source=..., max_dead_letter_percent=100, constants=OFTEN)
    run.send(schema(columns=(*WITH_ID, "source")))
    for start in range(0, EVENTS, EVENTS // 5):
        run.send(*feed(start, start + EVENTS // 5))
        wait_until(lambda: to_server.letters, "dead letters")
        assert to_server.ask("replay").code == 0
    run.close_input().wait(60)
    assert (run.code, run.states[-1]) == (0, EVENTS)
    assert to_server.ask("replay").letters == []
    assert len(server.delivered) == EVENTS
    assert server.repeats == []
