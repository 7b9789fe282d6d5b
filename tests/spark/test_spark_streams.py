"""What streams do with bad rows: none fails for ever, and no dead letter is lost or doubled."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply, Request
from spark_support import NOW, Recorder, Spark, letters, options, query

from target_liveintent.privacy.identity import derive_event_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.spark

COLUMNS = [
    "id",
    f"timestamp_seconds({NOW - 3600}) AS event_time",
    "concat('buyer', id, '@example.com') AS email",
]


def event_ids(numbers: Iterable[int]) -> list[str]:
    """The IDs of the events of these orders."""
    return [derive_event_id("orders", [str(n)]) for n in numbers]


class Source:
    """A stream of orders: a file is a micro-batch."""

    def __init__(self, spark: Spark, folder: Path, letters: Path, url: str) -> None:
        self._spark = spark
        self._folder = folder
        self.letters = letters
        self.options = options(url, letters, max_concurrent_requests=2)

    def add(self, first: int, last: int) -> None:
        """Add a micro-batch."""
        sql = f"SELECT id FROM range({first}, {last}, 1, 1)"  # noqa: S608 (numbers)
        self._spark.do("save", sql=sql, path=str(self._folder / "source"))

    def arguments(self, **more: Any) -> dict[str, Any]:
        """Return what a command of the shell is given."""
        return {
            "folder": str(self._folder / "source"),
            "columns": COLUMNS,
            "checkpoint": str(self._folder / "checkpoint"),
            **more,
        }

    def run(self) -> int:
        """Send what is new; return how many micro-batches there were."""
        return int(self._spark.do("stream", **self.arguments(options=self.options)))

    def run_in_parts(self, *more: dict[str, Any]) -> None:
        """Send what is new by several writes of each micro-batch."""
        writes = [self.options | one for one in more]
        self._spark.do("stream_in_parts", **self.arguments(writes=writes))

    def forget(self, batch: int) -> None:
        """Let a micro-batch begin again, as if the driver had ended just before it was noted."""
        for name in (f"{batch}", f".{batch}.crc"):
            (self._folder / "checkpoint" / "commits" / name).unlink()

    @property
    def lost(self) -> Counter[str]:
        """The IDs of the dead letters."""
        return Counter(letter["event_id"] for letter in letters(self.letters))


@pytest.fixture
def source(anywhere: Spark, server: Recorder, tmp_path: Path, folder: Path) -> Source:
    return Source(anywhere, tmp_path, folder, server.url)


def refusing(server: Recorder, numbers: Iterable[int]) -> None:
    """Let the API refuse each request with one of these orders."""
    bad = set(event_ids(numbers))

    def answer(request: Request) -> Reply:
        return Reply(400 if bad.intersection(request.ids) else 204)

    server.answer = answer


def test_bad_rows_end_no_stream(server: Recorder, source: Source) -> None:
    """One refused event, 80 bad rows beside 60 good ones, then a batch of nothing but bad rows."""
    refusing(server, [5, *range(100, 180), *range(300, 340)])
    source.add(0, 30)
    source.add(100, 240)
    assert source.run() == 2
    assert source.lost == Counter(event_ids([5, *range(100, 180)]))
    source.add(300, 340)  # That anything was accepted holds when the query is started again.
    assert source.run() == 1
    assert source.lost == Counter(event_ids([5, *range(100, 180), *range(300, 340)]))
    assert len(server.delivered) == 29 + 60


def test_a_stream_with_wrong_settings_ends(
    anywhere: Spark, server: Recorder, source: Source
) -> None:
    """Where nothing was ever accepted, micro-batches are judged together, however small."""
    server.answer = lambda _: Reply(400)
    source.add(0, 6)
    source.add(10, 16)
    said = anywhere.failure("stream", **source.arguments(options=source.options))
    assert (
        "AllRefusedError: the API accepted no event of this write (12 events were refused)" in said
    )
    assert source.lost == Counter(event_ids(range(6)))
    server.answer = lambda _: Reply(204)
    assert source.run() == 1
    assert set(event_ids(range(10, 16))) == server.delivered


def test_too_many_dead_letters_of_a_stream(
    anywhere: Spark, server: Recorder, source: Source
) -> None:
    """They are judged over micro-batches, and only warned of."""
    before = len(anywhere.said())
    refusing(server, range(10, 90))
    source.add(0, 60)
    source.add(60, 120)
    assert source.run() == 2
    assert len(source.lost) == 80
    said = anywhere.said()[before:]
    assert said.count("in the last micro-batches of the stream, ") == 1
    assert (
        "of the stream, 80 of 120 records became dead letters, which is more than max_dead_letter"
        in said
    )


def test_two_writes_of_a_batch(server: Recorder, source: Source) -> None:
    """Both keep their dead letters, and a micro-batch that begins again replaces its own."""
    refusing(server, [*range(25), *range(50, 75)])
    source.add(0, 50)
    source.add(50, 100)
    streams = ({"stream_name": "orders"}, {"stream_name": "orders"}, {"stream_name": "refunds"})
    source.run_in_parts(*streams)
    assert source.lost == Counter(event_ids([*range(25), *range(50, 75)]) * 2)
    refusing(server, range(50, 60))
    source.forget(1)
    source.run_in_parts(*streams)
    assert source.lost == Counter(event_ids([*range(25), *range(50, 60)]) * 2)


def test_a_time_that_python_cannot_hold(anywhere: Spark, server: Recorder, folder: Path) -> None:
    """It is the fault of its row: in New York, the last hours of the year 9999 are past UTC's."""
    anywhere.do("configure", name="spark.sql.session.timeZone", value="America/New_York")
    time = f"IF(id = 3, timestamp'9999-12-31 23:00:00', timestamp_seconds({NOW - 60}))"
    try:
        anywhere.do("write", sql=query(100, time=time), options=options(server.url, folder))
    finally:
        anywhere.do("configure", name="spark.sql.session.timeZone", value="UTC")
    (letter,) = letters(folder)
    assert (letter["event_id"], letter["reason"]) == (event_ids([3])[0], "invalid_event_time")
    assert len(server.delivered) == 99


def test_a_type_that_no_task_gets(anywhere: Spark, server: Recorder, folder: Path) -> None:
    """PySpark cannot give it to a task; the driver says so, and what to do."""
    sql = query(9, more=", INTERVAL '1' YEAR AS term")
    said = anywhere.failure("write", sql=sql, options=options(server.url, folder))
    assert "ConfigurationError: PySpark cannot pass intervals of months to a task (colu" in said
    assert server.requests == []
