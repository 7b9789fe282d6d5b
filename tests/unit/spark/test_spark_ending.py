"""The end of a Spark write, as its driver brings it about, without Spark."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from fakes import FakeClock
from report_support import MadeUpRun, reporter
from unit_support import DAY
from write_support import OPTIONS, files

from target_liveintent.errors import AllRefusedError, RunError, TooManyRejectedError
from target_liveintent.reporting import DONE, Ending, Tally
from target_liveintent.run import RunCounts, StreamCounts
from target_liveintent.spark import ending
from target_liveintent.spark.acceptances import Acceptance
from target_liveintent.spark.attempts import Attempt, MicroBatch, Write
from target_liveintent.spark.audit import AuditFolder
from target_liveintent.spark.dead_letters import DeadLetterFolder, TaskDeadLetters
from target_liveintent.spark.history import Written
from target_liveintent.spark.options import Job, job_of
from target_liveintent.spark.task import LOGGER, TaskResult, deliver
from target_liveintent.store import account_of, open_for_reading, open_store, runs_in

pa = pytest.importorskip("pyarrow", reason="an extra")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from target_liveintent.sandbox import Sandbox

WRITE = Write("w1", "7e57")
BATCH = Write("w2", "7e57", MicroBatch("query", 5, "a11ce", 7))


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Catch what the driver logs, wherever its log goes."""
    LOGGER.addHandler(caplog.handler)
    level, goes_on = LOGGER.level, LOGGER.propagate
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    yield caplog
    LOGGER.removeHandler(caplog.handler)
    LOGGER.setLevel(level)
    LOGGER.propagate = goes_on


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Written]:
    """Catch what goes into the history, which is a test of its own."""
    found: list[Written] = []
    monkeypatch.setattr(ending, "keep", lambda _settings, written, *_: found.append(written))
    return found


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return prepared(tmp_path)


def prepared(tmp_path: Path, **options: str) -> Job:
    """Return a write whose folders are prepared."""
    given = {**OPTIONS, "dead_letter_path": str(tmp_path / "letters"), **options}
    job = job_of(given, ["id", "event_time", "email"])
    DeadLetterFolder(job).prepare()
    if job.audit_folder:
        AuditFolder(job).prepare()
    return job


def done(job: Job, partition: int, write: Write = WRITE, **counts: Any) -> TaskResult:
    """Return a task that has these counts, with a dead letter if one of them is of those."""
    attempt, total = Attempt(write, partition, 3), RunCounts()
    total.of("orders").add(StreamCounts(**counts))
    bad = total.total.rejected.total() > 0
    if bad:
        letters = TaskDeadLetters(DeadLetterFolder(job), attempt.name)
        letters.write(b"letter\n")
        letters.close()
    return TaskResult(attempt, total, time.time(), bad, False, None)


def rejected(reason: str, count: int, delivered: int = 0) -> dict[str, Any]:
    """Return the counts of records of which some have no other outcome than this reason."""
    return {
        "read": count + delivered,
        "delivered": delivered,
        "rejected": Counter({reason: count}),
    }


def published(job: Job) -> set[str]:
    """Return the names of the published files of dead letters."""
    return {name for name in files(job.dead_letter_folder) if not name.startswith("_")}


def pending(job: Job) -> set[str]:
    """Return the names of the pending files of dead letters."""
    found = {name for name in files(job.dead_letter_folder) if name.startswith("_pending/")}
    return found - {"_pending/README"}


def history(job: Job) -> list[dict[str, Any]]:
    """Return the entries of the history."""
    settings = job.settings_of_the_write()
    database = open_for_reading(settings)
    assert database is not None
    with contextlib.closing(database):
        runs = list(runs_in(database, account_of(settings), settings.pixel_id, 0.0))
    return [json.loads(one.figures or "") for one in runs]


def test_a_write_that_ends_well(job: Job, said: pytest.LogCaptureFixture) -> None:
    """The counts of the tasks are added; only tasks with dead letters publish files."""
    results = [
        done(job, 0, **rejected("no_identity", 1, delivered=19)),
        done(job, 1, read=20, delivered=20),
    ]
    ending.commit(job, results, tasks=2)
    assert published(job) == {"w1-00000.singer"}
    assert pending(job) == set()
    assert "total: read 40, filtered 0, unmapped 0, delivered 39, dead-lettered 1" in said.text
    assert "the folder that dead_letter_path names" in said.text
    assert "under the name" not in said.text  # That is for the audit.


def test_a_write_without_tasks(
    job: Job, said: pytest.LogCaptureFixture, kept: list[Written]
) -> None:
    """An empty DataFrame is no failure, and no run of the history."""
    ending.commit(job, [], tasks=0)
    assert "total: read 0" in said.text
    assert kept == []
    with pytest.raises(RunError, match="do not add up"):
        ending.commit(job, [], tasks=1)


