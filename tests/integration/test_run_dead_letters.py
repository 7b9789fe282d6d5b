"""The dead-letter file, and what piping it back does."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply, Request, refusing
from integration_support import (
    CUSTOMER,
    DAY,
    LETTERS,
    OFTEN,
    WITH_ID,
    numbered,
    order,
    read_letters,
    schema,
    state,
    wait_until,
)

from target_liveintent.conversions.model import DEAD_LETTERS

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

COLUMNS = (
    *("event_id", "event_time", "pixel_id", "source", "decision_id", "email", "md5", "sha2", "ip"),
    *("user_agent", "idfa", "aaid", "tracking_enabled", "currency", "value", "order_id"),
    *("source_url", "app_bundle"),
)


def test_file(target: Launcher) -> None:
    """The file is its owner's alone, valid Singer, and says of each record what is wrong.

    Beside the account and the pixel that it was written for, a letter holds no setting.
    """
    before = os.umask(0)
    try:
        run = target.run(
            schema(columns=WITH_ID),
            order(1, event_id="one", event_time="someday"),
            order(2, email=None),
            state(1),
            pixel_id=424242,
            default_source="app",
        )
    finally:
        os.umask(before)
    assert (run.code, run.states) == (0, [1])
    path = target.folder / LETTERS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, second = run.letters
    assert {first.pop("run_id"), second.pop("run_id")} == {run.run_id}
    assert first.pop("time")
    assert first == {
        "event_id": "one",
        "reason": "invalid_event_time",
        "field": "event_time",
        "stream": "orders",
        "event_time": "someday",
        "md5": hashlib.md5(b"buyer1@example.com", usedforsecurity=False).hexdigest(),
        "sha2": hashlib.sha256(b"buyer1@example.com").hexdigest(),
        "value": 12.5,
        "currency": "USD",
        "written_for": {"customer_id": CUSTOMER, "api_host": "127.0.0.1", "pixel_id": 424242},
    }
    assert second["reason"] == "no_identity"
    assert second["event_id"]
    known = json.loads(path.read_text().splitlines()[0])["schema"]["properties"]
    assert {*first, *second} <= set(known)


def test_a_replay_with_a_limit(target: Launcher, sandbox: Sandbox) -> None:
    """As many letters are sent; the others stay, so that the file that was piped in may go."""
    bad = [order(n, event_id=f"order-{n}", source="desk") for n in range(8)]
    columns = schema(columns=(*WITH_ID, "source"))
    assert target.run(columns, *bad, order(9, event_time="?", event_id="order-9")).code == 0
    path = target.folder / LETTERS
    path.write_text(path.read_text().replace('"desk"', '"web"'))
    before = {letter["event_id"]: letter for letter in read_letters(path)}
    run = target.replay_by_hand(limit=5)
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [], 5)
    counts = run.summary["total"]
    assert counts.adds_up
    assert (counts.not_replayed, counts.reasons) == (3, {"invalid_event_time": 1})
    left = {letter["event_id"]: letter for letter in run.letters}
    assert sorted(left) == ["order-5", "order-6", "order-7", "order-9"]
    for name in ("order-5", "order-6", "order-7"):
        assert left[name] == {**before[name], "run_id": left[name]["run_id"]}
    assert "reached the limit of 5 events (setting 'limit'). The run does not send" in run.log
    assert "writes them unchanged to liveintent-dead-letters.singer" in run.log
    run = target.replay_by_hand()
    assert (run.code, sandbox.stats.accepted, sandbox.stats.duplicates) == (0, 8, 0)


def test_runs_append(target: Launcher) -> None:
    """dead_letter_path says where; a second run appends; a line that a crash tore is dropped."""
    (target.folder / "deep").mkdir()
    path = target.folder / "deep" / "own.singer"
    settings = {"dead_letter_path": "deep/own.singer"}
    assert target.run(schema(), order(1, event_time=None), **settings).code == 0
    with path.open("a") as file:
        file.write('{"type": "RECORD", "stream": "x", "record": {"event_id": "to')
    assert target.run(schema(), order(2, event_time=None), **settings).code == 0
    assert [x["reason"] for x in read_letters(path)] == ["missing_event_time"] * 2
    assert not (target.folder / LETTERS).exists()


# Replay

STAR = {
    "stream_maps": {
        "*": {
            "event_id": "'shop-' + str(id)",
            "event_time": "when",
            "email": "mail",
            "source": "channel",
            "pixel_id": "pixel",
            "value": "total",
            "__else__": "__NULL__",
        },
        "__else__": "__NULL__",
    }
}
SHOP = ("id", "when", "mail", "channel", "pixel", "total")


def shop_order(number: int, **columns: Any) -> dict[str, Any]:
    plain = order(number)["record"]
    record = {
        "id": number,
        "when": plain["event_time"],
        "mail": plain["email"],
        "channel": "web",
        "pixel": 1,
        "total": 12.10,
    }
    return {"type": "RECORD", "stream": "orders", "record": record | columns}


@pytest.mark.parametrize(
    ("column", "reason", "setting", "sent", "pattern"),
    [
        ("pixel", "invalid_pixel_id", {"pixel_id": 777}, ("pixelId", 777), "*"),
        ("channel", "invalid_source", {"default_source": "app"}, ("source", "app"), "orders"),
    ],
    ids=["pixel", "source"],
)
def test_corrected_setting(
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
    maps = {"stream_maps": {pattern: STAR["stream_maps"]["*"]}}
    absent = dict.fromkeys(("pixel_id", "default_source"), ...)
    messages = [shop_order(n, **{column: None}) for n in range(3)]
    first = target.run(schema("orders", SHOP), shop_order(9), *messages, state(1), **absent, **maps)
    assert (first.code, first.states) == (0, [1])
    assert [x["reason"] for x in first.letters] == [reason] * 3
    sandbox.reset()
    again = target.replay_by_hand(**{**absent, **setting}, **maps)
    assert again.code == 0
    assert not (target.folder / LETTERS).exists()
    assert [(e["eventId"], e[sent[0]], e["userData"]["sha2"]) for e in sandbox.events] == [
        (f"shop-{n}", sent[1], hashlib.sha256(f"buyer{n}@example.com".encode()).hexdigest())
        for n in range(3)
    ]
    assert again.summary["total"].delivered == 3
    assert again.summary["total"].adds_up


def test_letters_of_another_pixel(to_server: Launcher, server: FaultyServer) -> None:
    """Another loader's replay leaves letters in the file, and says whose they are."""
    server.answer = refusing("order-1")
    first = to_server.run(schema(columns=WITH_ID), *numbered(3), state(1), pixel_id=2001)
    server.answer = lambda _: Reply()
    server.requests.clear()
    other = to_server.replay_by_hand(pixel_id=2002)
    assert (other.code, server.requests) == (0, [])
    total = other.summary["total"]
    assert (total.read, total.not_replayed, total.not_settled) == (1, 1, 0)
    kept = f"not replayed 1 (other_account 1); these dead letters are kept in {LETTERS}"
    assert kept in other.log
    (warning,) = other.warnings
    assert warning.startswith(
        "this replay does not send 1 dead letter of another account or pixel"
        f" (1 for {CUSTOMER} at 127.0.0.1, pixel 2001). To send them, "
    )
    assert other.letters == first.letters  # So that the moved file may be deleted.
    copy = (to_server.folder / LETTERS).read_bytes()
    own = to_server.replay_by_hand(pixel_id=2001)
    assert (own.code, own.warnings, own.letters) == (0, [], [])
    (to_server.folder / LETTERS).write_bytes(copy)
    right = to_server.replay_by_hand(pixel_id=2002, replay_other_accounts=True)
    assert (right.code, right.letters) == (0, [])
    sent = [(e["eventId"], e["pixelId"]) for p in server.requests for e in p.events]
    assert sent == [("order-1", 2001), ("order-1", 2002)]


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
    assert [(x["reason"], x.get("detail")) for x in first.letters] == [
        *[("event_too_old", "its window has closed")] * 2,
        ("invalid_source", "its window has closed"),
        ("invalid_event_time", None),
    ]
    assert "run more often" not in first.log.lower()
    again = to_server.replay_by_hand(report_path="report.html")
    assert (again.code, server.requests) == (0, [])
    total = again.summary["total"]
    assert (total.read, total.not_settled, total.not_replayed) == (4, 0, 0)
    assert (total.drops, total.reasons) == ({"expired": 3}, {"invalid_event_time": 1})
    assert "dropped 3 (expired 3)" in again.log
    assert "expired 3: The API no longer accepts the event" in again.log
    assert [x["event_id"] for x in again.letters] == ["soon"]
    report = json.loads((to_server.folder / "report.json").read_text())
    assert [(one["reason"], one["records"], one["dead_letter"]) for one in report["not_sent"]] == [
        ("expired", 3, False),
        ("invalid_event_time", 1, True),
    ]
    for text in (again.log, json.dumps(report)):
        assert " map " not in text.lower()


