"""The options of a Spark write: which settings there are, and what goes to the tasks."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from write_support import OPTIONS

from target_liveintent.config import SCHEMA
from target_liveintent.errors import ConfigurationError, StreamMappingError
from target_liveintent.spark.options import REFUSED, Job, job_of, warnings_of

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ["id", "note", "event_time", "email"]
MARKS = ("_sdc_deleted_at", "_sdc_lsn_deleted_at")


def job(columns: list[str] = COLUMNS, **changes: str | None) -> Job:
    """Make a job of good options but for the changes; None leaves one out."""
    given = {name: text for name, text in {**OPTIONS, **changes}.items() if text is not None}
    return job_of(given, columns)


def test_settings_without_effect_are_refused() -> None:
    """The message says what to do instead."""
    assert set(REFUSED) <= set(SCHEMA["properties"])
    for name in REFUSED:
        text = "{}" if name.startswith(("presets", "stream")) else "1"
        with pytest.raises(ConfigurationError, match=f"option '{name}' has no effect in Spark: ."):
            job(**{name: text})


def test_texts_become_settings() -> None:
    """Options are text, as environment variables are.

    The target has a store by default, but a task must not make a file where it happens to run.
    """
    settings = job(pixel_id="7", dry_run="true", max_retry_seconds="5").settings()
    assert (settings.events.pixel_id, settings.dry_run, settings.max_retry_seconds) == (7, True, 5)
    assert not settings.has_database_server
    assert job(store="postgresql://db.example.com/l").settings().has_database_server


@pytest.mark.parametrize(
    ("requests", "per_minute", "tasks", "share"),
    [
        ("8", None, "4", (2, None)),
        ("8", None, "3", (2, None)),
        ("8", None, "16", (1, None)),
        ("64", None, "1", (64, None)),
        ("8", None, None, (8, None)),
        ("8", "10", "4", (2, 2)),
    ],
)
def test_tasks_share_the_requests(
    requests: str, per_minute: str | None, tasks: str | None, share: tuple[int, int | None]
) -> None:
    """Each task has its part, and at least one request.

    Without the number of tasks, a partition with most of the rows is not bound to such a part.
    """
    settings = job(
        max_concurrent_requests=requests,
        max_requests_per_minute=per_minute,
        concurrent_tasks=tasks,
    ).settings()
    assert (settings.max_concurrent_requests, settings.max_requests_per_minute) == share


def test_a_token_file_is_read_where_it_is_used(tmp_path: Path) -> None:
    """A job has the path of a token file but not its content; only a given token is in it."""
    path = tmp_path / "token"
    path.write_text("t0ken-of-a-file", encoding="utf-8")
    made = job(auth_token=None, auth_token_path=str(path))
    assert b"t0ken-of-a-file" not in pickle.dumps(made)
    assert pickle.loads(pickle.dumps(made)).settings().auth_token == "t0ken-of-a-file"  # noqa: S301
    assert "sandbox-token" not in repr(job())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stream_name": " "}, "'stream_name' is required"),
        ({"stream_name": "liveintent_dead_letters"}, "'stream_name' must contain only printable "),
        ({"stream_name": "or\nders"}, "'stream_name' must contain only printable "),
        ({"concurrent_tasks": "many"}, "'concurrent_tasks' must be an integer and at least 1"),
        ({"concurrent_tasks": "²"}, "'concurrent_tasks' must be an integer and at least 1"),
        ({"concurrent_tasks": ""}, "'concurrent_tasks' must be an integer and at least 1"),
        (
            {"concurrent_tasks": None, "max_requests_per_minute": "60"},
            "'concurrent_tasks' is required with max_requests_per_minute",
        ),
        ({"dead_letter_path": "DBFS:/letters"}, "'dead_letter_path' must not begin with dbfs:"),
        ({"suppression_path": "dbfs:/people"}, "'suppression_path' must not begin with dbfs:"),
        ({"dead_letter_path": None}, "'dead_letter_path' is required: set it to a folder that all"),
        ({"dead_letter_path": "sftp://me:pass@host/x"}, "'dead_letter_path' must be a URL without"),
        ({"dead_letter_path": "s3://host/x?key=pass@"}, "'dead_letter_path' must be a URL without"),
        ({"audit_path": "s3://[me:pass@host/x"}, "'audit_path' must be a URL without a user, a"),
        ({"audit_path": "s3://host/x#pass@"}, "'audit_path' must be a URL without a user, a pass"),
        ({"store": "liveintent.sqlite"}, "'store' must be the URL of a PostgreSQL database"),
        ({"store": "mysql://me:pass@host/x"}, "'store' must be a path, or a URL such as postgres"),
        ({"ledger_url": "postgresql://me:pass@host/x"}, "'ledger_url' no longer exists: set store"),
        ({"history_path": "s3://bucket/x"}, "'history_path' no longer exists: the history is in"),
        ({"key_properties": "order"}, "names columns that the DataFrame does not have: order"),
        ({"customer_id": None, "pixel_id": "0"}, "'customer_id' is required"),
    ],
)
def test_wrong_options(wrong: dict[str, Any], words: str) -> None:
    """The message names them, without values that may be secret."""
    with pytest.raises(ConfigurationError, match=words) as raised:
        job(**wrong)
    assert "pass@" not in str(raised.value)


def test_unknown_options() -> None:
    """A warning names a misspelled option and the nearest known one, but no option of Spark's."""
    given = {**OPTIONS, "pixle_id": "1", "checkpointlocation": "x", "path": "y"}
    (warning,) = warnings_of(given, COLUMNS)
    assert "'pixle_id' is unknown and has no effect; did you mean 'pixel_id'?" in warning


