"""The dead-letter file, and what piping it back does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply, Request, refusing
from integration_support import (
    CUSTOMER,
    DAY,
    LETTERS,
    TOKEN,
    WITH_ID,
    address_words,
    numbered,
    order,
    orders,
    read_letters,
    schema,
    state,
    wait_until,
)

from target_liveintent.conversions.model import DEAD_LETTERS

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher, Running

    from target_liveintent.sandbox import Sandbox

COLUMNS = (
    "event_id", "event_time", "pixel_id", "source", "decision_id", "email", "md5", "sha2", "ip",
    "user_agent", "idfa", "aaid", "tracking_enabled", "currency", "value", "order_id",
    "source_url", "app_bundle",
)  # fmt: skip
FATES = {"event_id", "reason", "field", "stream", "time"}


def replay(target: Launcher, *, to: str = "moved.singer", **settings: Any) -> Running:
    """Move the dead-letter file away, and pipe it into a target."""
    moved = target.folder / to
    shutil.move(target.folder / LETTERS, moved)
    with moved.open("rb") as stdin:
        return target.start(stdin=stdin, **settings).wait()


def test_file(target: Launcher) -> None:
    """The file is its owner's alone, valid Singer, and says of each record what is wrong."""
    before = os.umask(0)
    try:
        run = target.run(
            schema(columns=WITH_ID),
            order(1, event_id="one", event_time="someday"),
            order(2, email=None),
            state(1),
        )
    finally:
        os.umask(before)
    assert (run.code, run.states) == (0, [1])
    path = target.folder / LETTERS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, second = run.letters
    assert set(first) >= FATES
    assert (first["event_id"], first["reason"], first["field"], first["stream"]) == (
        "one", "invalid_event_time", "event_time", "orders",
    )  # fmt: skip
    assert first["event_time"] == "someday"
    assert first["sha2"] == hashlib.sha256(b"buyer1@example.com").hexdigest()
    assert first["value"] == 12.5
    assert second["reason"] == "no_identity"
    assert second["event_id"]
    known = json.loads(path.read_text().splitlines()[0])["schema"]["properties"]
    assert set(first) <= set(known)


def test_nothing_of_the_settings(target: Launcher) -> None:
    """Beside the account and the pixel that it was written for, a letter holds no setting."""
    run = target.run(schema(), order(1, event_time=None), pixel_id=424242, default_source="app")
    (letter,) = run.letters
    named = letter.pop("written_for")
    assert named == {"customer_id": CUSTOMER, "api_host": "127.0.0.1", "pixel_id": 424242}
    assert run.code == 0
    assert "424242" not in str(letter)
    assert "'app'" not in str(letter)
    assert not {"pixel_id", "source"} & set(letter)


def test_a_replay_with_a_limit(target: Launcher, sandbox: Sandbox) -> None:
    """As many letters are sent; the others stay, so that the file that was piped in may go."""
    bad = [order(n, event_id=f"order-{n}", source="desk") for n in range(8)]
    columns = schema(columns=(*WITH_ID, "source"))
    assert target.run(columns, *bad, order(9, event_time="?", event_id="order-9")).code == 0
    path = target.folder / LETTERS
    path.write_text(path.read_text().replace('"desk"', '"web"'))
    before = {letter["event_id"]: letter for letter in read_letters(path)}
    run = replay(target, limit=5)
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
    run = replay(target, to="again.singer")
    assert (run.code, sandbox.stats.accepted, sandbox.stats.duplicates) == (0, 8, 0)


def test_clean_run_leaves_no_file(target: Launcher) -> None:
    """A run without dead letters leaves no file."""
    assert target.run(schema(), order(1), state(1)).code == 0
    assert not (target.folder / LETTERS).exists()


def test_runs_append(target: Launcher) -> None:
    """A second run appends, in a file that stays valid; a line that a crash tore is dropped."""
    path = target.folder / LETTERS
    assert target.run(schema(), order(1, event_time=None)).code == 0
    with path.open("a") as file:
        file.write('{"type": "RECORD", "stream": "x", "record": {"event_id": "to')
    assert target.run(schema(), order(2, event_time=None)).code == 0
    assert [x["reason"] for x in read_letters(path)] == ["missing_event_time"] * 2


