"""DataFrames in, conversions out: what is checked, what arrives, what is shown."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from faulty_server import Reply
from integration_support import wait_until
from spark_support import NOW, TOKEN, Recorder, Spark, ids, letters, options, query

from target_liveintent.privacy.identity import derive_event_id

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spark


def test_a_batch(spark: Spark, server: Recorder, folder: Path) -> None:
    """Each row arrives once under the ID that the target derives, or has a dead letter."""
    guests = "CASE WHEN id % 10 = 7 THEN NULL ELSE concat('buyer', id, '@example.com') END"
    spark.do("write", sql=query(1_000, email=guests), options=options(server.url, folder))
    sent = {derive_event_id("orders", [str(n)]) for n in range(1_000) if n % 10 != 7}
    assert sorted(ids(server)) == sorted(sent)
    assert server.problems == []
    left = {letter["event_id"] for letter in letters(folder)}
    assert left == {derive_event_id("orders", [str(n)]) for n in range(7, 1_000, 10)}
    assert len(letters(folder)) == 100
    assert len(list(folder.glob("*.singer"))) == 4  # One a task.
    assert [path.name for path in folder.glob("_pending/*")] == ["README"]
    assert {file.stat().st_mode & 0o777 for file in folder.glob("*.singer")} == {0o600}


def test_the_report(spark: Spark, server: Recorder, folder: Path) -> None:
    """The driver's log counts the records by fate, over all tasks, once."""
    before = len(spark.said())
    spark.do("write", sql=query(250, 3), options=options(server.url, folder, stream_name="counted"))
    said = spark.wait_for("3 requests, 0 retries", before)
    lines = [line.partition(" liveintent: ")[2] for line in said.splitlines()]
    counted = "counted: read 250, filtered 0, unmapped 0, delivered 250, dead-lettered 0"
    ours = [line for line in lines[lines.index(counted) :] if line]
    assert "total: read 250" in ours[2]
    assert "3 requests, 0 retries" in ours[2]
    assert len(ours) == 3


def test_structs(spark: Spark, server: Recorder, folder: Path) -> None:
    """The API's own spelling, as structs, is accepted."""
    more = (
        ", named_struct('ip', '192.0.2.7', 'ua', 'Agent/1') AS userData"
        ", named_struct('orderId', id, 'sourceUrl', 'https://shop.example.com/') AS purchaseData"
    )
    spark.do("write", sql=query(1, 1, more=more), options=options(server.url, folder))
    (event,) = map(msgspec.json.decode, server.events)
    assert event["userData"]["ip"] == "192.0.2.7"
    assert event["userData"]["ua"] == "Agent/1"
    assert event["purchaseData"]["orderId"] == "0"
    assert event["purchaseData"]["sourceUrl"] == "https://shop.example.com/"


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("keys", [None, "event_time", "id"])
def test_ids_do_not_depend_on_the_session(
    spark: Spark, server: Recorder, folder: Path, zone: str, keys: str | None
) -> None:
    """The zone in which a session shows times is no part of an event."""
    spark.do("write", sql=query(1, 1), options=options(server.url, folder, key_properties=keys))
    first = server.events.copy()
    server.events.clear()
    spark.do("configure", name="spark.sql.session.timeZone", value=zone)
    spark.do("write", sql=query(1, 1), options=options(server.url, folder, key_properties=keys))
    spark.do("configure", name="spark.sql.session.timeZone", value="UTC")
    assert server.events == first


def test_columns_that_cannot_give_events(spark: Spark, server: Recorder, folder: Path) -> None:
    """The driver says so in the target's words, and no task starts."""
    sql = "SELECT id, 'x' AS email FROM range(10)"
    said = spark.failure("write", sql=sql, options=options(server.url, folder))
    assert (
        "StreamMappingError: stream 'orders' cannot produce any event: it lacks event_time."
        " Its columns are: id, email. Add the missing columns to the DataFrame" in said
    )
    assert not folder.exists()
    assert server.requests == []


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"stream_maps": "{}"}, "option 'stream_maps' has no effect in Spark: add the columns"),
    ({"presets": '{"orders": "shopify"}'}, "option 'presets' has no effect in Spark: add"),
    ({"ledger_path": "l.db"}, "option 'ledger_path' has no effect in Spark: use ledger_url,"),
    ({"limit": 5}, "option 'limit' has no effect in Spark: call limit() on"),
    (
        {"concurrent_tasks": None, "max_requests_per_minute": 60},
        "option 'concurrent_tasks' is required with max_requests_per_minute",
    ),
    ({"concurrent_tasks": "0"}, "option 'concurrent_tasks' must be an integer and at least 1"),
    ({"dead_letter_path": "dbfs:/letters"}, "option 'dead_letter_path' must not begin with dbfs:"),
    ({"stream_name": None}, "option 'stream_name' is required"),
    (
        {"key_properties": "id, nope"},
        "'key_properties' names columns that the DataFrame does not have: nope",
    ),
    ({"dead_letter_path": None}, "option 'dead_letter_path' is required"),
    ({"customer_id": "nobody"}, "setting 'customer_id' must be text that matches"),
    ({"pixel_id": "x"}, "setting 'pixel_id' must be an integer"),
    ({"dead_letter_path": "nope://x/y"}, "option 'dead_letter_path' must be a URL with a scheme"),
]