def test_a_letter_that_somebody_took_the_id_from(target: Launcher, sandbox: Sandbox) -> None:
    """It gets a derived ID, although the SCHEMA names `event_id` as a key, for databases."""
    first = target.run(schema(), order(1, event_time="soon"), state(1))
    (letter,) = first.letters
    path = target.folder / LETTERS
    path.write_text(
        path.read_text()
        .replace(f'"event_id":"{letter["event_id"]}",', "")
        .replace('"event_time":"soon"', f'"event_time":{order(1)["record"]["event_time"]}')
    )
    again = target.replay_by_hand()
    assert (again.code, again.letters) == (0, [])
    (event,) = sandbox.events
    assert event["eventId"]


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
    messages = [schema(columns=COLUMNS), order(1, **record)]
    messages[1]["record"].pop("id")
    messages[1]["record"]["value"] = 12345678901234.10
    server.answer = lambda _: Reply(200, b'["full"]')  # the other one is processed
    other = order(2, event_id="other")
    first = to_server.run(*messages, other, state(1))
    assert [x["reason"] for x in first.letters] == ["not_processed"]
    sent = next(e for p in server.requests for e in p.events if e["eventId"] == "full")
    assert len(sent["userData"]) == 7
    server.answer = lambda _: Reply()
    server.requests.clear()
    assert to_server.replay_by_hand().code == 0
    assert [p.events for p in server.requests] == [[sent]]


