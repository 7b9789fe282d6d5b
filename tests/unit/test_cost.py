"""What an event costs, in calls and in memory: figures that do not depend on the machine.

Not a timing test. Somebody who adds a check that each event pays for sees it here, and may raise
the bound for a good reason. What it means in time is in docs/performance.md.
"""

from __future__ import annotations

import datetime as dt
import gc
import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from target_liveintent.singer.reader import MessageReader, line_decoder
from target_liveintent.target import TargetLiveIntent

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {
    "event_id": "id",
    "event_time": "created_at",
    "email": "email",
    "value": "float(total_price)",
    "currency": "currency",
    "ip": "browser_ip",
    "user_agent": "user_agent",
    "source_url": "landing_site",
    "order_id": "str(order_number)",
    "source": "'web'",
}
MAP = {"__filter__": "financial_status == 'paid' and not test", "__else__": None, **COLUMNS}
PYTHON_CALLS = 33
"""Calls of Python functions an event, from its line to its batch."""
C_CALLS = 75
"""Calls of functions in C an event that Python's profiler sees."""


def order(number: int) -> dict[str, Any]:
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    return {
        "id": f"order-{number}",
        "created_at": (now - dt.timedelta(hours=1)).isoformat(),
        "email": f"Jane.Doe{number}+shop@Gmail.com",
        "total_price": "12.50",
        "currency": "USD",
        "browser_ip": "203.0.113.9",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
        "landing_site": "https://shop.example.com/products/9?utm_source=mail",
        "financial_status": "paid",
        "order_number": number,
        "test": False,
        "tax": 1.25,
    }


def stream(count: int) -> str:
    schema = {"type": "object", "properties": {name: {} for name in order(0)}}
    messages = [{"type": "SCHEMA", "stream": "orders", "key_properties": ["id"], "schema": schema}]
    messages += [{"type": "RECORD", "stream": "orders", "record": order(n)} for n in range(count)]
    return "".join(f"{json.dumps(message)}\n" for message in messages)


@pytest.fixture
def target(tmp_path: Path) -> TargetLiveIntent:
    return TargetLiveIntent(
        config={
            "customer_id": "a-1b2c",
            "auth_token": "made-up-token",
            "pixel_id": 44489,
            "dry_run": True,
            "stream_maps": {"orders": MAP},
            "dead_letter_path": str(tmp_path / "letters.singer"),
        }
    )


def calls(target: TargetLiveIntent, count: int) -> dict[str, int]:
    """The calls that a stream of so many orders takes."""
    text, found = io.StringIO(stream(count)), {"call": 0, "c_call": 0}

    def note(_: Any, event: str, __: Any) -> None:
        if event in found:
            found[event] += 1

    sys.setprofile(note)
    try:
        target.process_lines(text)
    finally:
        sys.setprofile(None)
    return found


def test_calls(target: TargetLiveIntent) -> None:
    """An event takes no more calls than before, and as many each time."""
    target.message_reader = MessageReader(lambda: None)  # What is due depends on the clock.
    calls(target, 100)  # What is done once is done, and the first batch with it.
    few, many, again = (calls(target, n) for n in (100, 200, 300))
    assert {kind: again[kind] - many[kind] for kind in few} == {
        kind: many[kind] - few[kind] for kind in few
    }
    a_hundred = {kind: many[kind] - few[kind] for kind in few}
    assert a_hundred["call"] <= PYTHON_CALLS * 100, a_hundred
    assert a_hundred["c_call"] <= C_CALLS * 100, a_hundred
    assert target.run.counts.total.delivered == 700


def test_memory(target: TargetLiveIntent) -> None:
    """An event that waits in its batch keeps a bounded number of objects, and none for the gc."""
    target.process_lines(io.StringIO(stream(1)))
    text = io.StringIO(stream(90))
    gc.collect()
    tracked, blocks = len(gc.get_objects()), sys.getallocatedblocks()
    target.process_lines(text)
    assert len(gc.get_objects()) - tracked < 20
    assert sys.getallocatedblocks() - blocks < 25 * 90


@pytest.mark.parametrize("columns", [["id"], ["id", "email"]])
def test_what_no_map_names_is_not_decoded(columns: list[str]) -> None:
    """Of 200 columns only those that are needed become objects."""
    wide = {**{f"column_{n}": [n] for n in range(200)}, "id": "1", "email": "a@example.com"}
    line = json.dumps({"type": "RECORD", "stream": "orders", "record": wide}).encode()
    decode = line_decoder("orders", frozenset(columns))
    decode(line)
    before = sys.getallocatedblocks()
    found = decode(line).record
    assert sys.getallocatedblocks() - before <= 4 + 2 * len(columns)
    assert sorted(found) == sorted(columns)
