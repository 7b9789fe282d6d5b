"""The ways in which Spark's users write: SQL, tables, names in capitals; what they ask first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from faulty_server import Reply
from spark_support import (
    MIXED,
    NOW,
    ROOT,
    TOKEN,
    Recorder,
    Source,
    Spark,
    event_ids,
    ids,
    letters,
    options,
    query,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.spark, pytest.mark.slow]

COLUMNS = "id BIGINT, event_time TIMESTAMP, email STRING, value DECIMAL(10, 2), currency STRING"


@pytest.fixture
def given(server: Recorder, folder: Path) -> dict[str, Any]:
    """The options of a write that takes its token from a file."""
    token = folder.parent / "token"
    token.write_text(f"{TOKEN}\n", encoding="utf-8")
    return options(server.url, folder, auth_token=None, auth_token_path=str(token))


def in_sql(given: dict[str, Any]) -> str:
    """Options as SQL writes them."""
    return ", ".join(f"{name} '{value}'" for name, value in given.items())


def test_the_page_in_sql(spark: Spark, server: Recorder, given: dict[str, Any]) -> None:
    """Each statement of docs/spark.md, with paths and an API of this test's."""
    page = (ROOT / "docs" / "spark.md").read_text(encoding="utf-8")
    page, _, _ = page.partition("## What was sent")
    api = {"default_source 'web'": f"default_source 'web', api_url '{server.url}'"}
    api |= {"'default_source' = 'web'": f"'default_source' = 'web', 'api_url' = '{server.url}'"}
    paths = {"/run/secrets/liveintent": given["auth_token_path"]}
    paths |= {"s3://bucket/letters": given["dead_letter_path"]}
    for old, new in (api | paths).items():
        assert old in page
        page = page.replace(old, new)
    assert "auth_token " not in page
    found = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    assert len(found) == 2
    spark.do("sql", statements=[f"CREATE TEMPORARY VIEW orders AS {query(150)}"])
    try:
        for block in found:
            spark.do("sql", statements=[part for part in block.split(";") if part.strip()])
            assert sorted(ids(server)) == sorted(event_ids(range(150)))
            server.events.clear()
    finally:
        views = [f"DROP VIEW IF EXISTS {name}" for name in ("orders", "liveintent")]
        spark.do("sql", statements=[*views, "DROP TABLE IF EXISTS liveintent_orders"])


def test_a_table(spark: Spark, server: Recorder, given: dict[str, Any]) -> None:
    """INSERT INTO a table WITH options, or writeTo with options; without, the driver says so."""
    spark.do("sql", statements=[f"CREATE TABLE target ({COLUMNS}) USING liveintent"])
    try:
        with_options = ", ".join(f"'{name}' = '{value}'" for name, value in given.items())
        insert = f"INSERT INTO target WITH ({with_options}) {query(150)}"
        spark.do("sql", statements=[insert])
        assert set(server.arrivals) == {TOKEN}  # The tasks have read it from the file.
        assert sorted(ids(server)) == sorted(event_ids(range(150)))
        server.events.clear()
        spark.do("write_to", sql=query(150), table="target", options=given)
        assert sorted(ids(server)) == sorted(event_ids(range(150)))
        server.events.clear()
        words = "ConfigurationError: the write received no options. Spark does not pass on the opti"
        assert words in spark.failure("sql", statements=[f"INSERT INTO target {query(150)}"])
        assert words in spark.failure("write_to", sql=query(150), table="target", options={})
    finally:
        spark.do("sql", statements=["DROP TABLE target"])
    assert server.events == []


def test_a_table_with_options(spark: Spark, server: Recorder, given: dict[str, Any]) -> None:
    """Spark drops the options of CREATE TABLE: the message says where to give them."""
    table = f"CREATE TABLE dropped ({COLUMNS}) USING liveintent OPTIONS ({in_sql(given)})"
    try:
        said = spark.failure("sql", statements=[table, f"INSERT INTO dropped {query(9)}"])
    finally:
        spark.do("sql", statements=["DROP TABLE IF EXISTS dropped"])
    assert "Set the options in CREATE TEMPORARY VIEW (after OPTIONS)" in said
    assert server.requests == []


def test_columns_in_capitals(
    spark: Spark, server: Recorder, folder: Path, given: dict[str, Any]
) -> None:
    """As Snowflake exports them: the events are the same, and so are those of structs."""
    sql = query(100, more=", named_struct('ip', '192.0.2.7') AS userData")
    spark.do("write", sql=sql, options=given)
    usual = sorted(server.events)
    server.events.clear()
    spelled = (
        "SELECT id AS ID, event_time AS EVENT_TIME, email AS Email, value AS VALUE,"  # noqa: S608
        f" currency AS Currency, userData AS USERDATA FROM ({sql})"
    )
    spark.do("write", sql=spelled, options=given)
    assert sorted(server.events) == usual
    assert all(one in usual[0] for one in (b'"value"', b'"currency"', b'"192.0.2.7"'))
    assert letters(folder) == []


