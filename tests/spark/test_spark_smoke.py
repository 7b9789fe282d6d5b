"""One test of each kind of promise: a batch, a stream, failures, and privacy."""

import re
from collections import Counter
from pathlib import Path

import pytest
from faulty_server import Reply
from spark_support import (
    MIXED,
    Recorder,
    Source,
    Spark,
    event_ids,
    fact_ids,
    facts,
    ids,
    options,
    query,
    refusing,
)

pytestmark = pytest.mark.spark


def test_a_batch_is_delivered_in_spark(spark: Spark, server: Recorder, outcomes: Path) -> None:
    """Each row arrives once under the ID that the target derives, or is rejected; facts say it.

    The driver warns of a misspelled option, and counts records by outcome, over all tasks.
    """
    before = len(spark.said())
    given = options(server.url, outcomes, pixel=1)
    spark.do("write", sql=query(1_000, email=MIXED), options=given)
    said = spark.wait_for("total: read 1000, filtered 0, unmapped 0, delivered 900, dead-", before)
    assert "'pixel' is unknown and has no effect; did you mean 'pixel_id'?" in said
    sent = Counter(event_ids(n for n in range(1_000) if n % 10 != 7))
    guests = event_ids(range(7, 1_000, 10))
    assert Counter(ids(server)) == sent == fact_ids(outcomes, "delivered")
    assert server.problems == []
    assert fact_ids(outcomes, "rejected") == Counter(guests)
    places = {(row["partition"], row["position"]): row["event_id"] for row in facts(outcomes)}
    assert places[0, 7], places[3, 7] == (guests[0], guests[75])
    assert len(places) == 1_000
    files = [path for path in outcomes.rglob("*") if path.is_file()]
    assert not any(path.name.startswith("_") for path in files)
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_failed_write_says_why_and_shows_no_secret(
    spark: Spark, server: Recorder, outcomes: Path
) -> None:
    """The error says why a write failed, and the table what was sent.

    Neither token nor address is in it, or in Spark's pages, its API, plans, event logs and errors.
    """
    source = outcomes.parent / "orders.parquet"  # The addresses are in no query.
    spark.do("save", sql=query(8_000), path=str(source))
    sql = f"SELECT * FROM parquet.`{source}`"  # noqa: S608
    server.answer = lambda _: Reply(403, skipped=None) if len(server.requests) > 12 else Reply()
    token, before = "S3CRET-t0ken-in-an-option", len(spark.said())
    given = options(server.url, outcomes, auth_token=token, max_concurrent_requests=2)
    shown = spark.failure("write", sql=sql, options=given)
    *_, last = shown.strip().splitlines()
    assert last.startswith("target_liveintent.errors.AccessDeniedError: the API denied access ")
    assert set(fact_ids(outcomes, "delivered")) == server.delivered != set()
    spark.wait_for("the write failed. ", before)
    server.answer = lambda _: Reply(204)
    pages = spark.do("plan", sql=sql, options=given)
    assert "AppendData" in pages
    logged = "".join(f.read_text(errors="replace") for f in spark.events.rglob("events*"))
    assert "SparkListenerSQLExecutionStart" in logged
    written = "".join(f.read_text(errors="replace") for f in outcomes.rglob("*.parquet"))
    for text in (shown, pages, logged, spark.said(), written):
        assert token not in text
        assert not re.search(r"buyer\d+@example", text.replace("concat('buyer', id", ""))


def test_a_repeated_batch_sends_only_what_was_rejected(
    spark: Spark, server: Recorder, tmp_path: Path, outcomes: Path
) -> None:
    """A micro-batch that begins again sends only what was rejected, in each of its writes."""
    source = Source(spark, tmp_path, outcomes, server.url)
    refusing(server, [*range(25), *range(50, 75)])
    source.add(0, 50)
    source.add(50, 100)
    streams = ({"stream_name": "orders"}, {"stream_name": "refunds"})
    source.run_in_parts(*streams)
    assert fact_ids(outcomes, "rejected") == Counter(event_ids([*range(25), *range(50, 75)]))
    sent = Counter(server.accepted)
    refusing(server, range(50, 60))
    source.forget(1)
    source.run_in_parts(*streams)
    assert Counter(server.accepted) - sent == Counter(event_ids(range(60, 75)))
    assert {row["write"].rpartition("-")[2] for row in facts(outcomes)} == {"0", "1"}
