"""The table of outcomes: while a write runs, in a later attempt, in a replay, in S3."""

import re
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import Reply, Request
from object_store import Store
from spark_support import (
    MIXED,
    NOW,
    ROOT,
    Recorder,
    Source,
    Spark,
    closing,
    event_ids,
    fact_ids,
    facts,
    ids,
    options,
    query,
    refusing,
)

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def test_rejected_rows_are_sent_again(spark: Spark, server: Recorder, outcomes: Path) -> None:
    """Rows of the table go back as they are, under their IDs and streams, but not to others."""
    early = query(200, time=f"timestamp_seconds({NOW - 8 * 86_400})")
    spark.do("write", sql=early, options=options(server.url, outcomes))
    spark.do("write", sql=query(5), options=options(server.url, outcomes))
    of_another = {"pixel_id": 777, "stream_name": "others"}
    spark.do("write", sql=early, options=options(server.url, outcomes, **of_another))
    assert len(server.events) == 5
    before = len(spark.said())
    given = options(server.url, outcomes, default_source="offline")  # The window of 30 days.
    spark.do("write", sql=f"SELECT * FROM parquet.`{outcomes}`", options=given)  # noqa: S608
    assert sorted(ids(server)[5:]) == sorted(event_ids(range(200)))
    spark.wait_for("not replayed 200 (other_account 200)", before)
    assert Counter(row["stream"] for row in facts(outcomes, "delivered")) == {"orders": 205}
    assert fact_ids(outcomes, "rejected").total() == 400


def test_the_queries_of_the_page_find_each_event_once(
    spark: Spark, server: Recorder, outcomes: Path
) -> None:
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


def test_a_stream_ends_if_the_api_has_accepted_nothing(
    spark: Spark, server: Recorder, tmp_path: Path, outcomes: Path
) -> None:
    """Once the API has accepted an event, bad rows end no stream.

    That the API has accepted something is known from the table.
    """
    source = Source(spark, tmp_path, outcomes, server.url)
    server.answer = lambda _: Reply(400)
    source.add(0, 12)
    said = spark.failure("stream", **source.arguments(options=source.options))
    words = "AllRefusedError: the API accepted no event of this write (12 events were refused)"
    assert words in said
    server.answer = lambda _: Reply(204)
    assert source.run() == 1  # The micro-batch comes again.
    assert fact_ids(outcomes, "delivered") == Counter(event_ids(range(12)))
    before = len(spark.said())
    refusing(server, range(100, 180))
    source.add(100, 180)
    assert source.run() == 1
    assert "in this micro-batch, nothing was delivered, and 80 rec" in spark.said()[before:]
    assert set(fact_ids(outcomes, "rejected")) == {*event_ids([*range(12), *range(100, 180)])}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Serve S3, whose place Spark's processes find in their environment."""
    store = Store()
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    yield store
    store.close()


def names_in(store: Store, bucket: str) -> list[str]:
    return [one["Key"] for one in store.client.list_objects_v2(Bucket=bucket)["Contents"]]


def test_a_table_in_a_bucket_has_an_object_for_each_task(
    store: Store, server: Recorder, tmp_path: Path
) -> None:
    """The bucket must exist; a write creates no bucket.

    A refused PUT fails the write, and the message has the reason.
    """
    bucket = f"bucket-{uuid.uuid4().hex}"
    given = options(server.url, tmp_path, write_id="w1") | {"outcomes_path": f"s3a://{bucket}/out"}

    def delete_bucket(_: Request) -> Reply:
        for name in names_in(store, bucket):
            store.client.delete_object(Bucket=bucket, Key=name)
        store.client.delete_bucket(Bucket=bucket)
        server.answer = lambda _: Reply()
        return Reply()

    with closing(Spark(tmp_path / "app")) as spark:
        said = spark.failure("write", sql=query(100, email=MIXED), options=given)
        assert "StorageError: option 'outcomes_path': the table of outcomes cannot be" in said
        assert server.requests == []
        store.client.create_bucket(Bucket=bucket)
        spark.do("write", sql=query(100, email=MIXED), options=given)
        spark.do("write", sql=query(110, 2), options=given)
        assert sorted(ids(server)) == sorted(event_ids(range(110)))
        folders = Counter(name.rpartition("/")[0] for name in names_in(store, bucket))
        assert folders == {"out/write=none": 1, "out/write=w1": 4 + 2}
        server.answer = delete_bucket
        said = spark.failure("write", sql=query(10, 1), options=given | {"write_id": "w2"})
    assert len(server.events) == 120
    assert re.search("the table of outcomes cannot be written: .*NO_SUCH_BUCKET", said)