def test_path(target: Launcher) -> None:
    """dead_letter_path says where the file is."""
    (target.folder / "deep").mkdir()
    run = target.run(
        schema(), order(1, event_time=None), state(1), dead_letter_path="deep/own.singer"
    )
    assert (run.code, run.states) == (0, [1])
    assert len(read_letters(target.folder / "deep" / "own.singer")) == 1
    assert not (target.folder / LETTERS).exists()


@pytest.mark.parametrize("path", ["nowhere/letters.singer", "."])
def test_path_that_cannot_be_written(target: Launcher, path: str) -> None:
    """Where the file cannot be written, the run ends readably, without STATE."""
    run = target.run(schema(), order(1, event_time=None), state(1), dead_letter_path=path)
    assert run.code in {1, 2}
    assert run.states == []
    assert "dead_letter_path" in run.last_line
    assert "Traceback" not in run.log


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
    ("column", "reason", "setting", "sent"),
    [
        ("pixel", "invalid_pixel_id", {"pixel_id": 777}, ("pixelId", 777)),
        ("channel", "invalid_source", {"default_source": "app"}, ("source", "app")),
    ],
)
@pytest.mark.parametrize("maps", [STAR, {"stream_maps": {"orders": STAR["stream_maps"]["*"]}}])
def test_corrected_setting(
    target: Launcher,
    sandbox: Sandbox,
    *,
    column: str,
    reason: str,
    setting: dict[str, Any],
    sent: tuple[str, Any],
    maps: dict[str, Any],
) -> None:
    """With a corrected setting, and the same maps, letters are sent with their event IDs."""
    absent = dict.fromkeys(("pixel_id", "default_source"), ...)
    messages = [shop_order(n, **{column: None}) for n in range(3)]
    first = target.run(schema("orders", SHOP), shop_order(9), *messages, state(1), **absent, **maps)
    assert (first.code, first.states) == (0, [1])
    assert [x["reason"] for x in first.letters] == [reason] * 3
    sandbox.reset()
    again = replay(target, **{**absent, **setting}, **maps)
    assert again.code == 0
    assert not (target.folder / LETTERS).exists()
    assert [e["eventId"] for e in sandbox.events] == ["shop-0", "shop-1", "shop-2"]
    assert {e[sent[0]] for e in sandbox.events} == {sent[1]}
    assert [e["userData"]["sha2"] for e in sandbox.events] == [
        hashlib.sha256(f"buyer{n}@example.com".encode()).hexdigest() for n in range(3)
    ]
    assert again.summary["total"].delivered == 3
    assert again.summary["total"].adds_up


def test_refused_for_its_pixel(to_server: Launcher, server: FaultyServer) -> None:
    """Letters that the API refused for a wrong pixel go to the right one, if that is asked for."""
    server.answer = refusing("order-1")
    first = to_server.run(schema(columns=WITH_ID), *numbered(3), state(1), pixel_id=1)
    assert [x["reason"] for x in first.letters] == ["refused_by_api"]
    server.answer = lambda _: Reply()
    server.requests.clear()
    assert replay(to_server, pixel_id=2, replay_other_accounts=True).code == 0
    ((event,),) = [p.events for p in server.requests]
    assert (event["eventId"], event["pixelId"]) == ("order-1", 2)
    assert event["purchaseData"] == {"currency": "USD", "value": 12.5}


def test_letters_of_another_pixel(to_server: Launcher, server: FaultyServer) -> None:
    """Another loader's replay leaves letters in the file, and says whose they are."""
    server.answer = refusing("order-1")
    first = to_server.run(schema(columns=WITH_ID), *numbered(3), state(1), pixel_id=2001)
    server.answer = lambda _: Reply()
    server.requests.clear()
    other = replay(to_server, pixel_id=2002)
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
    own = replay(to_server, to="once-more.singer", pixel_id=2001)
    assert (own.code, own.warnings, own.letters) == (0, [], [])
    assert [(e["eventId"], e["pixelId"]) for p in server.requests for e in p.events] == [
        ("order-1", 2001)
    ]


