"""A replayed shop through Meltano: names of streams, an old setting, a failed `--full-refresh`."""

import time
from pathlib import Path
from typing import Any

import pytest
from meltano_support import ROOT, Project, blocks, replayed_shop
from preset_records import Sample, sample

from target_liveintent.sandbox import Sandbox

pytestmark = pytest.mark.meltano

ROWS = 5
RUN = ("run", "--no-install", "tap-shopify", "target-liveintent")


def order(number: int, stream: str = "orders", **changes: Any) -> Sample:
    """An order under an ID of its own."""
    good = sample("shopify", time.time())
    return good._replace(stream=stream, record={**good.record, "id": f"order {number}", **changes})


STREAMS = ["Sales.EU-Orders", "Sales.US.Orders", "Sales.Old", "Other.Orders"]


def test_names_with_dots(account: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    """Written with `?`, maps and presets are those of the streams, and the others are dropped."""
    streams = [name.replace(".", "?") for name in STREAMS]
    shop = replayed_shop(
        tmp_path,
        [order(number, stream) for number, stream in enumerate(STREAMS)],
        presets=dict.fromkeys(streams[:2], "shopify"),
        stream_maps={
            "__else__": "__NULL__",
            streams[0]: {"value": "'1.5'"},
            streams[1]: {"order_id": "'US'"},
            streams[2]: "__NULL__",
        },
    )
    done = shop.run(*RUN, **account)
    assert done.returncode == 0, done.stderr[-3000:]
    sent = {event["eventId"]: event["purchaseData"] for event in sandbox.events}
    assert set(sent) == {"order 0", "order 1"}
    assert sent["order 0"]["value"] == 1.5
    assert sent["order 1"]["orderId"] == "US"


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    """A project with a shop of some orders."""
    orders = [order(number) for number in range(ROWS)]
    maps = {"__else__": "__NULL__"}
    return replayed_shop(tmp_path, orders, presets={"orders": "shopify"}, stream_maps=maps)


@pytest.mark.slow
def test_the_recipe(shop: Project, account: dict[str, str], sandbox: Sandbox) -> None:
    """It repeats what failed, as a `--full-refresh`, until it has succeeded."""
    (recipe,) = (
        block
        for block in blocks(ROOT / "docs" / "store.md")
        if any(line.startswith("until ") for line in block)
    )
    sandbox.add_faults({"kind": "status", "status": 401})
    done = shop.shell("\n".join(recipe).replace("sleep 60", "sleep 0"), **account)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(sandbox.events) == ROWS
    assert "the API denied access" in done.stdout + done.stderr
