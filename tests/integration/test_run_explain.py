"""`explain`: what it prints about streams and their first records, and that it sends nothing."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import DAY, dead_letter, dead_letter_lines, schema, state
from preset_records import changed, sample

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher, Message, Running

COLUMNS = ("id", "created", "email", "total", "page", "note")
MAP = {
    "__filter__": "total > 0",
    "__else__": "__NULL__",
    "event_time": "created",
    "email": "email",
    "value": "total",
    "source_url": "page",
}
ORDERS = schema("orders", COLUMNS)


def explain(launcher: Launcher, *messages: Message | str, **settings: Any) -> Running:
    """Explain messages, with a configuration that names no account."""
    given = {"stream_maps": {"orders": MAP}, "pixel_id": 7, "default_source": "web"}
    given |= {"customer_id": ..., "auth_token": ..., "api_url": ...}
    return launcher.explain(*messages, **given | settings)


def indented(run: Running) -> list[str]:
    """Return what is printed of streams, line by line."""
    return [line.strip() for line in run.stdout.splitlines() if line.startswith("  ")]


def sale(number: int, **changes: Any) -> dict[str, Any]:
    made = {
        "id": number,
        "created": int(time.time()) - 60,
        "email": "Jane.Doe@Example.com",
        "total": 12.5,
        "page": "https://shop.example.com/?utm_source=mail",
    }
    return {"type": "RECORD", "stream": "orders", "record": {**made, **changes}}


def test_fields(to_server: Launcher) -> None:
    """Each field is shown with its expression, its column or its setting, or as empty."""
    run = explain(to_server, ORDERS)
    said = {line.split()[0]: line for line in indented(run)}
    assert run.code == 0
    assert "total > 0" in said["only"]
    assert "derived" in said["event_id"]
    assert said["event_id"].endswith("id")
    assert said["event_time"].endswith(" created")
    assert "7 (setting pixel_id)" in said["pixel_id"]
    assert "'web' (setting default_source)" in said["source"]
    assert "li_did" in said["decision_id"]
    assert "never sent" in said["email"]
    assert {"md5", "ip", "currency", "app_bundle"} <= set(said["Empty:"].replace(",", "").split())
    assert said["Not"] == "Not used: note."


def test_records(to_server: Launcher, server: FaultyServer) -> None:
    """Its first records are shown as events, or counted by reason with what to do about it."""
    run = explain(
        to_server,
        ORDERS,
        *(sale(n) for n in range(5)),
        sale(6, total=0),
        sale(7, email=None),
        sale(8, email=""),
        sale(9, created="yesterday"),
        sale(10, total="free"),
        state(1),
    )
    assert run.code == 0
    assert "Of 10 records, 5 would be sent, 1 filtered, 4 rejected." in run.stdout
    assert "no_identity (2)" in run.stdout
    assert "invalid_event_time (1), first event: " in run.stdout
    assert "column event_time" in run.stdout
    assert "mapping_failed (1), first event: " in run.stdout
    assert '__filter__ (TypeError), key properties {"id":10}' in run.stdout
    examples = [json.loads(line) for line in indented(run) if line.startswith("{")]
    assert [[len(e["userData"][name]) for name in ("md5", "sha2")] for e in examples] == [
        [7, 7]
    ] * 3
    assert "example.com" in examples[0]["purchaseData"]["sourceUrl"]
    assert "jane" not in (run.stdout + run.log).lower()
    assert server.requests == []
    made = {path.name for path in to_server.folder.iterdir()}
    assert made == {"config-0.json", "explained.singer"}


def test_mistakes_of_a_map(to_server: Launcher) -> None:
    """What the tap does not have, and what no event has, is named, with the nearest there is."""
    money = {"type": "object", "properties": {"amount": {}, "any": {"type": "object"}}}
    price = {"type": "object", "properties": {"shopMoney": money}}
    columns = {
        "value": "get('price.shopMoney.amout')",
        "currency": "get('price.shopMoney.amount')",
        "order_id": "get('price.shopMoney.any.thing')",
        "email": "emial",
        "ip": "zzz",
        "pixel": "7",
        "note": None,
    }
    maps = {"orders": {**MAP, **columns}, "poeple": MAP, "__else__": None}
    other = schema("people", ("id",))
    run = explain(to_server, schema("orders", COLUMNS, price=price), other, stream_maps=maps)
    near = "; did you mean '"
    unknown = "which is not in the tap's SCHEMA"
    assert [line for line in indented(run) if " reads " in line or "no such" in line] == [
        f"The map of 'orders' sets 'pixel', but events have no such column{near}pixel_id'?",
        f"'email' reads 'emial', {unknown}{near}email'?",
        f"'value' reads 'price.shopMoney.amout', {unknown}{near}price.shopMoney.amount'?",
        f"'ip' reads 'zzz', {unknown}.",
        f"A stream map names this stream, but the input has no such stream{near}people'?",
    ]
    assert "Stream people\n  No map names this stream, so a run skips it." in run.stdout


def test_an_empty_column(to_server: Launcher) -> None:
    """A mapped column that no record fills has its own line; one that some fill is counted."""
    maps = {**MAP, "email": "get('emial')", "ip": "note", "eventId": "id", "sha2": "'0' * 64"}
    sales = [sale(n, note="", page=None if n else "https://shop.example.com/") for n in range(3)]
    others = [sale(3, total=0, note="192.0.2.1"), sale(4, total="x", note="192.0.2.1")]
    run = explain(to_server, ORDERS, *sales, *others, stream_maps={"orders": maps})
    assert [line for line in indented(run) if " empty" in line] == [
        "email is empty in all 3 records.",
        "ip is empty in all 3 records.",
        "Left out of events: source_url empty, 2 times.",
    ]


def test_what_a_stream_lacks(to_server: Launcher) -> None:
    """A stream that cannot give events is printed with what it lacks, and a map to start from."""
    nothing = {"pixel_id": ..., "default_source": ...}
    run = explain(to_server, ORDERS, stream_maps=..., **nothing)
    assert run.code == 1
    assert "This stream cannot produce any event: it lacks event_time;" in run.stdout
    started = (
        "stream_maps:\n    __else__: __NULL__ # send no other stream\n    orders: # the map of"
    )
    assert started in run.stdout
    assert "\n      event_id: get('id') # the key of the stream\n" in run.stdout
    run = explain(to_server, ORDERS, **nothing)
    assert "Set pixel_id (TARGET_LIVEINTENT_PIXEL_ID in the environment) and" in run.stdout
    assert "A map to start from" not in run.stdout


def test_a_timezone_that_is_never_used(to_server: Launcher) -> None:
    """Where no event time needs the setting timezone, its stream says so."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - DAY))
    for created, is_used in ((f"{at}+00:00", False), (at, True)):
        run = explain(to_server, ORDERS, sale(1, created=created), timezone="Asia/Tokyo")
        said = "WARNING: setting 'timezone' has no effect on the event times of orders, because "
        assert (said in run.stdout) == (not is_used)
        noted = "  (times without a zone are in Asia/Tokyo: setting timezone)"
        lines = [line.split()[0] for line in run.stdout.splitlines() if line.endswith(noted)]
        assert lines == ["event_time"] * is_used


