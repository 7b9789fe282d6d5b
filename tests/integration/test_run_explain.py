"""`--explain`: what it prints about streams and their first records, and that it sends nothing."""

from __future__ import annotations

import json
import tempfile
import time
from typing import TYPE_CHECKING, Any

import pytest
from integration_support import CUSTOMER, DAY, lines, order, schema, state
from preset_records import changed, sample

from target_liveintent.singer.explain.inspect import MAX_RECORDS

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


def explain(
    launcher: Launcher, *messages: Message | str, config: dict[str, Any] | None = None
) -> Running:
    """Explain messages, with a configuration that names no account."""
    settings = {"stream_maps": {"orders": MAP}, "pixel_id": 7, "default_source": "web"}
    path = launcher.folder / "explain.json"
    path.write_text(json.dumps(settings if config is None else config))
    # From a file: a pipe breaks if the settings are wrong, as then nothing is read.
    with tempfile.TemporaryFile() as stdin:
        stdin.write(lines(messages))
        stdin.seek(0)
        options = ("--config", str(path), "--explain")
        return launcher.command(*options, forks=launcher.forks, stdin=stdin).wait()


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
    run = explain(to_server, schema("orders", COLUMNS))
    said = {line.split()[0]: line for line in run.stdout.splitlines() if line.startswith("  ")}
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
    assert said["Not"] == "  Not used: note."


def test_records(to_server: Launcher, server: FaultyServer) -> None:
    """Its first records are shown as events, or counted by reason with what to do about it."""
    run = explain(
        to_server,
        schema("orders", COLUMNS),
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
    examples = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("  {")]
    assert len(examples) == 3
    assert [len(event["userData"]["md5"]) for event in examples] == [7] * 3
    assert [len(event["userData"]["sha2"]) for event in examples] == [7] * 3
    assert "example.com" in examples[0]["purchaseData"]["sourceUrl"]
    assert "jane" not in (run.stdout + run.log).lower()
    assert server.requests == []
    assert [path.name for path in to_server.folder.iterdir()] == ["explain.json"]


def test_a_misspelled_column(to_server: Launcher) -> None:
    """A column that the tap does not have is named, with the nearest that it has."""
    config = {"stream_maps": {"orders": {**MAP, "email": "emial", "ip": "zzz"}}, "pixel_id": 7}
    run = explain(to_server, schema("orders", COLUMNS), config={**config, "default_source": "web"})
    assert "'email' reads 'emial'" in run.stdout
    assert "did you mean 'email'?" in run.stdout
    assert "'ip' reads 'zzz', which is not in the tap's SCHEMA." in run.stdout


def test_a_column_that_no_event_has(to_server: Launcher) -> None:
    """A column of the map that goes nowhere is named, with the nearest that there is."""
    config = {"stream_maps": {"orders": {**MAP, "pixel": "7", "note": None}}, "pixel_id": 7}
    run = explain(to_server, schema("orders", COLUMNS), config=config)
    wanted = (
        "  The map of 'orders' sets 'pixel', but events have no such column; did you mean"
        " 'pixel_id'?"
    )
    assert [line for line in run.stdout.splitlines() if "no such column" in line] == [wanted]


def test_an_empty_column(to_server: Launcher) -> None:
    """A mapped column that no record fills has its own line; one that some fill is counted."""
    maps = {**MAP, "email": "get('emial')", "ip": "note", "source_url": "page", "eventId": "id"}
    config = {"stream_maps": {"orders": {**maps, "sha2": "'0' * 64"}}, "pixel_id": 7}
    sales = [sale(n, note="", page=None if n else "https://shop.example.com/") for n in range(3)]
    others = [sale(3, total=0, note="192.0.2.1"), sale(4, total="x", note="192.0.2.1")]
    messages = [schema("orders", COLUMNS), *sales, *others]
    run = explain(to_server, *messages, config={**config, "default_source": "web"})
    said = [line.strip() for line in run.stdout.splitlines() if " empty" in line]
    assert said == [
        "email is empty in all 3 records.",
        "ip is empty in all 3 records.",
        "Left out of events: source_url empty, 2 times.",
    ]
    run = explain(to_server, schema("orders", COLUMNS), config=config)
    assert " empty in all" not in run.stdout


