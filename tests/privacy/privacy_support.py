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
from integration_support import SETTINGS, Launcher, Running, order, schema

ADDRESS = "Zoe.Q9x7+Tag@Leaky-Shop.Example"
TOKEN = "t0k/s3cr3t+of-us=="
SECRET = "s3cr3t"
WORDS = ("zoe.q9x7", "leaky-shop", "s3cr3t+of-us", "s3cr3t")
COLUMNS = (
    "event_id", "event_time", "pixel_id", "source", "decision_id", "email", "md5", "sha2", "ip",
    "user_agent", "idfa", "aaid", "tracking_enabled", "currency", "value", "order_id",
    "source_url", "app_bundle", "consent",
)  # fmt: skip
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


class Watched:
    """A launcher whose targets talk as much as they can."""

    def __init__(self, launcher: Launcher, server: FaultyServer) -> None:
        self._launcher = launcher
        self._server = server
        self.folder: Path = launcher.folder
        self.forks = launcher.forks
        self.env = {"TARGET_LIVEINTENT_LOGLEVEL": "DEBUG"}
        self.mine: set[str] = set()

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return settings with the token, all that tells of a run, and a short patience."""
        return {
            **SETTINGS,
            "auth_token": TOKEN,
            "api_url": self._server.url,
            **TOLD,
            "max_dead_letter_percent": 100,
            "max_retry_seconds": 0,
            **changes,
        }

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.mine.add(name)
        return path

    def run(self, *messages: Any, **settings: Any) -> Running:
        running = self._launcher.run(*messages, env=self.env, **self.settings(**settings))
        self.mine |= {path.name for path in self.folder.glob("config-*")}
        self.mine |= {path.name for path in self.folder.glob("input-*")}
        return running

    def command(self, *arguments: str, forked: bool = True, **env: str) -> Running:
        """Start a target with any arguments."""
        forks = self.forks if forked else None
        return self._launcher.command(*arguments, env={**self.env, **env}, forks=forks)

    def ask(self, *arguments: str, given: str = "", **settings: Any) -> Running:
        """Run a command over a text to its end."""
        run = self.command("--config", self.config(**settings), *arguments).send(given)
        return run.close_input().wait()

    def config(self, text: str | None = None, **settings: Any) -> str:
        """Write a configuration file and return its name."""
        values = {k: v for k, v in self.settings(**settings).items() if v is not ...}
        return self.write("settings.json", json.dumps(values) if text is None else text).name

    def assert_private(self, run: Running) -> None:
        """Search output, requests and every file that was written, the store's among them."""
        places = {"standard error": run.log, "standard output": run.stdout}
        places["requests"] = json.dumps([p.events for p in self._server.requests])
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name not in self.mine:
                places[path.name] = path.read_bytes().decode("latin-1")
                if path.name not in READ_BY_OTHERS:
                    assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
                assert not leaks(path.name)
        for place, text in places.items():
            assert leaks(text) == [], (place, text[:5000])