@pytest.mark.parametrize(
    ("settings", "others"),
    [
        ({}, 0),
        ({"customer_id": "b-9z9z"}, 1),
        ({"api_url": "http://localhost:9"}, 1),  # Nobody listens there.
        ({"pixel_id": 3}, 0),
    ],
)
def test_letters_with_a_pixel_of_their_own(
    to_server: Launcher, server: FaultyServer, settings: dict[str, Any], others: int
) -> None:
    """A letter whose record names its pixel belongs to the account, whatever the setting says."""
    server.answer = refusing("order-1")
    columns = schema(columns=(*WITH_ID, "pixel_id"))
    first = to_server.run(columns, *numbered(3, pixel_id=7), state(1))
    assert [x["reason"] for x in first.letters] == ["refused_by_api"]
    server.answer = lambda _: Reply()
    server.requests.clear()
    again = replay(to_server, **settings)
    assert again.code == 0
    assert again.summary["total"].not_replayed == others
    sent = [(e["eventId"], e["pixelId"]) for p in server.requests for e in p.events]
    assert sent == [("order-1", 7)] * (1 - others)


def test_letters_of_nobody(to_server: Launcher, server: FaultyServer) -> None:
    """Letters of older versions, and those without a pixel, are sent by everybody's replay."""
    first = to_server.run(schema("orders", SHOP), shop_order(1, pixel=None), pixel_id=..., **STAR)
    assert [x["reason"] for x in first.letters] == ["invalid_pixel_id"]
    assert replay(to_server, customer_id="b-9z9z", pixel_id=5).code == 0
    older = {"event_id": "old", "reason": "refused_by_api"}
    record = {**order(2)["record"], **older, "md5": "0" * 31 + "1"}
    run = to_server.run(
        schema(DEAD_LETTERS, (*record, "md5"), ()),
        {"type": "RECORD", "stream": DEAD_LETTERS, "record": record},
    )
    assert run.code == 0
    assert server.accepted == ["shop-1", "old"]


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
    assert [x["reason"] for x in first.letters] == [
        "event_too_old", "event_too_old", "invalid_source", "invalid_event_time",
    ]  # fmt: skip
    details = [x.get("detail") for x in first.letters]
    assert details == [*["its window has closed"] * 3, None]
    assert "run more often" not in first.log.lower()
    again = replay(to_server, report_path="report.html")
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


def test_a_window_that_another_source_opens(to_server: Launcher, server: FaultyServer) -> None:
    """Where the source was wrong, events that were too old are sent with the right one."""
    long_ago = order(1)["record"]["event_time"] - 8 * DAY
    first = to_server.run(schema(columns=WITH_ID), *numbered(2, event_time=long_ago), state(1))
    assert [x["reason"] for x in first.letters] == ["event_too_old"] * 2
    again = replay(to_server, default_source="offline")
    assert (again.code, again.letters) == (0, [])
    assert server.accepted == ["order-0", "order-1"]


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
    again = replay(target)
    assert (again.code, again.letters) == (0, [])
    (event,) = sandbox.events
    assert event["eventId"]


def test_derived_ids_are_kept(target: Launcher, sandbox: Sandbox) -> None:
    """An event ID that was derived is in the letter, and the same as the event would have had."""
    assert target.run(schema(), order(1)).code == 0
    (event,) = sandbox.events
    late = target.run(schema(), order(1, event_time="?"), state(1))
    assert [x["event_id"] for x in late.letters] == [event["eventId"]]


def test_letters_of_letters(target: Launcher, sandbox: Sandbox) -> None:
    """What is still wrong at a replay becomes a letter again, with ID and source stream."""
    first = target.run(schema("shop-orders"), order(1, "shop-orders", event_time="?"), state(1))
    again = replay(target)
    assert (again.code, sandbox.stats.requests) == (0, 0)
    for name in ("event_id", "reason", "stream", "event_time", "sha2"):
        assert again.letters[0][name] == first.letters[0][name]
    assert again.letters[0]["stream"] == "shop-orders"


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
    assert replay(to_server).code == 0
    assert [p.events for p in server.requests] == [[sent]]