def test_a_run_would_end(to_server: Launcher) -> None:
    """A column that neither tap nor record has would end a run; `--explain` prints that error."""
    config = {"stream_maps": {"orders": {**MAP, "ip": "zzz"}}, "pixel_id": 7}
    run = explain(
        to_server,
        schema("orders", COLUMNS),
        sale(1),
        sale(2),
        config={**config, "default_source": "web"},
    )
    assert run.code == 1
    assert (
        "A run would fail at a record: the map of 'orders' has a mistake: 'ip' reads" in run.stdout
    )


def test_a_misspelled_path(to_server: Launcher) -> None:
    """The steps of a path are checked too, as far as the SCHEMA says what objects hold."""
    money = {"type": "object", "properties": {"amount": {}, "any": {"type": "object"}}}
    price = {"type": "object", "properties": {"shopMoney": money}}
    paths = {
        "value": "get('price.shopMoney.amout')",
        "currency": "get('price.shopMoney.amount')",
        "order_id": "get('price.shopMoney.any.thing')",
        "ip": "get('price.shopMony.amount')",
        "user_agent": "record.get('emial')",
    }
    config = {"stream_maps": {"orders": {**MAP, **paths}}, "pixel_id": 7, "default_source": "web"}
    run = explain(to_server, schema("orders", COLUMNS, price=price), config=config)
    said = [line.strip() for line in run.stdout.splitlines() if " reads " in line]
    does_not = "which is not in the tap's SCHEMA; did you mean"
    assert said == [
        f"'value' reads 'price.shopMoney.amout', {does_not} 'price.shopMoney.amount'?",
        f"'ip' reads 'price.shopMony.amount', {does_not} 'price.shopMoney.amount'?",
        f"'user_agent' reads 'emial', {does_not} 'email'?",
    ]


def test_a_misspelled_stream(to_server: Launcher) -> None:
    """A map whose stream does not come is named, with the nearest that does."""
    config = {"stream_maps": {"ordres": MAP, "__else__": None}, "pixel_id": 7}
    run = explain(to_server, schema("orders", COLUMNS), config=config)
    assert "No map names this stream, so a run skips it." in run.stdout
    absent = (
        "Stream ordres\n  A stream map names this stream, but the input has no such stream; did"
        " you mean 'orders'?"
    )
    assert absent in run.stdout


def test_what_a_stream_lacks(to_server: Launcher) -> None:
    """A stream that cannot give events is printed with what it lacks, and a map to start from."""
    run = explain(to_server, schema("orders", COLUMNS), config={})
    assert run.code == 1
    assert "This stream cannot produce any event: it lacks event_time;" in run.stdout
    started = "stream_maps:\n    __else__: __NULL__ # send no other stream\n    orders:\n"
    assert f"{started}      event_id: id" in run.stdout
    run = explain(to_server, schema("orders", COLUMNS), config={"stream_maps": {"orders": MAP}})
    assert "Set pixel_id (TARGET_LIVEINTENT_PIXEL_ID in the environment) and" in run.stdout
    assert "A map to start from" not in run.stdout


