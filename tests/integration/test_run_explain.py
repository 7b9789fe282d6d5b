"""`explain`: what it prints about streams and their first records, and that it sends nothing."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from integration_support import schema, state

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