def test_empty_columns_of_letters_are_not_told(to_server: Launcher, server: FaultyServer) -> None:
    """A letter lacks what its record did not say; what cannot be used is still told."""
    server.answer = refusing("order-0")
    columns = schema(columns=(*WITH_ID, "idfa", "ip"))
    first = to_server.run(columns, *numbered(2, ip="nowhere", idfa=None))
    assert "; left out (" in first.log
    assert "idfa empty 2" in first.log
    server.answer = lambda _: Reply()
    again = replay(to_server)
    assert (again.code, server.accepted) == (0, ["order-1", "order-0"])
    assert "; left out (ip 1)" in again.log
    assert " empty " not in again.log


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
    assert 2 in json_leaves(failed)  # the key property, to find the row by
    server.requests.clear()
    again = replay(to_server, **STAR)
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


def test_who_is_suppressed_since_is_not_kept(target: Launcher) -> None:
    """A letter that is not replayed is dropped, if its person is not to be sent any more."""
    (target.folder / "people.txt").write_text("jane@example.com\n")
    letter = {"event_id": "1", "reason": "unconfirmed", "event_time": "2026-01-01"}
    sha2 = hashlib.sha256(b"jane@example.com").hexdigest()
    record = {"type": "RECORD", "stream": DEAD_LETTERS, "record": {**letter, "sha2": sha2}}
    run = target.run(
        schema(DEAD_LETTERS, ("event_id", "reason", "sha2"), ()),
        record,
        suppression_path="people.txt",
    )
    assert (run.code, run.letters, run.summary["total"].drops) == (0, [], {"suppressed": 1})


def json_leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in json_leaves(inner)]
    return [value]


@pytest.mark.parametrize("way", ["same", "symlink", "hardlink", "option", "absolute"])
def test_reading_from_the_own_file(target: Launcher, sandbox: Sandbox, way: str) -> None:
    """Reading from the very file that dead_letter_path names is refused, by whatever name."""
    assert target.run(schema(), order(1, event_time=None)).code == 0
    path = target.folder / LETTERS
    content = path.read_bytes()
    source: Path = path
    if way == "symlink":
        source = target.folder / "link.singer"
        source.symlink_to(path)
    elif way == "hardlink":
        source = target.folder / "link.singer"
        source.hardlink_to(path)
    settings = {"dead_letter_path": str(path)} if way == "absolute" else {}
    if way == "option":
        run = target.command(
            "--config", str(target.config()), "--input", LETTERS, forks=target.forks
        ).wait()
    else:
        with source.open("rb") as stdin:
            run = target.start(stdin=stdin, **settings).wait()
    assert (run.code, run.stdout) == (2, "")
    assert "dead-letter" in run.last_line
    assert path.read_bytes() == content


# Addresses

ADDRESS = "Jane.Roe+tag@Shop-Mail.Example.com"


def hostile(number: int) -> dict[str, Any]:
    """Return a record with an address in each column, of its own form."""
    record: dict[str, Any] = dict.fromkeys(COLUMNS, f"{ADDRESS}")
    record |= {
        "id": f"{number} <{ADDRESS}>",
        "user_agent": f"Agent ({ADDRESS})",
        "source_url": f"https://shop.example.com/?email={ADDRESS.replace('@', '%40')}",
        "order_id": {"mail": [ADDRESS]},
        "value": f"12 {ADDRESS}",
        ADDRESS: ADDRESS,
    }
    return record


def hostile_answer(request: Request) -> Reply:
    """Refuse some events, echoing addresses and the token in every form."""
    said = f"{ADDRESS} {ADDRESS.replace('@', '%40')} Bearer {TOKEN} {request.headers}"
    errors = [{"httpStatus": 400, "message": said, "errorCode": ADDRESS}]
    if any("0" in event_id for event_id in request.ids):
        return Reply(400, json.dumps({"errors": errors}).encode())
    return Reply()


