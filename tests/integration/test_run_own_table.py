"""The first hour with one's own table, as a CSV file has it: everything is text."""

from __future__ import annotations

import json
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from integration_support import schema, state

if TYPE_CHECKING:
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

COLUMNS = (
    *("order_ref", "cust_mail", "placed_on", "gross_total_cents", "cur", "is_test", "landing_url"),
    *("_sdc_path", "_sdc_line_number"),
)
KEYS = ("_sdc_path", "_sdc_line_number")
MAP = {
    "event_id": "order_ref",
    "event_time": "placed_on",
    "email": "cust_mail",
    "value": "minor_units(gross_total_cents, cur)",
    "currency": "cur",
    "source": "'web'",
    "__else__": "__NULL__",
}


def row(number: int, **columns: Any) -> dict[str, Any]:
    """Return a RECORD of a row of `orders.csv`."""
    record = {
        "order_ref": f"A-{number}",
        "cust_mail": f"buyer{number}@example.com",
        "placed_on": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 7200)),
        "gross_total_cents": str(1000 + number),
        "cur": "EUR",
        "is_test": "0",
        "landing_url": "https://shop.example.com/?utm_source=mail",
        "_sdc_path": "orders.csv",
        "_sdc_line_number": number,
    }
    return {"type": "RECORD", "stream": "orders", "record": record | columns}


def table(count: int, **columns: Any) -> list[dict[str, Any]]:
    return [
        schema(columns=COLUMNS, keys=KEYS),
        *(row(n, **columns) for n in range(count)),
        state(1),
    ]


def test_amounts_that_are_no_cents(target: Launcher, sandbox: Sandbox) -> None:
    """What is lost is a WARNING with the cause and the shape, and `explain` says it before."""
    messages = table(20, gross_total_cents="134.37")
    said = (
        'value is left out of 20 of 20 events: "999.99" is not a whole number, as minor_units'
        " expects. Check what is mapped to value"
    )
    run = target.explain(*messages, stream_maps={"orders": MAP})
    assert f"  WARNING: {said}" in run.stdout
    run = target.run(*messages, stream_maps={"orders": MAP})
    assert (run.code, sandbox.stats.accepted) == (0, 20)
    assert any(warning.startswith(f"orders: {said}") for warning in run.warnings)
    assert "left out (value 20)" in run.log
    # A blank amount is something else.
    run = target.run(*table(6, gross_total_cents=""), stream_maps={"orders": MAP}, store="2.sqlite")
    assert "left out (value empty 6)" in run.log


def test_a_filter_that_takes_text_for_true(target: Launcher, sandbox: Sandbox) -> None:
    """The text '0' is true, so nothing is left; the helper reads it as it is meant."""
    maps = {"orders": {**MAP, "__filter__": "not get('is_test')"}}
    said = "the filter of the map removes all 20 records. "
    run = target.explain(*table(20), stream_maps=maps)
    assert f"  WARNING: {said}" in run.stdout
    run = target.run(*table(20), stream_maps=maps)
    assert (run.code, sandbox.stats.accepted) == (0, 0)
    (warning,) = run.warnings
    assert warning.startswith(f"orders: {said}")
    assert "is_true(get('is_test'))" in warning
    maps["orders"]["__filter__"] = "not is_true(get('is_test'))"
    run = target.run(*table(20), row(20, is_test="t"), stream_maps=maps)
    assert (run.code, sandbox.stats.accepted, run.warnings) == (0, 20, [])


def test_a_file_that_is_overwritten(target: Launcher, sandbox: Sandbox) -> None:
    """Other orders stand at the same lines: the position in the file identifies none of them."""
    without_id = {"orders": {name: text for name, text in MAP.items() if name != "event_id"}}
    for first in (0, 50):
        rows = [row(n, _sdc_line_number=n - first) for n in range(first, first + 50)]
        run = target.run(schema(columns=COLUMNS, keys=KEYS), *rows, stream_maps=without_id)
        assert run.code == 0
        assert "already_sent" not in run.log
    assert sandbox.stats.accepted == 100
    run = target.explain(*table(5), stream_maps=without_id)
    assert (
        "event_id         derived from the stream's name and the whole mapped record" in run.stdout
    )
    assert (
        "WARNING: the key properties _sdc_path, _sdc_line_number only say where in a file a record"
        " stood, so the event ID is derived from the mapped record. Map event_id to a column that"
        " is different in each record, such as get('order_ref')." in run.stdout
    )


@pytest.mark.parametrize(
    ("placed_on", "shape", "expression"),
    [
        ("46354.67", '"99999.99"', "excel_time(placed_on)"),
        (20261128150428, '"99999999999999"', "parse_time(placed_on, '%Y%m%d%H%M%S')"),
        ("28/11/2026", '"99/99/9999"', "parse_time(placed_on, '%d/%m/%Y')"),
    ],
)
def test_what_is_no_time(target: Launcher, placed_on: Any, shape: str, expression: str) -> None:
    """It is neither old nor in the future; a helper reads it."""
    messages = table(5, placed_on=placed_on)
    run = target.run(*messages, stream_maps={"orders": MAP})
    assert {letter["reason"] for letter in run.letters} == {"invalid_event_time"}
    assert {letter["detail"] for letter in run.letters} == {f"{shape} is not a time"}
    maps = {"orders": {**MAP, "event_time": expression}}
    run = target.explain(*messages, options=["--format=json"], stream_maps=maps)
    (stream,) = json.loads(run.stdout)["streams"]
    assert [one["reason"] for one in stream["records"]["reasons"]] in (
        [],
        ["event_too_old"],
        ["event_in_future"],
    )


def test_a_first_configuration(target: Launcher, sandbox: Sandbox) -> None:
    """With three blanks filled in, the proposed configuration delivers the table."""
    messages = [*table(20), row(20, is_test="1")]
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
    assert "the file 'liveintent.yaml' exists already" in run.last_line
    run = target.command("explain", "--write-config", "other.yaml").close_input().wait()
    assert (run.code, (target.folder / "other.yaml").exists()) == (1, False)
    assert "the input has no stream" in run.last_line
