"""`target-liveintent replay`: sends what can be sent, and leaves the rest, each letter once."""

from collections.abc import Iterator

import pytest
from faulty_server import FaultyServer, refusing
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
    schema,
    state,
    wait_until,
)

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


# During a run


EVENTS = 10_000


def feed(start: int, end: int) -> Iterator[Message]:
    """Return events, of which each fifth has no source, with a STATE after each 500."""
    for number, message in enumerate(numbered(end)[start:], start):
        if number % 5:
            message["record"]["source"] = "web"
        yield message
        if number % 500 == 499:
            yield state(number + 1)


@pytest.mark.promise("A replay loses no dead letter and sends none twice")
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
