"""What `trace` says of single events, after runs of all kinds and over both databases."""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, Reply, refusing
from integration_support import DAY, Launcher, lines, order, schema, state, wait_until
from store_tables import ask

from target_liveintent.privacy.identity import derive_event_id

COLUMNS = ("id", "event_id", "order_id", "event_time", "email", "value", "currency", "status")
SCHEMA = schema(columns=COLUMNS)
PIXEL = 12345
MAP = {"stream_maps": {"orders": {"__filter__": "get('status') != 'pending'"}}}
SHORT_LEASE = {
    "target_liveintent.store.reservations:LAPSE_SECONDS": 0.6,
    "target_liveintent.store.run_store:LAPSE_SECONDS": 0.6,
    "target_liveintent.store.reservations:SURE_SECONDS": 0.4,
    "target_liveintent.store.reservations:_RENEWED_AFTER_SECONDS": 0.1,
}
"""Constants of a run that soon takes what a killed run has reserved."""
KEPT = pytest.mark.parametrize("keeps", [True, False], ids=["kept", "not_kept"])


def traced(target: Launcher, *ids: str, code: int = 0, **settings: Any) -> list[dict[str, Any]]:
    """Return the answers of `trace` as JSON, after the same outcomes were found in the text."""
    run = target.ask("trace", *ids, "--format=json", **settings)
    assert (run.code, run.log) == (code, ""), run.log
    answers: list[dict[str, Any]] = json.loads(run.stdout)
    text = target.ask("trace", *ids, **settings)
    assert (text.code, text.log) == (code, "")
    for shown, answer in zip(text.stdout.splitlines(), answers, strict=False):
        assert shown.startswith(answer["id"])
        assert shown.endswith(answer["words"])
    return answers


def outcomes(target: Launcher, *ids: str, **settings: Any) -> list[str]:
    """Return the outcome of each answer."""
    return [answer["outcome"] for answer in traced(target, *ids, **settings)]


def named(number: int, **columns: Any) -> dict[str, Any]:
    """Return an order with an event ID and an order ID of its own."""
    ids = {"event_id": f"event-{number}", "order_id": f"shop-{number}"}
    return order(number, **{**ids, **columns})


def write_input(target: Launcher, *messages: Any) -> str:
    """Write the output of a tap into a file, and return its name."""
    (target.folder / "tap.singer").write_bytes(lines([SCHEMA, *messages]))
    return "--input=tap.singer"


