"""The commands of the definition: Meltano passes them no configuration, but its environment."""

import json
import time
from pathlib import Path

import pytest
from meltano_support import project_of

from target_liveintent.sandbox import Sandbox
from target_liveintent.store import letters_as_messages

pytestmark = pytest.mark.meltano


def letters() -> str:
    """Return two dead letters as a Singer stream; the source of one is wrong."""
    record = {"event_time": int(time.time()) - 3600, "sha2": "a" * 64, "stream": "orders"}
    record |= {"reason": "invalid_source", "event_id": "good", "source": "web"}
    bad = {**record, "event_id": "bad", "source": "shop"}
    return "\n".join(letters_as_messages(map(json.dumps, (record, bad)))) + "\n"


def test_commands(account: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    """They have the settings of the project; options may follow; the exit code is the target's."""
    tap = {"name": "tap-shop", "executable": "true"}
    shop = project_of(tmp_path, tap, stream_maps={"__else__": "__NULL__"}, default_source="web")
    (tmp_path / "letters.singer").write_text(letters(), encoding="utf-8")

    def invoke(command: str, code: int = 0) -> str:
        name, *options = command.split()
        done = shop.run("invoke", f"target-liveintent:{name}", *options, **account)
        assert done.returncode == code, done.stderr[-3000:]
        return done.stdout + done.stderr

    assert "There is no run in the history. " in invoke("health --max-age 3", code=3)
    assert "would be delivered 1" in invoke("replay letters.singer --dry-run")
    assert sandbox.events == []
    assert "dead-lettered 1 (invalid_source 1)" in invoke("replay letters.singer")
    assert [event["eventId"] for event in sandbox.events] == ["good"]
    assert "total: read 1," in invoke("replay")
    assert "invalid_source: 1" in invoke("dead-letters")
