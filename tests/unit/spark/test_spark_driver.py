"""What the driver says before a write and after it, without Spark."""

import contextlib
import json
import logging
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import Self
from write_support import ATTEMPT, OPTIONS, batch, make_job, pa

from target_liveintent import spark
from target_liveintent.errors import AllRefusedError, ConfigurationError, RunError
from target_liveintent.run.counts import RunCounts, StreamCounts, add
from target_liveintent.run.kinds import REPLAY_RUN
from target_liveintent.sandbox import Sandbox
from target_liveintent.spark.driver import end_write, explain_rows
from target_liveintent.spark.options import SparkWrite
from target_liveintent.spark.outcomes import Attempt
from target_liveintent.spark.task import deliver
from target_liveintent.store.opening import open_for_reading
from target_liveintent.store.runs import runs_in

IN_STREAM = ATTEMPT._replace(writes=("query-5", "query-4"))


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


@pytest.fixture
def job(tmp_path: Path) -> SparkWrite:
    return make_job(tmp_path / "outcomes")


def done(*, in_stream: bool = False, **counts: Any) -> tuple[Attempt, RunCounts]:
    """Return a task that has these counts."""
    total = RunCounts()
    add(total.of("orders"), StreamCounts(**counts))
    return (IN_STREAM if in_stream else ATTEMPT)._replace(began_at=time.time()), total


def ended(
    job: SparkWrite, *attempts: tuple[Attempt, RunCounts], failed: int = 0
) -> RunError | None:
    """End a write in which these attempts have succeeded."""
    begun = ATTEMPT._replace(run_id="run-2", began_at=time.time())
    return end_write(job, begun, attempts, len(attempts) + failed)


def rejected(reason: str, count: int, delivered: int = 0) -> dict[str, Any]:
    """Return the counts of records of which some have no other outcome than this reason."""
    read = count + delivered
    return {"read": read, "delivered": delivered, "rejected": Counter({reason: count})}


def test_a_write_that_ends_well(job: SparkWrite, said: pytest.LogCaptureFixture) -> None:
    """The counts of the tasks are added; the log names the run."""
    good = done(read=20, delivered=20)
    assert ended(job, done(**rejected("no_identity", 1, 19)), good) is None
    assert "total: read 40, filtered 0, unmapped 0, delivered 39, dead-lettered 1" in said.text
    assert "(run run-1)" in said.text
    assert "throttled, 0." in said.text  # Seconds.
    assert "dead letters are in" not in said.text  # That is the store's.
    assert ended(job) is None  # An empty DataFrame.
    assert "total: read 0" in said.text
    assert "(run run-2)" in said.text


@pytest.mark.parametrize(
    ("read", "failed", "words"),
    [
        pytest.param(
            21,
            0,
            "Failed tasks: 0. Rows without an outcome in the other tasks: 1.",
            id="a row has no outcome",
        ),
        pytest.param(
            20,
            2,
            "Failed tasks: 2. Rows without an outcome in the other tasks: 0.",
            id="two tasks failed",
        ),
    ],
)
def test_rows_without_an_outcome_and_failed_tasks_fail_a_write(
    job: SparkWrite, read: int, failed: int, words: str
) -> None:
    counts = rejected("no_identity", 1, 19) | {"read": read}
    assert words in str(ended(job, done(**counts), failed=failed))


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        pytest.param(rejected("no_identity", 50, 50), None, id="guests"),
        pytest.param(rejected("mapping_failed", 50, 50), None, id="at the percentage"),
        pytest.param(
            rejected("mapping_failed", 51, 49), "51 of 100 records", id="above the percentage"
        ),
        pytest.param(
            rejected("mapping_failed", 10),
            "nothing was delivered, and 10 records",
            id="ten, nothing delivered",
        ),
        pytest.param(rejected("mapping_failed", 9), None, id="nine, nothing delivered"),
        pytest.param(rejected("refused_by_api", 9), None, id="nine refused"),
        pytest.param(
            rejected("refused_by_api", 10),
            "the API accepted no event of this write (10 events",
            id="ten refused",
        ),
        pytest.param(rejected("refused_by_api", 10, 1), None, id="ten refused, one accepted"),
    ],
)
def test_too_many_rejected_rows_fail_a_batch_and_warn_of_a_micro_batch(
    job: SparkWrite, said: pytest.LogCaptureFixture, counts: dict[str, Any], words: str | None
) -> None:
    """They are judged over all tasks. A micro-batch would fail again and again: it warns."""
    problem = ended(job, done(**counts), done(read=0))
    assert (words or "None") in str(problem)
    said.clear()
    problem = ended(job, done(in_stream=True, **counts))
    if counts["rejected"]["refused_by_api"] == 10 and not counts["delivered"]:
        assert isinstance(problem, AllRefusedError)
    else:
        assert problem is None
        assert (words is not None) == ("in this micro-batch, " in said.text)


