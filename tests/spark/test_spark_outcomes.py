"""The table of outcomes: while a write runs, in a later attempt, in a replay, in S3."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from faulty_server import Reply
from integration_support import wait_until
from object_store import Store
from spark_support import (
    MIXED,
    NOW,
    ROOT,
    Recorder,
    Spark,
    closing,
    event_ids,
    fact_ids,
    facts,
    ids,
    options,
    query,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from faulty_server import Request

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def test_the_table_while_a_write_runs(anywhere: Spark, server: Recorder, outcomes: Path) -> None:
    """It has what was delivered, whatever `flush_interval_seconds` is."""
    server.answer = lambda _: Reply(held=len(server.requests) > 8)  # One core stays free to ask.
    given = options(
        server.url, outcomes, max_concurrent_requests=2, flush_interval_seconds=60, write_id="w1"
    )
    question = "SELECT count(*), count(DISTINCT event_id) FROM t WHERE outcome = 'delivered'"
    anywhere.do("start", sql=query(3_000, 1), options=given)
    wait_until(lambda: len(server.requests) >= 9, "requests that wait", 120)

    def is_there() -> bool:
        return anywhere.do("ask", sql=question, t=str(outcomes)) == [["800", "800"]]

    wait_until(is_there, "what was delivered, in the table", 120)
    server.answer = lambda _: Reply()
    server.release()
    anywhere.do("finish")
    assert anywhere.do("ask", sql=question, t=str(outcomes)) == [["3000", "3000"]]


def test_the_next_attempt_skips_what_was_sent(
    server: Recorder, tmp_path: Path, outcomes: Path
) -> None:
    """A task that is tried again leaves out what the table has as delivered."""
    server.answer = lambda _: Reply(403, skipped=None) if len(server.requests) == 30 else Reply()
    given = options(server.url, outcomes, max_concurrent_requests=2)
    with closing(Spark(tmp_path / "app", "local[2,4]")) as spark:
        spark.do("write", sql=query(8_000, 2), options=given)
        spark.wait_for("dropped")
    assert fact_ids(outcomes, "delivered") == Counter(event_ids(range(8_000)))
    assert not server.repeats


def test_a_write_is_repeated(spark: Spark, server: Recorder, outcomes: Path) -> None:
    """With the same ID, only the rows go that the first one has not sent, wherever they are now."""
    given = options(server.url, outcomes, write_id="orders-1")
    spark.do("write", sql=f"{query(800)} WHERE id % 3 > 0", options=given)
    first = len(server.events)
    spark.do("write", sql=query(1_000, 3), options=given)
    assert sorted(ids(server)[first:]) == sorted(event_ids([*range(0, 800, 3), *range(800, 1_000)]))
    spark.do("write", sql=query(10), options=given | {"write_id": "orders-2"})
    assert len(server.events) == 1_010


def test_rejected_rows_are_sent_again(spark: Spark, server: Recorder, outcomes: Path) -> None:
    """Rows of the table go back as they are, under their IDs and streams, but not to others."""
    early = query(200, time=f"timestamp_seconds({NOW - 8 * 86_400})")
    spark.do("write", sql=early, options=options(server.url, outcomes))
    spark.do("write", sql=query(5), options=options(server.url, outcomes))
    of_another = {"pixel_id": 777, "stream_name": "others"}
    spark.do("write", sql=early, options=options(server.url, outcomes, **of_another))
    assert len(server.events) == 5
    again = {"default_source": "offline", "stream_name": None}  # The window of 30 days.
    before = len(spark.said())
    given = options(server.url, outcomes, **again)
    spark.do("replay", where="true", outcomes=str(outcomes), options=given)
    assert sorted(ids(server)[5:]) == sorted(event_ids(range(200)))
    spark.wait_for("not replayed 200 (other_account 200)", before)
    assert Counter(row["stream"] for row in facts(outcomes, "delivered")) == {"orders": 205}
    assert fact_ids(outcomes, "rejected").total() == 400


def test_without_a_table(spark: Spark, server: Recorder, outcomes: Path) -> None:
    """Good rows need none. Bad ones fail the write, after all others were sent."""
    given = options(server.url, outcomes, outcomes_path=None)
    spark.do("write", sql=query(10), options=given)
    said = spark.failure("write", sql=query(1_000, email=MIXED), options=given)
    assert "100 rows cannot be sent (no_identity 100), and nothing keeps them, because" in said
    assert "outcomes_path" in said
    assert len(server.events) == 10 + 900


def test_the_queries_of_the_page(spark: Spark, server: Recorder, outcomes: Path) -> None:
    """The view has one row for each event; the copy of the compaction has them all."""
    page = (ROOT / "docs" / "spark.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sql\n(.*?)```", page.partition("## The table")[2], re.DOTALL)
    given = options(server.url, outcomes, write_id="w1")
    spark.do("write", sql=query(80, email=MIXED), options=given)
    spark.do("write", sql=query(100), options=given)
    assert "s3://bucket/outcomes" in block
    statements = re.sub(r"--.*", "", block.replace("s3://bucket/outcomes", str(outcomes)))
    spark.do("sql", statements=[part for part in statements.split(";") if part.strip()])
    asked = spark.do(
        "ask",
        sql="SELECT outcome, count(*), count(DISTINCT event_id) FROM last_outcomes GROUP BY ALL",
    )
    spark.do("sql", statements=["DROP VIEW last_outcomes", "DROP VIEW outcomes"])
    assert asked == [["delivered", "100", "100"]]
    copied = f"SELECT count(*) FROM parquet.`{outcomes}-compact`"  # noqa: S608
    assert spark.do("ask", sql=copied) == [["108"]]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Serve S3, whose place Spark's processes find in their environment."""
    store = Store()
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    yield store
    store.close()


