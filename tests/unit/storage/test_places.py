"""What the settings name: the check of the dead letters' file before a run, and folders."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest
from fakes import LOGGER, settings

from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.storage import Places, places
from target_liveintent.storage.folders import LocalFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def check(**given: Any) -> None:
    """Check the dead letters of these settings."""
    Places(settings(**given), LOGGER).check_dead_letters()


def test_dead_letters_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the whole path, and says if it is the default."""
    monkeypatch.setattr(places, "can_be_written", lambda _: False)
    for given, words, name in (
        ({}, "is not set, and its default, '{}', cannot", "liveintent-dead-letters.singer"),
        ({"dead_letter_path": "own"}, "names '{}', which cannot", "own"),
    ):
        with pytest.raises(ConfigurationError) as raised:
            check(**given)
        assert str(raised.value) == (
            f"setting 'dead_letter_path' {words.format(tmp_path / name)} be written: set"
            " dead_letter_path to a file in a folder that the run can write to"
        )


def test_dead_letters_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check makes no file; a bucket, or a run that writes none, needs no file."""
    check()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(places, "can_be_written", lambda _: False)
    check(dead_letter_path="memory://letters")
    check(dry_run=True)
    check(on_rejection="fail")


def test_a_local_folder(tmp_path: Path) -> None:
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


def test_a_local_folder_that_is_none(tmp_path: Path) -> None:
    """Whatever fails is a `StorageError` that says what and why, and names the setting."""
    path = tmp_path / "file"
    path.touch()
    folder = LocalFolder("history_path", str(path))
    calls: list[tuple[Callable[[], object], str]] = [
        (folder.check, "written: File exists"),
        (folder.names, "listed: Not a directory"),
        (lambda: folder.read("one"), "read: Not a directory"),
        (lambda: folder.put("one", b""), "written: Not a directory"),
        (lambda: folder.delete("one"), "written: Not a directory"),
    ]
    for call, words in calls:
        with pytest.raises(StorageError) as raised:
            call()
        assert str(raised.value) == f"history_path '{path}' cannot be {words}"