@KEPT
def test_each_outcome_of_a_run_that_ended(  # noqa: PLR0915 (a table of outcomes)
    to_server: Launcher, server: FaultyServer, store: Path | str, *, keeps: bool
) -> None:
    """Events that arrived, dead letters, records that are left out, and IDs without an event."""
    settings = {**MAP, "store": str(store), "keep_delivered": keeps}
    server.answer = refusing("event-2")
    messages = [
        named(1),
        named(2),
        named(3, event_time="soon"),
        named(4, status="pending"),
        order(5),
        named(6, email=None),
        named(7, event_time=int(time.time()) - 9 * DAY),
    ]
    run = to_server.run(SCHEMA, *messages, state(1), **settings)
    assert run.code == 0
    first, *others = traced(to_server, "event-1", "5", "event-2", "shop-2", "shop-3", **settings)
    assert first["outcome"] == "arrived"
    assert (first["run"], first["pixel_id"], first["stream"]) == (run.run_id, PIXEL, "orders")
    assert (first["event_id"], first["until"], first["now"]) == ("event-1", None, None)
    if keeps:
        kept = first["delivered"]
        assert (kept["value"], kept["currency"], kept["order_id"]) == ("12.5", "USD", "shop-1")
        assert (len(kept["md5"]), len(kept["sha2"])) == (32, 64)
        assert "12.5 USD" in first["words"]
        assert "@" not in json.dumps(kept)
    else:
        assert first["delivered"] is None
        assert first["words"] == f"It arrived at pixel {PIXEL}: confirmed by run {run.run_id}."
    by_key, refused, by_order, soon = others
    assert (by_key["id"], by_key["outcome"]) == ("5", "arrived")
    assert by_key["event_id"] == derive_event_id("orders", ["5"])
    assert (refused["outcome"], refused["reason"]) == ("dead_letter", "refused_by_api")
    assert (refused["letter"]["replay"], refused["command"]) == (
        "sends",
        "target-liveintent replay",
    )
    assert refused["until"] > time.strftime("%Y-%m-%d")
    assert refused["until"].replace("T", " ").replace("Z", " UTC") in refused["words"]
    assert {**refused, "id": "shop-2"} == by_order
    assert (soon["reason"], soon["letter"]["field"], soon["letter"]["odd_value"]) == (
        "invalid_event_time",
        "event_time",
        "soon",
    )
    assert soon["command"] == "target-liveintent dead-letters"
    assert "ISO 8601" in soon["to_do"]
    old, guest = traced(to_server, "event-7", "shop-6", **settings)
    assert (old["outcome"], old["reason"], old["letter"]["replay"]) == (
        "dead_letter",
        "event_too_old",
        "expired",
    )
    assert "It is lost" in old["words"]
    assert (guest["reason"], guest["letter"]["replay"]) == ("no_identity", "cannot_send")
    # What only delivered events, or the input, can show.
    unknown = "never_seen" if keeps else "unknown"
    by_order_id, pending, nothing = traced(
        to_server, "shop-1", "event-4", "nothing", code=1, **settings
    )
    assert by_order_id["outcome"] == ("arrived" if keeps else "unknown")
    assert (pending["outcome"], nothing["outcome"]) == (unknown, unknown)
    if keeps:
        assert {**first, "id": "shop-1"} == by_order_id
        assert "--input FILE" in nothing["words"]
    else:
        assert "keep_delivered" in nothing["words"]
        assert "--input FILE" in nothing["words"]
    assert "reaches back to the run of" in nothing["words"]
    given = write_input(to_server, *messages, named(8), named(9, event_time="soon"))
    left = traced(to_server, "event-4", given, **settings)
    assert [(one["outcome"], one["reason"]) for one in left] == [("left_out", "filtered")]
    assert left[0]["now"]["filter"] == {
        "expression": "get('status') != 'pending'",
        "read": {"status": "pending"},
        "passes": False,
    }
    found = traced(to_server, "shop-1", "shop-8", "9", "nothing", given, code=1, **settings)
    assert [answer["outcome"] for answer in found] == [
        "arrived",
        "never_seen",
        "never_seen",
        "never_seen",
    ]
    assert [answer["now"] and answer["now"]["result"] for answer in found] == [
        "sent",
        "sent",
        "dead_letter",
        None,
    ]
    assert {**found[0], "now": None, "id": "event-1"} == first


def test_the_event_of_the_input_is_what_a_run_sends(
    to_server: Launcher, server: FaultyServer, store: Path | str
) -> None:
    """The event in `now` is byte by byte the one that the API gets."""
    settings = {"store": str(store), "keep_delivered": False}
    messages = named(1), order(2)
    given = write_input(to_server, *messages)
    shown = [one["now"]["event"] for one in traced(to_server, "1", "2", given, code=1, **settings)]
    to_server.run(SCHEMA, *messages, state(1), **settings)
    sent = [event for request in server.requests for event in request.events]
    assert [*map(json.dumps, shown)] == [*map(json.dumps, sent)]
    assert outcomes(to_server, "1", "2", given, **settings) == ["arrived", "arrived"]


def test_a_run_that_lives_and_then_is_killed(
    to_server: Launcher, server: FaultyServer, store: Path | str
) -> None:
    """What it sends is on its way while it lives, and interrupted when its lease has ended."""
    server.answer = lambda request: Reply(held="event-1" not in request.ids)
    settings = {"store": str(store), "keep_delivered": False, **MAP}  # (It names the stream.)
    run = to_server.start(batch_size_rows=1, **settings)
    run.send(SCHEMA, named(1), named(2), named(3))
    wait_until(lambda: len(server.accepted) >= 1, "an answer")
    wait_until(lambda: ask(store, "SELECT 1 FROM event"), "an outcome in the store")
    wait_until(lambda: ask(store, "SELECT 1 FROM reservation"), "a reservation")
    (first, second) = traced(to_server, "event-1", "event-2", **settings)
    assert (first["outcome"], first["run"]) == ("arrived", run.run_id)
    assert (second["outcome"], second["run"]) == ("on_its_way", run.run_id)
    run.kill()
    ask(store, "UPDATE run SET alive_until = ?", time.time() - 1)  # As half a minute later.
    (killed,) = traced(to_server, "event-2", **settings)
    assert (killed["outcome"], killed["run"]) == ("interrupted", run.run_id)
    server.release()
    server.answer = lambda _: Reply()
    messages = [SCHEMA, named(1), named(2), named(3), state(1)]
    assert to_server.run(*messages, constants=SHORT_LEASE, **settings).code == 0
    assert outcomes(to_server, "event-1", "event-2", "event-3", **settings) == ["arrived"] * 3


