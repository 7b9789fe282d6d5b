"""The dead letters of tasks: pending until all tasks are done, then published in one step."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from write_support import files, job, of_batch

from target_liveintent.errors import ConfigurationError
from target_liveintent.run import RunCounts, StreamCounts
from target_liveintent.spark.acceptances import Acceptance, RecentEvents
from target_liveintent.spark.attempts import Attempt, MicroBatch, Write
from target_liveintent.spark.dead_letters import DeadLetterFolder, TaskDeadLetters
from target_liveintent.spark.object_store import ObjectStore

if TYPE_CHECKING:
    from pathlib import Path


ATTEMPT = Attempt(Write("job", "t"), 0, 1)


@pytest.fixture
def folder(url: str) -> DeadLetterFolder:
    """Prepare the folder, as a driver does."""
    folder = DeadLetterFolder(job(url))
    folder.prepare()
    return folder


def line(event_id: str) -> bytes:
    return json.dumps({"type": "RECORD", "record": {"event_id": event_id}}).encode() + b"\n"


def written(folder: DeadLetterFolder, attempt: Attempt, *event_ids: str) -> bool:
    """Write the dead letters of an attempt to their end; return whether there is a file."""
    dead_letters = TaskDeadLetters(folder, attempt.name)
    for event_id in event_ids:
        dead_letters.write(line(event_id))
    dead_letters.close()
    return dead_letters.written


def test_a_task_leaves_a_singer_stream(folder: DeadLetterFolder, url: str) -> None:
    """The file has a SCHEMA and a RECORD for each dead letter, as the target prints them."""
    folder.check()
    assert not written(folder, ATTEMPT)
    assert list(files(url)) == ["_pending/README"]  # A clean task leaves no file.
    attempt = Attempt(Write("job", "t"), 3, 17)
    assert written(folder, attempt, "1", "2")
    assert "job-00003.singer" not in files(url)
    folder.publish(attempt.write, [attempt])
    lines = files(url)["job-00003.singer"].splitlines()
    assert [json.loads(one)["type"] for one in lines] == ["SCHEMA", "RECORD", "RECORD"]
    assert published(url) == ["1", "2"]


def test_attempts_are_apart(folder: DeadLetterFolder, url: str) -> None:
    """Two attempts at a task write two files; one is published, and the other is deleted."""
    winner = ATTEMPT._replace(number=2)
    half = TaskDeadLetters(folder, ATTEMPT.name)
    half.write(line("lost"))
    written(folder, winner, "won")
    folder.publish(winner.write, [winner])
    half.close()
    written(folder, Attempt(Write("other", "t"), 0, 3), "another job's")
    folder.discard(winner.write)
    assert set(files(url)) == {"_pending/README", "job-00000.singer", "_pending/other-00000-3"}
    assert published(url) == ["won"]


def publish(url: str, attempt: Attempt, *event_ids: str) -> None:
    """Write and publish the dead letters of a write with one task."""
    folder = DeadLetterFolder(job(url))
    folder.begin(attempt)
    has_some = written(folder, attempt, *event_ids)
    folder.publish(attempt.write, [attempt] if has_some else [])
    folder.discard(attempt.write)


def published(url: str) -> list[str]:
    """Return the event IDs of the dead letters that are published."""
    lines = b"".join(content for name, content in files(url).items() if name.endswith(".singer"))
    messages = map(json.loads, lines.splitlines())
    return sorted(one["record"]["event_id"] for one in messages if one["type"] == "RECORD")


def test_writes_of_a_batch_are_apart(folder: DeadLetterFolder, url: str) -> None:
    """Two writes of a micro-batch, one after the other or at the same time, keep all letters."""
    publish(url, of_batch(7, "aa", 1), "1")
    second, third = of_batch(7, "aa", 2), of_batch(7, "aa", 3)
    for attempt in (third, second):
        folder.begin(attempt)
        written(folder, attempt, str(attempt.write.batch.execution))
    for attempt in (third, second):
        folder.publish(attempt.write, [attempt])
        folder.discard(attempt.write)
    assert published(url) == ["1", "2", "3"]


@pytest.mark.usefixtures("folder")
def test_a_batch_that_begins_again_replaces_its_letters_write_by_write(url: str) -> None:
    """The place of a write within its micro-batch says whose letters it replaces."""
    publish(url, of_batch(6, "aa", 1), "6")
    for execution in (4, 9):
        publish(url, of_batch(7, "aa", execution), f"{execution} before")
    publish(url, of_batch(7, "bb", 2))  # All of them are right this time.
    assert published(url) == ["6", "9 before"]
    publish(url, of_batch(7, "bb", 3), "9 after")
    assert published(url) == ["6", "9 after"]


def test_what_an_earlier_attempt_has_left_is_deleted(folder: DeadLetterFolder, url: str) -> None:
    """A driver that was killed leaves pending files, which count for nothing."""
    for old in (of_batch(6, "aa", 1), of_batch(7, "aa", 2)):
        folder.begin(old)
        written(folder, old, "lost")
    other = of_batch(7, "bb", 9)  # Another write that runs at the same time.
    written(folder, other, "pending")
    publish(url, of_batch(7, "bb", 3), "now")
    assert published(url) == ["now"]
    pending = {name for name in files(url) if name.startswith("_pending/query")}
    mine = of_batch(7, "bb", 3).write.marker
    assert pending == {f"_pending/{other.name}", f"_pending/{mine}.begun"}


def test_storage_that_fails(tmp_path: Path) -> None:
    """The message does not have the path, which may hold a secret."""
    (tmp_path / "s3cret").write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be used: File exists") as raised:
        DeadLetterFolder(job(str(tmp_path / "s3cret"))).prepare()
    assert "s3cret" not in str(raised.value)


def test_a_file_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its owner can read it, and all of it reaches the disk."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    folder = DeadLetterFolder(job(str(tmp_path)))
    folder.prepare()
    written(folder, ATTEMPT, "1")
    assert synced == [(tmp_path / "_pending" / ATTEMPT.name).stat().st_size]
    folder.publish(ATTEMPT.write, [ATTEMPT])
    assert (tmp_path / "job-00000.singer").stat().st_mode & 0o777 == 0o600


# What writes know of each other, by small files next to the dead letters


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore("a folder", str(tmp_path), 0, lambda _: None)


def recent(store: ObjectStore, batch: int, run: str = "aa", **outcomes: int) -> StreamCounts:
    """Add the counts of a micro-batch: `delivered`, or a reason; return those of the newest."""
    counts = RunCounts()
    one = counts.of("orders")
    one.read = sum(outcomes.values())
    one.delivered = outcomes.pop("delivered", 0)
    one.rejected = Counter(outcomes)
    made = RecentEvents(store, Write("a1b2", "7e57", MicroBatch("query", batch, run, 1)), counts)
    made.save()
    return made.counts.total


def test_an_acceptance_is_known_to_all(store: ObjectStore, tmp_path: Path) -> None:
    """It is kept in a file that is no dead letter, and is of one account and pixel."""
    one = Acceptance(store, "account")
    assert not one.is_known()
    one.note()
    assert Acceptance(store, "account").is_known()
    assert not Acceptance(store, "another").is_known()
    assert list(tmp_path.rglob("*.singer")) == []


def test_micro_batches_are_judged_together(store: ObjectStore) -> None:
    """The newest ones that have 1,000 records together count, and no older ones."""
    recent(store, 1, refused_by_api=500)
    recent(store, 2, delivered=400)
    assert recent(store, 3, delivered=599).read == 1_499
    total = recent(store, 4, invalid_source=1)
    assert (total.read, total.delivered, total.rejected) == (1_000, 999, {"invalid_source": 1})
    assert total.unsettled == 0


def test_a_micro_batch_that_begins_again_counts_once(store: ObjectStore) -> None:
    """If its driver was killed while it wrote the counts, the stream forgets them and goes on."""
    recent(store, 1, delivered=1)
    recent(store, 2, refused_by_api=5)
    recent(store, 2, refused_by_api=3)  # The second write of that micro-batch.
    total = recent(store, 2, "bb", delivered=8)
    assert (total.delivered, total.rejected) == (9, {})
    store.put("_recent/query-7e57", b'[{"batch":1,"run"')
    assert recent(store, 3, delivered=1).delivered == 1
