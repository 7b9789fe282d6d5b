"""How what a recording becomes is compared with the file of `--expect`."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from unit_support import ADDRESS, TIME

from target_liveintent.config import settings_of
from target_liveintent.errors import InputError
from target_liveintent.singer.explain.expectation import compare
from target_liveintent.singer.explain.inspect import Inspector
from target_liveintent.singer.stream_maps import StreamMaps

if TYPE_CHECKING:
    from pathlib import Path

    from target_liveintent.explain.model import Expectation

COLUMNS = ("event_id", "event_time", "email", "order_id", "value")


def inspected(*records: dict[str, Any]) -> Inspector:
    """Read and convert a recording of these records."""
    settings = settings_of(
        {"customer_id": "a-1b2c", "auth_token": "made-up-token", "pixel_id": 1}
        | {"default_source": "web"}
    )
    schema = {"properties": {name: {} for name in COLUMNS}}
    messages: list[dict[str, Any]] = [{"type": "SCHEMA", "stream": "orders", "schema": schema}]
    for record in records:
        made = {"event_id": "1", "event_time": TIME, "email": ADDRESS, **record}
        messages.append({"type": "RECORD", "stream": "orders", "record": made})
    inspector = Inspector(settings, StreamMaps({}, {}), from_recording=True)
    list(inspector.read(io.StringIO("\n".join(map(json.dumps, messages)))))
    return inspector


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "expected.json"


def compared(path: Path, before: list[dict[str, Any]], now: list[dict[str, Any]]) -> Expectation:
    """Compare what records become now with what others became before."""
    assert compare(inspected(*before), str(path)).written
    return compare(inspected(*now), str(path))


def test_the_same(path: Path) -> None:
    found = compared(path, [{}, {"email": None}], [{}, {"email": None}])
    assert (found.met, found.events, found.rejections, found.difference) == (True, 1, 1, [])


def test_parts_that_differ(path: Path) -> None:
    """Each event and rejection that differs is shown as a whole, and no other."""
    before = [{"event_id": "1"}, {"event_id": "2"}, {"event_id": "3", "email": None}]
    now = [{"event_id": "1"}, {"event_id": "2", "order_id": "7"}, {"event_id": "3"}]
    found = compared(path, before, now)
    assert not found.met
    parts = [line for line in found.difference if line.startswith("@@")]
    assert parts == ["@@ orders: event 2 @@", "@@ orders: rejection 3 @@", "@@ orders: event 3 @@"]
    assert '+    "orderId": "7"' in found.difference
    assert '-  "reason": "no_identity"' in found.difference


def test_digits_are_compared(path: Path) -> None:
    """An amount that was sent with another digit is another, even if it is as much."""
    found = compared(path, [{"value": "1.5"}], [{"value": "1.50"}])
    assert [line for line in found.difference if "value" in line] == [
        '-    "value": 1.5',
        '+    "value": 1.50',
    ]


def test_equal_event_ids(path: Path) -> None:
    """Events of one ID are compared one by one, in their order."""
    found = compared(path, [{"order_id": "7"}] * 2, [{"order_id": "7"}, {"order_id": "8"}])
    assert [line for line in found.difference if "orderId" in line] == [
        '-    "orderId": "7"',
        '+    "orderId": "8"',
    ]


def test_another_order(path: Path) -> None:
    """The same events in another order differ too."""
    one, two = {"event_id": "1"}, {"event_id": "2"}
    assert (
        compared(path, [one, two], [two, one]).difference[-1] == "@@ the same in another order @@"
    )


def test_many_differences(path: Path) -> None:
    """The first hundred are shown, and the others counted, within a moment."""
    before = [{"event_id": str(n)} for n in range(1_000)]
    found = compared(path, before, [{**one, "order_id": "x"} for one in before])
    assert sum(line.startswith("@@ orders: event") for line in found.difference) == 100
    assert found.difference[-1] == "@@ and 900 more @@"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"streams": [5]}', '{"streams": [], "more": 1}', "\xff"]
)
def test_a_file_of_another_kind(path: Path, text: str) -> None:
    """It is named, and not replaced."""
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="was not written by --expect"):
        compare(inspected({}), str(path))
    assert path.read_bytes() == text.encode("latin-1")
