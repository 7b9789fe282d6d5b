"""DataFrames in, conversions out: the ways in which Spark's users write, and what is checked."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from faulty_server import Reply
from integration_support import wait_until
from spark_support import (
    MIXED,
    NOW,
    ROOT,
    TOKEN,
    Recorder,
    Source,
    Spark,
    event_ids,
    facts,
    ids,
    options,
    query,
    refusing,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture
def given(server: Recorder, outcomes: Path) -> dict[str, Any]:
    """The options of a write that takes its token from a file."""
    token = outcomes.parent / "token"
    token.write_text(f"{TOKEN}\n", encoding="utf-8")
    return options(server.url, outcomes, auth_token=None, auth_token_path=str(token))


def test_the_summary(spark: Spark, given: dict[str, Any]) -> None:
    """The driver warns of a misspelled option, and counts records by outcome, over all tasks."""
    before = len(spark.said())
    more = {"stream_name": "counted", "pixle_id": 1}
    spark.do("write", sql=query(250, 3), options=given | more)
    said = spark.wait_for("3 requests, 0 retries", before)
    assert "'pixle_id' is unknown and has no effect; did you mean 'pixel_id'?" in said
    lines = [line.partition(" liveintent: ")[2] for line in said.splitlines()]
    counted = "counted: read 250, filtered 0, unmapped 0, delivered 250, dead-lettered 0"
    ours = [line for line in lines[lines.index(counted) :] if line]
    assert "total: read 250" in ours[2]
    assert len(ours) == 3


@pytest.mark.parametrize("keys", [None, "event_time"])
def test_ids_do_not_depend_on_the_session(
    spark: Spark, server: Recorder, given: dict[str, Any], keys: str | None
) -> None:
    """The zone in which a session shows times is no part of an event."""
    if keys is None:
        del given["key_properties"]
    else:
        given["key_properties"] = keys
    for zone in ("America/New_York", "UTC"):
        spark.do("sql", statements=[f"SET TIME ZONE '{zone}'"])
        spark.do("write", sql=query(1, 1), options=given)
    there, here = server.events
    assert there == here


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"stream_maps": "{}", "audit_path": "/x"}, query(9), "option 'audit_path' has no effect in"),
    ({"store": "l.sqlite"}, query(9), "option 'store' must be the URL of a PostgreSQL database"),
    ({"outcomes_path": "nope://x/y"}, query(9), "option 'outcomes_path': the table of outcomes ca"),
    (
        {},
        "SELECT id, 'x' AS email FROM range(10)",
        "any event: it lacks event_time. The columns of the DataFrame are: id, email. Add the",
    ),
]


def test_wrong_options(spark: Spark, server: Recorder, given: dict[str, Any]) -> None:
    """Each is refused on the driver, by name, with what to do instead."""
    for wrong, sql, words in WRONG:
        said = spark.failure("write", sql=sql, options=given | wrong)
        assert words in said, said
    for mode, words in {
        "overwrite": "conversions cannot be overwritten",
        None: "UNSUPPORTED_DATA_SOURCE_SAVE_MODE",
    }.items():
        assert words in spark.failure("write", sql=query(9), options=given, mode=mode)
    assert server.requests == []


def test_bad_events(spark: Spark, server: Recorder, given: dict[str, Any], outcomes: Path) -> None:
    """Whether the API takes anything is judged over all tasks: one of them may hold the bad one."""
    refusing(server, [3])
    spark.do("write", sql=query(4, 4), options=given)
    assert [row["event_id"] for row in facts(outcomes, "rejected")] == event_ids([3])
    assert len(server.delivered) == 3
    server.answer = lambda _: Reply(400)  # Up to nine may be bad events as well.
    spark.do("write", sql=query(9, 4), options=given)
    assert len(facts(outcomes, "rejected")) == 1 + 9
    spark.wait_for("the API refused 9 events at the end of the input, or before a pause")


def test_requests_in_flight(spark: Spark, server: Recorder, given: dict[str, Any]) -> None:
    """Tasks share `max_concurrent_requests`; each has one at least."""
    for allowed, most in ((4, 4), (1, 2)):
        busy: list[int] = []

        def watch(_: Any, most: int = most, busy: list[int] = busy) -> Reply:
            busy.append(server.busy)
            # The first wait until all are there, so that both tasks are at work.
            return Reply(held=True) if max(busy) < most else Reply(delay=0.05)

        server.answer = watch
        more = {"max_concurrent_requests": allowed}
        spark.begin("write", sql=query(6_000, 2), options=given | more)
        wait_until(lambda busy=busy, most=most: most in busy, "requests of both tasks", 60)
        server.release()
        spark.end()
        assert max(busy) == most


def test_the_page_in_sql(spark: Spark, server: Recorder, given: dict[str, Any]) -> None:
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


def test_a_table(spark: Spark, server: Recorder, given: dict[str, Any]) -> None:
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


def test_columns_in_capitals(
    spark: Spark, server: Recorder, given: dict[str, Any], outcomes: Path
) -> None:
    """As Snowflake exports them: the events are the same. Two that differ by case are an error."""
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
    assert facts(outcomes, "rejected") == []
    spark.do("sql", statements=["SET spark.sql.caseSensitive=true"])
    try:
        said = spark.failure("write", sql=query(9, more=", 2 AS VALUE"), options=given)
    finally:
        spark.do("sql", statements=["SET spark.sql.caseSensitive=false"])
    assert "columns differ from others only in upper and lower case: value" in said


def test_explain(spark: Spark, server: Recorder, outcomes: Path, given: dict[str, Any]) -> None:
    """It says what the command `explain` says, and sends and writes nothing."""
    sql = query(200, time=f"IF(id < 20, 'soon', string({NOW - 60}))")
    said = spark.do("explain", sql=sql, options=given | {"store": None, "dry_run": False})
    assert "\nStream orders\n" in f"\n{said}"
    assert "\n  event_id         derived from the stream's name and the key properties id\n" in said
    assert "\n  Of 200 records, 180 would be sent, 0 filtered, 20 rejected.\n" in said
    assert "\n  invalid_event_time (20), first event: " in said
    assert server.requests == []
    assert not outcomes.exists()


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
def test_a_store(
    spark: Spark,
    server: Recorder,
    outcomes: Path,
    given: dict[str, Any],
    new_store_url: Callable[[], str],
) -> None:
    """No write sends what another one has sent, and each one is a run of the history.

    The share of rejected rows is judged over all tasks.
    """
    store = new_store_url()
    kept = given | {"store": store}
    spark.do("write", sql=query(1_000, email=MIXED), options=kept)
    (run,) = runs(store)
    assert run["account"] == ("a-1b2c", "127.0.0.1", 12345)
    (stream,) = run["streams"].values()
    assert (stream["read"], stream["delivered"], stream["within_a_day"]) == (1_000, 900, 900)
    assert stream["not_sent"] == {"no_identity": 100}
    assert stream["values"]["USD"][0] == 900
    assert run["ending"] == "done"

    spark.do("write", sql=query(1_000), options=kept)
    assert sorted(ids(server)) == sorted(event_ids(range(1_000)))
    dropped = Counter(row["reason"] for row in facts(outcomes, "dropped"))
    assert dropped == {"already_sent": 900}

    early = query(400, time=f"IF(id < 300, 'soon', string({NOW - 60}))")
    said = spark.failure("write", sql=early, options=kept)
    assert "TooManyRejectedError: 300 of 400 records became dead letters" in said
    assert len(facts(outcomes, "rejected")) == 100 + 300
    assert runs(store)[-1]["ending"] == "failed"

    server.answer = lambda _: Reply(403)
    spark.failure("write", sql=query(100, 2), options=kept | {"stream_name": "others"})
    *_, denied = runs(store)
    assert denied["ending"] == "failed"
    assert "only the tasks that succeeded (0 of 2)" in denied["message"]


@pytest.mark.postgres
def test_the_history_of_a_stream(
    spark: Spark,
    server: Recorder,
    tmp_path: Path,
    outcomes: Path,
    new_store_url: Callable[[], str],
) -> None:
    """It has a run for each micro-batch, and a micro-batch that comes again sends nothing."""
    source, store = Source(spark, tmp_path, outcomes, server.url), new_store_url()
    source.options["store"] = store
    source.add(0, 50)
    source.add(50, 100)
    source.run()
    assert [run["streams"]["orders"]["delivered"] for run in runs(store)] == [50, 50]
    source.forget(1)
    source.run()
    assert runs(store)[-1]["streams"]["orders"]["not_sent"] == {"already_sent": 50}
    assert sorted(ids(server)) == sorted(event_ids(range(100)))
