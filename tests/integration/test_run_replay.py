"""`target-liveintent replay`: sends what can be sent, and leaves the rest, each letter once."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply, refusing
from integration_support import (
    CUSTOMER,
    DAY,
    OFTEN,
    WITH_ID,
    dead_letter,
    dead_letter_lines,
    lines,
    numbered,
    order,
    schema,
    state,
    wait_until,
)
from ledger_claims import count, let_claims_lapse

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
    assert run.stdout.splitlines()[:2] == ["3 dead letters", "  sent 3"]


def test_nothing_to_replay(to_server: Launcher, server: FaultyServer) -> None:
    """A replay that has nothing to do succeeds: a schedule may run it each night."""
    run = to_server.ask("replay")
    assert (run.code, server.requests) == (0, [])
    assert run.stdout.splitlines()[0] == "0 dead letters"


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
    assert run.stdout.splitlines() == [
        "6 dead letters",
        "  sent 1",
        "  expired 1",
        "  already sent 1",
        "  rejected again 2 (invalid_source 1, refused_by_api 1)",
        "  left as they were 1 (unconfirmed 1)",
    ]
    left = to_server.letters
    assert sorted(left) == ["bad", "maybe", "refused"]
    assert left["maybe"] == maybe["record"]
    assert left["refused"]["reason"] == "refused_by_api"
    assert to_server.ask("replay", "--unconfirmed").code == 0
    assert sorted(to_server.letters) == ["bad", "refused"]


@pytest.mark.parametrize("source", [[], ["letters.singer"]], ids=["store", "file"])
def test_a_dry_run_changes_nothing(
    to_server: Launcher, server: FaultyServer, source: list[str]
) -> None:
    """It says what would become of the dead letters, and changes neither store nor file."""
    if source:
        (to_server.folder / source[0]).write_bytes(dead_letter_lines(*letters("good", "bad")))
    else:
        to_server.put_letters(*letters("good", "bad"))
    before = to_server.store_files
    run = to_server.ask("replay", "--dry-run", *source)
    assert (run.code, server.requests) == (0, [])
    assert run.stdout.splitlines() == [
        "2 dead letters",
        "  would be sent 1",
        "  would be rejected again 1 (invalid_source 1)",
        "  would be left as they were 0",
    ]
    assert to_server.store_files == before


def test_a_later_run_delivers_the_event(to_server: Launcher, server: FaultyServer) -> None:
    """A dead letter whose event a plain run delivers, or finds delivered, is gone."""
    wrong = schema(columns=COLUMNS), *numbered(2, source="shop"), state(1)
    right = schema(columns=COLUMNS), *numbered(2), state(2)
    assert len(to_server.run(*wrong).letters) == 2
    assert to_server.run(*right[:2]).code == 0
    assert sorted(to_server.letters) == ["order-1"]
    assert to_server.run(*right).letters == []
    assert len(to_server.run(*wrong).letters) == 2  # The rows are wrong again.
    again = to_server.run(*right)
    assert (again.letters, again.summary["total"].drops) == ([], {"already_sent": 2})
    assert server.accepted == ["order-0", "order-1"]


def test_each_event_has_one_dead_letter(to_server: Launcher) -> None:
    """Three runs over the same bad rows leave one dead letter for each, that of the last run."""
    for number in range(3):
        messages = numbered(19, event_time="soon", value=number)
        run = to_server.run(schema(columns=WITH_ID), *messages, *numbered(40)[19:])
        assert run.code == 0
    assert len(run.letters) == 19
    assert {(one["value"], one["run_id"]) for one in run.letters} == {(2, run.run_id)}


# Dead letters from a file


def test_edited_letters(to_server: Launcher, server: FaultyServer) -> None:
    """What is printed can be edited and sent; what cannot be sent is in the store, as edited."""
    to_server.put_letters(*letters("bad", "bad-value", "good"))
    text = to_server.exported().replace('"source":"shop"', '"source":"app"', 1)
    (to_server.folder / "edited").write_text(text.replace('"source":"shop"', '"source":"pos"'))
    run = to_server.ask("replay", "edited")
    assert (run.code, sorted(server.accepted)) == (0, ["bad", "good"])
    assert {name: one["source"] for name, one in to_server.letters.items()} == {"bad-value": "pos"}


@pytest.mark.parametrize("source", ["letters.singer", "-"])
def test_letters_from_elsewhere(to_server: Launcher, server: FaultyServer, source: str) -> None:
    """A file or standard input is put into the store, and sent; other dead letters are not."""
    to_server.put_letters(*letters("other"))
    content = dead_letter_lines(*letters("good", "bad"))
    (to_server.folder / "letters.singer").write_bytes(content)
    run = to_server.begin("replay", source)
    if source == "-":
        run.stdin.write(content)
    assert run.close_input().wait().code == 0
    assert server.accepted == ["good"]
    assert sorted(to_server.letters) == ["bad", "other"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (lines([schema(), order(1)]), "line 3 is no message of the stream liveintent_dead_letters"),
        (b"{\n", "line 3 of the dead letters cannot be read"),
    ],
    ids=["another stream", "no JSON"],
)
def test_what_is_no_dead_letter(
    to_server: Launcher, server: FaultyServer, line: bytes, said: str
) -> None:
    """It ends the replay before anything is sent or kept."""
    (to_server.folder / "mixed").write_bytes(dead_letter_lines(*letters("good")) + line)
    run = to_server.ask("replay", "mixed")
    assert (run.code, server.requests, run.letters) == (1, [], [])
    assert run.last_line.startswith(said)


def test_a_letter_that_somebody_took_the_id_from(target: Launcher, sandbox: Sandbox) -> None:
    """Its event gets a derived ID, although the SCHEMA names `event_id` as a key."""
    first = target.run(schema(), order(1, event_time="soon"), state(1))
    (letter,) = first.letters
    edited = (
        target.exported()
        .replace(f'"event_id":"{letter["event_id"]}",', "")
        .replace('"event_time":"soon"', f'"event_time":{order(1)["record"]["event_time"]}')
    )
    (target.folder / "edited").write_text(edited)
    assert target.ask("replay", "edited").code == 0
    (event,) = sandbox.events
    assert event["eventId"]


@pytest.mark.parametrize("name", ["liveintent_dead_letters", "liveintent_delivered"])
def test_a_plain_run_takes_no_stream_of_its_own(
    to_server: Launcher, server: FaultyServer, name: str
) -> None:
    """It fails before it sends anything, and says what takes the stream."""
    given = dead_letter_lines(*letters("good")).replace(b"liveintent_dead_letters", name.encode())
    run = to_server.run(given.strip(), state(1))
    assert (run.code, run.states, run.letters, server.requests) == (1, [], [], [])
    is_letters = name == "liveintent_dead_letters"
    said = "target-liveintent replay - for standard input" if is_letters else "into a database"
    assert (name in run.last_line, said in run.last_line) == (True, True)


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
    assert "the dead letters that this replay did not send stay in the store" in other.log
    (warning,) = other.warnings
    assert warning.startswith(
        "this replay does not send 1 dead letter of another account or pixel"
        f" (1 for {CUSTOMER} at 127.0.0.1, pixel 2001). To send them, "
    )
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
        "target_liveintent.run.run:_MOST_REJECTED": 1,
    }
    again = to_server.ask("replay", *options, constants=one, customer_id="b-zzzz")
    assert (again.code, server.requests) == (0, [])
    assert again.summary["total"].read == 3


# What is sent


def test_everything_survives_a_replay(to_server: Launcher, server: FaultyServer) -> None:
    """A letter that is replayed gives the same event, in every field, as the record would have."""
    record = {
        "event_id": "full",
        "decision_id": "54f5b074-e456-0130-e701-bdb6b36f1fe7",
        "ip": "::ffff:203.0.113.7",
        "user_agent": "Mozilla/5.0 (é)",
        "idfa": "6D92078A-8246-4BA4-AE5B-76104861E7DC",
        "aaid": "38400000-8cf0-11bd-b23e-10b96e40000d",
        "tracking_enabled": True,
        "currency": "eur",
        "order_id": 1007.0,
        "source_url": "https://shop.example.com/p?utm=1",
        "app_bundle": "com.example.shop",
    }
    columns = (*record, "event_time", "pixel_id", "source", "email", "md5", "sha2", "value")
    full = order(1, id=..., value=12345678901234.10, **record)
    server.answer = lambda _: Reply(200, b'["full"]')  # The other one is processed.
    first = to_server.run(schema(columns=columns), full, order(2, event_id="other"), state(1))
    assert [x["reason"] for x in first.letters] == ["not_processed"]
    sent = next(e for p in server.requests for e in p.events if e["eventId"] == "full")
    assert len(sent["userData"]) == 7
    server.answer = lambda _: Reply()
    for source in ("store", "file"):
        server.requests.clear()
        if source == "file":
            assert to_server.ask("replay", "exported", "--other-accounts", pixel_id=9).code == 0
            sent["pixelId"] = 9
        else:
            (to_server.folder / "exported").write_text(to_server.exported())
            assert to_server.ask("replay").code == 0
        assert [p.events for p in server.requests] == [[sent]]


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


@pytest.mark.parametrize(
    ("column", "reason", "setting", "sent"),
    [
        ("pixel", "invalid_pixel_id", {"pixel_id": 777}, ("pixelId", 777)),
        ("channel", "invalid_source", {"default_source": "app"}, ("source", "app")),
    ],
    ids=["pixel", "source"],
)
@pytest.mark.parametrize("pattern", ["orders", "*"])
def test_maps_do_not_matter(
    target: Launcher,
    sandbox: Sandbox,
    *,
    column: str,
    reason: str,
    setting: dict[str, Any],
    sent: tuple[str, Any],
    pattern: str,
) -> None:
    """With a corrected setting, and the same maps, letters are sent with their event IDs."""
    own = {"stream_maps": {pattern: MAP}, "pixel_id": ..., "default_source": ...}
    messages = [shop_order(n, **{column: None}) for n in range(3)]
    first = target.run(schema("orders", SHOP), shop_order(9), *messages, state(1), **own)
    assert (first.code, first.states) == (0, [1])
    assert [x["reason"] for x in first.letters] == [reason] * 3
    sandbox.reset()
    again = target.ask("replay", **{**own, **setting})
    assert (again.code, again.letters) == (0, [])
    assert sorted((e["eventId"], e[sent[0]]) for e in sandbox.events) == [
        (f"shop-{n}", sent[1]) for n in range(3)
    ]
    assert again.summary["total"].adds_up


def test_expired_letters(to_server: Launcher, server: FaultyServer) -> None:
    """A letter whose window has closed says so; a replay drops it and counts it as expired."""
    long_ago = order(1)["record"]["event_time"] - 8 * DAY
    first = to_server.run(
        schema(columns=(*WITH_ID, "source")),
        *numbered(2, event_time=long_ago),
        order(3, event_id="till", event_time=long_ago - 30 * DAY, source="till"),
        order(4, event_id="soon", event_time="soon"),
        state(1),
    )
    by_id = {x["event_id"]: (x["reason"], x.get("detail")) for x in first.letters}
    closed = "its window has closed"
    assert by_id == {
        "order-0": ("event_too_old", closed),
        "order-1": ("event_too_old", closed),
        "till": ("invalid_source", closed),
        "soon": ("invalid_event_time", '"x" is not a time'),
    }
    again = to_server.ask("replay", report_path="report.html")
    assert (again.code, server.requests) == (0, [])
    total = again.summary["total"]
    assert (total.read, total.not_settled, total.not_replayed) == (4, 0, 0)
    assert (total.drops, total.reasons) == ({"expired": 3}, {"invalid_event_time": 1})
    assert "expired 3: The API no longer accepts the event" in again.log
    assert [x["event_id"] for x in again.letters] == ["soon"]
    assert " map " not in again.log.lower()
    report = json.loads(to_server.ask("report", "--format=json").stdout)
    assert (report["last_run"]["run_id"], report["last_24_hours"]["not_sent"]) == (
        first.run_id,
        {"event_too_old": 2, "invalid_event_time": 1, "invalid_source": 1},
    )


def test_what_is_not_replayed(to_server: Launcher, server: FaultyServer) -> None:
    """mapping_failed and unconfirmed letters are counted, but not sent by themselves."""
    server.answer = lambda one: Reply(200, b"[]") if "shop-1" in one.ids else Reply()
    maps = {"stream_maps": {"orders": MAP}}
    broken = {"type": "RECORD", "stream": "orders", "record": {"id": 2, "mail": "j@example.com"}}
    messages = (schema("orders", SHOP), shop_order(1), broken, shop_order(3), state(1))
    first = to_server.run(*messages, batch_size_rows=1, **maps)
    by_reason = {x["reason"]: x for x in first.letters}
    assert by_reason.keys() == {"mapping_failed", "unconfirmed"}
    assert "mail" not in by_reason["mapping_failed"]
    assert by_reason["mapping_failed"]["keys"] == {"id": 2}  # To find the row by.
    server.requests.clear()
    again = to_server.ask("replay", **maps)
    assert (again.code, server.requests, again.letters) == (0, [], first.letters)
    total = again.summary["total"]
    assert (total.read, total.not_replayed, total.delivered) == (2, 2, 0)
    assert total.adds_up
    assert "left as they were 2 (unconfirmed 1, mapping_failed 1)" in again.stdout


# How it ends


def test_a_replay_fails_no_rule_about_dead_letters(
    to_server: Launcher, server: FaultyServer
) -> None:
    """Whatever is left: no percentage, no "nothing delivered" and no on_rejection ends it."""
    to_server.put_letters(*letters(*several(1_500, "bad-")))
    run = to_server.ask("replay", on_rejection="fail", max_dead_letter_percent=0)
    assert (run.code, server.requests, len(run.letters)) == (0, [], 1_500)
    assert "rejected again 1,500 (invalid_source 1,500)" in run.stdout


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (99, ""),
        (100, "the API refused all 100 events that the replay has sent, so the cause may be in"),
        (300, "requests in a row (HTTP 400). The cause may be in the settings"),
    ],
)
def test_all_are_refused(to_server: Launcher, server: FaultyServer, amount: int, said: str) -> None:
    """A replay fails if the API refuses 100 events and accepts none, and keeps all of them."""
    to_server.put_letters(*letters(*several(amount)))
    server.answer = lambda _: Reply(400)
    run = to_server.ask("replay")
    assert (run.code, len(run.letters)) == (1 if said else 0, amount)
    assert said in run.last_line
    server.answer = lambda _: Reply()
    assert to_server.ask("replay").letters == []
    assert sorted(server.accepted) == sorted(several(amount))


def test_a_limit(to_server: Launcher, server: FaultyServer) -> None:
    """So many are sent, and the rest is left as it was; the next replay sends it."""
    to_server.put_letters(*letters(*several(10)))
    before = to_server.letters
    run = to_server.ask("replay", limit=4)
    assert (run.code, len(server.accepted), len(run.letters)) == (0, 4, 6)
    assert to_server.letters.items() <= before.items()
    assert (
        "the limit of 4 events (setting 'limit') is reached. The remaining dead letters" in run.log
    )
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


def test_a_killed_replay_is_repeated(to_server: Launcher, server: FaultyServer) -> None:
    """What the store knows to be delivered goes no second time, and what may be counted neither."""
    to_server.put_letters(*letters(*several(300)))

    def answer(request: Any) -> Reply:
        if "e0" in request.ids:
            return Reply(200, b"[]")  # LiveIntent may have counted this batch.
        return Reply(held=len(server.requests) >= 6)

    server.answer = answer
    how = {"batch_size_rows": 10, "max_concurrent_requests": 1, "constants": OFTEN}
    run = to_server.begin("replay", **how)
    wait_until(lambda: len(server.requests) >= 6, "the first letters")
    wait_until(lambda: count(to_server.store, "event") == 40, "the commits of the store")
    run.signal(signal.SIGKILL).wait()
    assert len(to_server.letters) == 260
    server.answer = lambda _: Reply()
    let_claims_lapse(to_server.store)
    assert to_server.ask("replay").code == 0
    unconfirmed = to_server.letters
    assert ("e0" in unconfirmed, len(unconfirmed)) == (True, 10)
    assert {one["reason"] for one in unconfirmed.values()} == {"unconfirmed"}
    assert server.delivered == {*several(300)} - unconfirmed.keys()
    assert {event for event, *_ in server.repeats} <= set(server.requests[5].ids)


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