@pytest.mark.parametrize(("tasks", "read"), [(2, 20), (1, 21)])
def test_counts_that_do_not_add_up(job: Job, kept: list[Written], tasks: int, read: int) -> None:
    """A task or a record without an outcome fails the write, also in the history."""
    results = [done(job, 0, read=read, delivered=19, rejected=Counter(no_identity=1))]
    with pytest.raises(RunError, match="the counts of the tasks do not add up"):
        ending.commit(job, results, tasks=tasks)
    assert published(job) == set()
    assert [(one.id, one.ending.kind) for one in kept] == [("w1", "failed")]


def test_too_many_dead_letters(job: Job, kept: list[Written]) -> None:
    """The write fails, with its dead letters published and its counts in the history."""
    half = done(job, 0, **rejected("no_identity", 50, delivered=50))
    ending.commit(job, [half], tasks=1)
    more = done(job, 1, Write("w3", "7e57"), **rejected("mapping_failed", 51, delivered=49))
    with pytest.raises(TooManyRejectedError, match=r"51 of 100 .* delivered 49 events\. Its dead"):
        ending.commit(job, [more], tasks=1)
    assert len(published(job)) == 2
    assert [(one.id, one.ending.kind) for one in kept] == [("w1", "done"), ("w3", "failed")]


def test_a_stream_continues_with_too_many_dead_letters(
    job: Job, said: pytest.LogCaptureFixture
) -> None:
    """A micro-batch that failed would fail again for ever; the last ones are judged together."""
    few = done(job, 0, BATCH, **rejected("mapping_failed", 60, delivered=1))
    ending.commit(job, [few], tasks=1)  # Fewer than 100.
    assert "micro-batches" not in said.text
    again = BATCH._replace(id="w4", batch=MicroBatch("query", 6, "a11ce", 8))
    ending.commit(job, [done(job, 0, again, **rejected("mapping_failed", 60, 1))], tasks=1)
    assert "in the last micro-batches of the stream, 120 of 122 records became" in said.text
    assert len(published(job)) == 2


@pytest.mark.parametrize(
    ("refused", "delivered", "is_known", "fails"),
    [(9, 0, False, False), (10, 0, False, True), (10, 1, False, False), (10, 0, True, False)],
)
def test_an_api_that_accepts_nothing(
    tmp_path: Path, refused: int, delivered: int, is_known: bool, fails: bool
) -> None:
    """More than a few refused events are no dead letters if the settings may be wrong."""
    job = prepared(tmp_path, max_dead_letter_percent="100")
    if is_known:
        Acceptance(DeadLetterFolder(job).store, job.account).note()
    results = [done(job, 0, **rejected("refused_by_api", refused, delivered))]
    if fails:
        with pytest.raises(AllRefusedError, match=r"10 events were refused.*check pixel_id"):
            ending.commit(job, results, tasks=1)
    else:
        ending.commit(job, results, tasks=1)
    assert len(published(job)) == (not fails)


