"""One task of a Spark write, without Spark: a partition in, counts out."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import io
import json
import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import FaultyServer, Reply, in_turn
from unit_support import sha256
from write_support import OPTIONS

from target_liveintent.errors import AccessDeniedError, AllRefusedError, RunError, StorageError
from target_liveintent.privacy.identity import derive_event_id
from target_liveintent.spark.attempts import Attempt, Write
from target_liveintent.spark.audit import AuditFolder
from target_liveintent.spark.dead_letters import DeadLetterFolder
from target_liveintent.spark.options import job_of
from target_liveintent.spark.task import LOGGER, configure_logging, deliver
from target_liveintent.store import open_for_reading

pa = pytest.importorskip("pyarrow", reason="an extra")
pq = pytest.importorskip("pyarrow.parquet", reason="an extra")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from target_liveintent.sandbox import Sandbox
    from target_liveintent.spark.options import Job

ATTEMPT = Attempt(Write("job", "t"), 0, 1)
COLUMNS = ["id", "event_time", "email"]


def make_job(sandbox: Sandbox, tmp_path: Path, *columns: str, **options: str) -> Job:
    """Make a write to the sandbox, whose folders are prepared."""
    own = {"api_url": sandbox.url, "dead_letter_path": str(tmp_path / "letters")}
    given = {**OPTIONS, "concurrent_tasks": "1", **own, **options}
    job = job_of(given, [*(columns or COLUMNS)])
    DeadLetterFolder(job).prepare()
    if job.audit_folder:
        AuditFolder(job).prepare()
    return job


@pytest.fixture
def job(sandbox: Sandbox, tmp_path: Path) -> Job:
    return make_job(sandbox, tmp_path)


def batch(first: int, count: int, **columns: Any) -> pa.RecordBatch:
    """Return the rows of some orders."""
    numbers = range(first, first + count)
    rows = {
        "id": list(numbers),
        "event_time": [int(time.time()) - 3600] * count,
        "email": [f"buyer{n}@example.com" for n in numbers],
        **columns,
    }
    return pa.RecordBatch.from_pydict(rows)


def test_a_partition(job: Job, sandbox: Sandbox, tmp_path: Path) -> None:
    """Each row is counted by its outcome; batches of Arrow are not those of the API."""
    batches = [batch(0, 150), batch(150, 60), batch(210, 1, email=[None])]
    result = deliver(job, ATTEMPT, batches)
    counts = result.counts.streams["orders"]
    assert (counts.read, counts.delivered, counts.unsettled) == (211, 210, 0)
    assert counts.rejected == {"no_identity": 1}
    assert sandbox.stats.accepted == 210
    assert sorted(request.events for request in sandbox.requests) == [10, 100, 100]
    assert result.has_dead_letters
    _, line = (tmp_path / "letters" / "_pending" / ATTEMPT.name).read_text().splitlines()
    account = {"customer_id": "a-1b2c", "api_host": "127.0.0.1", "pixel_id": 12345}
    assert json.loads(line)["record"]["written_for"] == account


def test_columns_in_any_case(sandbox: Sandbox, tmp_path: Path) -> None:
    """The events are the same, the fields of objects included."""
    names = ("id", "event_time", "email", "value", "currency", "userData")
    now = int(time.time()) - 3600
    for keys in ("id", ""):
        for columns, ip in ((names, "ip"), ([name.upper() for name in names], "IP")):
            values = ([1, 2], [now] * 2, ["a@example.com"] * 2, [1.5, None], ["usd", "eur"])
            users = pa.array([{ip: "192.0.2.1"}, None])
            job = make_job(sandbox, tmp_path, *columns, key_properties=keys)
            rows = dict(zip(columns, (*values, users), strict=True))
            deliver(job, ATTEMPT, [pa.RecordBatch.from_pydict(rows)])
    events, users = sandbox.events, [event["userData"] for event in sandbox.events]
    assert [event["purchaseData"].get("value") for event in events[:2]] == [1.5, None]
    assert users[0]["ip"] == "192.0.2.1"
    assert events[:2] == events[2:4]
    assert users[4:6] == users[6:]


def test_rows_and_values_that_are_left_out(sandbox: Sandbox, tmp_path: Path) -> None:
    """Rows that were deleted in the source, and values that cannot be used, are counted."""
    job = make_job(sandbox, tmp_path, *COLUMNS, "_sdc_deleted_at", "ip")
    marks, ips = [None, "2026-07-31T00:00:00Z", None], ["nowhere", None, "192.0.2.1"]
    result = deliver(job, ATTEMPT, [batch(0, 3, _sdc_deleted_at=marks, ip=ips)])
    counts = result.counts.streams["orders"]
    assert (counts.delivered, counts.dropped, counts.unsettled) == (2, {"deleted": 1}, 0)
    assert (counts.left_out, result.has_dead_letters) == ({"ip": 1}, False)
    assert [event["userData"].get("ip") for event in sandbox.events] == [None, "192.0.2.1"]


def test_the_zone_of_the_settings(sandbox: Sandbox, tmp_path: Path) -> None:
    """Only a timestamp_ntz is of the zone of the settings; the driver warns if none was."""
    job = make_job(sandbox, tmp_path, timezone="Asia/Tokyo")
    moment = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    for kind, uses in ((pa.timestamp("us", "UTC"), 0), (pa.timestamp("us"), 2)):
        times = pa.array([moment.replace(tzinfo=None)] * 2, pa.timestamp("us")).cast(kind)
        result = deliver(job, ATTEMPT, [batch(0, 2, event_time=times)])
        counts = result.counts.streams["orders"]
        assert (counts.delivered, counts.zone_uses) == (2, uses)
        assert len(list(result.counts.warnings("Asia/Tokyo"))) == (uses == 0)


def test_event_ids_depend_on_no_time_zone(sandbox: Sandbox, tmp_path: Path) -> None:
    """A moment, also within a list or a struct, gives the ID that it gives in another zone."""
    job = make_job(sandbox, tmp_path, *COLUMNS, "list", "struct", key_properties="")
    moment = dt.datetime.fromtimestamp(int(time.time()) - 3600, dt.timezone.utc)
    for zone in ("UTC", "America/New_York"):
        kind = pa.timestamp("us", zone)
        columns = {
            "event_time": pa.array([moment], kind),
            "list": pa.array([[moment]], pa.list_(kind)),
            "struct": pa.array([{"at": moment}], pa.struct([("at", kind)])),
        }
        deliver(job, ATTEMPT, [batch(0, 1, **columns)])
    first, second = sandbox.events
    assert first["eventId"] == second["eventId"]
    assert first["eventTime"] == int(moment.timestamp())


def test_a_folder_that_is_not_shared(job: Job, sandbox: Sandbox, tmp_path: Path) -> None:
    """A task that does not see the driver's folder sends nothing."""
    elsewhere = dataclasses.replace(job, dead_letter_folder=str(tmp_path / "elsewhere"))
    with pytest.raises(StorageError, match=r"that all machines share.* delivered 0 events$"):
        deliver(elsewhere, ATTEMPT, [batch(0, 10)])
    assert sandbox.stats.requests == 0


