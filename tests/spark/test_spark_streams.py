"""What streams do with bad rows: none fails for ever, and no dead letter is lost or doubled."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from faulty_server import Reply
from spark_support import Recorder, Source, Spark, event_ids, refusing

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture
def source(anywhere: Spark, server: Recorder, tmp_path: Path, folder: Path) -> Source:
    return Source(anywhere, tmp_path, folder, server.url)


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
