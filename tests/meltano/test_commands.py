"""The commands of the definition: Meltano passes them no configuration, but its environment."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from meltano_support import Project, project_of

from target_liveintent.store import letters_as_messages

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.sandbox import Sandbox

pytestmark = pytest.mark.meltano

TAP = {"name": "tap-shop", "executable": "true"}


def line(**message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def letters(folder: Path) -> None:
    """Write two dead letters to a file; the source of one is wrong."""
    record = {"event_time": int(time.time()) - 3600, "sha2": "a" * 64, "stream": "orders"}
    record |= {"reason": "invalid_source", "event_id": "good", "source": "web"}
    bad = {**record, "event_id": "bad", "source": "shop"}
    lines = letters_as_messages(map(json.dumps, (record, bad)))
    (folder / "letters.singer").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    maps = {"orders": {"email": "mail", "event_time": "paid_at"}, "__else__": "__NULL__"}
    return project_of(tmp_path, TAP, stream_maps=maps, default_source="web")


def test_replay(shop: Project, account: dict[str, str], sandbox: Sandbox) -> None:
    """The command sends what can be sent with the settings of the project; options may follow."""
    letters(shop.folder)
    replay = ("invoke", "target-liveintent:replay")
    dry = shop.run(*replay, "letters.singer", "--dry-run", **account)
    assert (dry.returncode, sandbox.events) == (0, []), dry.stderr[-3000:]
    assert "would be delivered 1" in dry.stderr
    done = shop.run(*replay, "letters.singer", **account)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [event["eventId"] for event in sandbox.events] == ["good"]
    assert "dead-lettered 1 (invalid_source 1)" in done.stderr
    again = shop.run(*replay, **account)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "total: read 1," in again.stderr
    shown = shop.run("invoke", "target-liveintent:dead-letters", **account)
    assert shown.returncode == 0, shown.stderr[-3000:]
    assert "invalid_source: 1" in shown.stdout


def test_explain(shop: Project, account: dict[str, str], sandbox: Sandbox) -> None:
    """The command reads standard input, and knows the maps of the project."""
    columns = {"properties": {"id": {}, "mail": {}, "paid_at": {}}}
    record = {"id": 1, "mail": "jane@example.com", "paid_at": int(time.time()) - 3600}
    (shop.folder / "orders.singer").write_bytes(
        line(type="SCHEMA", stream="orders", schema=columns, key_properties=["id"])
        + line(type="RECORD", stream="orders", record=record)
    )
    done = shop.shell("meltano invoke target-liveintent:explain < orders.singer", **account)
    assert (done.returncode, sandbox.events) == (0, []), done.stderr[-3000:]
    assert "email" in done.stdout
    assert "mail" in done.stdout


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("health", "--max-age", "3"), 3, "There is no run in the history\n"),
        (("preset", "shopify"), 0, "processedAt"),
    ],
)
def test_others(
    shop: Project, account: dict[str, str], command: tuple[str, ...], code: int, said: str
) -> None:
    """Options may follow, and the exit code is that of the target."""
    name, *options = command
    done = shop.run("invoke", f"target-liveintent:{name}", *options, **account)
    assert (done.returncode, said in done.stdout) == (code, True), done.stderr[-3000:]
