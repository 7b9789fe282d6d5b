"""The options of a Spark write: which settings there are, and what goes to the tasks."""

from pathlib import Path
from typing import Any

import pytest
from write_support import COLUMNS, OPTIONS

from target_liveintent.conversions.event_model import DEAD_LETTERS
from target_liveintent.errors import ConfigurationError, StreamMappingError
from target_liveintent.spark.options import SparkWrite, option_warnings, write_of

MARKS = ("_sdc_deleted_at", "_sdc_lsn_deleted_at")


def job(columns: list[str] = COLUMNS, **changes: str | None) -> SparkWrite:
    """Make a job of good options but for the changes; None leaves one out."""
    given = {name: text for name, text in {**OPTIONS, **changes}.items() if text is not None}
    return write_of(given, columns)


def test_texts_become_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options are text, as environment variables are, of which none is read.

    The target has a store by default, but a task must not make a file where it happens to run.
    """
    monkeypatch.setenv("TARGET_LIVEINTENT_TIMEZONE", "Asia/Tokyo")
    (tmp_path / "token").write_text("t0ken\n", encoding="utf-8")
    changes = {"auth_token": None, "auth_token_path": str(tmp_path / "token")}
    settings = job(pixel_id="7", dry_run="true", max_retry_seconds="5", **changes).settings
    assert (settings.events.pixel_id, settings.dry_run, settings.max_retry_seconds) == (7, True, 5)
    assert (settings.timezone, settings.auth_token) == ("UTC", "t0ken")
    assert not settings.storage.is_on_server
    assert job(store="postgresql://db.example.com/l").settings.storage.is_on_server
    assert "sandbox-token" not in repr(job())


@pytest.mark.parametrize(
    ("tasks", "per_minute", "share"),
    [
        pytest.param(None, None, (8, None), id="no number of tasks"),
        pytest.param("3", None, (2, None), id="three tasks"),
        pytest.param("16", "10", (1, 1), id="at least one"),
        pytest.param("4", "10", (2, 2), id="a rate as well"),
    ],
)
def test_tasks_share_the_requests(
    tasks: str | None, per_minute: str | None, share: tuple[int, int | None]
) -> None:
    """Each task has its part, and at least one request.

    Without the number of tasks, a partition with most of the rows is not bound to such a part.
    """
    limits = {"max_concurrent_requests": "8", "max_requests_per_minute": per_minute}
    settings = job(concurrent_tasks=tasks, **limits).settings
    assert (settings.max_concurrent_requests, settings.max_requests_per_minute) == share


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stream_name": " "}, "'stream_name' is required"),
        ({"stream_name": None}, "'stream_name' is required"),
        ({"stream_name": "liveintent_dead_letters"}, "'stream_name' is required, .* must not be"),
        ({"stream_name": "or\nders"}, "'stream_name' .* must have no '@' or control characters"),
        ({"stream_name": "pass@example.com"}, "'stream_name' .* must have no '@'"),
        ({"concurrent_tasks": "²"}, "'concurrent_tasks' must be an integer and at least 1"),
        ({"max_requests_per_minute": "60"}, "'concurrent_tasks' .* required with max_requests_per"),
        ({"outcomes_path": "outcomes"}, "'outcomes_path' must be an absolute path or a URL"),
        ({"outcomes_path": "sftp://me:pass@host/x"}, "'outcomes_path' must .* without credentials"),
        ({"outcomes_path": "s3://host/x?key=pass@"}, "'outcomes_path' must .* without credentials"),
        ({"write_id": "2026-11-28"}, "'write_id' must start with a letter"),
        ({"write_id": "a/../b"}, "'write_id' must start with a letter"),
        ({"store": "liveintent.sqlite"}, "'store' must be the URL of a PostgreSQL database"),
        ({"store": "mysql://me:pass@host/x"}, "'store' must be a path, or a URL such as postgres"),
        (
            {"key_properties": "order"},
            "'key_properties' names columns that the DataFrame lacks: order",
        ),
        ({"customer_id": None, "pixel_id": "0"}, "'customer_id' is required"),
        ({"stream_maps": "{}"}, "^option 'stream_maps' .* in Spark: change the DataFrame[^']*$"),
        ({"report_path": "/x"}, "'report_path' has no effect in Spark: set store"),
        ({"outcome_path": "/x"}, "'outcome_path' is unknown; did you mean 'outcomes_path'"),
        (
            {"supression_path": "/x"},
            "'supression_path' is unknown; did you mean 'suppression_path'",
        ),
    ],
    ids=str,
)
def test_each_wrong_option_is_named_in_one_line(wrong: dict[str, Any], words: str) -> None:
    """The message names them, without values that may be secret."""
    with pytest.raises(ConfigurationError, match=words) as raised:
        job(**wrong)
    assert "pass@" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    ["/mnt/x", "s3://bucket/x", "s3a://bucket", "hdfs://host:8020/x", "abfss://c@a.example.com/x"],
)
def test_a_table_may_be_at_a_path_or_a_url_without_credentials(url: str) -> None:
    made = job(outcomes_path=f" {url}/ ", write_id="orders-2026.11_28")
    assert (made.outcomes_path, made.write_id) == (url, "orders-2026.11_28")


def test_unknown_options() -> None:
    """A warning names a misspelled option and the nearest known one, but no option of Spark's."""
    given = {**OPTIONS, "pixel": "1", "checkpointlocation": "x", "path": "y"}
    (warning,) = option_warnings(given)
    assert "'pixel' is unknown and has no effect; did you mean 'pixel_id'?" in warning


