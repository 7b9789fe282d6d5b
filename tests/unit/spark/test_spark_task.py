"""One task of a Spark write, without Spark: a partition in, counts and rows of outcomes out."""

import contextlib
import datetime as dt
import io
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from fakes import FakeClock, event, rejection
from faulty_server import FaultyServer, Reply, in_turn
from unit_support import NOW, SETTINGS, conversion, order, sha256
from write_support import ATTEMPT, COLUMNS, batch, facts, make_job, pa, pq

from target_liveintent.conversions.event_model import Rejection
from target_liveintent.errors import AccessDeniedError, AllRefusedError, RunError, StorageError
from target_liveintent.privacy.identity import derive_event_id
from target_liveintent.remarks import LOCAL_TIME
from target_liveintent.run_id import new_run_id
from target_liveintent.sandbox import Sandbox
from target_liveintent.spark.options import SparkWrite
from target_liveintent.spark.outcomes import OutcomeTable, TaskOutcomes
from target_liveintent.spark.task import LOGGER, Task, configure_logging, deliver
from target_liveintent.store.dead_letters import letters_in
from target_liveintent.store.opening import dry_store_in, empty_store, open_for_reading, open_store
from target_liveintent.store.run_store import RunStore
from target_liveintent.store.runs import TASK


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    return tmp_path / "outcomes"


def ids(numbers: Any) -> set[str]:
    """Return the IDs of the events of orders."""
    return {derive_event_id("orders", [str(number)]) for number in numbers}


def test_each_row_of_a_partition_has_one_outcome(sandbox: Sandbox, outcomes: Path) -> None:
    """Each row has one outcome in the counts, and one in the table.

    A rejected one has its record as a dead letter has it; the others have no hash at all.
    """
    columns = [*COLUMNS, "consent"]
    job = make_job(outcomes, *columns, api_url=sandbox.url)
    batches = [batch(0, 150, consent=["yes"] * 150), batch(150, 60, consent=[1] * 60)]
    batches += [batch(210, 2, email=[None, "buyer@example.com"], consent=["yes", "no"])]
    counts = deliver(job, ATTEMPT, batches).streams["orders"]
    assert (counts.read, counts.delivered, counts.without_outcome) == (212, 210, 0)
    assert (counts.rejected, counts.dropped) == ({"no_identity": 1}, {"no_consent": 1})
    # Batches of Arrow are not those of the API.
    assert sorted(request.events for request in sandbox.requests) == [10, 100, 100]
    rows = sorted(facts(outcomes), key=lambda row: int(row["position"]))
    assert [row["position"] for row in rows] == [*range(212)]
    place = {"write": "run-1", "run_id": "run-1", "partition": 0, "stream": "orders"}
    account = {"customer_id": "a-1b2c", "host": "127.0.0.1", "pixel": 12345}
    assert all(place.items() | account.items() <= row.items() for row in rows)
    first, *_, guest, refuses = rows
    assert first["event_id"] == derive_event_id("orders", ["0"])
    assert [first[name] for name in ("outcome", "reason", "record")] == ["delivered", None, None]
    assert 3599 <= (first["sent_at"] - first["event_time"]).total_seconds() < 3660
    assert [guest[name] for name in ("outcome", "reason")] == ["rejected", "no_identity"]
    assert (guest["sent_at"], guest["event_time"]) == (None, first["event_time"])
    record = json.loads(guest["record"])
    assert (record["event_id"], record["run_id"]) == (guest["event_id"], "run-1")
    named = {"customer_id": "a-1b2c", "api_host": "127.0.0.1", "pixel_id": 12345}
    assert record["written_for"] == named
    assert [refuses[name] for name in ("outcome", "reason", "detail", "record")] == [
        *("dropped", "no_consent", None, None)
    ]
    assert b"buyer" not in b"".join(path.read_bytes() for path in outcomes.rglob("*.parquet"))


def test_columns_in_any_case_give_the_same_events(sandbox: Sandbox) -> None:
    """The events are the same, with keys or with IDs that are derived from all columns."""
    names = ("id", "event_time", "email", "value", "currency", "ip")
    values = ([1, 2], [int(time.time()) - 3600] * 2, ["a@example.com"] * 2, [1.5, None])
    addresses = ["192.0.2.1", None]
    for keys in ("id", ""):
        for columns in (names, [names[0], *(name.upper() for name in names[1:])]):
            job = make_job(None, *columns, api_url=sandbox.url, key_properties=keys)
            rows = dict(zip(columns, (*values, ["usd", "eur"], addresses), strict=True))
            deliver(job, ATTEMPT, [pa.RecordBatch.from_pydict(rows)])
    events = sandbox.events
    assert [event["purchaseData"].get("value") for event in events[:2]] == [1.5, None]
    assert events[0]["userData"]["ip"] == "192.0.2.1"
    assert (events[:2], events[4:6]) == (events[2:4], events[6:])