def test_wrong_options(spark: Spark, server: Recorder, folder: Path) -> None:
    """Each is refused on the driver, by name, with what to do instead."""
    for wrong, words in WRONG:
        said = spark.failure("write", sql=query(9), options=options(server.url, folder, **wrong))
        assert words in said, said
    said = spark.failure(
        "write", sql=query(9), options=options(server.url, folder), mode="overwrite"
    )
    assert "conversions cannot be overwritten" in said
    assert server.requests == []


def test_a_failed_task(spark: Spark, server: Recorder, folder: Path) -> None:
    """A task that fails fails the job; its last line says what to do."""
    server.answer = lambda _: Reply(403)
    said = spark.failure("write", sql=query(1_000), options=options(server.url, folder))
    *_, last = said.strip().splitlines()
    assert last.startswith("target_liveintent.errors.AccessDeniedError: the API denied access")
    assert letters(folder) == []


def test_a_bad_event_in_a_partition_of_its_own(
    spark: Spark, server: Recorder, folder: Path
) -> None:
    """Whether the API takes anything is judged over all tasks: one of them may hold the bad one."""
    bad = derive_event_id("orders", ["3"])
    server.answer = lambda request: Reply(400 if bad in request.ids else 204)
    spark.do("write", sql=query(4, 4), options=options(server.url, folder))
    assert [letter["event_id"] for letter in letters(folder)] == [bad]
    assert len(server.delivered) == 3


def test_the_api_takes_nothing_of_a_few(spark: Spark, server: Recorder, folder: Path) -> None:
    """Up to nine events, over all tasks, become dead letters with a warning: they may be bad."""
    server.answer = lambda _: Reply(400)
    spark.do("write", sql=query(9, 4), options=options(server.url, folder))
    assert [letter["reason"] for letter in letters(folder)] == ["refused_by_api"] * 9
    spark.wait_for("the API refused 9 events at the end of the input, or before a pause")


def test_the_api_takes_nothing(spark: Spark, server: Recorder, folder: Path) -> None:
    """Then the settings are at fault: the write fails, and no event becomes a dead letter."""
    server.answer = lambda _: Reply(400)
    said = spark.failure("write", sql=query(10, 4), options=options(server.url, folder))
    assert "AllRefusedError: the API accepted no event of this write" in said
    assert letters(folder) == []
    assert [path.name for path in folder.glob("_pending/*")] == ["README"]


def test_too_many_dead_letters(spark: Spark, server: Recorder, folder: Path) -> None:
    """The share is judged over all tasks; the letters stay, to be looked at."""
    sql = query(400, time=f"IF(id < 300, 'soon', string({NOW - 60}))")
    said = spark.failure("write", sql=sql, options=options(server.url, folder))
    assert "TooManyRejectedError: 300 of 400 records became dead letters" in said
    assert len(letters(folder)) == 300


def test_requests_in_flight(spark: Spark, server: Recorder, folder: Path) -> None:
    """Tasks share `max_concurrent_requests`; each has one at least."""
    for allowed, most in ((4, 4), (1, 2)):
        busy: list[int] = []

        def watch(_: Any, most: int = most, busy: list[int] = busy) -> Reply:
            busy.append(server.busy)
            # The first wait until all are there, so that both tasks are at work.
            return Reply(held=True) if max(busy) < most else Reply(delay=0.05)

        server.answer = watch
        given = options(server.url, folder, max_concurrent_requests=allowed)
        spark.begin("write", sql=query(6_000, 2), options=given)
        wait_until(lambda busy=busy, most=most: most in busy, "requests of both tasks", 60)
        server.release()
        spark.end()
        assert max(busy) == most


def test_dry_run(spark: Spark, server: Recorder, folder: Path) -> None:
    """A dry run counts, and sends and keeps nothing."""
    before = len(spark.said())
    spark.do("write", sql=query(300), options=options(server.url, folder, dry_run="true"))
    spark.wait_for("would be delivered 300", before)
    assert server.requests == []
    assert letters(folder) == []


def test_letters_are_piped_back(spark: Spark, server: Recorder, folder: Path) -> None:
    """The whole folder goes back into the target; event IDs stay."""
    early = query(200, time=f"timestamp_seconds({NOW - 8 * 86_400})")
    spark.do("write", sql=early, options=options(server.url, folder))
    assert {letter["reason"] for letter in letters(folder)} == {"event_too_old"}
    named = {"customer_id": "a-1b2c", "api_host": "127.0.0.1", "pixel_id": 12345}
    assert [letter["written_for"] for letter in letters(folder)] == [named] * 200
    config = {
        "customer_id": "a-1b2c",
        "auth_token": TOKEN,
        "api_url": server.url,
        "pixel_id": 12345,
        "default_source": "offline",  # Its window is 30 days.
        "dead_letter_path": str(folder.parent / "again.singer"),
    }
    (folder.parent / "config.json").write_text(json.dumps(config), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "target_liveintent", "--config", folder.parent / "config.json"],
        cwd=folder.parent,  # The ledger of another run would know these events.
        input=b"".join(file.read_bytes() for file in folder.glob("*.singer")),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert sorted(ids(server)) == sorted(derive_event_id("orders", [str(n)]) for n in range(200))


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


def test_a_token_file(spark: Spark, server: Recorder, folder: Path) -> None:
    """The token may be in a file; each task reads it where it runs."""
    file = folder.parent / "token"
    file.write_text(f"{TOKEN}-of-a-file\n", encoding="utf-8")
    given = options(server.url, folder, auth_token=None, auth_token_path=str(file))
    spark.do("write", sql=query(200), options=given)
    assert set(server.arrivals) == {f"{TOKEN}-of-a-file"}