def test_a_timezone_that_is_never_used(to_server: Launcher) -> None:
    """Where no event time needs the setting timezone, its stream says so."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - DAY))
    config = {"stream_maps": {"orders": MAP}, "pixel_id": 7, "default_source": "web"}
    for created, timezone, is_said in (
        (f"{at}+00:00", "Asia/Tokyo", True),
        (at, "Asia/Tokyo", False),
        (f"{at}+00:00", "UTC", False),
        ("", "Asia/Tokyo", False),
    ):
        messages = (schema("orders", COLUMNS), sale(1, created=created))
        run = explain(to_server, *messages, config={**config, "timezone": timezone})
        said = "  WARNING: setting 'timezone' has no effect on the event times of orders, because "
        assert (said in run.stdout) == is_said
        noted = f"  (times without a zone are in {timezone}: setting timezone)\n"
        assert (noted in run.stdout) == (created == at)


def test_a_stream_that_is_dropped_with_the_others(to_server: Launcher) -> None:
    """Where `__else__` drops a stream, no preset is suggested for it."""
    of = sample("stripe_charges", time.time())
    config = {"stream_maps": {"orders": MAP, "__else__": None}, "pixel_id": 7}
    run = explain(to_server, schema(of.stream, of.record, of.keys), config=config)
    assert "No map names this stream, so a run skips it." in run.stdout
    assert "presets" not in run.stdout


def test_a_preset(to_server: Launcher) -> None:
    """Columns that look like a preset's suggest it; one that is in use is named."""
    of = sample("stripe_charges", time.time())
    opening = schema(of.stream, of.record, of.keys)
    record = {"type": "RECORD", "stream": of.stream, "record": of.record}
    run = explain(to_server, opening, config={})
    assert "`presets: {charges: stripe_charges}`" in run.stdout
    config = {"presets": {"charges": "stripe_charges"}, "stream_maps": {"charges": {"ip": None}}}
    run = explain(to_server, opening, record, config={**config, "pixel_id": 7})
    assert "Stream charges (preset stripe_charges)" in run.stdout
    nested = {"presets": {"Sales": {"charges": "stripe_charges"}}, "pixel_id": 7}
    split = schema("Sales.charges", of.record, of.keys)
    assert (
        "Stream Sales.charges (preset stripe_charges)"
        in explain(to_server, split, config=nested).stdout
    )
    assert "Of 1 record, 1 would be sent" in run.stdout
    assert "ip, " in next(x for x in run.stdout.splitlines() if x.startswith("  Empty:"))
    refunded = changed(of.record, {"status": "failed"})
    run = explain(
        to_server, opening, {**record, "record": refunded}, config={**config, "pixel_id": 7}
    )
    assert "0 would be sent, 1 filtered" in run.stdout


@pytest.mark.parametrize("indent", [None, 2])
def test_a_catalog(to_server: Launcher, indent: int | None) -> None:
    """A tap's catalog is explained with all its streams, without records."""
    streams = [
        {"tap_stream_id": name, "schema": schema(name, COLUMNS)["schema"], "key_properties": ["id"]}
        for name in ("orders", "people")
    ]
    run = explain(to_server, json.dumps({"streams": streams}, indent=indent) + "\n")
    assert run.code == 0, run.log
    assert "Stream orders\n" in run.stdout
    assert "Stream people\n" in run.stdout
    assert "The input is a catalog" in run.stdout


def entry(**changes: Any) -> str:
    made = {"tap_stream_id": "orders", "schema": schema("orders", COLUMNS)["schema"], **changes}
    return json.dumps({"streams": [made]}) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        *("no JSON\n", "{}\n", "[1]\n", '{"streams": [1]}\n', "{\n\n"),
        *(entry(schema=5), entry(schema=None), entry(tap_stream_id=5), entry(tap_stream_id=[])),
        *(entry(key_properties=[1]), '{"streams": ' + "[" * 100_000 + "]" * 100_000 + "}\n"),
    ],
    ids=[
        *("text", "object", "list", "no-entry", "open", "schema-number", "schema-null"),
        *("name-number", "name-list", "key-number", "deep"),
    ],
)
def test_neither_a_stream_nor_a_catalog(to_server: Launcher, text: str) -> None:
    """Anything else is refused in one line."""
    run = explain(to_server, text)
    assert run.code == 1
    assert "neither a Singer stream nor a tap's catalog" in run.last_line


def test_a_line_that_is_no_message(to_server: Launcher) -> None:
    """A broken line in a stream is named by its number, and not shown."""
    run = explain(to_server, schema("orders", COLUMNS), "jane@example.com\n")
    assert run.code == 1
    assert "line 2" in run.last_line
    assert "jane" not in run.log


