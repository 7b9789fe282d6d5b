"""A folder of small files on this machine."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from target_liveintent.errors import StorageError
from target_liveintent.storage.folders import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path


def test_files_are_written_read_listed_and_deleted(tmp_path: Path) -> None:
    """The folder and its parents are made; only their owner can read what is in it."""
    path = tmp_path / "a" / "b"
    folder = LocalFolder("history_path", str(path))
    assert folder.names() == []
    folder.check()
    folder.check()
    folder.put("two", b"2")
    folder.put("one", b"1")
    folder.put("one", b"11")
    assert (folder.names(), folder.read("one")) == (["one", "two"], b"11")
    assert stat.S_IMODE((path / "one").stat().st_mode) == 0o600
    folder.delete("one")
    folder.delete("one")
    assert folder.names() == ["two"]
    with pytest.raises(FileNotFoundError):
        folder.read("one")


def test_failures_name_the_setting(tmp_path: Path) -> None:
    """Whatever fails is a `StorageError` that says what and why."""
    file = tmp_path / "file"
    file.write_text("")
    folder, gone = LocalFolder("history_path", str(file)), LocalFolder("x", str(tmp_path / "gone"))
    with pytest.raises(StorageError, match=r"^history_path '.*file' cannot be written: File exist"):
        folder.check()
    with pytest.raises(StorageError, match=r"cannot be listed: Not a directory$"):
        folder.names()
    with pytest.raises(StorageError, match=r"cannot be read: Not a directory$"):
        folder.read("one")
    with pytest.raises(StorageError, match=r"cannot be written: Not a directory$"):
        folder.delete("one")
    with pytest.raises(StorageError, match=r"^x '.*gone' cannot be written: No such file"):
        gone.put("one", b"")
