"""The cost of an event in calls and in memory: figures that do not depend on the machine.

This is not a timing test. It fails when somebody adds a check that each event pays for; the bound
may be raised for a good reason. What the calls mean in time is in docs/performance.md.
"""

import datetime as dt
import gc
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from unit_support import databases_closed

from target_liveintent.singer.reader import line_decoder
from target_liveintent.target import TargetLiveIntent

ORDER = {
    "email": "Jane.Doe+shop@Gmail.com",
    "total_price": "12.50",
    "currency": "USD",
    "browser_ip": "203.0.113.9",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
    "landing_site": "https://shop.example.com/products/9?utm_source=mail",
    "financial_status": "paid",
    "test": False,
    "tax": 1.25,
}
MAP = {
    "__filter__": "financial_status == 'paid' and not test",
    "__else__": None,
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
AT_MOST = {"call": 16, "c_call": 50}
"""Calls for each event, from its line to its batch, and for the answer whether it was delivered
before: of Python functions, and of those in C that Python's profiler sees."""


def stream(count: int) -> str:
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    times = {"created_at": (now - dt.timedelta(hours=1)).isoformat()}
    orders = [{**ORDER, **times, "id": f"order-{n}", "order_number": n} for n in range(count)]
    schema = {"type": "object", "properties": {name: {} for name in orders[0]}}
    messages = [{"type": "SCHEMA", "stream": "orders", "key_properties": ["id"], "schema": schema}]
    messages += [{"type": "RECORD", "stream": "orders", "record": order} for order in orders]
    return "".join(f"{json.dumps(message)}\n" for message in messages)


@pytest.fixture
def made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], TargetLiveIntent]]:
    """Return a function that makes a target which sends nothing."""
    config = {
        "customer_id": "a-1b2c",
        "auth_token": "made-up-token",
        "pixel_id": 44489,
        "dry_run": True,
        "stream_maps": {"orders": MAP},
        "store": str(tmp_path / "store.sqlite"),
    }
    with databases_closed(monkeypatch):
        yield lambda: TargetLiveIntent(config=config)


def calls(target: TargetLiveIntent, count: int) -> dict[str, int]:
    """Return how many calls a run over so many orders takes."""
    text, found = io.StringIO(stream(count)), dict.fromkeys(AT_MOST, 0)

    def note(_: Any, event: str, __: Any) -> None:
        if event in found:
            found[event] += 1

    sys.setprofile(note)
    try:
        target.listen(text)
    finally:
        sys.setprofile(None)
    assert target.run.counts.total.delivered == count
    return found


def test_an_event_takes_no_more_calls_than_its_limit(
    made: Callable[[], TargetLiveIntent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of calls is the same each time."""
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)  # What is due depends on the clock.
    calls(made(), 100)  # What a process does once is done after that.
    few, many, again = (calls(made(), n) for n in (1_000, 2_000, 3_000))
    a_thousand = {kind: many[kind] - few[kind] for kind in AT_MOST}
    others = {kind: again[kind] - many[kind] for kind in AT_MOST}
    # (How often the main thread takes results depends on the other threads.)
    assert a_thousand == pytest.approx(others, rel=0.1)
    assert all(a_thousand[kind] <= limit * 1_000 for kind, limit in AT_MOST.items()), a_thousand


def test_a_waiting_event_keeps_few_objects(made: Callable[[], TargetLiveIntent]) -> None:
    """An event that waits in its batch keeps few objects, and the gc looks at none but its columns.

    Those are a dict, and from Python 3.14 on, the gc looks at each dict, whatever it holds.
    """
    kept, dicts = [], 90 if sys.version_info >= (3, 14) else 0

    def watched() -> Iterator[str]:
        lines = stream(91).splitlines(keepends=True)
        for some in (lines[:2], lines[2:]):  # The SCHEMA and the first order; the others.
            yield from some
            gc.collect()
            kept.append((len(gc.get_objects()), sys.getallocatedblocks()))

    made().listen(watched())
    (tracked, blocks), (tracked_after, blocks_after) = kept
    assert tracked_after - tracked < 20 + dicts
    assert blocks_after - blocks < 25 * 90


def test_what_no_map_names_is_not_decoded() -> None:
    """Of 200 columns only those that are needed become objects."""
    wide = {**{f"column_{n}": [n] for n in range(200)}, "id": "1", "email": "a@example.com"}
    line = json.dumps({"type": "RECORD", "stream": "orders", "record": wide}).encode()
    for columns in (["id"], ["email", "id"]):
        decode = line_decoder("orders", columns)
        decode(line)
        before = sys.getallocatedblocks()
        found = decode(line).record
        assert sys.getallocatedblocks() - before <= 4 + 2 * len(columns)
        assert sorted(found) == columns
