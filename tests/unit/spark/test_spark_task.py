"""One task of a Spark write, without Spark: a partition in, counts out."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import FaultyServer, Reply, Request, in_turn
from unit_support import sha256

from target_liveintent.errors import AccessDeniedError, AllRefusedError, RunError, StorageError
from target_liveintent.privacy.identity import derive_event_id
from target_liveintent.spark.attempts import Attempt, Write
from target_liveintent.spark.audit import AuditFolder
from target_liveintent.spark.dead_letters import DeadLetterFolder
from target_liveintent.spark.options import job_of
from target_liveintent.spark.task import LOGGER, configure_logging, deliver

pa = pytest.importorskip("pyarrow", reason="an extra")
pq = pytest.importorskip("pyarrow.parquet", reason="an extra")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from target_liveintent.sandbox import Sandbox
    from target_liveintent.spark.options import Job

ATTEMPT = Attempt(Write("job", "t"), 0, 1)
COLUMNS = ["id", "event_time", "email"]


def make_job(sandbox: Sandbox, tmp_path: Path, columns: list[str], **options: str) -> Job:
    """Make a write to the sandbox, whose folder is not prepared yet."""
    given = {
        "customer_id": "a-1b2c",
        "auth_token": "sandbox-token",
        "pixel_id": "12345",
        "default_source": "web",
        "api_url": sandbox.url,
        "stream_name": "orders",
        "key_properties": "id",
        "concurrent_tasks": "1",
        "dead_letter_path": str(tmp_path / "letters"),
    }
    return job_of({**given, **options}, columns)


@pytest.fixture
def job(sandbox: Sandbox, tmp_path: Path) -> Job:
    return make_job(sandbox, tmp_path, COLUMNS)


def batch(first: int, count: int, **columns: list[Any]) -> pa.RecordBatch:
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
    DeadLetterFolder(job).prepare()
    batches = [batch(0, 150), batch(150, 60), batch(210, 1, email=[None])]
    result = deliver(job, ATTEMPT, batches)
    counts = result.counts.streams["orders"]
    assert (counts.read, counts.delivered, counts.unsettled) == (211, 210, 0)
    assert counts.rejected == {"no_identity": 1}
    assert sandbox.stats.accepted == 210
    assert sorted(len(request.event_ids) for request in sandbox.requests) == [10, 100, 100]
    assert result.has_dead_letters
    assert (tmp_path / "letters" / "_pending" / ATTEMPT.name).exists()


@pytest.mark.parametrize(("pixels", "named"), [([7, 7], {}), ([None, None], {"pixel_id": 12345})])
def test_dead_letters_name_the_account(
    sandbox: Sandbox, tmp_path: Path, pixels: list[Any], named: dict[str, int]
) -> None:
    """They say for whom they were written, and when their windows close, as the target's do."""
    job = make_job(sandbox, tmp_path, [*COLUMNS, "pixel_id"])
    DeadLetterFolder(job).prepare()
    old = int(time.time()) - 8 * 86_400
    deliver(job, ATTEMPT, [batch(0, 2, event_time=[old, old], pixel_id=pixels)])
    lines = (tmp_path / "letters" / "_pending" / ATTEMPT.name).read_text().splitlines()
    for line in lines[1:]:
        letter = json.loads(line)["record"]
        account = {"customer_id": "a-1b2c", "api_host": "127.0.0.1"}
        assert letter["written_for"] == {**account, **named}
        end = dt.datetime.fromisoformat(letter["window_end"])
        assert end.timestamp() == old + 7 * 86_400 - 60
        assert letter["detail"] == "its window has closed"


