"""The first hour with one's own table, as a CSV file has it: everything is text."""

from __future__ import annotations

import json
import stat
import time
from typing import TYPE_CHECKING, Any

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
    assert "cannot write 'liveintent.yaml': File exists" in run.last_line
    run = target.command("explain", "--write-config", "other.yaml").close_input().wait()
    assert (run.code, (target.folder / "other.yaml").exists()) == (1, False)
    assert "no input" in run.last_line