def test_a_long_stream(to_server: Launcher) -> None:
    """A tap that goes on and on is not read to its end."""
    run = explain(
        to_server,
        lines([schema("orders", COLUMNS)]).decode() + json.dumps(sale(1)) + "\n",
        *[json.dumps(sale(1)) + "\n"] * MAX_RECORDS,
    )
    assert f"Only the first {MAX_RECORDS:,} records" in run.stdout
    assert f"Of {MAX_RECORDS:,} records" in run.stdout


def test_the_account_is_not_needed_but_the_rest_is_checked(to_server: Launcher) -> None:
    """Settings are checked as for a run, but for the account."""
    run = explain(to_server, schema("orders", COLUMNS), config={"pixel_id": -1, "pixl_id": 3})
    assert run.code == 2
    assert "'pixel_id'" in run.last_line
    run = explain(to_server, schema("orders", COLUMNS), config={"customer_id": "wrong"})
    assert run.code == 2
    run = explain(to_server, schema("orders", COLUMNS), config={"pixl_id": 3})
    assert "did you mean 'pixel_id'?" in run.stdout


def test_the_environment(to_server: Launcher) -> None:
    """Environment variables go over the file, as in a run."""
    path = to_server.folder / "explain.json"
    path.write_text(json.dumps({"pixel_id": 7, "stream_maps": {"orders": MAP}}))
    env = {"TARGET_LIVEINTENT_PIXEL_ID": "8", "TARGET_LIVEINTENT_DEFAULT_SOURCE": "app"}
    options = ("--config", str(path), "--config=ENV", "--explain")
    run = to_server.command(*options, env=env, forks=to_server.forks)
    run.send(schema("orders", COLUMNS)).close_input().wait()
    assert "8 (setting pixel_id)" in run.stdout
    assert "'app' (setting default_source)" in run.stdout


def test_a_token_file_without_a_customer(to_server: Launcher) -> None:
    """Whoever keeps the token in a file need not say the customer either."""
    path = to_server.folder / "token"
    path.write_text("s3cr3t-token\n")
    run = explain(to_server, config={"auth_token_path": str(path)})
    assert run.code == 0, run.log


def test_names_that_steer_a_terminal(to_server: Launcher) -> None:
    """Characters of a name that cannot be printed are escaped, and stay on their line."""
    properties: dict[str, Any] = {name: {} for name in (*COLUMNS, "no\x1b[31mte")}
    entry = {"tap_stream_id": "a\x1b[2J\nStream forged", "schema": {"properties": properties}}
    run = explain(to_server, json.dumps({"streams": [entry]}))
    assert "\x1b" not in run.stdout
    assert "\nStream forged" not in run.stdout
    assert r"Stream a\x1b[2J\nStream forged" in run.stdout


def test_records_that_break_the_schema(to_server: Launcher) -> None:
    """With `validate_records`, what a run would reject is not said to be sent."""
    opening = schema("orders", COLUMNS)
    opening["schema"]["properties"]["id"] = {"type": "integer"}
    config = {"stream_maps": {"orders": MAP}, "pixel_id": 7, "default_source": "web"}
    broken = {**sale(2), "record": {**sale(2)["record"], "id": "jane@example.com"}}
    checked = {**config, "validate_records": True}
    run = explain(to_server, opening, sale(1), broken, config=checked)
    assert "Of 2 records, 1 would be sent, 0 filtered, 1 rejected." in run.stdout
    assert "(id breaks the rule 'type')" in run.stdout
    run = explain(to_server, opening, sale(1), broken, config=config)
    assert "Of 2 records, 2 would be sent" in run.stdout


def test_dead_letters(to_server: Launcher) -> None:
    """A dead-letter file can be explained as well: what a replay would do, for which account."""
    to_server.run(schema(), order(1, event_time="nonsense"))
    (letters,) = to_server.folder.glob("*dead-letters.singer")
    run = explain(to_server, letters.read_text())
    assert run.code == 0
    assert "invalid_event_time (1)" in run.stdout
    for pixel, reason in ((12345, "invalid_event_time (1)"), (8, "other_account (1)")):
        config = {"customer_id": CUSTOMER, "api_url": to_server.api_url, "pixel_id": pixel}
        run = explain(to_server, letters.read_text(), config=config)
        assert (run.code, reason in run.stdout) == (0, True)