def test_a_preset(to_server: Launcher) -> None:
    """Columns that look like a preset's suggest it; one that is in use is named."""
    of = sample("stripe_charges", time.time())
    opening = schema(of.stream, of.record, of.keys)
    record = {"type": "RECORD", "stream": of.stream, "record": of.record}
    run = explain(to_server, opening, stream_maps=...)
    assert "`presets: {charges: stripe_charges}`" in run.stdout
    # Where `__else__` drops a stream, no preset is suggested for it.
    run = explain(to_server, opening, stream_maps={"orders": MAP, "__else__": None})
    assert "presets" not in run.stdout
    maps = {"presets": {"charges": "stripe_charges"}, "stream_maps": {"charges": {"ip": None}}}
    refunded = {**record, "record": changed(of.record, {"status": "failed"})}
    run = explain(to_server, opening, record, refunded, **maps)
    assert "Stream charges (preset stripe_charges)" in run.stdout
    assert "Of 2 records, 1 would be sent, 1 filtered" in run.stdout
    assert "ip, " in next(line for line in indented(run) if line.startswith("Empty:"))


def entry(**changes: Any) -> dict[str, Any]:
    return {"tap_stream_id": "orders", "schema": ORDERS["schema"], **changes}


def test_a_catalog(to_server: Launcher) -> None:
    """A tap's catalog is explained with all its streams, without records.

    Characters of a name that cannot be printed are escaped, and stay on their line.
    """
    names = ("orders", "a\x1b[2J\nStream forged")
    streams = [entry(tap_stream_id=name, key_properties=["id"]) for name in names]
    run = explain(to_server, json.dumps({"streams": streams}, indent=2) + "\n")
    assert run.code == 0, run.log
    assert "The input is a catalog" in run.stdout
    assert "Stream orders\n" in run.stdout
    assert r"Stream a\x1b[2J\nStream forged" in run.stdout
    assert "\x1b" not in run.stdout


@pytest.mark.parametrize(
    "text",
    [
        *("no JSON\n", "{\n\n", "[1]\n", '{"streams": ' + "[" * 100_000 + "]" * 100_000 + "}\n"),
        *(json.dumps({"streams": [one]}) for one in (1, entry(schema=None), entry(schema=5))),
        *(json.dumps({"streams": [entry(**one)]}) for one in ({"key_properties": [1]},)),
    ],
    ids=["text", "open", "list", "deep", "no entry", "no schema", "schema", "keys"],
)
def test_neither_a_stream_nor_a_catalog(to_server: Launcher, text: str) -> None:
    """Anything else is refused in one line."""
    run = explain(to_server, text)
    assert run.code == 1
    assert "neither a Singer stream nor a tap's catalog" in run.last_line


def test_a_long_stream(to_server: Launcher) -> None:
    """A tap that goes on and on is not read to its end."""
    few = {"target_liveintent.singer.explaining:MAX_RECORDS": 5}
    run = explain(to_server, ORDERS, *[sale(1)] * 7, constants=few)
    assert "Only the first 5 records were read." in run.stdout
    assert "Of 5 records" in run.stdout


def test_dead_letters(to_server: Launcher) -> None:
    """A stream of dead letters is refused, as a run refuses it, with the command that takes it."""
    explained = to_server.explain(dead_letter_lines(dead_letter("1")))
    assert (explained.code, explained.stdout) == (1, "")
    assert "to send dead letters, use target-liveintent replay FILE" in explained.last_line
