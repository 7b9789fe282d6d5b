"""Meltano and the target: commands, a test of the settings, names of streams, the demo."""

import datetime as dt
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from meltano_support import ROOT, Project, blocks, project_of, replayed_shop
from preset_records import Sample, sample

from target_liveintent.sandbox import Sandbox
from target_liveintent.store.dead_letters import letter_messages

pytestmark = pytest.mark.meltano


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose tap is never started."""
    tap = {"name": "tap-shop", "executable": "true"}
    return project_of(tmp_path, tap, stream_maps={"__else__": "__NULL__"}, default_source="web")


def letters() -> str:
    """Return two dead letters as a Singer stream; the source of one is wrong."""
    record = {"event_time": int(time.time()) - 3600, "sha2": "a" * 64, "stream": "orders"}
    record |= {"reason": "invalid_source", "event_id": "good", "source": "web"}
    bad = {**record, "event_id": "bad", "source": "shop"}
    return "\n".join(letter_messages(map(json.dumps, (record, bad)))) + "\n"


def test_commands(
    project: Project, account: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    """They have the settings of the project; options may follow; the exit code is the target's."""
    (tmp_path / "letters.singer").write_text(letters(), encoding="utf-8")

    def invoke(command: str, code: int = 0) -> str:
        name, *options = command.split()
        done = project.run("invoke", f"target-liveintent:{name}", *options, **account)
        assert done.returncode == code, done.stderr[-3000:]
        return done.stdout + done.stderr

    assert "There is no run in the history. " in invoke("health --max-age 3", code=3)
    assert "would be delivered 1" in invoke("replay letters.singer --dry-run")
    assert sandbox.events == []
    assert "dead-lettered 1 (invalid_source 1)" in invoke("replay letters.singer")
    assert [event["eventId"] for event in sandbox.events] == ["good"]
    assert "total: read 1," in invoke("replay")
    assert "invalid_source: 1" in invoke("dead-letters")


@pytest.mark.slow
def test_config_test(project: Project, account: dict[str, str], sandbox: Sandbox) -> None:
    """`meltano config test` fails with a bad configuration; with a good one, nothing is sent."""
    command = ("config", "test", "target-liveintent")
    done = project.run(*command, **account)
    said = done.stdout + done.stderr
    assert "Test data was written to your target system" in said
    # Meltano 4.4.1 then terminates the loader, which has ended long since: most times that raises,
    # with any loader.
    assert done.returncode == 0 or "ProcessLookupError" in said
    assert sandbox.stats.requests == 0
    done = project.run(*command, **account | {"TARGET_LIVEINTENT_CUSTOMER_ID": "nobody"})
    assert done.returncode != 0
    assert "Test data was written" not in done.stdout + done.stderr


@pytest.mark.slow
def test_demo() -> None:
    """The demo runs, shows what arrived and why the rest did not, and accounts for each order."""
    done = subprocess.run(
        [ROOT / "scripts" / "demo"], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = r"read (\d+), filtered (\d+), unmapped 0, delivered (\d+), dead-lettered (\d+)"
    found = re.search(summary, done.stdout)
    assert found, done.stdout
    read, filtered, delivered, dead = map(int, found.groups())
    assert read == filtered + delivered + dead == 300
    assert f"What arrived: {delivered} conversions" in done.stdout
    assert f"{dead} dead letters" in done.stdout
    assert dt.datetime.now(dt.timezone.utc).strftime("%Y") in done.stdout


# A shop

RUN = ("run", "--no-install", "tap-shopify", "target-liveintent")


def order(number: int, stream: str = "orders", **changes: Any) -> Sample:
    """An order under an ID of its own."""
    good = sample("shopify", time.time())
    return good._replace(stream=stream, record={**good.record, "id": f"order {number}", **changes})


STREAMS = ["Sales.EU-Orders", "Sales.US.Orders", "Sales.Old", "Other.Orders"]


def test_names_with_dots(account: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    """Meltano splits the names of streams at their dots, and the target joins them again.

    With dots or with `?`, maps and presets are those of the streams, and the others are dropped.
    """
    for first, dot in ((0, "."), (10, "?")):
        folder = tmp_path / str(first)
        folder.mkdir()
        streams = [name.replace(".", dot) for name in STREAMS]
        project = replayed_shop(
            folder,
            [order(number, stream) for number, stream in enumerate(STREAMS, first)],
            presets=dict.fromkeys(streams[:2], "shopify"),
            stream_maps={
                "__else__": "__NULL__",
                streams[0]: {"value": "'1.5'"},
                streams[1]: {"order_id": "'US'"},
                streams[2]: "__NULL__",
            },
        )
        done = project.run(*RUN, **account)
        assert done.returncode == 0, done.stderr[-3000:]
    sent = {event["eventId"]: event["purchaseData"] for event in sandbox.events}
    assert set(sent) == {"order 0", "order 1", "order 10", "order 11"}
    assert sent["order 0"]["value"] == sent["order 10"]["value"] == 1.5
    assert sent["order 1"]["orderId"] == sent["order 11"]["orderId"] == "US"


@pytest.mark.slow
def test_the_recipe(account: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    """It repeats what failed, as a `--full-refresh`, until it has succeeded."""
    orders, maps = [order(number) for number in range(5)], {"__else__": "__NULL__"}
    shop = replayed_shop(tmp_path, orders, presets={"orders": "shopify"}, stream_maps=maps)
    (recipe,) = (
        block
        for block in blocks(ROOT / "docs" / "store.md")
        if any(line.startswith("until ") for line in block)
    )
    sandbox.add_faults({"kind": "status", "status": 401})
    done = shop.shell("\n".join(recipe).replace("sleep 60", "sleep 0"), **account)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(sandbox.events) == 5
    assert "the API denied access" in done.stdout + done.stderr