def test_a_dry_run_publishes_nothing(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    """Nothing is sent, so nothing is settled; too many dead letters fail it all the same."""
    job = prepared(tmp_path, dry_run="true")
    ending.commit(job, [done(job, 0, **rejected("refused_by_api", 10, 90))], tasks=1)
    assert "would be delivered 90" in said.text
    assert published(job) == set()
    with pytest.raises(TooManyRejectedError):
        ending.commit(job, [done(job, 0, **rejected("mapping_failed", 60, 40))], tasks=1)
    said.clear()
    ending.abort(job, WRITE, [], tasks=1)
    assert said.text == ""


def test_a_failed_write(job: Job, said: pytest.LogCaptureFixture, kept: list[Written]) -> None:
    """What was sent is told, with what failed attempts say; the dead letters come again."""
    results = [done(job, 0, **rejected("no_identity", 1, delivered=20))]
    DeadLetterFolder(job).note_failure(Attempt(WRITE, 1, 4), 7)
    ending.abort(job, WRITE, results, tasks=2)
    assert "it delivered 27 events, and tasks that were killed may have delivered more" in said.text
    assert "set audit_path" in said.text
    assert (published(job), pending(job)) == (set(), set())
    (one,) = kept
    assert one.ending.kind == "failed"
    assert "only the tasks that succeeded (1 of 2)" in str(one.ending.message)


def test_a_failed_write_whose_tasks_are_done(
    job: Job, said: pytest.LogCaptureFixture, kept: list[Written]
) -> None:
    """Its commit has failed, and has the run in the history; none is added."""
    ending.abort(job, WRITE, [done(job, 0, read=1, delivered=1)], tasks=1)
    assert "it delivered 1 event, and tasks" in said.text
    assert kept == []


def test_a_failed_write_of_which_nothing_is_known(job: Job, said: pytest.LogCaptureFixture) -> None:
    """The messages of the tasks say more than the driver knows."""
    ending.abort(job, WRITE, [], tasks=1)
    assert "the message of each failed task says how many" in said.text
    assert "it delivered" not in said.text
    said.clear()
    ending.abort(job, WRITE, [done(job, 0)], tasks=2)
    assert "it delivered 0 events" in said.text


ROWS = {"id": [1, 2], "event_time": [int(time.time()) - 3600] * 2, "email": ["a@example.com", None]}


@pytest.mark.parametrize("fails", [False, True])
def test_the_audit_of_a_write(
    sandbox: Sandbox, tmp_path: Path, said: pytest.LogCaptureFixture, fails: bool
) -> None:
    """It is completed at either end, which names it and, after a failure, counts by it."""
    job = prepared(tmp_path, api_url=sandbox.url, audit_path=str(tmp_path / "audit"))
    result = deliver(job, Attempt(WRITE, 0, 0), [pa.RecordBatch.from_pydict(ROWS)])
    if fails:
        ending.abort(job, WRITE, [result], tasks=2)
        assert "it delivered 1 event. The audit" in said.text
    else:
        ending.commit(job, [result], tasks=1)
    assert "shows this write operation under the name 'w1'" in said.text
    assert AuditFolder(job).delivered(WRITE) == 1
    assert any("w1" in name and not name.startswith((".", "_")) for name in files(job.audit_folder))


def test_a_failed_micro_batch_is_found_by_its_audit(
    sandbox: Sandbox, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    """A driver of which no task is done knows only the ID of the write."""
    job = prepared(tmp_path, api_url=sandbox.url, audit_path=str(tmp_path / "audit"))
    deliver(job, Attempt(BATCH, 0, 0), [pa.RecordBatch.from_pydict(ROWS)])
    ending.abort(job, Write("w2", "7e57"), [], tasks=1)
    assert "it delivered 1 event. The audit shows this write operation" in said.text
    assert "'query-5'" in said.text


# The history


@pytest.mark.postgres
def test_the_history_of_a_write(
    sandbox: Sandbox, tmp_path: Path, said: pytest.LogCaptureFixture, store_url: str
) -> None:
    """The events of all its tasks are one run, with when they were sent."""
    job = prepared(tmp_path, api_url=sandbox.url, store=store_url)
    rows = [pa.RecordBatch.from_pydict({**ROWS, "id": [n, n + 1]}) for n in (1, 3)]
    results = [deliver(job, Attempt(WRITE, part, 0), [rows[part]]) for part in range(2)]
    assert all(isinstance(one.tally, Tally) for one in results)
    results.append(done(job, 2, read=0))  # Without a tally: a partition without rows.
    ending.commit(job, results, tasks=3)
    (entry,) = history(job)
    assert (entry["run"]["run_id"], entry["run"]["ending"]) == ("w1", "done")
    (stream,) = entry["run"]["streams"].values()
    assert (stream["read"], stream["delivered"], stream["within_a_day"]) == (4, 2, 2)
    assert entry["facts"]["total"]["delivered"] == 2
    assert "unusual" not in said.text


@pytest.mark.postgres
def test_what_is_unusual_is_a_warning(
    tmp_path: Path, said: pytest.LogCaptureFixture, store_url: str
) -> None:
    """Of a write as of a run of the target: here the first day without conversions."""
    now = time.time()
    job = prepared(tmp_path, store=store_url)
    for day in range(15, 0, -1):
        clock, run_id = FakeClock(now - day * DAY), f"0190-{day:04x}"
        reports = reporter(clock, run_id=run_id, pixel_id=12345, store=store_url)
        run = MadeUpRun()
        assert reports.tally is not None
        run.counts, run.tally = RunCounts(clock=clock), reports.tally
        run.deliver(30, at=clock.now, event_time=clock.now - 60)
        store = open_store(job.settings_of_the_write(), run_id, clock)
        with contextlib.closing(store):
            reports.end(run.counts, Ending(DONE), store)
    ending.commit(job, [done(job, 0, read=0)], tasks=1)
    warnings = [one.getMessage() for one in said.records if one.levelno == logging.WARNING]
    assert warnings[-1].startswith("orders: unusual: 0 conversions in the last 24 hours")


def test_a_store_that_cannot_be_reached_is_a_warning(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    """The events are delivered by then; a dry run has no history at all."""
    absent = {"store": "postgresql://u:s3cr3t@127.0.0.1:9/l", "max_retry_seconds": "0"}
    for dry_run in ("true", "false"):
        job = prepared(tmp_path, dry_run=dry_run, **absent)
        ending.commit(job, [done(job, 0, read=1, delivered=1)], tasks=1)
        warnings = [one.getMessage() for one in said.records if one.levelno == logging.WARNING]
        assert [one.endswith("so the history lacks this write operation") for one in warnings] == (
            [] if dry_run == "true" else [True]
        )
    assert "s3cr3t" not in said.text
