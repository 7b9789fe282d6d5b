"""DataFrames in, conversions out: the ways in which Spark's users write, and what is checked."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from spark_support import NOW, ROOT, TOKEN, Recorder, Source, Spark, event_ids, ids, options, query

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture
def given(server: Recorder, outcomes: Path) -> dict[str, Any]:
    """The options of a write that takes its token from a file."""
    token = outcomes.parent / "token"
    token.write_text(f"{TOKEN}\n", encoding="utf-8")
    return options(server.url, outcomes, auth_token=None, auth_token_path=str(token))


def test_wrong_options_are_refused_on_the_driver(
    spark: Spark, server: Recorder, given: dict[str, Any]
) -> None:
    """Each one is refused on the driver, by name, with what to do instead."""
    for wrong, words in (
        ({"limit": "5"}, "option 'limit' has no effect in Spark: change the DataFrame"),
        ({"outcomes_path": "nope://x/y"}, "option 'outcomes_path': the table of outcomes cannot"),
    ):
        assert words in spark.failure("write", sql=query(9), options=given | wrong)
    said = spark.failure("write", sql="SELECT id, 'x' AS email FROM range(10)", options=given)
    assert "it lacks event_time. The columns of the DataFrame are: id, email." in said
    for mode, words in {
        "overwrite": "conversions cannot be overwritten",
        None: "UNSUPPORTED_DATA_SOURCE_SAVE_MODE",
    }.items():
        assert words in spark.failure("write", sql=query(9), options=given, mode=mode)
    assert server.requests == []


def test_the_sql_of_the_page_runs(spark: Spark, server: Recorder, given: dict[str, Any]) -> None:
    """Each statement of docs/spark.md, with paths and an API of this test's."""
    page = (ROOT / "docs" / "spark.md").read_text(encoding="utf-8")
    page, _, _ = page.partition("## The table")
    api = {"default_source 'web'": f"default_source 'web', api_url '{server.url}'"}
    paths = {"/run/secrets/liveintent": given["auth_token_path"]}
    paths |= {"s3://bucket/outcomes": given["outcomes_path"]}
    for old, new in (api | paths).items():
        assert old in page
        page = page.replace(old, new)
    (block,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    spark.do("sql", statements=[f"CREATE TEMPORARY VIEW orders AS {query(150)}"])
    try:
        spark.do("sql", statements=[part for part in block.split(";") if part.strip()])
    finally:
        views = [f"DROP VIEW IF EXISTS {name}" for name in ("orders", "liveintent")]
        spark.do("sql", statements=views)
    assert sorted(ids(server)) == sorted(event_ids(range(150)))
    assert set(server.arrivals) == {TOKEN}  # The tasks have read it from the file.


def test_a_table_delivers_with_the_options_of_the_insert(
    spark: Spark, server: Recorder, given: dict[str, Any]
) -> None:
    """INSERT INTO a table WITH options, or writeTo with options; those of CREATE TABLE are lost."""
    columns = "id BIGINT, event_time TIMESTAMP, email STRING, value DECIMAL(10, 2), currency STRING"
    spark.do("sql", statements=[f"CREATE TABLE target ({columns}) USING liveintent"])
    try:
        with_options = ", ".join(f"'{name}' = '{value}'" for name, value in given.items())
        spark.do("sql", statements=[f"INSERT INTO target WITH ({with_options}) {query(75)}"])
        spark.do("write_to", sql=f"{query(150)} WHERE id >= 75", table="target", options=given)
        said = spark.failure("sql", statements=[f"INSERT INTO target {query(150)}"])
    finally:
        spark.do("sql", statements=["DROP TABLE target"])
    assert sorted(ids(server)) == sorted(event_ids(range(150)))
    assert "ConfigurationError: option 'stream_name' is required" in said


def test_explain_says_what_the_command_says_and_sends_nothing(
    spark: Spark, server: Recorder, outcomes: Path, given: dict[str, Any]
) -> None:
    """The function explains as the command does, and writes nothing."""
    sql = query(200, time=f"IF(id < 20, 'soon', string({NOW - 60}))")
    said = spark.do("explain", sql=sql, options=given | {"store": None, "dry_run": False})
    assert "\nStream orders\n" in f"\n{said}"
    assert "\n  event_id         derived from the stream's name and the key properties id\n" in said
    assert "\n  Of 200 records, 180 would be sent, 0 filtered, 20 rejected.\n" in said
    assert "\n  invalid_event_time (20), first event: " in said
    assert server.requests == []
    assert not outcomes.exists()


def streams(store: str) -> list[dict[str, Any]]:
    """The figures of the stream of each write in a store, the oldest first."""
    query = "SELECT figures FROM run WHERE kind <> 'task' ORDER BY started_at"
    with psycopg.connect(store) as database:
        found = database.execute(query).fetchall()
    return [figures["streams"]["orders"] for (figures,) in found]


@pytest.mark.postgres
def test_the_history_of_a_stream_has_a_run_for_each_micro_batch(
    spark: Spark, server: Recorder, tmp_path: Path, outcomes: Path, new_store_url: Callable[[], str]
) -> None:
    """A micro-batch that comes again sends nothing."""
    source, store = Source(spark, tmp_path, outcomes, server.url), new_store_url()
    source.options["store"] = store
    source.add(0, 50)
    source.add(50, 100)
    source.run()
    assert [one["delivered"] for one in streams(store)] == [50, 50]
    source.forget(1)
    source.run()
    assert streams(store)[-1]["dropped"] == {"already_sent": 50}
    assert sorted(ids(server)) == sorted(event_ids(range(100)))