@pytest.mark.parametrize(
    ("name", "column", "outcome"),
    [
        pytest.param(
            "_sdc_deleted_at",
            pa.array(["2026-07-31"]),
            {"dropped": {"deleted": 1}},
            id="a mark of deletion",
        ),
        pytest.param(
            "value",
            pa.array([1], pa.duration("s")),
            {"remarks": {"unusable": {"value": 1}, "slow_path": {"value": 1}}, "delivered": 1},
            id="a duration as value",
        ),
        pytest.param(
            "currency",
            pa.array([["USD"]]),
            {
                "remarks": {"unusable": {"currency": 1}, "slow_path": {"currency": 1}},
                "delivered": 1,
            },
            id="a list as currency",
        ),
        pytest.param(
            "email", pa.array([b"x"]), {"rejected": {"no_identity": 1}}, id="bytes as address"
        ),
        pytest.param(
            "event_time",
            pa.array([1], pa.time64("us")),
            {"rejected": {"invalid_event_time": 1}},
            id="a time of day",
        ),
    ],
)
def test_values_that_cannot_be_used(
    sandbox: Sandbox, outcomes: Path, name: str, column: Any, outcome: dict[str, Any]
) -> None:
    """Whatever their type is, they end no task."""
    job = make_job(outcomes, *dict.fromkeys([*COLUMNS, name]), api_url=sandbox.url)
    counts = deliver(job, ATTEMPT, [batch(0, 1, **{name: column})]).streams["orders"]
    for attribute, expected in outcome.items():
        assert getattr(counts, attribute) == expected
    assert counts.without_outcome == 0


def test_the_zone_of_the_settings(sandbox: Sandbox) -> None:
    """Only a timestamp_ntz is of the zone of the settings."""
    job = make_job(None, api_url=sandbox.url, timezone="Asia/Tokyo")
    moment = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    for kind, uses in ((pa.timestamp("us", "UTC"), 0), (pa.timestamp("us"), 2)):
        times = pa.array([moment.replace(tzinfo=None)] * 2, pa.timestamp("us")).cast(kind)
        counts = deliver(job, ATTEMPT, [batch(0, 2, event_time=times)]).streams["orders"]
        assert (counts.delivered, counts.noted(LOCAL_TIME).total()) == (2, uses)