def test_columns_in_any_case(sandbox: Sandbox, tmp_path: Path) -> None:
    """The events are the same, the fields of objects included."""
    spellings = (
        ["id", "event_time", "email", "value", "currency", "userData"],
        ["ID", "EVENT_TIME", "Email", "VALUE", "Currency", "USERDATA"],
    )
    for columns, inner in zip(spellings, ("ip", "IP"), strict=True):
        for keys in ("id", ""):
            job = make_job(sandbox, tmp_path, columns, key_properties=keys)
            DeadLetterFolder(job).prepare()
            values = ([1, 2], [0, 0], ["a@example.com"] * 2, [1.5, None], ["usd", "eur"])
            times = [int(time.time()) - 3600] * 2
            users = pa.array([{inner: "192.0.2.1"}, None])
            rows = dict(zip(columns, (values[0], times, *values[2:], users), strict=True))
            deliver(job, ATTEMPT, [pa.RecordBatch.from_pydict(rows)])
    events = [{**event, "eventTime": 0} for event in sandbox.events]
    by_key, whole, by_key_too, whole_too = (events[at : at + 2] for at in range(0, 8, 2))
    assert [event["purchaseData"].get("value") for event in by_key] == [1.5, None]
    assert by_key[0]["userData"]["ip"] == "192.0.2.1"
    assert by_key == by_key_too
    assert [event["userData"] for event in whole] == [event["userData"] for event in whole_too]


def test_deleted_rows(sandbox: Sandbox, tmp_path: Path) -> None:
    """Rows that were deleted in the source are dropped and counted, as in a Singer stream."""
    job = make_job(sandbox, tmp_path, [*COLUMNS, "_sdc_deleted_at"])
    DeadLetterFolder(job).prepare()
    marks = [None, "2026-07-31T00:00:00Z", None]
    result = deliver(job, ATTEMPT, [batch(0, 3, _sdc_deleted_at=marks)])
    counts = result.counts.streams["orders"]
    assert (counts.delivered, counts.dropped, counts.unsettled) == (2, {"deleted": 1}, 0)
    assert not result.has_dead_letters


def test_columns_that_cannot_be_used(sandbox: Sandbox, tmp_path: Path) -> None:
    """They are left out and counted."""
    job = make_job(sandbox, tmp_path, [*COLUMNS, "ip"])
    DeadLetterFolder(job).prepare()
    result = deliver(job, ATTEMPT, [batch(0, 2, ip=["nowhere", "192.0.2.1"])])
    assert result.counts.streams["orders"].left_out == {"ip": 1}
    assert [event["userData"].get("ip") for event in sandbox.events] == [None, "192.0.2.1"]


def test_columns_that_identify_nobody(sandbox: Sandbox, tmp_path: Path) -> None:
    """The driver warns of them over all tasks."""
    job = make_job(sandbox, tmp_path, COLUMNS)
    DeadLetterFolder(job).prepare()
    result = deliver(job, ATTEMPT, [batch(0, 60, email=["Ann Smith"] * 60)])
    warning = "orders: in 60 of 60 events, the column email did not identify a person (0 empty, 60"
    assert warning in "\n".join(result.counts.warnings())


def test_the_zone_of_the_settings(sandbox: Sandbox, tmp_path: Path) -> None:
    """Only a timestamp_ntz is of the zone of the settings; the driver warns if none was."""
    job = make_job(sandbox, tmp_path, COLUMNS, timezone="Asia/Tokyo")
    DeadLetterFolder(job).prepare()
    moment = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    for kind, uses in ((pa.timestamp("us", "UTC"), 0), (pa.timestamp("us"), 2)):
        times = pa.array([moment.replace(tzinfo=None)] * 2, pa.timestamp("us")).cast(kind)
        result = deliver(job, ATTEMPT, [batch(0, 2, event_time=times)])
        counts = result.counts.streams["orders"]
        assert (counts.delivered, counts.zone_uses) == (2, uses)
        assert len(list(result.counts.warnings("Asia/Tokyo"))) == (uses == 0)


def test_event_ids_depend_on_no_time_zone(sandbox: Sandbox, tmp_path: Path) -> None:
    """A moment gives the event ID that it gives in another session's time zone."""
    job = make_job(sandbox, tmp_path, COLUMNS, key_properties="")
    DeadLetterFolder(job).prepare()
    moment = dt.datetime.fromtimestamp(int(time.time()) - 3600, dt.timezone.utc)
    for zone in ("UTC", "America/New_York"):
        times = pa.array([moment], pa.timestamp("us", zone))
        deliver(job, ATTEMPT, [batch(0, 1, event_time=times)])
    first, second = sandbox.events
    assert first["eventId"] == second["eventId"]
    assert first["eventTime"] == int(moment.timestamp())


