"""What a run puts into an object store, and when."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock
from unit_support import NOW

from target_liveintent.errors import StorageError
from target_liveintent.storage import object_writer
from target_liveintent.storage.dead_letters import HEAD
from target_liveintent.storage.delivered import DeliveredObjects
from target_liveintent.storage.delivered_rows import SingerRows
from target_liveintent.storage.letter_objects import DeadLetterObjects
from target_liveintent.storage.object_writer import ObjectWriter

if TYPE_CHECKING:
    from target_liveintent.storage.object_store import ObjectStore


class FakeStore:
    """A store that is only remembered; `failing` puts fail."""

    def __init__(self, failing: int = 0) -> None:
        self.objects: dict[str, bytes] = {}
        self.tried: list[str] = []
        self._failing = failing

    def put(self, name: str, content: bytes) -> None:
        self.tried.append(name)
        if self._failing:
            self._failing -= 1
            msg = "dead_letter_path cannot be reached"
            raise StorageError(msg)
        assert name not in self.objects
        self.objects[name] = content


def as_store(store: FakeStore) -> ObjectStore:
    return store  # type: ignore[return-value]


def test_the_objects_of_a_run() -> None:
    """Each sync that has lines puts an object, named by the time of its first line."""
    store, clock = FakeStore(), FakeClock()
    writer = ObjectWriter(as_store(store), b"head\n", ".x", "run-1", clock)
    writer.write(b"1\n")
    clock.now += 5
    writer.write(b"2\n")
    writer.sync()
    writer.sync()
    writer.write(b"3\n")
    writer.close()
    first, second = (
        dt.datetime.fromtimestamp(NOW + later, dt.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        for later in (0, 5)
    )
    assert store.objects == {
        f"{first}-run-1-00001.x": b"head\n1\n2\n",
        f"{second}-run-1-00002.x": b"head\n3\n",
    }


def test_a_run_without_lines_puts_nothing() -> None:
    store = FakeStore()
    writer = ObjectWriter(as_store(store), b"head\n", ".x", "run-1", FakeClock())
    writer.sync()
    writer.close()
    assert store.tried == []


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many lines become an object at once."""
    monkeypatch.setattr(object_writer, "_MOST_BYTES", 10)
    store = FakeStore()
    writer = ObjectWriter(as_store(store), b"", ".x", "run-1", FakeClock())
    for _ in range(7):
        writer.write(b"four\n")
    assert [len(content) for content in store.objects.values()] == [10, 10, 10]
    writer.close()
    assert len(store.objects) == 4


def test_what_a_store_did_not_take_stays() -> None:
    """It keeps its name, so that no line is in two objects, whatever the store has kept."""
    store, clock = FakeStore(failing=1), FakeClock()
    writer = ObjectWriter(as_store(store), b"", ".x", "run-1", clock)
    writer.write(b"1\n")
    with pytest.raises(StorageError):
        writer.sync()
    clock.now += 60
    writer.write(b"2\n")
    writer.sync()
    assert len(set(store.tried)) == 1
    assert list(store.objects.values()) == [b"1\n2\n"]


def test_dead_letters_wait_for_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """STATE waits from the first dead letter on; an object for many bytes does not make it late."""
    monkeypatch.setattr(object_writer, "_MOST_BYTES", 3)
    store, clock = FakeStore(), FakeClock()
    writer = DeadLetterObjects(as_store(store), "run-1", 60, clock)
    assert writer.is_due
    writer.write(b"1\n")
    assert not writer.is_due
    clock.now += 59
    writer.write(b"2\n")
    assert (len(store.objects), writer.is_due) == (1, False)
    clock.now += 1
    assert writer.is_due
    writer.sync()
    writer.write(b"3\n")
    assert not writer.is_due
    writer.close()
    assert [content.removeprefix(HEAD) for content in store.objects.values()] == [b"1\n2\n", b"3\n"]


def test_rows_do_not_go_up_batch_by_batch() -> None:
    """A part has the rows of a STATE."""
    store = FakeStore()
    writer = DeliveredObjects(as_store(store), SingerRows("run-1"), "run-1", FakeClock())
    writer.write_events([])
    writer.write(b"row\n")
    writer.sync_batch()
    assert store.objects == {}
    writer.sync()
    ((name, content),) = store.objects.items()
    assert name.endswith("-run-1-00001.singer")
    assert content == SingerRows.head + b"row\n"