def test_a_run_that_failed(to_server: Launcher, server: FaultyServer, store: Path | str) -> None:
    """What it had read waits for the next run, or has expired when its window closes."""
    settings = {"store": str(store), "keep_delivered": False}
    server.answer = lambda _: Reply(401)
    assert to_server.run(SCHEMA, named(1), state(1), **settings).code == 1
    (waits,) = traced(to_server, "event-1", **settings)
    assert (waits["outcome"], waits["run"]) == ("interrupted", None)
    assert "next run sends it again" in waits["words"]
    end = int(time.time()) - 1
    ask(store, "UPDATE waiting SET window_end = ?", end)  # As if a week had gone by.
    (expired,) = traced(to_server, "event-1", **settings)
    assert expired["outcome"] == "expired"
    assert expired["until"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))


@KEPT
def test_an_id_of_two_streams_and_two_pixels(
    to_server: Launcher, store: Path | str, *, keeps: bool
) -> None:
    """The answer has an entry for each event with the ID, also if it is the value of a key."""
    settings = {"store": str(store), "keep_delivered": keeps}
    messages = [
        SCHEMA,
        schema("carts", columns=COLUMNS),
        order(7, order_id="shop-7"),
        order(7, "carts", order_id="shop-7"),
        state(1),
    ]
    for pixel in (PIXEL, 77):
        assert to_server.run(*messages, **settings, pixel_id=pixel).code == 0
    expected = [(stream, pixel) for stream in ("carts", "orders") for pixel in (77, PIXEL)]
    for sought in ("7", "shop-7") if keeps else ("7",):
        answers = traced(to_server, sought, **settings)
        assert [(one["stream"], one["pixel_id"]) for one in answers] == expected
        assert {one["outcome"] for one in answers} == {"arrived"}
    # A pixel that no run has as its setting, but the map has.
    maps = {"stream_maps": {"orders": {"pixel_id": "'991'"}}}
    to_server.run(SCHEMA, order(8), state(1), **settings, **maps)
    (mapped,) = traced(to_server, "8", **settings, **maps)
    assert (mapped["outcome"], mapped["pixel_id"]) == ("arrived", 991)


def test_a_part_of_a_composite_key(
    to_server: Launcher, server: FaultyServer, store: Path | str
) -> None:
    """It finds the dead letter of a failed map, and the record of an input."""
    del server
    settings = {"store": str(store), "keep_delivered": False}
    composite = schema(columns=("shop", *COLUMNS), keys=("shop", "id"))
    maps = {"stream_maps": {"orders": {"value": "1 / (int(value) - 3)"}}}
    good, bad = order(31, shop="berlin-1"), order(32, shop="paris-2", value="3")
    to_server.run(composite, good, bad, state(1), **settings, **maps)
    for part in ("paris-2", "32"):
        (letter,) = traced(to_server, part, **settings)
        assert (letter["outcome"], letter["reason"]) == ("dead_letter", "mapping_failed")
    assert outcomes(to_server, "berlin-1", code=1, **settings) == ["unknown"]
    derived = derive_event_id("orders", ["berlin-1", "31"])
    assert outcomes(to_server, derived, **settings) == ["arrived"]
    (to_server.folder / "tap.singer").write_bytes(lines([composite, good, bad]))
    for part in ("berlin-1", "31", derived):
        (found,) = traced(to_server, part, "--input=tap.singer", **settings, **maps)
        assert (found["outcome"], found["event_id"]) == ("arrived", derived)
        assert found["now"]["result"] == "sent"


ADDRESSES = (
    "jane@example.com",
    "Jane@Example.com",
    "jane%40example.com",
    "mailto:jane@example.com",
)


@pytest.mark.parametrize("column", ["event_id", "id"])
def test_an_id_that_is_an_address(to_server: Launcher, store: Path | str, column: str) -> None:
    """In any spelling, it finds the event and the record, and only its hash is shown."""
    settings = {"store": str(store), "keep_delivered": True}
    record = order(1, **{column: "jane@example.com"})
    bad = order(2, **{column: "jon@example.com", "event_time": "soon"})
    to_server.run(SCHEMA, record, bad, state(1), **settings)
    given = write_input(to_server, record)
    for source in ((), (given,)):
        for sought in ADDRESSES:
            (answer,) = traced(to_server, sought, *source, **settings)
            assert answer["outcome"] == "arrived", sought
            assert bool(answer["now"]) == bool(source)
            shown = json.dumps(answer)
            assert "example.com" not in shown.lower()
            assert "8c87b489ce35cf2e2f39f80e282cb2e804932a56a213983eeeb428407d43b52d" in shown
    (letter,) = traced(to_server, "Jon@example.com", **settings)
    assert (letter["outcome"], letter["reason"]) == ("dead_letter", "invalid_event_time")