def test_an_unforeseen_failure_is_not_shown(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither error nor log has the text of an exception: it could hold what is in a row."""
    secret = "somebody@example.com"

    def broken(known: str) -> Iterator[Any]:
        yield batch(0, 1)
        try:
            float(secret)
        except ValueError:
            if known:
                raise RunError(known)  # noqa: B904 (the chain must not be shown either)
            raise

    for known, said in (
        ("", r"unexpected ValueError in .*test_spark_task\.py, line \d"),
        ("a reason", "a reason"),
    ):
        with pytest.raises(RunError, match=said) as raised:
            deliver(make_job(None, api_url=sandbox.url), ATTEMPT, broken(known))
        for hidden in (secret, "sandbox-token"):
            assert hidden not in caplog.text + repr(raised.value)
        assert raised.value.__context__ is None  # Spark shows a chain whole.


@pytest.mark.usefixtures("_keep_logging")
def test_a_line_is_logged_once_and_without_an_address(
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
    for _ in range(2):
        configure_logging()
    LOGGER.info("an order of %s", "ann@example.com")
    logging.getLogger("a_library").warning("an order of %s", "ann@example.com")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f" INFO liveintent: an order of {sha256('ann@example.com')}")
    assert written.getvalue() == f"an order of {sha256('ann@example.com')}\n"


# What the API refuses


def test_refused_rows_are_rejected_even_if_all_of_a_partition_are(outcomes: Path) -> None:
    bad = ids([*range(0, 1_000, 50), *range(2_000, 2_300)])
    with FaultyServer(lambda request: Reply(400 if bad & {*request.ids} else 204)) as server:
        job = make_job(outcomes, api_url=server.url)
        for first, count, refused in ((2_000, 300, 300), (0, 1_000, 20)):
            counts = deliver(job, ATTEMPT, [batch(first, count)]).total
            assert counts.rejected == {"refused_by_api": refused}
            assert counts.delivered == count - refused


@pytest.mark.parametrize("write", ["run-1", "query-5", "another"])
def test_wrong_settings_end_a_task(outcomes: Path, write: str) -> None:
    """Not if another task, or a micro-batch before this one, shows that the API accepts events."""
    is_stream = write.startswith("query")
    attempt = ATTEMPT._replace(
        writes=("query-6", "query-6", "query-5") if is_stream else ("run-1",)
    )
    other = ATTEMPT._replace(writes=(write,), partition=1)
    with FaultyServer(lambda _: Reply()) as server:
        deliver(make_job(outcomes, api_url=server.url), other, [batch(9_000, 1)])
        server.answer = lambda _: Reply(400, delay=0.01)  # A task looks once a second.
        job = make_job(outcomes, api_url=server.url)
        if write == "another":
            with pytest.raises(AllRefusedError):
                deliver(job, attempt, [batch(0, 5_000)])
            assert 1_000 <= len(server.requests) <= 1_015
        else:
            counts = deliver(job, attempt, [batch(0, 1_200)]).total
            assert counts.rejected == {"refused_by_api": 1_200}


# The table and the store


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str], RunStore]]:
    """Return how to open the store for a run of a kind."""
    settings = msgspec.structs.replace(SETTINGS, store=str(tmp_path / "store.sqlite"))
    with contextlib.ExitStack() as stack:

        def make(kind: str) -> RunStore:
            store = open_store(settings.storage, new_run_id(), FakeClock(), kind=kind)
            stack.callback(store.database.close)
            return store

        yield make


def outcomes_of(job: SparkWrite, store: RunStore, clock: FakeClock | None = None) -> TaskOutcomes:
    """Return what keeps the outcomes of a task."""
    events = job.settings.events
    return TaskOutcomes(OutcomeTable(job), ATTEMPT, store, events, clock or FakeClock())


def test_rows_are_written_after_1_5_seconds_or_at_the_end(outcomes: Path) -> None:
    """After 1.5 s, or at the end; a run looks once a second, so none waits longer than 3 s."""
    clock, job = FakeClock(), make_job(outcomes)
    with contextlib.closing(dry_store_in(empty_store(), job.settings.storage, "run-1")) as store:
        task = outcomes_of(job, store, clock)
        for passed, rows in ((1.0, 0), (0.5, 2), (1.4, 2), (0.1, 4)):
            clock.now += passed
            task.note_delivered([conversion(order(event_id="1"))], [NOW], NOW)
            task.write()
            assert len(facts(outcomes)) == rows
        task.note_rejected(rejection("3", "no_consent"), NOW)
        task.release({})
    assert len(facts(outcomes)) == 5


def test_a_row_without_a_usable_pixel_has_none(outcomes: Path) -> None:
    """The table has null there, and not the 0 of the store's key."""
    job = make_job(outcomes)
    with contextlib.closing(dry_store_in(empty_store(), job.settings.storage, "run-1")) as store:
        task = outcomes_of(job, store)
        task.note_rejected(
            Rejection("orders", "1", "mapping_failed", None, {}, keys={"id": 1}), NOW
        )
        task.release({})
    assert [row["pixel"] for row in facts(outcomes)] == [None]


def test_tasks_that_share_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one's pace knows how many they are, so that together they find the limit of the API."""
    given: list[Any] = []

    def delivery_of(*args: Any) -> Any:
        given.extend(args)
        return SimpleNamespace()

    monkeypatch.setattr("target_liveintent.spark.task.delivery_of", delivery_of)
    job = make_job(None, concurrent_tasks="8")
    with contextlib.closing(dry_store_in(empty_store(), job.settings.storage, "run-1")) as store:
        Task(job, ATTEMPT, store)
    assert given[-1] == 8


def test_a_delivered_event_has_no_dead_letter_in_the_store(
    opened: Callable[[str], RunStore],
) -> None:
    """A run of the target has written it there. What the task rejects, the store does not get."""
    events = [conversion(order(event_id=name)) for name in "1234"]
    run = opened("usual")
    for one in events[:3]:
        run.note_rejected(one.rejected("refused_by_api", None, None), NOW)
    run.write()
    task = outcomes_of(make_job(None), opened(TASK))
    task.note_delivered(events[:2], [NOW] * 2, NOW)
    task.note_rejected(events[3].rejected("refused_by_api", None, None), NOW)
    task.write()
    assert [key.event_id for key, _ in letters_in(run.database)] == ["3"]


def test_reservations_end_whatever_fails(
    outcomes: Path, opened: Callable[[str], RunStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the rows cannot be written."""
    task = outcomes_of(make_job(outcomes), opened(TASK))
    task.claim({0: [event("1")]})
    task.note_rejected(rejection("2", "no_consent"), NOW)

    def fail(*_: object) -> None:
        msg = "the disk is full"
        raise StorageError(msg)

    monkeypatch.setattr(OutcomeTable, "add", fail)
    with pytest.raises(StorageError, match="the disk is full"):
        task.release({})
    assert opened(TASK).claim({0: [event("1")]})[0].mine


# Attempts


def test_the_next_attempt_sends_only_what_the_table_lacks(outcomes: Path) -> None:
    """It sends what the table does not have, wherever the rows are, and counts the rest as sent."""
    denied = Reply(403, skipped=None)
    with FaultyServer(in_turn(Reply(), Reply(), then=denied)) as server:
        job = make_job(outcomes, api_url=server.url, max_concurrent_requests="1")
        with pytest.raises(AccessDeniedError, match="the API denied access"):
            deliver(job, ATTEMPT, [batch(0, 1_000)])
        assert len(facts(outcomes)) == 200
        server.answer = lambda _: Reply()
        again = ATTEMPT._replace(partition=7, run_id="run-2")
        counts = deliver(job, again, [batch(100, 250)]).total
        assert (counts.delivered, counts.dropped) == (150, {"already_sent": 100})
        # Spark begins the stage again: the attempt counts as the first, but not the partition.
        counts = deliver(job, ATTEMPT, [batch(100, 400)]).total
        assert (counts.delivered, counts.dropped) == (150, {"already_sent": 250})
    assert len(server.delivered) == len(server.accepted) == len(facts(outcomes)) == 500


def test_the_next_attempt_sends_an_event_for_another_pixel(
    sandbox: Sandbox, outcomes: Path
) -> None:
    """An event with the same ID was sent for one pixel only."""
    deliver(make_job(outcomes, api_url=sandbox.url), ATTEMPT, [batch(0, 2)])
    others = make_job(outcomes, api_url=sandbox.url, pixel_id="777")
    counts = deliver(others, ATTEMPT._replace(run_id="run-2"), [batch(0, 3)]).total
    assert (counts.delivered, counts.dropped) == (3, {})


def test_a_replay_sends_only_rejected_rows_of_its_pixel(sandbox: Sandbox, outcomes: Path) -> None:
    """Only rejected rows go, with their IDs and streams, and not those of another pixel."""
    old = [int(time.time()) - 8 * 86_400] * 3
    deliver(make_job(outcomes, api_url=sandbox.url), ATTEMPT, [batch(0, 2)])
    deliver(make_job(outcomes, api_url=sandbox.url), ATTEMPT, [batch(2, 3, event_time=old)])
    others = make_job(outcomes, api_url=sandbox.url, pixel_id="777")
    deliver(others, ATTEMPT, [batch(5, 3, event_time=old)])
    rows = pq.read_table(outcomes)
    names = [*rows.schema.names, "OTHER"]
    job = make_job(outcomes, *names, api_url=sandbox.url, default_source="offline", stream_name="x")
    batches = [*rows.append_column("OTHER", rows["stream"]).to_batches()]
    counts = deliver(job, ATTEMPT._replace(writes=("again",)), batches).total
    assert (counts.read, counts.delivered, counts.filtered) == (8, 3, 2)
    assert counts.not_replayed == {"other_account": 3}
    again = [row for row in facts(outcomes) if row["write"] == "again"]
    assert {row["event_id"] for row in again} == ids(range(2, 5))
    assert {(row["stream"], row["outcome"]) for row in again} == {("orders", "delivered")}


def test_a_dry_run_keeps_nothing(sandbox: Sandbox, outcomes: Path) -> None:
    job = make_job(outcomes, api_url=sandbox.url, dry_run="true")
    assert deliver(job, ATTEMPT, [batch(0, 10)]).total.delivered == 10
    assert (sandbox.stats.requests, outcomes.exists()) == (0, False)


@pytest.mark.postgres
def test_what_another_write_delivered_is_not_sent_again(
    sandbox: Sandbox, outcomes: Path, store_url: str
) -> None:
    """What another write has delivered is not sent again; attempts at a time claim for themselves.

    With keep_delivered, the store has a row for each event, and in any case nothing of the tasks.
    """
    shared = {"store": store_url, "keep_delivered": "true"}
    job = make_job(outcomes, api_url=sandbox.url, **shared)
    deliver(job, ATTEMPT, [batch(0, 120)])
    other = [ATTEMPT._replace(writes=("w2",), partition=number) for number in range(2)]
    rows = batch(100, 100)  # Once, as their times depend on the clock.
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda one: deliver(job, one, [rows]), other))
    counts = [one.total for one in done]
    assert sum(one.delivered for one in counts) == 80
    assert sum(one.dropped["already_sent"] for one in counts) == 120
    assert sandbox.stats.duplicates == 0
    found = Counter(row["reason"] for row in facts(outcomes) if row["write"] == "w2")
    assert found == {None: 80, "already_sent": 120}
    database = open_for_reading(job.settings.storage)
    assert list(database.read("SELECT count(*) FROM delivered")) == [(200,)]
    assert list(database.read("SELECT count(*) FROM run")) == [(0,)]
    database.close()