def test_columns_that_differ_by_case(spark: Spark, server: Recorder, given: dict[str, Any]) -> None:
    """Spark allows for two of them with its switch; nobody can say which is meant."""
    spark.do("sql", statements=["SET spark.sql.caseSensitive=true"])
    try:
        said = spark.failure("write", sql=query(9, more=", 2 AS VALUE"), options=given)
    finally:
        spark.do("sql", statements=["SET spark.sql.caseSensitive=false"])
    assert "ConfigurationError: columns value and VALUE differ only in upper and lower case" in said
    assert server.requests == []


def test_explain(spark: Spark, server: Recorder, folder: Path, given: dict[str, Any]) -> None:
    """It says what the command `explain` says, and sends and writes nothing."""
    sql = query(200, time=f"IF(id < 20, 'soon', string({NOW - 60}))")
    said = spark.do("explain", sql=sql, options=given | {"store": None, "dry_run": False})
    assert "\nStream orders\n" in f"\n{said}"
    assert "\n  event_id         derived from the stream's name and the key properties id\n" in said
    assert "\n  Of 200 records, 180 would be sent, 0 filtered, 20 rejected.\n" in said
    assert "\n  invalid_event_time (20), first event: " in said
    assert server.requests == []
    assert not folder.exists()


def runs(store: str) -> list[dict[str, Any]]:
    """The figures of the writes in a store, the oldest first, with account and pixel."""
    query = (
        "SELECT figures, customer_id, api_host, pixel_id, ending FROM run WHERE kind <> 'task'"
        " ORDER BY started_at"
    )
    with psycopg.connect(store) as database:
        found = database.execute(query).fetchall()
    assert [row[4] for row in found] == [row[0]["run"]["ending"] for row in found]
    return [row[0]["run"] | {"account": row[1:4]} for row in found]


@pytest.mark.postgres
def test_the_history(
    spark: Spark,
    server: Recorder,
    folder: Path,
    given: dict[str, Any],
    new_store_url: Callable[[], str],
) -> None:
    """The driver keeps a run in the store for each write, also for one that fails.

    It judges the share of dead letters over all tasks; they stay, to be looked at.
    """
    store = new_store_url()
    kept = given | {"store": store}
    spark.do("write", sql=query(1_000, email=MIXED), options=kept)
    (run,) = runs(store)
    assert run["account"] == ("a-1b2c", "127.0.0.1", 12345)
    (stream,) = run["streams"].values()
    assert (stream["read"], stream["delivered"], stream["within_a_day"]) == (1_000, 900, 900)
    assert stream["having"]["md5"] == 900
    assert stream["not_sent"] == {"no_identity": 100}
    assert stream["values"]["USD"][0] == 900
    assert run["ending"] == "done"

    early = query(400, time=f"IF(id < 300, 'soon', string({NOW - 60}))")
    said = spark.failure("write", sql=early, options=kept)
    assert "TooManyRejectedError: 300 of 400 records became dead letters" in said
    assert len(letters(folder)) == 100 + 300
    done, failed = runs(store)
    assert (done["ending"], failed["ending"]) == ("done", "failed")
    assert "300 of 400 records became dead letters" in failed["message"]

    server.answer = lambda _: Reply(403)
    spark.failure("write", sql=query(100, 2), options=kept | {"stream_name": "others"})
    *_, denied = runs(store)
    words = "the write failed; the counts include only the tasks that succeeded (0 of 2)"
    assert (denied["ending"], denied["message"]) == ("failed", words)


@pytest.mark.postgres
def test_the_history_of_a_stream(
    spark: Spark,
    server: Recorder,
    tmp_path: Path,
    folder: Path,
    new_store_url: Callable[[], str],
) -> None:
    """It has a run for each micro-batch, and a micro-batch that comes again sends nothing."""
    source, store = Source(spark, tmp_path, folder, server.url), new_store_url()
    source.options["store"] = store
    source.add(0, 50)
    source.add(50, 100)
    source.run()
    assert [run["streams"]["orders"]["delivered"] for run in runs(store)] == [50, 50]
    source.forget(1)
    source.run()
    assert runs(store)[-1]["streams"]["orders"]["not_sent"] == {"already_sent": 50}
    assert sorted(ids(server)) == sorted(event_ids(range(100)))
