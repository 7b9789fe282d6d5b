"""`target-liveintent replay`: sends what can be sent, and leaves the rest, each letter once."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from faulty_server import Reply, refusing
from integration_support import (
    DAY,
    OFTEN,
    WITH_ID,
    dead_letter,
    dead_letter_lines,
    numbered,
    order,
    schema,
    state,
    wait_until,
)
from ledger_claims import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faulty_server import FaultyServer
    from integration_support import Launcher, Message

    from target_liveintent.sandbox import Sandbox

COLUMNS = (*WITH_ID, "source", "pixel_id")


def several(amount: int, name: str = "e") -> list[str]:
    """Return event IDs."""
    return [f"{name}{n}" for n in range(amount)]


def letters(*event_ids: str) -> list[Message]:
    """Return dead letters with these event IDs; of `bad` ones, the source is unknown."""
    return [
        dead_letter(one, **({"source": "shop"} if one.startswith("bad") else {}))
        for one in event_ids
    ]


# What is sent and what is left


def test_what_has_become_sendable_is_sent(to_server: Launcher, server: FaultyServer) -> None:
    """A corrected setting makes dead letters sendable; those that are sent are gone."""
    bad = [*numbered(3), *numbered(5, source="web")[3:]]
    first = to_server.run(schema(columns=COLUMNS), *bad, state(1), default_source=...)
    assert (first.code, len(first.letters)) == (0, 3)
    run = to_server.ask("replay")
    assert (run.code, run.letters) == (0, [])
    assert sorted(server.accepted) == [f"order-{n}" for n in range(5)]
    assert (run.stdout, run.summary["total"].delivered) == ("", 3)


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


def test_a_dry_run_changes_nothing(to_server: Launcher, server: FaultyServer) -> None:
    """It says what would become of the dead letters, and does not change the store."""
    to_server.put_letters(*letters("good", "bad"))
    before = to_server.store_files
    run = to_server.ask("replay", "--dry-run")
    assert (run.code, server.requests) == (0, [])
    assert "would be delivered 1, would be dead-lettered 1 (invalid_source 1)" in run.log
    assert to_server.store_files == before


# Dead letters from a file


def test_edited_letters(to_server: Launcher, server: FaultyServer) -> None:
    """What is printed can be edited and sent; what cannot be sent is in the store, as edited."""
    to_server.put_letters(*letters("bad", "bad-value", "good"))
    text = to_server.exported().replace('"source":"shop"', '"source":"app"', 1)
    (to_server.folder / "edited").write_text(text.replace('"source":"shop"', '"source":"pos"'))
    run = to_server.ask("replay", "edited")
    assert (run.code, sorted(server.accepted)) == (0, ["bad", "good"])
    assert {name: one["source"] for name, one in to_server.letters.items()} == {"bad-value": "pos"}


def test_letters_from_elsewhere(to_server: Launcher, server: FaultyServer) -> None:
    """Standard input is put into the store, and sent; other dead letters are not."""
    to_server.put_letters(*letters("other"))
    run = to_server.begin("replay", "-")
    run.stdin.write(dead_letter_lines(*letters("good", "bad")))
    assert run.close_input().wait().code == 0
    assert server.accepted == ["good"]
    assert sorted(to_server.letters) == ["bad", "other"]


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


def test_letters_of_a_file_are_read_once(to_server: Launcher, server: FaultyServer) -> None:
    """Also if a letter is rejected again, for an account whose letters come behind its own."""
    first = to_server.run(schema(columns=WITH_ID), *(order(n, email=None) for n in range(3)))
    assert [letter["reason"] for letter in first.letters] == ["no_identity"] * 3
    (to_server.folder / "exported").write_text(to_server.exported())
    options = ("exported", "--other-accounts")
    one = {
        "target_liveintent.store.letters:_PAGE": 1,
        "target_liveintent.run.run:_MOST_UNWRITTEN": 1,
    }
    again = to_server.ask("replay", *options, constants=one, customer_id="b-zzzz")
    assert (again.code, server.requests) == (0, [])
    assert again.summary["total"].read == 3


# What is sent


MAP = {
    "event_id": "'shop-' + str(id)",
    "event_time": "when",
    "email": "mail",
    "source": "channel",
    "pixel_id": "pixel",
    "value": "total",
    "__else__": "__NULL__",
}
SHOP = ("id", "when", "mail", "channel", "pixel", "total")


def shop_order(number: int, **columns: Any) -> Message:
    """Return a record that needs the map."""
    plain = order(number)["record"]
    own = {"when": plain["event_time"], "mail": plain["email"], "total": 12.10}
    record = {"id": number, **own, "channel": "web", "pixel": 1, **columns}
    return {"type": "RECORD", "stream": "orders", "record": record}


def test_maps_do_not_matter(target: Launcher, sandbox: Sandbox) -> None:
    """With a corrected setting, and the same maps, letters are sent with their event IDs."""
    own = {"stream_maps": {"*": MAP}, "pixel_id": ..., "default_source": ...}
    messages = [shop_order(n, pixel=None) for n in range(3)]
    first = target.run(schema("orders", SHOP), shop_order(9), *messages, state(1), **own)
    assert (first.code, first.states) == (0, [1])
    assert [x["reason"] for x in first.letters] == ["invalid_pixel_id"] * 3
    sandbox.reset()
    again = target.ask("replay", **{**own, "pixel_id": 777})
    assert (again.code, again.letters) == (0, [])
    sent = sorted((e["eventId"], e["pixelId"]) for e in sandbox.events)
    assert sent == [(f"shop-{n}", 777) for n in range(3)]
    assert again.summary["total"].adds_up


# How it ends


def test_all_are_refused(to_server: Launcher, server: FaultyServer) -> None:
    """A replay fails if the API refuses 100 events and accepts none, and keeps all of them."""
    to_server.put_letters(*letters(*several(100)))
    server.answer = lambda _: Reply(400)
    run = to_server.ask("replay")
    assert (run.code, len(run.letters)) == (1, 100)
    assert "the API refused all 100 events that the replay has sent" in run.last_line
    server.answer = lambda _: Reply()
    assert to_server.ask("replay").letters == []
    assert sorted(server.accepted) == sorted(several(100))


def test_a_limit(to_server: Launcher, server: FaultyServer) -> None:
    """So many are sent, and the rest is left as it was; the next replay sends it."""
    to_server.put_letters(*letters(*several(10)))
    before = to_server.letters
    run = to_server.ask("replay", limit=4)
    assert (run.code, len(server.accepted), len(run.letters)) == (0, 4, 6)
    assert to_server.letters.items() <= before.items()
    assert "the limit of 4 events (setting 'limit') is reached; run the replay again" in run.log
    assert run.summary["total"].adds_up
    assert to_server.ask("replay").letters == []
    assert sorted(server.accepted) == several(10)


def test_a_failed_replay_is_repeated(to_server: Launcher, server: FaultyServer) -> None:
    """What was sent is gone, all others are left once; the repetition sends them."""
    to_server.put_letters(*letters(*several(40), *several(5, "bad-")))
    server.answer = refusing("e25", status=401)
    run = to_server.ask("replay", batch_size_rows=10, max_concurrent_requests=1)
    assert run.code == 1
    assert "HTTP 401" in run.last_line
    sent = set(server.accepted)
    assert 10 <= len(sent) < 40
    assert to_server.letters.keys() == {*several(40)} - sent | {*several(5, "bad-")}
    server.answer = lambda _: Reply()
    assert to_server.ask("replay").code == 0
    assert sorted(server.accepted) == sorted(several(40))
    assert sorted(to_server.letters) == several(5, "bad-")


def test_sigterm_leaves_what_was_not_sent(to_server: Launcher, server: FaultyServer) -> None:
    """A replay that is stopped leaves all that has no outcome."""
    to_server.put_letters(*letters(*several(300)))
    server.answer = lambda _: Reply(held=len(server.requests) >= 3)
    constants = {"target_liveintent.run.run:_STOP_GRACE": 0.2}
    how = {"batch_size_rows": 10, "max_concurrent_requests": 2}
    run = to_server.begin("replay", constants=constants, **how)
    wait_until(lambda: server.all_held and len(server.delivered) >= 10, "the first letters")
    run.signal(signal.SIGTERM).wait()
    assert run.code == 143
    assert "run the replay again to send the rest" in run.log
    assert "STATE" not in run.log
    assert to_server.letters.keys() == {*several(300)} - server.delivered


# Beside other runs


def test_two_replays_at_once(to_server: Launcher, server: FaultyServer) -> None:
    """Each dead letter is sent by one of them, and both succeed."""
    to_server.put_letters(*letters(*several(10)))
    server.answer = lambda _: Reply(held=True)
    first = to_server.begin("replay")
    wait_until(lambda: server.all_held, "a request")
    second = to_server.begin("replay", constants=OFTEN).close_input()
    wait_until(lambda: count(to_server.store, "run") == 3, "the second replay")
    server.answer = lambda _: Reply()
    server.release()
    assert (first.wait().code, second.wait().code) == (0, 0)
    assert (sorted(server.accepted), to_server.letters) == (several(10), {})


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
