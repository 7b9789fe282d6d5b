"""The dead letters of tasks: pending until all tasks are done, then published in one step."""

from __future__ import annotations

import json
import os
from typing import IO, TYPE_CHECKING, Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from unit_support import SETTINGS

from target_liveintent.conversions.model import Rejection
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.spark.attempts import Attempt, MicroBatch, Write
from target_liveintent.spark.columns import Columns
from target_liveintent.spark.dead_letters import DeadLetterFolder, TaskDeadLetters
from target_liveintent.spark.options import Job
from target_liveintent.storage.dead_letters import dead_letter_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Strict(MemoryFileSystem):
    """A storage that, as HDFS, moves no file onto another."""

    protocol = "strict"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("strict:/"))

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        if self.exists(path2):
            raise FileExistsError(path2)
        super().mv(path1, path2, **kwargs)


fsspec.register_implementation("strict", Strict, clobber=True)


@pytest.fixture(params=["file", "memory", "strict"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Name a folder on a disk, or in a storage that knows neither owners nor syncing."""
    if request.param == "file":
        yield str(tmp_path / "deep" / "letters")
        return
    fsspec.filesystem(request.param).mkdir("/bucket")
    yield f"{request.param}://bucket/letters"
    fsspec.filesystem(request.param).rm("/bucket", recursive=True)


def job(url: str) -> Job:
    """Return a write whose dead letters go there."""
    no_columns = Columns((), ())
    return Job({}, "orders", (), no_columns, 1, url, 0, dry_run=False, allowed_percent=50)


def rejection(event_id: str = "1") -> Rejection:
    return Rejection("orders", event_id, "no_identity", None, {"value": 1})


def files(url: str) -> dict[str, bytes]:
    """Return the files of a folder, those that are pending included."""
    storage, root = fsspec.url_to_fs(url)
    return {
        path.removeprefix(root).lstrip("/"): storage.cat_file(path) for path in storage.find(root)
    }


def written(folder: DeadLetterFolder, attempt: Attempt, *event_ids: str) -> bool:
    """Write the dead letters of an attempt to their end; return whether there is a file."""
    dead_letters = TaskDeadLetters(folder, attempt.name)
    for event_id in event_ids:
        dead_letters.write(dead_letter_line(rejection(event_id), SETTINGS, "run-1"))
    dead_letters.close()
    return dead_letters.written


def test_a_task_leaves_a_singer_stream(url: str) -> None:
    """The file has a SCHEMA and a RECORD for each dead letter, as the target's file has."""
    folder = DeadLetterFolder(job(url))
    folder.prepare()
    folder.check()
    attempt = Attempt(Write("job", "t"), 3, 17)
    assert written(folder, attempt, "1", "2")
    assert "job-00003.singer" not in files(url)
    folder.publish(attempt.write, [attempt])
    lines = files(url)["job-00003.singer"].splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["SCHEMA", "RECORD", "RECORD"]
    assert [json.loads(line)["record"]["event_id"] for line in lines[1:]] == ["1", "2"]


def test_a_clean_task_leaves_no_file(url: str) -> None:
    """Without a rejection there is no file to publish."""
    folder = DeadLetterFolder(job(url))
    folder.prepare()
    assert not written(folder, Attempt(Write("job", "t"), 0, 1))
    assert list(files(url)) == ["_pending/README"]


def test_attempts_are_apart(url: str) -> None:
    """Two attempts at a task write two files; one is published, and the other is deleted."""
    folder = DeadLetterFolder(job(url))
    folder.prepare()
    loser, winner = Attempt(Write("job", "t"), 0, 1), Attempt(Write("job", "t"), 0, 2)
    half = TaskDeadLetters(folder, loser.name)
    half.write(dead_letter_line(rejection("lost"), SETTINGS, "run-1"))
    written(folder, winner, "won")
    folder.publish(winner.write, [winner])
    half.close()
    written(folder, Attempt(Write("other", "t"), 0, 3), "another job's")
    folder.discard(winner.write)
    left = files(url)
    assert set(left) == {"_pending/README", "job-00000.singer", "_pending/other-00000-3"}
    assert b"lost" not in left["job-00000.singer"]


def of_batch(number: int, run: str, execution: int, task: int = 0) -> Attempt:
    """Return an attempt at a task of a write within a micro-batch."""
    batch = MicroBatch("query", number, run, execution)
    return Attempt(Write(f"id{run}{execution}", "7e57", batch), 0, task)


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


def test_writes_of_a_batch_are_apart(url: str) -> None:
    """Two writes of a micro-batch, one after the other or at the same time, keep all letters."""
    folder = DeadLetterFolder(job(url))
    folder.prepare()
    publish(url, of_batch(7, "aa", 1), "1")
    second, third = of_batch(7, "aa", 2), of_batch(7, "aa", 3)
    for attempt in (third, second):
        folder.begin(attempt)
        written(folder, attempt, str(attempt.write.batch.execution))
    for attempt in (third, second):
        folder.publish(attempt.write, [attempt])
        folder.discard(attempt.write)
    assert published(url) == ["1", "2", "3"]


def test_a_batch_that_begins_again_replaces_its_letters_write_by_write(url: str) -> None:
    """The place of a write within its micro-batch says whose letters it replaces."""
    DeadLetterFolder(job(url)).prepare()
    publish(url, of_batch(6, "aa", 1), "6")
    for execution in (4, 9):
        publish(url, of_batch(7, "aa", execution), f"{execution} before")
    publish(url, of_batch(7, "bb", 2))  # All of them are right this time.
    assert published(url) == ["6", "9 before"]
    publish(url, of_batch(7, "bb", 3), "9 after")
    assert published(url) == ["6", "9 after"]


def test_what_an_earlier_attempt_has_left_is_deleted(url: str) -> None:
    """A driver that was killed leaves pending files, which count for nothing."""
    folder = DeadLetterFolder(job(url))
    folder.prepare()
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


def test_a_folder_that_is_not_shared(tmp_path: Path) -> None:
    """A machine that does not see what the driver wrote stops before anything is sent."""
    DeadLetterFolder(job(str(tmp_path / "driver"))).prepare()
    with pytest.raises(StorageError, match="a folder that all machines share"):
        DeadLetterFolder(job(str(tmp_path / "executor"))).check()


def test_storage_that_fails(tmp_path: Path) -> None:
    """The message does not have the path, which may hold a secret."""
    (tmp_path / "s3cret").write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be used: File exists") as raised:
        DeadLetterFolder(job(str(tmp_path / "s3cret"))).prepare()
    assert "s3cret" not in str(raised.value)
    with pytest.raises(ConfigurationError, match="a URL with a scheme that fsspec"):
        DeadLetterFolder(job("nope://s3cret/letters"))


def test_the_file_of_a_task_is_closed(tmp_path: Path) -> None:
    """The file is closed when the task is done, and not when it is forgotten."""
    opened: list[IO[bytes]] = []

    class Folder(DeadLetterFolder):
        def open(self, name: str) -> IO[bytes]:
            opened.append(super().open(name))
            return opened[-1]

    folder = Folder(job(str(tmp_path)))
    folder.prepare()
    written(folder, Attempt(Write("job", "t"), 0, 1), "1")
    assert [file.closed for file in opened] == [True]


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    """On a disk, only the owner can read dead letters, as with the target's file."""
    folder = DeadLetterFolder(job(str(tmp_path)))
    folder.prepare()
    attempt = Attempt(Write("job", "t"), 0, 1)
    written(folder, attempt, "1")
    folder.publish(attempt.write, [attempt])
    assert (tmp_path / "job-00000.singer").stat().st_mode & 0o777 == 0o600


def test_a_closed_file_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk, all of the file has reached it when the file is closed."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    folder = DeadLetterFolder(job(str(tmp_path)))
    folder.prepare()
    attempt = Attempt(Write("job", "t"), 0, 1)
    written(folder, attempt, "1")
    assert synced == [(tmp_path / "_pending" / attempt.name).stat().st_size]