@pytest.mark.parametrize("within", ["a list", "a struct"])
def test_nested_times_depend_on_no_time_zone(sandbox: Sandbox, tmp_path: Path, within: str) -> None:
    """A moment within another value gives the event ID that it gives in another time zone."""
    job = make_job(sandbox, tmp_path, [*COLUMNS, "nested"], key_properties="")
    DeadLetterFolder(job).prepare()
    moment = dt.datetime.fromtimestamp(int(time.time()) - 3600, dt.timezone.utc)
    for zone in ("UTC", "America/New_York"):
        kind = pa.timestamp("us", zone)
        nested = (
            pa.array([[moment]], pa.list_(kind))
            if within == "a list"
            else pa.array([{"at": moment}], pa.struct([("at", kind)]))
        )
        deliver(job, ATTEMPT, [batch(0, 1, event_time=[moment], nested=nested)])
    first, second = sandbox.events
    assert first["eventId"] == second["eventId"]


def test_a_folder_that_is_not_shared(job: Job, sandbox: Sandbox) -> None:
    """A task that does not see the driver's folder sends nothing."""
    with pytest.raises(StorageError, match="a folder that all machines share"):
        deliver(job, ATTEMPT, [batch(0, 10)])
    assert sandbox.stats.requests == 0


def test_an_unforeseen_failure_is_not_shown(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    """Neither error nor log has the text of an exception: it could hold what is in a row."""
    DeadLetterFolder(job).prepare()

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


@pytest.fixture
def logs() -> Iterator[None]:
    """Take the handlers of the task's log away, and put all handlers and formatters back."""
    root = logging.getLogger()
    formatters = [(handler, handler.formatter) for handler in root.handlers]
    kept = (LOGGER.handlers[:], LOGGER.level, LOGGER.propagate)
    LOGGER.handlers.clear()
    yield
    LOGGER.handlers[:], level, LOGGER.propagate = kept
    LOGGER.setLevel(level)
    for handler, formatter in formatters:
        handler.setFormatter(formatter)


@pytest.mark.usefixtures("logs")
def test_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """A line is on standard error once, however many tasks a process runs, and has no address."""
    for _ in range(2):
        configure_logging()
    LOGGER.info("an order of %s", "ann@example.com")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f" INFO liveintent: an order of {sha256('ann@example.com')}")


@pytest.mark.usefixtures("logs")
def test_the_log_of_others() -> None:
    """What libraries log in a task goes to the root logger, and has no address there either."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger().addHandler(handler)
    configure_logging()
    logging.getLogger("a_library").warning("an order of %s", "ann@example.com")
    logging.getLogger().removeHandler(handler)
    assert written.getvalue() == f"an order of {sha256('ann@example.com')}\n"


class Refusing:
    """Settings of an API that refuses some of the orders."""

    def __init__(self, *bad: int) -> None:
        self._bad = {derive_event_id("orders", [str(n)]) for n in bad}

    def answer(self, request: Request) -> Reply:
        return Reply(400 if self._bad.intersection(request.ids) else 204)


@pytest.mark.parametrize("bad", [range(150), range(1_800, 2_000), range(0, 2_000, 2)])
def test_many_refused_rows(sandbox: Sandbox, tmp_path: Path, bad: range) -> None:
    """Wherever they are, they become dead letters, which the driver judges."""
    with FaultyServer(Refusing(*bad).answer) as server:
        job = make_job(sandbox, tmp_path, COLUMNS, api_url=server.url)
        DeadLetterFolder(job).prepare()
        counts = deliver(job, ATTEMPT, [batch(0, 2_000)]).counts.total
    assert (counts.delivered, counts.rejected) == (2_000 - len(bad), {"refused_by_api": len(bad)})


def test_a_partition_of_bad_rows(sandbox: Sandbox, tmp_path: Path) -> None:
    """It ends as others would: the driver judges, by what the other tasks have found."""
    with FaultyServer(lambda _: Reply(400)) as server:
        job = make_job(sandbox, tmp_path, COLUMNS, api_url=server.url)
        DeadLetterFolder(job).prepare()
        result = deliver(job, ATTEMPT, [batch(0, 300)])
        assert result.counts.total.rejected == {"refused_by_api": 300}
        assert not (tmp_path / "letters" / "_accepted").exists()


def test_wrong_settings_end_a_task(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing is accepted: not every event of a large partition is asked about."""
    with FaultyServer(lambda _: Reply(400)) as server:
        job = make_job(sandbox, tmp_path, COLUMNS, api_url=server.url)
        DeadLetterFolder(job).prepare()
        with pytest.raises(AllRefusedError, match=r"delivered 0 events$"):
            deliver(job, ATTEMPT, [batch(0, 5_000)])
        assert 1_000 <= len(server.requests) <= 1_010


