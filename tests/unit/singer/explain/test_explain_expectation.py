"""How what a recording becomes is compared with the file of `--expect`."""

import json
from pathlib import Path
from typing import Any

import pytest
from explain_support import explained, inspected, record, schema
from syrupy.assertion import SnapshotAssertion
from unit_support import ADDRESS, TIME, each_of

from target_liveintent.errors import InputError, StorageError
from target_liveintent.explain.description import Expectation, Explained
from target_liveintent.singer.expectation import compare

COLUMNS = ("event_id", "event_time", "email", "order_id", "value")


def recorded(*records: dict[str, Any]) -> list[Explained]:
    """Read and convert a recording of these records."""
    good = {"event_id": "1", "event_time": TIME, "email": ADDRESS}
    messages = [schema(COLUMNS), *(record({**good, **one}) for one in records)]
    return inspected(*messages, recorded=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "expected.json"


def compared(path: Path, before: list[dict[str, Any]], now: list[dict[str, Any]]) -> Expectation:
    """Compare what records become now with what others became before."""
    assert compare(recorded(*before), str(path)).written
    return compare(recorded(*now), str(path))


def test_an_equal_result_meets_the_expectation(path: Path) -> None:
    """However the file is laid out."""
    records: list[dict[str, Any]] = [{}, {"email": None}]
    assert compare(recorded(*records), str(path)).written
    expected = json.loads(path.read_text())
    assert expected["orders: records"] == {"read": 2, "filtered": 0}
    path.write_text(json.dumps(expected))
    found = compare(recorded(*records), str(path))
    assert (found.met, found.events, found.rejections, found.difference) == (True, 1, 1, [])


ONE, TWO, THREE = ({"event_id": str(n)} for n in (1, 2, 3))
DIFFERENT: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    # Each event and rejection that differs is shown as a whole, and no other.
    "parts": ([ONE, TWO, {**THREE, "email": None}], [ONE, {**TWO, "order_id": "7"}, THREE]),
    # An amount that was sent with another digit is another, even if it is as much.
    "digits": ([{"value": "1.5"}], [{"value": "1.50"}]),
    # Events of one ID, for two pixels, are compared one by one, in their order.
    "equal event IDs": (
        [{"order_id": "7", "pixel_id": n} for n in (1, 2)],
        [{"order_id": f"{n}", "pixel_id": n - 6} for n in (7, 8)],
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_difference_shows_only_what_differs(
    path: Path, name: str, snapshot: SnapshotAssertion
) -> None:
    found = compared(path, *DIFFERENT[name])
    assert not found.met
    first, *rest = found.difference
    assert first == f"--- {path}"
    assert "\n".join(rest) == snapshot


def test_a_hundred_differences_are_shown(path: Path) -> None:
    """The first hundred are shown, and the others counted, within a moment."""
    before = [{"event_id": str(n)} for n in range(1_000)]
    found = compared(path, before, [{**one, "order_id": "x"} for one in before])
    assert sum(line.startswith("@@ orders: event") for line in found.difference) == 100
    assert found.difference[-1] == "@@ and 900 more @@"


def test_nothing_is_expected_of_nothing(path: Path) -> None:
    """A recording that is lost must not pass."""
    with pytest.raises(InputError, match="--expect needs records, but the input has none"):
        compare(recorded(), str(path))
    assert not path.exists()


@each_of("text", {"empty file": "", "JSON list": "[]", "no UTF-8": "\xff"})
def test_a_file_of_another_kind(path: Path, text: str) -> None:
    """It is named, and not replaced."""
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="is not what --expect writes"):
        compare(recorded({}), str(path))
    assert path.read_bytes() == text.encode("latin-1")


@each_of("name", {"folder": "", "file in no folder": "new/x"})
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match="cannot be read or written"):
        compare(recorded({}), str(tmp_path / name))


def test_a_stream_that_is_refused_is_not_excused(path: Path) -> None:
    """A run would fail, although the result is what is expected."""
    people = ({**schema(("id",)), "stream": "people"}, record({"id": 1}, "people"))
    event = record({"event_id": "1", "event_time": TIME, "email": ADDRESS})
    for _ in range(2):
        found = explained(schema(COLUMNS), event, *people, expected=str(path))
    assert found.expectation is not None
    assert (found.expectation.events, found.expectation.rejections) == (1, 0)
    assert (found.expectation.met, found.is_good) == (True, False)
