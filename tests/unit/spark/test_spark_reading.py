"""Rows are read ahead, so that what is due is done while none comes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from target_liveintent.spark import reading
from target_liveintent.spark.reading import read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_TICK", 0.005)


def test_all_come_in_order() -> None:
    assert list(read_ahead(range(100), lambda: None)) == list(range(100))
    assert list(read_ahead([], lambda: None)) == []
    assert list(read_ahead([None], lambda: None)) == [None]


def test_what_is_due_is_done_meanwhile() -> None:
    """Spark may take an hour for the next rows."""
    ticks = threading.Semaphore(0)

    def slow() -> Iterator[int]:
        for _ in range(3):
            assert ticks.acquire(timeout=60)
        yield 1

    assert list(read_ahead(slow(), ticks.release)) == [1]


def test_a_failure_comes_after_what_was_read() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError

    read = read_ahead(broken(), lambda: None)
    assert next(read) == 1
    with pytest.raises(LookupError):
        next(read)


def test_the_thread_ends_with_the_reader() -> None:
    """One that nobody listens to must not read on."""
    before = threading.active_count()
    read = read_ahead(iter(int, 1), lambda: None)
    next(read)
    (thread,) = (one for one in threading.enumerate() if one.name == "rows")
    read.close()  # type: ignore[attr-defined]
    thread.join(60)
    assert threading.active_count() == before