@pytest.mark.parametrize("given", [{}, {"path": "y"}])
def test_a_write_without_options(given: dict[str, str]) -> None:
    """Spark drops those of a table, so the message names the ways to give them to a write."""
    words = (
        r"the write received no options\. .* CREATE TEMPORARY VIEW .* INSERT INTO .*"
        r" df\.writeTo\(table\)\.option\(name, value\)"
    )
    with pytest.raises(ConfigurationError, match=words):
        job_of(given, COLUMNS)


# Columns


@pytest.mark.parametrize(
    ("given", "keys", "expected", "names"),
    [
        # Only columns that matter go through Python.
        (COLUMNS, "id", ("id",), ("id", "event_time", "email")),
        (COLUMNS, " id , note,", ("id", "note"), tuple(COLUMNS)),
        # Without keys, all columns are needed; others than those of an event keep their spelling.
        (COLUMNS, "", (), tuple(COLUMNS)),
        (["ID", "Event_Time", "EMAIL", "Note"], None, (), ("ID", "event_time", "email", "Note")),
        # A record has our spelling, whatever that of the columns is.
        (
            ["ID", "EVENT_TIME", "Email", "VALUE", "EventId", "USERDATA", "NOTE"],
            "id",
            ("id",),
            ("id", "event_time", "email", "value", "eventId", "userData"),
        ),
        (["event_time", "email", "Pixel_ID"], "", (), ("event_time", "email", "pixel_id")),
        # The task drops deleted rows, so it needs the columns in which a tap marks them.
        ([*COLUMNS, *MARKS], "id", ("id",), ("id", "event_time", "email", *MARKS)),
        # A dead letter has the spelling of the option, or ours: it is the target's as well.
        (["event_time", "email", "ID"], "Id", ("Id",), ("event_time", "email", "Id")),
        (["event_time", "email", "id"], "ID", ("ID",), ("event_time", "email", "ID")),
        (
            ["event_time", "email", "Order_ID"],
            "ORDER_ID",
            ("order_id",),
            ("event_time", "email", "order_id"),
        ),
    ],
)
def test_columns_and_keys(
    given: list[str], keys: str | None, expected: tuple[str, ...], names: tuple[str, ...]
) -> None:
    """Keys are names with commas between them; upper and lower case make no difference."""
    made = job(given, key_properties=keys)
    assert (made.keys, made.columns.names) == (expected, names)
    assert made.pixel == (None if "pixel_id" in names else 12345)  # Rows may name their own.
    wanted = {name.lower() for name in names}
    assert made.columns.given == tuple(name for name in given if name.lower() in wanted)


def test_columns_that_differ_by_case() -> None:
    """Which one is meant, nobody can say."""
    words = (
        "columns value and VALUE differ only in upper and lower case: rename or drop one of them"
    )
    with pytest.raises(ConfigurationError, match=words):
        job([*COLUMNS, "value", "VALUE"])


def test_columns_that_never_give_an_event() -> None:
    """The message is the same as the target's."""
    words = (
        "stream 'orders' cannot produce any event: it lacks event_time; one of email, md5, sha2,"
        " decision_id, source_url. Its columns are: id."
    )
    with pytest.raises(StreamMappingError, match=words):
        job(columns=["id"])


@pytest.mark.parametrize(
    ("column", "near"),
    [("curency", "currency"), ("USERAGENT", "user_agent"), ("Emails", None), ("user_id", None)],
)
def test_similar_columns(column: str, near: str | None) -> None:
    """A warning names a column that is probably misspelled, but not where the right one is there.

    Tables have many columns that mean something else; and a key is no slip.
    """
    words = (
        f"stream 'orders' has a column '{column}', which is not an event column and is ignored."
        f" Did you mean '{near}'?"
    )
    assert list(warnings_of(OPTIONS, [*COLUMNS, column])) == ([words] if near else [])
    assert list(warnings_of({**OPTIONS, "key_properties": column}, [*COLUMNS, column])) == []