def test_what_was_accepted_before_is_known(sandbox: Sandbox, tmp_path: Path) -> None:
    """Another task, or an earlier micro-batch, has found that the settings are right."""
    job = make_job(sandbox, tmp_path, COLUMNS)
    DeadLetterFolder(job).prepare()
    deliver(job, ATTEMPT, [batch(0, 1)])
    with FaultyServer(lambda _: Reply(400)) as server:
        job = make_job(sandbox, tmp_path, COLUMNS, api_url=server.url)
        counts = deliver(job, ATTEMPT, [batch(0, 1_200)]).counts.total
    assert counts.rejected == {"refused_by_api": 1_200}


def test_a_failed_attempt_says_what_it_sent(sandbox: Sandbox, tmp_path: Path) -> None:
    """Its message does, and a note for the driver, which adds up what all of them have sent."""
    denied = Reply(403, skipped=None)
    with FaultyServer(in_turn(Reply(), Reply(), then=denied)) as server:
        job = make_job(sandbox, tmp_path, COLUMNS, api_url=server.url, max_concurrent_requests="1")
        folder = DeadLetterFolder(job)
        folder.prepare()
        with pytest.raises(AccessDeniedError, match="this attempt of the task delivered 200 e"):
            deliver(job, ATTEMPT, [batch(0, 1_000)])
    assert folder.delivered_by_failed(ATTEMPT.write) == 200
    folder.discard(ATTEMPT.write)
    assert folder.delivered_by_failed(ATTEMPT.write) == 0


def audited(sandbox: Sandbox, tmp_path: Path, **options: str) -> Job:
    """Return a write with an audit, whose folders are prepared."""
    audit = str(tmp_path / "audit")
    job = make_job(sandbox, tmp_path, COLUMNS, audit_path=audit, **options)
    DeadLetterFolder(job).prepare()
    AuditFolder(job).prepare()
    return job


def test_the_next_attempt(sandbox: Sandbox, tmp_path: Path) -> None:
    """It sends what the audit does not have, and counts the rest as sent."""
    job = audited(sandbox, tmp_path)
    deliver(job, ATTEMPT, [batch(0, 120)])
    result = deliver(job, ATTEMPT._replace(number=2), [batch(0, 250)])
    counts = result.counts.total
    assert (counts.delivered, counts.dropped) == (130, {"already_sent": 120})
    assert sandbox.stats.duplicates == 0
    table = pq.read_table(tmp_path / "audit").to_pylist()
    assert len({row["event_id"] for row in table}) == len(table) == 250
    content = b"".join(one.read_bytes() for one in (tmp_path / "audit").iterdir())
    assert b"buyer" not in content


def test_a_dry_run_keeps_no_audit(sandbox: Sandbox, tmp_path: Path) -> None:
    job = audited(sandbox, tmp_path, dry_run="true")
    deliver(job, ATTEMPT, [batch(0, 10)])
    assert [one.name for one in (tmp_path / "audit").iterdir()] == ["empty.parquet"]


@pytest.mark.postgres
def test_tasks_share_a_ledger(sandbox: Sandbox, tmp_path: Path, ledger_url: str) -> None:
    """What another job has delivered is not sent again; attempts at a time claim for themselves."""
    job = audited(sandbox, tmp_path, ledger_url=ledger_url)
    deliver(job, ATTEMPT, [batch(0, 120)])
    other = [Attempt(Write("job2", "t"), partition, 7) for partition in range(2)]
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda one: deliver(job, one, [batch(100, 100)]), other))
    counts = [one.counts.total for one in done]
    assert sum(one.delivered for one in counts) == 80
    assert sum(one.dropped["already_sent"] for one in counts) == 120
    assert sandbox.stats.duplicates == 0
    rows = pq.read_table(tmp_path / "audit", filters=[("write", "==", "job2")]).to_pylist()
    assert Counter((row["outcome"], row["reason"]) for row in rows) == {
        ("delivered", None): 80,
        ("dropped", "already_sent"): 120,
    }
