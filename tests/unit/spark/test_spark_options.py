"""The options of a Spark write: which settings there are, and what goes to the tasks."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from target_liveintent.config import SCHEMA
from target_liveintent.errors import ConfigurationError, StreamMappingError
from target_liveintent.spark.options import REFUSED, Job, job_of, warnings_of

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ["id", "note", "event_time", "email"]
GOOD = {
    "customer_id": "a-1b2c",
    "auth_token": "s3cr3t-token",
    "pixel_id": "12345",
    "default_source": "web",
    "stream_name": "orders",
    "key_properties": "id",
    "concurrent_tasks": "4",
    "dead_letter_path": "s3://bucket/letters",
}
USED = {
    "customer_id",
    "auth_token",
    "auth_token_path",
    "pixel_id",
    "api_url",
    "default_source",
    "timezone",
    "email_normalization",
    "source_url_parameters",
    "batch_size_rows",
    "max_concurrent_requests",
    "max_requests_per_minute",
    "flush_interval_seconds",
    "ledger_url",
    "ledger_password",
    "request_timeout_seconds",
    "max_retry_seconds",
    "on_rejection",
    "max_dead_letter_percent",
    "dead_letter_path",
    "suppression_path",
    "history_path",
    "history_days",
    "dry_run",
}


def job(columns: list[str] = COLUMNS, **changes: str | None) -> Job:
    """Make a job of good options but for the changes; None leaves one out."""
    given = {name: text for name, text in {**GOOD, **changes}.items() if text is not None}
    return job_of(given, columns)


def test_each_setting_is_decided() -> None:
    """Each setting of the target is an option, or is refused with what to do instead."""
    assert set(SCHEMA["properties"]) == USED | set(REFUSED)


def test_texts_become_settings() -> None:
    """Options are text, as environment variables are."""
    settings = job(pixel_id="7", dry_run="true", max_retry_seconds="5").settings()
    assert (settings.events.pixel_id, settings.dry_run, settings.max_retry_seconds) == (7, True, 5)


@pytest.mark.parametrize(
    ("allowed", "tasks", "share"), [("8", "4", 2), ("8", "3", 2), ("8", "16", 1), ("64", "1", 64)]
)
def test_tasks_share_the_requests(allowed: str, tasks: str, share: int) -> None:
    """Each task has its part, and at least one request."""
    shared = job(max_concurrent_requests=allowed, concurrent_tasks=tasks)
    assert shared.settings().max_concurrent_requests == share


def test_without_the_number_of_tasks_each_has_all_requests() -> None:
    """Then a partition with most of the rows is not bound to the share of one task."""
    alone = job(max_concurrent_requests="8", concurrent_tasks=None)
    assert alone.settings().max_concurrent_requests == 8


def test_a_limit_is_shared() -> None:
    """The tasks of a write share the requests that they may make in a minute."""
    shared = job(max_requests_per_minute="10", concurrent_tasks="4")
    assert shared.settings().max_requests_per_minute == 2
    assert job(concurrent_tasks="4").settings().max_requests_per_minute is None


@pytest.mark.parametrize(
    ("keys", "expected"),
    [("id", ("id",)), (" id , note,", ("id", "note")), ("", ()), (None, ())],
)
def test_key_properties(keys: str | None, expected: tuple[str, ...]) -> None:
    """Names with commas between them; only columns that matter go through Python."""
    made = job(key_properties=keys)
    assert made.keys == expected
    wanted = COLUMNS if not expected else [c for c in COLUMNS if c != "note" or "note" in expected]
    assert made.columns.given == made.columns.names == tuple(wanted)


@pytest.mark.parametrize("keys", ["id", None])
def test_what_marks_deleted_rows_goes_along(keys: str | None) -> None:
    """The task drops deleted rows, so it needs the columns in which a tap marks them."""
    marks = ("_sdc_deleted_at", "_sdc_lsn_deleted_at")
    assert set(marks) < set(job([*COLUMNS, *marks], key_properties=keys).columns.names)
    assert set(marks).isdisjoint(job(key_properties=keys).columns.names)


def test_a_token_file_is_read_where_it_is_used(tmp_path: Path) -> None:
    """A job has the path of a token file but not its content; only a given token is in it."""
    path = tmp_path / "token"
    path.write_text("t0ken-of-a-file", encoding="utf-8")
    made = job(auth_token=None, auth_token_path=str(path))
    assert b"t0ken-of-a-file" not in pickle.dumps(made)
    assert pickle.loads(pickle.dumps(made)).settings().auth_token == "t0ken-of-a-file"  # noqa: S301
    assert "s3cr3t" not in repr(job())


@pytest.mark.parametrize("name", REFUSED)
def test_refused_options(name: str) -> None:
    """The message says what to do instead."""
    with pytest.raises(ConfigurationError, match=f"option '{name}' has no effect in Spark: ."):
        job(**{name: "{}"} if name.startswith(("presets", "stream")) else {name: "1"})


WRONG: list[tuple[dict[str, Any], str]] = [
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
    ({"dead_letter_path": "dbfs:/letters"}, "'dead_letter_path' must not begin with dbfs:"),
    ({"dead_letter_path": "DBFS://letters"}, "'dead_letter_path' must not begin with dbfs:"),
    ({"history_path": "dbfs:/history"}, "'history_path' must not begin with dbfs:"),
    (
        {"dead_letter_path": None},
        "'dead_letter_path' is required: set it to a folder that all machines share",
    ),
    (
        {"dead_letter_path": "sftp://me:pass@host/x"},
        "'dead_letter_path' must be a URL without",
    ),
    ({"dead_letter_path": "s3://[me:pass@host/x"}, "'dead_letter_path' must be a URL such as"),
    ({"key_properties": "order"}, "names columns that the DataFrame does not have: order"),
    ({"customer_id": None, "pixel_id": "0"}, "'customer_id' is required"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG)
def test_wrong_options(wrong: dict[str, Any], words: str) -> None:
    """The message names them, without values that may be secret."""
    with pytest.raises(ConfigurationError, match=words) as raised:
        job(**wrong)
    assert "pass@" not in str(raised.value)


def test_no_task_has_a_ledger() -> None:
    """The target's is on by default; a task must not make a file where it happens to run."""
    assert not job().settings().ledger