def test_what_is_not_replayed(to_server: Launcher, server: FaultyServer) -> None:
    """mapping_failed and unconfirmed letters are counted, but not sent by themselves."""

    def answer(request: Request) -> Reply:
        return Reply(200, b"[]") if "shop-1" in request.ids else Reply()

    server.answer = answer
    first = to_server.run(
        schema("orders", SHOP),
        shop_order(1),
        {"type": "RECORD", "stream": "orders", "record": {"id": 2, "mail": "jane@example.com"}},
        shop_order(3),
        state(1),
        batch_size_rows=1,
        **STAR,
    )
    assert {x["reason"] for x in first.letters} == {"mapping_failed", "unconfirmed"}
    (failed,) = [x for x in first.letters if x["reason"] == "mapping_failed"]
    assert "mail" not in failed
    assert failed["keys"] == {"id": 2}  # To find the row by.
    server.requests.clear()
    again = to_server.replay_by_hand(**STAR)
    assert (again.code, server.requests) == (0, [])
    total = again.summary["total"]
    assert (total.read, total.not_replayed, total.delivered) == (2, 2, 0)
    assert total.adds_up
    kept = (
        "not replayed 2 (mapping_failed 1, unconfirmed 1); these dead letters are kept in"
        f" {LETTERS}"
    )
    assert kept in again.log
    # So that the moved file may be deleted.
    assert [{**x, "run_id": 0} for x in again.letters] == [
        {**x, "run_id": 0} for x in first.letters
    ]


def test_what_is_not_replayed_is_kept_before_state(target: Launcher) -> None:
    """No STATE passes a letter that cannot be kept, and a dry run keeps none."""
    letter = {"event_id": "1", "reason": "mapping_failed", "keys": {"id": 2**70}, "field": None}
    messages = (
        schema(DEAD_LETTERS, ("event_id", "reason", "keys"), ()),
        {
            "type": "RECORD",
            "stream": DEAD_LETTERS,
            "record": {**letter, "order_id": "jane@example.com", "scrubbed": 1, "unknown": "x"},
        },
    )
    dry = target.run(*messages, state(1), dry_run=True)
    assert (dry.code, dry.letters, dry.summary["total"].not_replayed) == (0, [], 1)
    assert "kept in" not in dry.log
    (target.folder / "link.singer").symlink_to("nowhere/letters.singer")
    # With "fail", a run does not check at its start whether it can write dead letters.
    given = {"dead_letter_path": "link.singer", "on_rejection": "fail"}
    failed = target.run(*messages, state(1), **given)
    assert (failed.code, failed.states) == (1, [])
    assert "dead_letter_path 'link.singer' cannot be written" in failed.last_line
    run = target.run(*messages, state(1))
    assert (run.code, run.states) == (0, [1])
    (kept,) = run.letters
    assert "jane" not in kept.pop("order_id")
    assert kept.pop("run_id")
    assert kept == {**letter, "scrubbed": ["order_id"]}


def test_reading_from_the_own_file(target: Launcher) -> None:
    """Reading from the very file that dead_letter_path names is refused, by whatever name."""
    assert target.run(schema(), order(1, event_time=None)).code == 0
    path = target.folder / LETTERS
    content = path.read_bytes()
    link = target.folder / "link.singer"
    link.symlink_to(path)
    with link.open("rb") as stdin:
        piped = target.start(stdin=stdin).wait()
    for run in (piped, target.ask("--input", link.name)):
        assert (run.code, run.stdout) == (2, "")
        assert "dead-letter" in run.last_line
    assert path.read_bytes() == content


# Too many dead letters


def test_the_percentage_waits_for_a_state(to_server: Launcher, server: FaultyServer) -> None:
    """Bad records at the start, and then a silence, end no run whose later records are good."""
    run = to_server.start(constants=OFTEN)
    run.send(schema(columns=WITH_ID), *numbered(120, event_time=None))
    path = run.folder / LETTERS  # Its last line may be half written, so lines are counted.
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") == 121, "the dead letters")
    threading.Event().wait(0.3)  # The silence is the point: the run looks at itself in it.
    run.send(*numbered(1120)[120:], state(1120)).close_input().wait()
    assert (run.code, run.states) == (0, [1120])
    assert (len(run.letters), len(server.accepted)) == (120, 1000)


@pytest.mark.parametrize(("bad", "code"), [(60, 1), (40, 0)])
def test_a_dry_run_judges_the_percentage(target: Launcher, bad: int, code: int) -> None:
    """A dry run says at its end what the run would have said, by its exit code too."""
    messages = [*numbered(bad, event_time=None), *numbered(100)[bad:]]
    run = target.run(schema(columns=WITH_ID), *messages, state(100), dry_run=True)
    assert (run.code, run.states, run.letters) == (code, [], [])
    assert ("max_dead_letter_percent (50)" in run.last_line) == bool(code)
    assert run.summary["total"].adds_up
