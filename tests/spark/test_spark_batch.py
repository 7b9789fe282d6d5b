"""DataFrames in, conversions out: what is checked, what arrives, what is shown."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import Reply
from integration_support import STORE, read_letters, wait_until
from object_store import Store
from spark_support import (
    MIXED,
    NOW,
    TOKEN,
    Recorder,
    Spark,
    closing,
    event_ids,
    ids,
    letters,
    options,
    query,
    refusing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def test_the_report(spark: Spark, server: Recorder, folder: Path) -> None:
    """The driver warns of a misspelled column, and counts records by fate, over all tasks, once."""
    before = len(spark.said())
    sql = query(250, 3, more=", '192.0.2.1' AS user_agnt")
    spark.do("write", sql=sql, options=options(server.url, folder, stream_name="counted"))
    said = spark.wait_for("3 requests, 0 retries", before)
    assert "column 'user_agnt', which is not an event column and is ignored. Did you mean" in said
    lines = [line.partition(" liveintent: ")[2] for line in said.splitlines()]
    counted = "counted: read 250, filtered 0, unmapped 0, delivered 250, dead-lettered 0"
    ours = [line for line in lines[lines.index(counted) :] if line]
    assert "total: read 250" in ours[2]
    assert "3 requests, 0 retries" in ours[2]
    assert len(ours) == 3


@pytest.mark.parametrize("keys", [None, "event_time", "id"])
def test_ids_do_not_depend_on_the_session(
    spark: Spark, server: Recorder, folder: Path, keys: str | None
) -> None:
    """The zone in which a session shows times is no part of an event."""
    given = options(server.url, folder, key_properties=keys)
    for zone in ("America/New_York", "UTC"):
        spark.do("sql", statements=[f"SET TIME ZONE '{zone}'"])
        spark.do("write", sql=query(1, 1), options=given)
    there, here = server.events
    assert there == here


def test_columns_that_cannot_give_events(spark: Spark, server: Recorder, folder: Path) -> None:
    """The driver says so in the target's words, and no task starts."""
    for sql, words in {
        "SELECT id, 'x' AS email FROM range(10)": "StreamMappingError: stream 'orders' cannot"
        " produce any event: it lacks event_time. Its columns are: id, email. Add the missing",
        query(9, more=", INTERVAL '1' YEAR AS term"): "ConfigurationError: PySpark cannot pass"
        " intervals of months to a task (columns: term)",
    }.items():
        assert words in spark.failure("write", sql=sql, options=options(server.url, folder))
    assert not folder.exists()
    assert server.requests == []


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"stream_maps": "{}"}, "option 'stream_maps' has no effect in Spark: add the columns"),
    ({"store": "l.sqlite"}, "option 'store' must be the URL of a PostgreSQL database, because"),
    ({"ledger_path": "l.db"}, "setting 'ledger_path' no longer exists: set store to"),
    ({"limit": 5}, "option 'limit' has no effect in Spark: call limit() on"),
    ({"concurrent_tasks": "0"}, "option 'concurrent_tasks' must be an integer and at least 1"),
    ({"pixel_id": "x"}, "setting 'pixel_id' must be an integer"),
    ({"dead_letter_path": "nope://x/y"}, "option 'dead_letter_path' must be a URL with a scheme"),
]


def test_wrong_options(spark: Spark, server: Recorder, folder: Path) -> None:
    """Each is refused on the driver, by name, with what to do instead.

    Spark itself refuses its default mode; the troubleshooting page has its message.
    """
    for wrong, words in WRONG:
        said = spark.failure("write", sql=query(9), options=options(server.url, folder, **wrong))
        assert words in said, said
    for mode, words in {
        "overwrite": "conversions cannot be overwritten",
        None: "UNSUPPORTED_DATA_SOURCE_SAVE_MODE",
    }.items():
        given = options(server.url, folder)
        assert words in spark.failure("write", sql=query(9), options=given, mode=mode)
    assert server.requests == []


def test_a_bad_event_in_a_partition_of_its_own(
    spark: Spark, server: Recorder, folder: Path
) -> None:
    """Whether the API takes anything is judged over all tasks: one of them may hold the bad one."""
    refusing(server, [3])
    spark.do("write", sql=query(4, 4), options=options(server.url, folder))
    assert [letter["event_id"] for letter in letters(folder)] == event_ids([3])
    assert len(server.delivered) == 3


def test_the_api_takes_nothing_of_a_few(spark: Spark, server: Recorder, folder: Path) -> None:
    """Up to nine events, over all tasks, become dead letters with a warning: they may be bad."""
    server.answer = lambda _: Reply(400)
    spark.do("write", sql=query(9, 4), options=options(server.url, folder))
    assert [letter["reason"] for letter in letters(folder)] == ["refused_by_api"] * 9
    spark.wait_for("the API refused 9 events at the end of the input, or before a pause")


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
    """A replay takes the whole folder; event IDs stay."""
    early = query(200, time=f"timestamp_seconds({NOW - 8 * 86_400})")
    spark.do("write", sql=early, options=options(server.url, folder))
    assert {letter["reason"] for letter in letters(folder)} == {"event_too_old"}
    config = {
        "customer_id": "a-1b2c",
        "auth_token": TOKEN,
        "api_url": server.url,
        "pixel_id": 12345,
        "default_source": "offline",  # Its window is 30 days.
    }
    (folder.parent / "config.json").write_text(json.dumps(config), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "target_liveintent", "--config", "config.json", "replay", "-"],
        cwd=folder.parent,
        input=b"".join(file.read_bytes() for file in folder.glob("*.singer")),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert sorted(ids(server)) == sorted(event_ids(range(200)))
    assert read_letters(folder.parent / STORE) == []


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Serve S3, whose place Spark's processes find in their environment."""
    store = Store()
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    yield store
    store.close()


def test_dead_letters_in_a_bucket(store: Store, server: Recorder, tmp_path: Path) -> None:
    """There is an object for each task, in a bucket that exists; none is created."""
    bucket = f"bucket-{uuid.uuid4().hex}"
    given = options(server.url, tmp_path, dead_letter_path=f"s3://{bucket}/letters")
    given["audit_path"] = f"s3://{bucket}/audit"
    with closing(Spark(tmp_path)) as spark:
        said = spark.failure("write", sql=query(100, email=MIXED), options=given)
        assert f"the bucket '{bucket}' of option 'dead_letter_path' does not exist" in said
        assert bucket not in store.buckets()
        store.client.create_bucket(Bucket=bucket)
        spark.do("write", sql=query(100, email=MIXED), options=given)
    objects = store.objects(bucket)
    assert objects["letters/_pending/README"]
    published = [name for name in objects if name.endswith(".singer")]
    assert len(published) == 4
    assert all(name.rpartition("/")[0] == "letters" for name in published)
    messages = [json.loads(line) for name in published for line in objects[name].splitlines()]
    assert [one["type"] for one in messages].count("SCHEMA") == 4
    records = [one["record"]["event_id"] for one in messages if one["type"] == "RECORD"]
    assert sorted(records) == sorted(event_ids(range(7, 100, 10)))
    audited = [name for name in objects if name.startswith("audit/")]
    assert len(audited) == 1 + 4  # An empty one, and one a task.
    assert all(name.endswith(".parquet") for name in audited)
