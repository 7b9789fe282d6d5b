"""`explain`: what it shows, that it sends nothing, and that it fails where a run would fail."""

import json
import stat
import time
from typing import Any

import pytest
import yaml
from integration_support import Launcher, Running, batch, lines, order, orders, schema, state

from target_liveintent.sandbox import Sandbox

MAP = {"event_id": "str(id)", "event_time": "event_time", "email": "email", "__else__": None}
VALUED = {**MAP, "value": "value", "currency": "currency", "__filter__": "value > 0"}


def test_any_names_of_columns(target: Launcher, sandbox: Sandbox) -> None:
    """`explain` and the run read the same columns, whatever their names are."""
    names = {"value": "Betrag (brutto)", "currency": "Währung", "order_id": "Best.-Nr."}
    maps = {
        **MAP,
        **{column: f"_.get({name!r})" for column, name in names.items()},
        "__filter__": "get('Zustand (geändert)') != 'storniert'",
    }
    columns = (*names.values(), "Zustand (geändert)")
    values = [("7.5", "CHF", "A-1", "bezahlt"), ("9.5", "CHF", "A-2", "storniert")]
    given = [order(n, **dict(zip(columns, one, strict=True))) for n, one in enumerate(values)]
    messages = (schema(columns=("id", "event_time", "email", *columns)), *given)
    settings = {"stream_maps": {"orders": maps}}
    said = target.explain(*messages, **settings).stdout
    assert "Of 2 records, 1 would be sent, 1 filtered, 0 rejected." in said
    assert target.run(*messages, **settings).code == 0
    (event,) = sandbox.events
    assert event["purchaseData"] == {"currency": "CHF", "value": 7.5, "orderId": "A-1"}


# The exit code

ONLY_ORDERS = {"stream_maps": {"orders": MAP}}
NO_ORDERS = {"stream_maps": {"orders": None, "__else__": None}}
FAIL = {"on_rejection": "fail"}
PEOPLE = schema("people", ("id",))
ONE = [schema(), order(1)]
MANY_BAD = [schema(), *orders(40), *orders(99, event_time="?")]

INPUTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "good": ([schema(), *orders(3), state(1)], {}),
    "a stream that is refused": ([schema("orders", ("id", "name"))], {}),
    "a setting that it lacks": ([schema()], {"default_source": None}),
    "a second schema that is refused": ([schema(), *orders(2), schema(columns=("id",))], {}),
    "no stream that gives events": ([PEOPLE, order(1, "people")], ONLY_ORDERS),
    "all streams are dropped": (ONE, NO_ORDERS),
    "a misspelled column": (ONE, {"stream_maps": {"orders": {**MAP, "ip": "zzz"}}}),
    "a rejection that ends the run": ([schema(), order(1, event_time="?")], FAIL),
    "a drop that does not end the run": (
        [schema(columns=("id", "event_time", "email", "consent")), order(1, consent=False)],
        FAIL,
    ),
    "too many dead letters": (MANY_BAD, {}),
    "as many as are allowed": (MANY_BAD, {"max_dead_letter_percent": 100}),
    "a record before its schema": ([schema(), order(1, "people")], {}),
    "a line that is no message": ([schema(), "no JSON\n"], {}),
    "a batch file that is not there": ([schema(), batch("file:///nowhere/batch.jsonl")], {}),
    "versions": ([schema(), {"type": "ACTIVATE_VERSION", "stream": "orders"}, order(1)], {}),
    "Meltano's test": (
        [schema("meltano_test_stream", ("id",)), order(1, "meltano_test_stream")],
        {},
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_exit_code(target: Launcher, name: str) -> None:
    """The exit code of an explanation is 1 where that of a run is, and it says why."""
    messages, settings = INPUTS[name]
    run = target.run(*messages, **settings)
    assert run.code in {0, 1}, run.log
    explained = target.explain(*messages, **settings)
    assert explained.code == run.code, explained.stdout + explained.log
    if run.code == 1:
        why = explained.stdout + explained.log
        assert "A run over this input would fail: " in why or explained.last_line in run.last_line
    if name == "no stream that gives events":  # The line begins as the last line of the run does.
        assert explained.stdout.endswith(f"A run over this input would fail: {run.last_line}")


def test_batch_files_and_a_schema_that_changes(target: Launcher) -> None:
    """Records of files, and those after another SCHEMA, are explained and counted like others."""
    path = target.folder / "batch.jsonl"
    path.write_bytes(lines(one["record"] for one in orders(3)))
    few = ("id", "event_time", "email")
    poor = order(4, value=..., currency=...)
    explained = target.explain(schema(columns=few), poor, schema(), batch(path))
    assert explained.code == 0
    assert "Of 4 records, 4 would be sent" in explained.stdout
    assert "3 conversions in USD, average value 12.50" in explained.stdout


# Expectations

NEWEST = 1_700_000_000
"""The time of the newest event of a recording: years ago."""
RECORDING = [
    schema(),
    *(order(n, event_time=NEWEST - n, value=7.25) for n in range(1, 4)),
    order(4, event_time=NEWEST, email=None),
    order(5, event_time=NEWEST, value=0),
]


def test_an_expectation(target: Launcher) -> None:
    """A file is made of what a recording becomes; then each difference fails, and is shown.

    An expectation that is met does not excuse a stream that a run refuses.
    """

    def explained(*messages: Any, file: str = "expected.json", **columns: Any) -> Running:
        maps = {"orders": {**VALUED, **columns}, "people": {"order_id": "id", "__else__": None}}
        options = ("--expect", file)
        return target.explain(*RECORDING, *messages, options=options, stream_maps=maps)

    first = explained()
    assert first.code == 1
    said = "did not exist, so this command created the file (events: 3, rejections: 1)"
    assert said in first.stdout
    text = (target.folder / "expected.json").read_text()
    assert "@" not in text
    parts = json.loads(text)
    assert parts["orders: records"] == {"read": 5, "filtered": 1}
    assert parts["orders: rejection 4"] == {"reason": "no_identity"}
    assert len(parts["orders: event 3"]["userData"]["sha2"]) == 64
    assert explained().code == 0
    changed = explained(value="value * 100 if id == 3 else value")
    assert changed.code == 1
    diff = [line for line in changed.stdout.splitlines() if line[:2] in {"@@", "- ", "+ "}]
    assert [" ".join(line.split()) for line in diff] == [
        *("@@ orders: event 3 @@", '- "value": 7.25', '+ "value": 725.00'),
    ]
    assert "If the new result is right, delete 'expected.json'" in changed.stdout
    runs = [explained(PEOPLE, file="people.json") for _ in range(2)]
    assert [run.code for run in runs] == [1, 1]
    assert "would fail: stream 'people' cannot produce any event" in runs[1].stdout
    assert "The result is what" in runs[1].stdout


# The first hour with one's own table, as a CSV file has it: everything is text

TABLE = (
    *("order_ref", "cust_mail", "placed_on", "gross_total_cents", "cur", "is_test", "landing_url"),
    *("_sdc_path", "_sdc_line_number"),
)


def row(number: int, is_test: str = "0") -> dict[str, Any]:
    """Return a RECORD of a row of `orders.csv`."""
    record = {
        "order_ref": f"A-{number}",
        "cust_mail": f"buyer{number}@example.com",
        "placed_on": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 7200)),
        "gross_total_cents": str(1000 + number),
        "cur": "EUR",
        "is_test": is_test,
        "landing_url": "https://shop.example.com/?utm_source=mail",
        "_sdc_path": "orders.csv",
        "_sdc_line_number": number,
    }
    return {"type": "RECORD", "stream": "orders", "record": record}


def test_a_first_configuration(target: Launcher, sandbox: Sandbox) -> None:
    """With three blanks filled in, the proposed configuration delivers the table."""
    messages = [
        schema(columns=TABLE, keys=TABLE[-2:]),
        *(*map(row, range(20)), row(20, is_test="1"), state(1)),
    ]
    source = target.folder / "orders.singer"
    source.write_text("\n".join(map(json.dumps, messages)))
    arguments = ("explain", source.name, "--write-config", "liveintent.yaml")
    run = target.command(*arguments).close_input().wait()
    assert (run.code, run.log) == (0, "")
    assert "The proposed configuration is in 'liveintent.yaml'." in run.stdout
    written = target.folder / "liveintent.yaml"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    config = yaml.safe_load(written.read_text())
    blanks = {name: ... for name, value in config.items() if value is None}
    assert blanks.keys() == {"customer_id", "auth_token", "pixel_id"}
    filled = {name: value for name, value in config.items() if name not in blanks}
    run = target.run(*messages, **filled, default_source=...)
    assert (run.code, sandbox.stats.accepted, run.warnings) == (0, 20, [])
    assert {event["eventId"] for event in sandbox.events} == {f"A-{n}" for n in range(20)}
    assert sandbox.events[0]["purchaseData"]["currency"] == "EUR"
    assert sum(event["purchaseData"]["value"] for event in sandbox.events) == 201.9
    # A file is never overwritten.
    run = target.command(*arguments).close_input().wait()
    assert (run.code, yaml.safe_load(written.read_text())) == (1, config)
    assert "cannot write 'liveintent.yaml': File exists" in run.last_line
    run = target.command("explain", "--write-config", "other.yaml").close_input().wait()
    assert (run.code, (target.folder / "other.yaml").exists()) == (1, False)
    assert "no input" in run.last_line
