"""One test of each kind of promise: a batch, a stream, failures, and privacy."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from faulty_server import Reply
from spark_support import (
    MIXED,
    Recorder,
    Source,
    Spark,
    event_ids,
    ids,
    letters,
    options,
    query,
    refusing,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spark


def test_a_batch(spark: Spark, server: Recorder, folder: Path) -> None:
    """Each row arrives once under the ID that the target derives, or has a dead letter."""
    spark.do("write", sql=query(1_000, email=MIXED), options=options(server.url, folder))
    sent = event_ids(n for n in range(1_000) if n % 10 != 7)
    assert sorted(ids(server)) == sorted(sent)
    assert server.problems == []
    left = Counter(letter["event_id"] for letter in letters(folder))
    assert left == Counter(event_ids(range(7, 1_000, 10)))
    assert len(list(folder.glob("*.singer"))) == 4  # One a task.
    assert [path.name for path in folder.glob("_pending/*")] == ["README"]
    assert {file.stat().st_mode & 0o777 for file in folder.glob("*.singer")} == {0o600}


def test_the_api_takes_nothing(spark: Spark, server: Recorder, folder: Path) -> None:
    """Then the settings are at fault: the write fails, and no event becomes a dead letter."""
    server.answer = lambda _: Reply(400)
    said = spark.failure("write", sql=query(10, 4), options=options(server.url, folder))
    assert "AllRefusedError: the API accepted no event of this write" in said
    assert letters(folder) == []
    assert [path.name for path in folder.glob("_pending/*")] == ["README"]


def test_secrets_are_shown_nowhere(spark: Spark, server: Recorder, folder: Path) -> None:
    """Neither token nor address: not in Spark's pages, its API, plans, event logs or errors."""
    source = folder.parent / "orders.parquet"  # The addresses are in no query.
    spark.do("save", sql=query(100), path=str(source))
    sql = f"SELECT * FROM parquet.`{source}`"  # noqa: S608
    server.answer = lambda _: Reply(403)
    token = "S3CRET-t0ken-in-an-option"
    shown = spark.failure("write", sql=sql, options=options(server.url, folder, auth_token=token))
    server.answer = lambda _: Reply(204)
    pages = spark.do("plan", sql=sql, options=options(server.url, folder, auth_token=token))
    assert "AppendData" in pages
    logged = "".join(f.read_text(errors="replace") for f in spark.events.rglob("events*"))
    assert "SparkListenerSQLExecutionStart" in logged
    for text in (shown, pages, logged, spark.said()):
        assert token not in text
        assert not re.search(r"buyer\d+@example", text.replace("concat('buyer', id", ""))


def test_a_failed_write(spark: Spark, server: Recorder, folder: Path, tmp_path: Path) -> None:
    """The message says what the task has sent, the log what the write has, and the audit which."""
    audit = tmp_path / "audit"
    server.answer = lambda _: Reply(403, skipped=None) if len(server.requests) > 12 else Reply()
    given = options(server.url, folder, audit_path=str(audit), max_concurrent_requests=2)
    before = len(spark.said())
    said = spark.failure("write", sql=query(8_000, 4), options=given)
    *_, last = said.strip().splitlines()
    assert re.match(
        r"target_liveintent\.errors\.AccessDeniedError: the API denied access .*"
        r"Before the failure, this attempt .* delivered [\d,]+ event",
        last,
    )
    assert letters(folder) == []
    question = "SELECT write, count(DISTINCT event_id) FROM audit GROUP BY write"
    ((write, count),) = spark.do("ask", sql=question, audit=str(audit))
    assert int(count) == len(server.delivered)
    failed = (
        f"the write has failed; it delivered {int(count):,} events. The audit shows this write"
        f" operation under the name '{write}'"
    )
    spark.wait_for(failed, before)


def test_two_writes_of_a_batch(
    spark: Spark, server: Recorder, tmp_path: Path, folder: Path
) -> None:
    """Both keep their dead letters, and a micro-batch that begins again replaces its own."""
    source = Source(spark, tmp_path, folder, server.url)
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
