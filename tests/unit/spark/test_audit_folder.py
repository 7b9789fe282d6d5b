"""The audit of a write: files appear whole, become one, and say what the next attempt skips."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import write_support
from fakes import FakeClock, event
from unit_support import NOW
from write_support import job, of_batch

pq = pytest.importorskip("pyarrow.parquet", reason="an extra")

from target_liveintent.conversions import Rejection  # noqa: E402
from target_liveintent.errors import StorageError  # noqa: E402
from target_liveintent.spark.attempts import Attempt, MicroBatch, Write  # noqa: E402
from target_liveintent.spark.audit import SCHEMA, AuditFolder, TaskAudit  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

WRITE = Write("a1b2", "7e57")


@pytest.fixture
def folder(url: str) -> AuditFolder:
    folder = AuditFolder(job(audit=url))
    folder.prepare()
    return folder


def files(url: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each file, hidden ones included; that without rows is left out."""
    found = write_support.files(url)
    tables = {name: pq.read_table(io.BytesIO(content)) for name, content in found.items()}
    assert all(table.schema.equals(SCHEMA) for table in tables.values())
    return {name: table.to_pylist() for name, table in tables.items() if name != "empty.parquet"}


def ids(url: str) -> dict[str, list[str]]:
    """Return the event IDs of each file."""
    return {name: [row["event_id"] for row in rows] for name, rows in files(url).items()}


def audit_of(folder: AuditFolder, attempt: Attempt, *names: str) -> TaskAudit:
    """Note events as delivered, each of them for long enough to be written alone."""
    clock = FakeClock()
    audit = TaskAudit(folder, attempt, 1, clock)
    for name in names:
        audit.delivered([event(name)], [NOW])
        clock.now += 2
        audit.write_due()
    return audit


def test_rows(folder: AuditFolder, url: str) -> None:
    """A row says what became of an event, whose, and by which attempt."""
    audit = TaskAudit(folder, Attempt(WRITE, 3, 17), 12345)
    audit.delivered([event("1")], [NOW + 0.25])
    rejection = Rejection("orders", "2", "no_identity", None, {"pixel_id": "7"})
    audit.undelivered(rejection, "no_identity")
    audit.undelivered(Rejection("orders", "3", "no_consent", None, {}), "no_consent")
    audit.already_sent([event("4")])
    audit.close()
    ((name, rows),) = files(url).items()
    assert name == "a1b2-00003-17.parquet"
    assert [list(row.values())[:5] for row in rows] == [
        ["1", "orders", 1, "delivered", None],
        ["2", "orders", 7, "rejected", "no_identity"],
        ["3", "orders", 12345, "dropped", "no_consent"],
        ["4", "orders", 1, "dropped", "already_sent"],
    ]
    sent_at, *others = [row["sent_at"] for row in rows]
    assert (sent_at.timestamp(), others) == (NOW + 0.25, [None] * 3)
    assert {(row["write"], row["partition"], row["attempt"]) for row in rows} == {("a1b2", 3, 17)}
    assert not audit.is_joined


