"""Streams whose names have dots, which Meltano splits on the way to the target."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from meltano_support import Project, project_of, replaying_tap
from preset_records import sample

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.sandbox import Sandbox

pytestmark = pytest.mark.meltano


def project_with(folder: Path, streams: list[str], **config: Any) -> Project:
    """A project whose tap sends the same order in several streams, under IDs of their own."""
    order = sample("shopify", time.time())
    samples = [
        order._replace(stream=name, record={**order.record, "id": f"order of {name}"})
        for name in streams
    ]
    tap = {
        "name": "tap-shop",
        "executable": str(replaying_tap(folder, samples)),
        "capabilities": ["catalog", "discover", "state"],
    }
    return project_of(folder, tap, **config)


def test_names_with_dots(account: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    """Maps and presets are those of the streams that the user named, and the others are dropped."""
    streams = ["Sales.EU-Orders", "Sales.US.Orders", "Sales.Old", "Other.Orders"]
    project = project_with(
        tmp_path,
        streams,
        presets={"Sales.EU-Orders": "shopify", "Sales.US.Orders": "shopify"},
        stream_maps={
            "__else__": "__NULL__",
            "Sales.EU-Orders": {"value": "'1.5'"},
            "Sales.US.Orders": {"order_id": "'US'"},
            "Sales.Old": "__NULL__",
        },
    )
    done = project.run("run", "--no-install", "tap-shop", "target-liveintent", **account)
    assert done.returncode == 0, done.stderr[-3000:]
    sent = {event["eventId"]: event["purchaseData"] for event in sandbox.events}
    assert set(sent) == {"order of Sales.EU-Orders", "order of Sales.US.Orders"}
    assert sent["order of Sales.EU-Orders"]["value"] == 1.5
    assert sent["order of Sales.US.Orders"]["orderId"] == "US"


def test_a_name_and_its_beginning(account: dict[str, str], tmp_path: Path) -> None:
    """What cannot be told apart is an error that says how to write it."""
    project = project_with(
        tmp_path,
        ["Sales"],
        stream_maps={"Sales": {"value": "total"}, "Sales.EU-Orders": {"value": "total"}},
    )
    done = project.run("run", "--no-install", "tap-shop", "target-liveintent", **account)
    assert done.returncode != 0
    assert "write ? in place of each dot: 'Sales?EU-Orders'" in done.stdout + done.stderr
