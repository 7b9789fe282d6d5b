"""The commands of the definition: Meltano passes them no configuration, but its environment."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from meltano_support import Project, project_of

from target_liveintent.conversions import DEAD_LETTERS
from target_liveintent.storage import HEAD

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.sandbox import Sandbox

pytestmark = pytest.mark.meltano

TAP = {"name": "tap-shop", "executable": "true"}


def line(**message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def letters(folder: Path) -> None:
    """Write two dead letters, of which one has no source."""
    record = {"event_time": int(time.time()) - 3600, "sha2": "a" * 64, "stream": "orders"}
    record |= {"reason": "invalid_source", "event_id": "good", "source": "web"}
    bad = {**record, "event_id": "bad", "source": "shop"}
    (folder / "letters.singer").write_bytes(
        HEAD + b"".join(line(type="RECORD", stream=DEAD_LETTERS, record=x) for x in (record, bad))
    )


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    maps = {"orders": {"email": "mail", "event_time": "paid_at"}, "__else__": "__NULL__"}
    return project_of(tmp_path, TAP, stream_maps=maps, default_source="web")


def test_replay(shop: Project, account: dict[str, str], sandbox: Sandbox) -> None:
    """The command sends what can be sent with the settings of the project; options may follow."""
    letters(shop.folder)
    dry = shop.run("invoke", "target-liveintent:replay", "--dry-run", **account)
    assert (dry.returncode, sandbox.events) == (0, []), dry.stderr[-3000:]
    assert "would be sent 1" in dry.stdout
    done = shop.run("invoke", "target-liveintent:replay", **account)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [event["eventId"] for event in sandbox.events] == ["good"]
    assert "rejected again 1 (invalid_source 1)" in done.stdout
    again = shop.run("invoke", "target-liveintent:replay", "letters.singer", **account)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "letters.singer: 1 dead letter\n" in again.stdout


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


def test_dead_letters(shop: Project, account: dict[str, str]) -> None:
    """The command shows the file of the project's settings."""
    letters(shop.folder)
    done = shop.run("invoke", "target-liveintent:dead-letters", **account)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "invalid_source" in done.stdout