def test_rows_are_written_in_time(
    folder: AuditFolder, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None waits for more than two seconds, or among many others; none is written twice."""
    monkeypatch.setattr("target_liveintent.spark.audit._MOST_ROWS", 3)
    clock = FakeClock()
    audit = TaskAudit(folder, Attempt(WRITE, 0, 1), 1, clock)
    audit.delivered([event("1")], [NOW])
    clock.now += 1.9
    audit.delivered([event("2")], [NOW])
    audit.write_due()
    assert ids(url) == {}
    clock.now += 0.1
    audit.write_due()
    audit.write_due()
    written = {"a1b2-00000-1-part000000.parquet": ["1", "2"]}
    assert ids(url) == written
    audit.delivered([event("3")] * 4, [NOW] * 4)
    assert ids(url) == {**written, "a1b2-00000-1-part000001.parquet": ["3"] * 4}


def test_small_files_become_one(folder: AuditFolder, url: str) -> None:
    """They are there until the write ends, so that whoever reads the folder finds them."""
    attempt = Attempt(WRITE, 0, 1)
    audit = audit_of(folder, attempt, "1", "2")
    audit.delivered([event("3")], [NOW])
    audit.close()
    assert audit.is_joined
    parts = {f"a1b2-00000-1-part00000{n}.parquet": [str(n + 1)] for n in range(3)}
    assert ids(url) == {**parts, "_a1b2-00000-1.parquet": ["1", "2", "3"]}
    for _ in range(2):  # A commit that fails is followed by an abort.
        folder.complete(WRITE, [attempt.name])
        assert ids(url) == {"a1b2-00000-1.parquet": ["1", "2", "3"]}


def test_a_lost_attempt_is_completed(folder: AuditFolder, url: str) -> None:
    """The driver joins what a killed task has left, and only that of its write."""
    audit_of(folder, Attempt(WRITE, 0, 1), "1", "2")
    audit_of(folder, Attempt(Write("c3d4", "7e57"), 0, 2), "3")
    folder.put("_a1b2-00000-1.parquet", SCHEMA.empty_table())  # It was killed while it joined.
    folder.complete(WRITE, [])
    other = {"c3d4-00000-2-part000000.parquet": ["3"]}
    assert ids(url) == {"a1b2-00000-1.parquet": ["1", "2"], **other}


def test_what_earlier_attempts_have_delivered(folder: AuditFolder) -> None:
    """They count if they were at the same partition: copies elsewhere are sent."""
    lost = audit_of(folder, Attempt(WRITE, 0, 1), "1")
    lost.undelivered(Rejection("orders", "2", "no_identity", None, {}), "no_identity")
    lost.close()
    audit_of(folder, Attempt(WRITE, 1, 2), "3")
    assert folder.delivered_before(Attempt(WRITE, 0, 3)) == {1: {"1"}}
    assert folder.delivered_before(Attempt(WRITE, 2, 4)) == {}


def test_a_micro_batch_that_begins_again(folder: AuditFolder, url: str) -> None:
    """It skips what an earlier attempt has delivered in any partition, and completes its files."""
    audit_of(folder, of_batch(7, "aa", 1), "1")
    audit_of(folder, of_batch(7, "aa", 2), "2")
    audit_of(folder, of_batch(7, "aa", 2, target="ffff"), "of another stream")
    audit_of(folder, of_batch(6, "aa", 1), "of another batch")
    audit_of(folder, of_batch(7, "bb", 4), "of this attempt")
    now = of_batch(7, "bb", 5)
    assert folder.delivered_before(now) == {1: {"1", "2"}}
    folder.complete(now.write, [])
    assert sum("part" in name for name in files(url)) == 3
    assert {row["write"] for rows in files(url).values() for row in rows} == {"query-6", "query-7"}


def test_a_write_of_which_no_task_is_done(folder: AuditFolder) -> None:
    """Its driver knows the ID only; the names of the files say to which micro-batch it belongs."""
    batch = MicroBatch("a-query", 7, "aa", 0)
    write = Write("a1b2", "7e57", batch)
    audit_of(folder, Attempt(write, 0, 1), "1")
    assert folder.find(Write("a1b2", "")) == write
    assert folder.find(Write("c3d4", "")) == Write("c3d4", "")


def test_events_count_once(folder: AuditFolder) -> None:
    """Two attempts may have a row each for an event."""
    for number in (1, 2):
        audit_of(folder, Attempt(WRITE, 0, number), "1", f"{number}")
    audit_of(folder, Attempt(WRITE, 1, 3), "3")
    audit_of(folder, Attempt(Write("c3d4", "7e57"), 0, 4), "4")
    assert folder.delivered(WRITE) == 3
    assert folder.delivered(Write("none", "7e57")) == 0


def test_a_folder_that_is_not_shared(tmp_path: Path) -> None:
    AuditFolder(job(audit=str(tmp_path / "driver"))).prepare()
    with pytest.raises(StorageError, match="'audit_path' must name a folder that all machines"):
        AuditFolder(job(audit=str(tmp_path / "executor"))).check()
