"""What a failed `--full-refresh` means, and the recipe for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from meltano_support import ROOT, blocks, project_of, replaying_tap
from preset_records import sample

if TYPE_CHECKING:
    from pathlib import Path

    from meltano_support import Project

    from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

ROWS = 5


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    """A project with a shop of some orders."""
    order = sample("shopify", time.time())
    samples = [
        order._replace(record={**order.record, "id": f"order {number}"}) for number in range(ROWS)
    ]
    tap = {
        "name": "tap-shopify",
        "executable": str(replaying_tap(tmp_path, samples)),
        "capabilities": ["catalog", "discover", "state"],
    }
    maps = {"__else__": "__NULL__"}
    return project_of(tmp_path, tap, presets={"orders": "shopify"}, stream_maps=maps)


def test_a_failed_refresh_leaves_the_older_state(
    shop: Project, account: dict[str, str], sandbox: Sandbox
) -> None:
    """The next run ends well and sends nothing, which is why the promise names the options."""
    command = ("run", "--no-install", "tap-shopify", "target-liveintent")
    account["TARGET_LIVEINTENT_LEDGER"] = "false"  # It would know all rows.
    assert shop.run(*command, **account).returncode == 0
    assert len(sandbox.events) == ROWS
    sandbox.reset()
    sandbox.add_faults({"kind": "status", "status": 401})
    assert shop.run(*command, "--full-refresh", **account).returncode != 0
    assert shop.run(*command, **account).returncode == 0
    assert sandbox.events == []


def test_the_recipe(shop: Project, account: dict[str, str], sandbox: Sandbox) -> None:
    """It repeats what failed, as a `--full-refresh`, until it has succeeded."""
    (recipe,) = (
        block
        for block in blocks(ROOT / "docs" / "how-to" / "replay.md")
        if any(line.startswith("until ") for line in block)
    )
    sandbox.add_faults({"kind": "status", "status": 401})
    done = shop.shell("\n".join(recipe).replace("sleep 60", "sleep 0"), **account)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(sandbox.events) == ROWS
    assert "the API denied access" in done.stdout + done.stderr