def test_a_table_in_a_bucket(store: Store, server: Recorder, tmp_path: Path) -> None:
    """It is an object for each task, in a bucket that exists; none is created."""
    bucket = f"bucket-{uuid.uuid4().hex}"
    given = options(server.url, tmp_path, write_id="w1") | {"outcomes_path": f"s3a://{bucket}/out"}
    with closing(Spark(tmp_path)) as spark:
        said = spark.failure("write", sql=query(100, email=MIXED), options=given)
        assert "StorageError: option 'outcomes_path': the table of outcomes cannot be" in said
        assert server.requests == []
        store.client.create_bucket(Bucket=bucket)
        spark.do("write", sql=query(100, email=MIXED), options=given)
        spark.do("write", sql=query(110, 2), options=given)
    assert sorted(ids(server)) == sorted(event_ids(range(110)))
    folders = Counter(name.rpartition("/")[0] for name in store.objects(bucket))
    assert folders == {"out/write=none": 1, "out/write=w1": 4 + 2}


def test_a_table_that_cannot_be_written(store: Store, server: Recorder, tmp_path: Path) -> None:
    """A refused PUT fails the write, and the message has the reason."""
    bucket = f"bucket-{uuid.uuid4().hex}"
    store.client.create_bucket(Bucket=bucket)

    def delete_bucket(_: Request) -> Reply:
        for name in store.objects(bucket):
            store.client.delete_object(Bucket=bucket, Key=name)
        store.client.delete_bucket(Bucket=bucket)
        server.answer = lambda _: Reply()
        return Reply()

    server.answer = delete_bucket
    given = options(server.url, tmp_path) | {"outcomes_path": f"s3://{bucket}/out"}
    with closing(Spark(tmp_path / "app")) as spark:
        said = spark.failure("write", sql=query(10, 1), options=given)
    assert len(server.events) == 10
    assert re.search("the table of outcomes cannot be written: .*NO_SUCH_BUCKET", said)