def test_addresses_nowhere(to_server: Launcher, server: FaultyServer) -> None:
    """No address, and no token, appears in output, letters or requests, wherever it stood."""
    server.answer = hostile_answer
    now = order(1)["record"]["event_time"]
    messages = [schema(columns=("id", *COLUMNS, ADDRESS), keys=("id",))]
    for n in range(4):
        messages.append({"type": "RECORD", "stream": "orders", "record": hostile(n)})
        good = {"event_time": now, "pixel_id": 1, "source": "web"}
        messages += [
            {"type": "RECORD", "stream": "orders", "record": {**hostile(n), **good, **own_id}}
            for own_id in ({}, {"event_id": f"e0-{n}"}, {"event_id": f"e1-{n}"})
        ]
    run = to_server.run(*messages, state(1), max_dead_letter_percent=100)
    assert (run.code, run.states) == (0, [1])
    assert run.summary["total"].adds_up
    assert any(x["reason"] == "refused_by_api" for x in run.letters)
    everything = {
        "stderr": run.log,
        "stdout": run.stdout,
        "letters": (to_server.folder / LETTERS).read_text(),
        "requests": json.dumps([p.events for p in server.requests]),
    }
    for place, text in everything.items():
        for word in address_words(ADDRESS) | {"jane.roe", "shop-mail", TOKEN}:
            assert word not in text.lower(), (place, word)


@pytest.mark.parametrize(
    "settings",
    [
        {"on_rejection": "fail"},
        {"validate_records": True},
        {"dry_run": True},
        {"stream_maps": {"orders": {"value": "float(email)", "event_time": "int(email)"}}},
        {"stream_maps": {"orders": {"__alias__": "'x'", "__filter__": "email > 5"}}},
        {"max_dead_letter_percent": 0},
    ],
    ids=["fail", "validate", "dry-run", "map", "filter", "percent"],
)
def test_addresses_nowhere_in_any_mode(target: Launcher, settings: dict[str, Any]) -> None:
    """No address appears in what any mode of the target says of records that it cannot use."""
    typed = schema("orders", ("id", *COLUMNS), value={"type": "number"}, md5={"maxLength": 5})
    record = {"type": "RECORD", "stream": "orders", "record": hostile(1)}
    run = target.run(typed, *[record] * 120, state(1), env={"LOGLEVEL": "DEBUG"}, **settings)
    letters = target.folder / LETTERS
    text = run.log + run.stdout + (letters.read_text() if letters.exists() else "")
    for word in address_words(ADDRESS) | {"jane.roe", "shop-mail", TOKEN}:
        assert word not in text.lower(), word


def test_address_as_a_key(target: Launcher) -> None:
    """A key property that is an address gets into no letter, and gives an event ID all the same."""
    columns = ("id", "event_time", "email", "value")
    maps = {"orders": {"event_time": "event_time", "email": "email", "value": "float(value)"}}
    run = target.run(
        schema("orders", columns),
        order(ADDRESS, event_time=None),
        order(ADDRESS, value="x"),
        *orders(2),
        state(1),
        stream_maps=maps,
    )
    assert (run.code, run.states) == (0, [1])
    assert {x["reason"] for x in run.letters} == {"missing_event_time", "mapping_failed"}
    assert len({x["event_id"] for x in run.letters}) == 1
    text = run.log + (target.folder / LETTERS).read_text()
    assert "shop-mail" not in text.lower()


# Too many dead letters


def test_the_percentage_waits_for_a_state(to_server: Launcher, server: FaultyServer) -> None:
    """Bad records at the start, and then a silence, end no run whose later records are good."""
    run = to_server.start()
    run.send(schema(columns=WITH_ID), *numbered(120, event_time=None))
    path = run.folder / LETTERS  # Its last line may be half written, so lines are counted.
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") == 121, "the dead letters")
    threading.Event().wait(1.2)  # The silence is the point: the run looks at itself every second.
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