@pytest.mark.parametrize(
    ("write", "is_known"),
    [("query-4", True), ("query-3", False)],
    ids=["the micro-batch before", "one of another query"],
)
def test_an_api_that_has_accepted_events(
    sandbox: Sandbox, tmp_path: Path, write: str, is_known: bool
) -> None:
    """A micro-batch before this one shows it, but not one of another pixel."""
    job = make_job(tmp_path / "outcomes", api_url=sandbox.url)
    deliver(job, ATTEMPT._replace(writes=(write,)), [batch(0, 1)])
    refused = done(in_stream=True, **rejected("refused_by_api", 10))
    assert (ended(job, refused) is None) == is_known
    other = make_job(tmp_path / "outcomes", api_url=sandbox.url, pixel_id="777")
    assert isinstance(ended(other, refused), AllRefusedError)


@pytest.mark.parametrize("dry_run", ["false", "true"])
def test_rejected_rows_without_a_table(dry_run: str) -> None:
    """Nothing keeps them, so the write fails, however few they are."""
    job = make_job(None, dry_run=dry_run)
    problem = ended(job, done(**rejected("no_identity", 1, 999)))
    words = (
        "rows that cannot be sent (1) are stored nowhere: set outcomes_path, and write these rows"
    )
    assert (words in str(problem)) == (dry_run == "false")
    assert ended(job, done(read=5, delivered=5)) is None


def test_a_store_that_cannot_be_reached_is_a_warning(said: pytest.LogCaptureFixture) -> None:
    """The events are delivered by then; a dry run has no history at all."""
    absent = {"store": "postgresql://u:s3cr3t@127.0.0.1:9/l", "max_retry_seconds": "0"}
    for dry_run in ("true", "false"):
        job = make_job(None, dry_run=dry_run, **absent)
        assert ended(job, done(read=1, delivered=1)) is None
        lacking = [one for one in said.messages if one.endswith("so the history lacks this write")]
        assert len(lacking) == (dry_run == "false")
    assert "s3cr3t" not in said.text


@pytest.mark.postgres
def test_the_history_of_a_write(
    sandbox: Sandbox, tmp_path: Path, said: pytest.LogCaptureFixture, store_url: str
) -> None:
    """The events of all its tasks are one run, with when they were sent; also if it fails."""
    job = make_job(tmp_path / "outcomes", api_url=sandbox.url, store=store_url)
    attempts = [ATTEMPT._replace(partition=number) for number in range(2)]
    email = ["a@example.com", None]
    results = [
        (one, deliver(job, one, [batch(2 * one.partition, 2, email=email)])) for one in attempts
    ]
    assert ended(job, *results, done(read=0)) is None
    assert isinstance(
        ended(job._replace(source=job.source._replace(kind=REPLAY_RUN)), failed=1), RunError
    )
    with contextlib.closing(open_for_reading(job.settings.storage)) as database:
        (_, kind, _, entry), (_, other, _, failed) = runs_in(
            database, job.settings.account, job.settings.pixel_id, 0.0
        )
    assert (kind, other) == ("usual", "replay")
    entry, failed = json.loads(entry), json.loads(failed)
    assert (entry["run_id"], entry["ending"]) == ("run-1", {})
    assert (failed["run_id"], failed["ending"]["failure"]["code"]) == ("run-2", "tasks_failed")
    (stream,) = entry["streams"].values()
    assert (stream["read"], stream["delivered"], stream["timing"]["within_a_day"]) == (4, 2, 2)
    assert "unusual" not in said.text


# What a write would do


class Frame:
    """As a DataFrame."""

    def __init__(self, **columns: Any) -> None:
        self._table = pa.table(columns)
        self.columns = self._table.column_names

    def limit(self, rows: int) -> Self:
        assert rows == 10_000
        return self

    def toArrow(self) -> Any:  # noqa: N802 (Spark's)
        return self._table


def test_the_rows_of_a_frame_are_explained_by_column_and_outcome(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = [int(time.time()) - 60] * 2
    email = ["ann@example.com"] * 2
    late = pa.array([0, 253_402_300_800_000_000], pa.int64()).cast(pa.timestamp("us", "UTC"))
    frame = Frame(ID=[0, 1], EVENT_TIME=times, Email=email, VALUE=[1.5, 2], ip=late, note=["x"] * 2)
    options = {**OPTIONS, "pixel": 1, "on_rejection": "fail", "dry_run": False, "store": None}
    explain_rows(frame, options)
    lines = capsys.readouterr().out.splitlines()
    assert "'pixel' is unknown" in lines[0]
    assert "  event_id         derived from the stream's name and the key properties id" in lines
    assert "  value            the column of the same name" in lines
    assert "  Not used: note." in lines
    assert "  Of 2 records, 1 would be sent, 0 filtered, 1 rejected." in lines
    assert lines[-1].startswith("A run over this input would fail: a record of stream 'orders' (")
    assert (
        "was rejected as schema_violation (Python cannot represent a value of this row)"
        in lines[-1]
    )
    assert not any("ann@" in line for line in lines)
    with pytest.raises(ConfigurationError, match="'stream_name' is required"):
        explain_rows(frame, {**OPTIONS, "stream_name": None})


def test_the_public_names_need_no_pyspark() -> None:
    """The package can be imported, and says what a write would do, where PySpark is not."""
    assert spark.explain_rows is explain_rows
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        spark.nothing  # noqa: B018 (it is asked for)
