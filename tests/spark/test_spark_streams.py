"""What streams do with bad rows: none ends a stream, and no outcome is lost."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from faulty_server import Reply
from spark_support import Recorder, Source, Spark, event_ids, fact_ids, refusing

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture
def source(anywhere: Spark, server: Recorder, tmp_path: Path, outcomes: Path) -> Source:
    return Source(anywhere, tmp_path, outcomes, server.url)


def test_bad_rows_end_no_stream(
    anywhere: Spark, server: Recorder, source: Source, outcomes: Path
) -> None:
    """80 bad rows beside 60 good ones, then, after a restart, nothing but bad rows."""
    before = len(anywhere.said())
    refusing(server, [5, *range(100, 180), *range(300, 340)])
    source.add(0, 30)
    source.add(100, 240)
    assert source.run() == 2
    assert "in this micro-batch, 80 of 140 records became dead" in anywhere.said()[before:]
    source.add(300, 340)  # That anything was accepted is known from the table.
    assert source.run() == 1
    rejected = Counter(event_ids([5, *range(100, 180), *range(300, 340)]))
    assert fact_ids(outcomes, "rejected") == rejected
    assert len(server.delivered) == 29 + 60


def test_a_stream_with_wrong_settings_ends(
    anywhere: Spark, server: Recorder, source: Source, outcomes: Path
) -> None:
    """Where nothing was ever accepted, a micro-batch fails, and is sent again after that."""
    server.answer = lambda _: Reply(400)
    source.add(0, 12)
    said = anywhere.failure("stream", **source.arguments(options=source.options))
    assert (
        "AllRefusedError: the API accepted no event of this write (12 events were refused)" in said
    )
    server.answer = lambda _: Reply(204)
    assert source.run() == 1
    assert fact_ids(outcomes, "delivered") == Counter(event_ids(range(12)))