def test_columns_that_never_give_an_event() -> None:
    """The message is the same as the target's."""
    words = (
        "stream 'orders' cannot produce any event: it lacks event_time; one of email, md5, sha2,"
        " decision_id, source_url. Its columns are: id."
    )
    with pytest.raises(StreamMappingError) as raised:
        job(columns=["id"])
    assert str(raised.value).startswith(words)


def test_unknown_options() -> None:
    """A warning names a misspelled option and the nearest known one, but no option of Spark's."""
    given = {**GOOD, "pixle_id": "1", "checkpointlocation": "x", "path": "y"}
    (warning,) = warnings_of(given, COLUMNS)
    assert "'pixle_id' is unknown and has no effect; did you mean 'pixel_id'?" in warning


@pytest.mark.parametrize("given", [{}, {"path": "y"}])
def test_a_write_without_options(given: dict[str, str]) -> None:
    """Spark drops those of a table, so the message names the ways to give them to a write."""
    with pytest.raises(
        ConfigurationError, match=r"the write received no options\. Spark does"
    ) as raised:
        job_of(given, COLUMNS)
    for way in ("CREATE TEMPORARY VIEW", "INSERT INTO", "df.writeTo(table).option(name, value)"):
        assert way in str(raised.value)


def test_a_volume_is_a_path() -> None:
    """What Databricks calls a volume is a folder to Python."""
    folder = "/Volumes/main/sales/liveintent/letters"
    assert job(dead_letter_path=folder).dead_letter_folder == folder


# Columns


def test_columns_match_in_any_case() -> None:
    """As Snowflake writes them, and as anybody else does; a record has our spelling."""
    given = ["ID", "EVENT_TIME", "Email", "VALUE", "Currency", "EventId", "USERDATA", "NOTE"]
    made = job(given)
    assert made.keys == ("id",)
    assert made.columns.given == tuple(given[:-1])
    known = ("event_time", "email", "value", "currency", "eventId", "userData")
    assert made.columns.names == ("id", *known)


@pytest.mark.parametrize(
    ("column", "key", "name"),
    [("ID", "Id", "Id"), ("Order_ID", "ORDER_ID", "order_id"), ("id", "ID", "ID")],
)
def test_keys_match_in_any_case(column: str, key: str, name: str) -> None:
    """A dead letter has the spelling of the option, or ours: it is the target's as well."""
    made = job(["event_time", "email", column], key_properties=key)
    assert made.keys == (name,)
    assert name in made.columns.names


def test_columns_without_keys() -> None:
    """All columns are needed; others than those of an event keep their spelling."""
    made = job(["ID", "Event_Time", "EMAIL", "Note"], key_properties=None)
    assert made.columns.names == ("ID", "event_time", "email", "Note")


def test_columns_that_differ_by_case() -> None:
    """Which one is meant, nobody can say."""
    words = (
        "columns value and VALUE differ only in upper and lower case: rename or drop one of them"
    )
    with pytest.raises(ConfigurationError, match=words):
        job([*COLUMNS, "value", "VALUE"])


@pytest.mark.parametrize(
    ("column", "near"),
    [("curency", "currency"), ("USERAGENT", "user_agent"), ("Emails", None), ("user_id", None)],
)
def test_similar_columns(column: str, near: str | None) -> None:
    """A warning names a column that is probably misspelled, but not where the right one is there.

    Tables have many columns that mean something else.
    """
    found = list(warnings_of(GOOD, [*COLUMNS, column]))
    words = (
        f"stream 'orders' has a column '{column}', which is not an event column and is ignored."
        f" Did you mean '{near}'?"
    )
    assert found == ([words] if near else [])


def test_a_similar_key_is_no_slip() -> None:
    """The user has named it."""
    given = {**GOOD, "key_properties": "orderid"}
    assert list(warnings_of(given, ["orderid", "event_time", "email"])) == []