def test_an_unforeseen_failure_is_not_shown(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    """Neither error nor log has the text of an exception: it could hold what is in a row."""
    secret = "somebody@example.com"

    def broken() -> Iterator[pa.RecordBatch]:
        yield batch(0, 1)
        raise ValueError(secret)

    with pytest.raises(RunError, match="unexpected ValueError") as raised:
        deliver(job, ATTEMPT, broken())
    assert "broken" in caplog.text  # Where it was raised.
    for hidden in (secret, "sandbox-token"):
        assert hidden not in caplog.text + repr(raised.value)
    assert raised.value.__context__ is None  # Spark shows a chain whole.


def test_the_log(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A line is on standard error once, however many tasks a process runs, and has no address.

    What libraries log in a task goes to the root logger, and has no address there either.
    """
    caplog.set_level(LOGGER.level, LOGGER.name)  # It is put back, as all of these are:
    monkeypatch.setattr(LOGGER, "propagate", LOGGER.propagate)
    monkeypatch.setattr(LOGGER, "handlers", [])
    written = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [*root.handlers, logging.StreamHandler(written)])
    for handler in root.handlers:
        monkeypatch.setattr(handler, "formatter", handler.formatter)
    for _ in range(2):
        configure_logging()
    LOGGER.info("an order of %s", "ann@example.com")
    logging.getLogger("a_library").warning("an order of %s", "ann@example.com")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f" INFO liveintent: an order of {sha256('ann@example.com')}")
    assert written.getvalue() == f"an order of {sha256('ann@example.com')}\n"


# What the API refuses


def test_refused_rows(sandbox: Sandbox, tmp_path: Path) -> None:
    """They become dead letters, which the driver judges; so it is if all of a partition are."""
    numbers = [*range(0, 1_000, 50), *range(2_000, 2_300)]
    bad = {derive_event_id("orders", [str(number)]) for number in numbers}
    with FaultyServer(lambda request: Reply(400 if bad & {*request.ids} else 204)) as server:
        job = make_job(sandbox, tmp_path, api_url=server.url)
        for first, count, refused in ((2_000, 300, 300), (0, 1_000, 20)):
            assert not (tmp_path / "letters" / "_accepted").exists()
            counts = deliver(job, ATTEMPT, [batch(first, count)]).counts.total
            assert counts.rejected == {"refused_by_api": refused}
            assert counts.delivered == count - refused


def test_wrong_settings_end_a_task(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing is accepted: not every event of a large partition is asked about."""
    with FaultyServer(lambda _: Reply(400)) as server:
        job = make_job(sandbox, tmp_path, api_url=server.url)
        with pytest.raises(AllRefusedError, match=r"delivered 0 events$"):
            deliver(job, ATTEMPT, [batch(0, 5_000)])
        assert 1_000 <= len(server.requests) <= 1_010


def test_what_was_accepted_before_is_known(job: Job, sandbox: Sandbox, tmp_path: Path) -> None:
    """Another task, or an earlier micro-batch, has found that the settings are right."""
    deliver(job, ATTEMPT, [batch(0, 1)])
    with FaultyServer(lambda _: Reply(400)) as server:
        job = make_job(sandbox, tmp_path, api_url=server.url)
        counts = deliver(job, ATTEMPT, [batch(0, 1_200)]).counts.total
    assert counts.rejected == {"refused_by_api": 1_200}


# Attempts


def test_a_failed_attempt_says_what_it_sent(sandbox: Sandbox, tmp_path: Path) -> None:
    """Its message does, and a note for the driver, which adds up what all of them have sent."""
    denied = Reply(403, skipped=None)
    with FaultyServer(in_turn(Reply(), Reply(), then=denied)) as server:
        job = make_job(sandbox, tmp_path, api_url=server.url, max_concurrent_requests="1")
        with pytest.raises(AccessDeniedError, match="this attempt of the task delivered 200 e"):
            deliver(job, ATTEMPT, [batch(0, 1_000)])
    folder = DeadLetterFolder(job)
    assert folder.delivered_by_failed(ATTEMPT.write) == 200
    folder.discard(ATTEMPT.write)
    assert folder.delivered_by_failed(ATTEMPT.write) == 0


def test_the_next_attempt(sandbox: Sandbox, tmp_path: Path) -> None:
    """It sends what the audit does not have, and counts the rest as sent."""
    audit = tmp_path / "audit"
    job = make_job(sandbox, tmp_path, audit_path=str(audit))
    deliver(job, ATTEMPT, [batch(0, 120)])
    counts = deliver(job, ATTEMPT._replace(number=2), [batch(0, 250)]).counts.total
    assert (counts.delivered, counts.dropped) == (130, {"already_sent": 120})
    assert sandbox.stats.duplicates == 0
    table = pq.read_table(audit).to_pylist()
    assert len({row["event_id"] for row in table}) == len(table) == 250
    assert b"buyer" not in b"".join(one.read_bytes() for one in audit.iterdir())


def test_a_dry_run_keeps_no_audit(sandbox: Sandbox, tmp_path: Path) -> None:
    job = make_job(sandbox, tmp_path, audit_path=str(tmp_path / "audit"), dry_run="true")
    deliver(job, ATTEMPT, [batch(0, 10)])
    assert [one.name for one in (tmp_path / "audit").iterdir()] == ["empty.parquet"]


@pytest.mark.postgres
def test_tasks_share_a_store(sandbox: Sandbox, tmp_path: Path, store_url: str) -> None:
    """What another job has delivered is not sent again; attempts at a time claim for themselves.

    With keep_delivered, the store has a row for each event, and in any case nothing of the tasks.
    """
    audit = tmp_path / "audit"
    shared = {"store": store_url, "keep_delivered": "true"}
    job = make_job(sandbox, tmp_path, audit_path=str(audit), **shared)
    deliver(job, ATTEMPT, [batch(0, 120)])
    other = [Attempt(Write("job2", "t"), partition, 7) for partition in range(2)]
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda one: deliver(job, one, [batch(100, 100)]), other))
    counts = [one.counts.total for one in done]
    assert sum(one.delivered for one in counts) == 80
    assert sum(one.dropped["already_sent"] for one in counts) == 120
    assert sandbox.stats.duplicates == 0
    rows = pq.read_table(audit, filters=[("write", "==", "job2")]).to_pylist()
    found = Counter((row["outcome"], row["reason"]) for row in rows)
    assert found == {("delivered", None): 80, ("dropped", "already_sent"): 120}
    database = open_for_reading(job.settings())
    assert database is not None
    with contextlib.closing(database):
        assert list(database.read("SELECT count(*) FROM delivered")) == [(200,)]
        assert list(database.read("SELECT count(*) FROM run")) == [(0,)]


@pytest.mark.postgres
def test_a_dry_run_only_reads_the_store(sandbox: Sandbox, tmp_path: Path, store_url: str) -> None:
    """It counts what was delivered before, and leaves no trace."""
    deliver(make_job(sandbox, tmp_path, store=store_url), ATTEMPT, [batch(0, 10)])
    dry = make_job(sandbox, tmp_path, store=store_url, dry_run="true")
    for number in (2, 3):
        counts = deliver(dry, ATTEMPT._replace(number=number), [batch(5, 10)]).counts.total
        assert (counts.delivered, counts.dropped) == (5, {"already_sent": 5})
    assert sandbox.stats.accepted == 10