# Columns


@pytest.mark.parametrize(
    ("given", "keys", "expected", "names"),
    [
        # Only columns that matter go through Python.
        pytest.param(
            [*COLUMNS, "note"], "id", ("id",), tuple(COLUMNS), id="only columns that matter"
        ),
        pytest.param(
            [*COLUMNS, "note"],
            " id , note,",
            ("id", "note"),
            (*COLUMNS, "note"),
            id="two keys with spaces around",
        ),
        # Without keys, all columns are needed; others than those of an event keep their spelling.
        pytest.param([*COLUMNS, "note"], "", (), (*COLUMNS, "note"), id="no keys"),
        pytest.param(
            ["ID", "Event_Time", "EMAIL", "Note"],
            None,
            (),
            ("ID", "event_time", "email", "Note"),
            id="other columns keep their spelling",
        ),
        # A record has our spelling, whatever that of the columns is.
        pytest.param(
            ["ID", "EVENT_TIME", "Email", "VALUE", "NOTE"],
            "id",
            ("id",),
            ("id", "event_time", "email", "value"),
            id="a record has our spelling",
        ),
        # The task drops deleted rows, so it needs the columns in which a tap marks them.
        pytest.param(
            [*COLUMNS, *MARKS], "id", ("id",), (*COLUMNS, *MARKS), id="marks of deleted rows"
        ),
        # A dead letter has the spelling of the option, or ours: it is the target's as well.
        pytest.param(
            ["event_time", "email", "ID"],
            "Id",
            ("Id",),
            ("event_time", "email", "Id"),
            id="spelling of the option",
        ),
        pytest.param(
            ["event_time", "email", "Order_ID"],
            "ORDER_ID",
            ("order_id",),
            ("event_time", "email", "order_id"),
            id="our spelling",
        ),
        # Rows of the table of outcomes.
        pytest.param(
            ["OUTCOME", "event_id", "Record", "event_time"],
            "id",
            ("id",),
            ("outcome", "record"),
            id="rows of the outcomes",
        ),
    ],
)
def test_columns_and_keys_are_found_in_any_case(
    given: list[str], keys: str | None, expected: tuple[str, ...], names: tuple[str, ...]
) -> None:
    """Keys are names with commas between them; upper and lower case make no difference."""
    made = job(given, key_properties=keys).source
    assert (made.keys, tuple(made.columns)) == (expected, names)
    assert (made.stream == DEAD_LETTERS) == ("outcome" in names)
    wanted = {name.lower() for name in names}
    assert [*made.columns.values()] == [name for name in given if name.lower() in wanted]


def test_columns_that_differ_by_case() -> None:
    """Nobody can say which of the two is meant, so the message names both."""
    words = "the columns 'value' and 'VALUE' differ only in upper and lower case: rename or drop"
    with pytest.raises(ConfigurationError, match=words):
        job([*COLUMNS, "value", "VALUE"])


def test_columns_that_never_give_an_event() -> None:
    """The message is the same as the target's, and has the columns of the DataFrame."""
    words = (
        "stream 'orders' cannot produce any event: it lacks event_time; one of email, md5, sha2,"
        " decision_id, source_url. The columns of the DataFrame are: id."
    )
    with pytest.raises(StreamMappingError, match=words):
        job(columns=["id"])