def test_what_the_consent_the_list_and_the_stream_leave_out(
    to_server: Launcher, store: Path | str
) -> None:
    """Each reason for which a record of the input gives no event and no dead letter."""
    (to_server.folder / "people.txt").write_text("listed@example.com\n")
    settings = {
        "store": str(store),
        "keep_delivered": False,
        "suppression_path": "people.txt",
        "stream_maps": {"carts": None, "orders": {"event_id": "event_id"}},
    }
    columns = (*COLUMNS, "consent", "_sdc_deleted_at")
    messages = [
        schema(columns=columns),
        named(1, consent=False),
        named(2, consent=True, email="Listed@example.com"),
        named(3, consent=True, _sdc_deleted_at="2026-01-01"),
        named(4, consent=True),
        schema("carts", columns=columns),
        order(5, "carts"),
        schema("people", columns=("id", "name")),
        order(6, "people", event_time=..., email=..., value=..., currency=...),
    ]
    (to_server.folder / "tap.singer").write_bytes(lines(messages))
    ids = [*(f"shop-{n}" for n in range(1, 5)), "5", "6"]
    answers = traced(to_server, *ids, "--input=tap.singer", code=1, **settings)
    assert [(one["outcome"], one["reason"]) for one in answers] == [
        ("left_out", "no_consent"),
        ("left_out", "suppressed"),
        ("left_out", "deleted"),
        ("never_seen", None),
        ("left_out", "filtered"),
        ("left_out", "unmapped"),
    ]
    assert [one["now"]["consent"] for one in answers[:2]] == [False, True]
    lists = [one["now"]["suppression"] for one in answers]
    assert lists == ["not_listed", "suppressed", None, "not_listed", None, None]
    assert answers[3]["now"]["age"]["is_open"] is True


def test_the_input_may_be_standard_input(to_server: Launcher) -> None:
    """`-` is standard input. Of several versions of a record, the one that is sent counts."""
    pending, paid = named(1, status="pending"), named(1, status="paid")
    run = to_server.start("trace", "1", "--input=-", "--format=json", **MAP)
    run.send(SCHEMA, pending, paid).close_input().wait()
    (answer,) = json.loads(run.stdout)
    assert (run.code, answer["outcome"]) == (1, "never_seen")
    assert (answer["now"]["result"], answer["now"]["records"]) == ("sent", 2)
    assert "no run of this account" in answer["words"]


def test_it_makes_no_store_and_needs_no_token(to_server: Launcher) -> None:
    """A store that does not exist stays so; wrong settings and a missing ID end with code 2."""
    assert outcomes(to_server, "1", code=1, auth_token=...) == ["never_seen"]
    assert not to_server.store.exists()
    for arguments, settings in (
        (("trace",), {}),
        (("trace", "1", "--input=nowhere"), {}),
        (("trace", "1"), {"pixel_id": "x"}),
        (("trace", "1"), {"customer_id": ...}),
    ):
        run = to_server.ask(*arguments, **settings)
        assert (run.code, run.stdout) == (2, "")
    assert to_server.ask("trace", "1", "--input=/dev/null").code == 1
    assert not to_server.store.exists()


TABLES = ("run", "event", "reservation", "waiting", "place_count", "dead_letter", "delivered")


def test_it_writes_nothing(to_server: Launcher, server: FaultyServer, store: Path | str) -> None:
    """All rows, and the file of the store, are the same afterwards, and nothing is sent."""
    settings = {"store": str(store), "keep_delivered": True}
    server.answer = refusing("event-2")
    to_server.run(SCHEMA, named(1), named(2), named(3, event_time="soon"), **settings)
    if isinstance(store, Path):
        with sqlite3.connect(store) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def everything() -> Any:
        content = store.read_bytes() if isinstance(store, Path) else b""
        # (The order of the rows of a database is not fixed.)
        return content, [sorted(map(repr, ask(store, f"SELECT * FROM {t}"))) for t in TABLES]  # noqa: S608

    before, requests = everything(), len(server.requests)
    given = write_input(to_server, named(1), named(4))
    ids = ("event-1", "event-2", "event-3", "event-4", "nothing")
    found = outcomes(to_server, *ids, given, code=1, **settings)
    assert found == ["arrived", "dead_letter", "dead_letter", "never_seen", "never_seen"]
    assert everything() == before
    assert len(server.requests) == requests
