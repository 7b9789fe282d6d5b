"""A buyer and a token that can be recognised in any spelling, and a search for them."""

import base64
import html
import json
import re
import stat
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faulty_server import FaultyServer
from integration_support import Launcher, Running, order, schema

from target_liveintent.conversions.fields import FIELDS

ADDRESS = "Zoe.Q9x7+Tag@Leaky-Shop.Example"
TOKEN = "t0k/s3cr3t+of-us=="
SECRET = "s3cr3t"
WORDS = ("zoe.q9x7", "leaky-shop", "s3cr3t+of-us", "s3cr3t")
COLUMNS = tuple(field.name for field in FIELDS)
TOLD = {"report_path": "report.html", "metrics_path": "run.prom", "keep_delivered": True}
"""What tells of a run, beside the store: searched in every test."""
READ_BY_OTHERS = {"run.prom", "expected.json"}
"""The files that are meant for other users as well."""


def spellings(text: str) -> Iterator[str]:
    """Yield a text as it is, and as whoever reads it would decode it."""
    lowered = text.lower()
    yield lowered
    once = urllib.parse.unquote(lowered)
    yield once
    yield urllib.parse.unquote(once)
    yield html.unescape(lowered)
    yield re.sub(r"\\+u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), lowered).lower()
    for found in re.findall(r"[A-Za-z0-9+/]{24,}={0,2}", text):
        whole = found.rstrip("=")
        whole = whole[: len(whole) // 4 * 4]
        yield base64.b64decode(whole).decode("latin-1").lower()


def leaks(text: str) -> list[str]:
    """Return the words that must not be in a text and are."""
    return sorted({word for one in spellings(text) for word in WORDS if word in one})


def hostile(number: int = 1, **columns: Any) -> dict[str, Any]:
    """Return a RECORD that holds the address in a form of its own in each column."""
    quoted = urllib.parse.quote(ADDRESS)
    record: dict[str, Any] = dict.fromkeys(COLUMNS, ADDRESS)
    record |= {
        "id": f"{number} <{ADDRESS}>",
        "event_time": order(number)["record"]["event_time"],
        "pixel_id": 1,
        "source": "web",
        "consent": True,
        "decision_id": f"for {ADDRESS.upper()}",
        "user_agent": f"Agent ({ADDRESS})",
        "ip": [ADDRESS],
        "currency": {"a": {ADDRESS: ADDRESS}},
        "source_url": f"https://u:{SECRET}@shop.example/{quoted}?a={quoted}&key={TOKEN}#{quoted}",
        "order_id": {"mail": [ADDRESS, {"deep": quoted}]},
        "value": f"12 {ADDRESS}",
        ADDRESS: ADDRESS,
        "note": ADDRESS,
    }
    record |= columns
    return {
        "type": "RECORD",
        "stream": "orders",
        "record": {name: value for name, value in record.items() if value is not ...},
    }


def hostile_schema(**typed: Any) -> dict[str, Any]:
    """Return the SCHEMA of such records."""
    return schema("orders", ("id", *COLUMNS, "note"), ("id",), **typed)


class Watched(Launcher):
    """Starts targets that talk as much as they can, and searches what they leave behind."""

    def __init__(self, folder: Path, server: FaultyServer) -> None:
        super().__init__(folder, server.url)
        self.env["TARGET_LIVEINTENT_LOGLEVEL"] = "DEBUG"
        self._server = server
        self._given: set[str] = set()

    def config(self, **settings: Any) -> Path:
        """Give a target the token, all that tells of a run, and a short patience."""
        own = {"auth_token": TOKEN, "max_dead_letter_percent": 100, "max_retry_seconds": 0}
        return super().config(**{**own, **TOLD, **settings})

    def write(self, name: str, content: bytes) -> Path:
        """Write a file of the user's own, which the search leaves out."""
        self._given.add(name)
        path = self.folder / name
        path.write_bytes(content)
        return path

    def made(self) -> list[Path]:
        """Return the files that targets have made."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        ours = ("config-", "input-")
        return [f for f in files if f.name not in self._given and not f.name.startswith(ours)]

    def assert_private(self, run: Running) -> None:
        """Search output, requests and every file that was written, the store's among them."""
        places = {"standard error": run.log, "standard output": run.stdout}
        places["requests"] = json.dumps([p.events for p in self._server.requests])
        for path in self.made():
            places[path.name] = path.read_bytes().decode("latin-1")
            if path.name not in READ_BY_OTHERS:
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
            assert not leaks(path.name)
        for place, text in places.items():
            assert leaks(text) == [], (place, text[:5000])
