"""A folder of small files: on this machine, or in an object store."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Protocol

from target_liveintent.errors import StorageError
from target_liveintent.storage.files import replace_file


class Folder(Protocol):
    """A folder of files that are written whole. Each method raises `StorageError` if it fails."""

    def check(self) -> None:
        """Make the folder, if it is one of this machine; no bucket is made.

        Raises:
            ConfigurationError: If there is no such bucket, or the store cannot be used.
        """

    def names(self) -> list[str]:
        """Return the names of the files, in order; none if the folder is not there."""

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: If there is none of this name.
        """

    def put(self, name: str, content: bytes) -> None:
        """Write a file in one step; it replaces one of the same name."""

    def delete(self, name: str) -> None:
        """Delete a file, if there is one of this name."""


class LocalFolder:
    """A `Folder` on this machine, whose files only their owner can read.

    Args:
        setting: The setting that names the folder, for messages.
        path: The folder.
    """

    def __init__(self, setting: str, path: str) -> None:
        self._setting = setting
        self._path = pathlib.Path(path)

    def check(self) -> None:
        """Make the folder, if it is not there."""
        with self._named("cannot be written"):
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Return the names of the files, in order; none if the folder is not there."""
        with self._named("cannot be listed"):
            try:
                return sorted(os.listdir(self._path))  # noqa: PTH208 (they are asked for as text)
            except FileNotFoundError:
                return []

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: If there is none of this name.
        """
        with self._named("cannot be read", absent=True):
            return (self._path / name).read_bytes()

    def put(self, name: str, content: bytes) -> None:
        """Write a file in one step; it replaces one of the same name."""
        with self._named("cannot be written"):
            replace_file(str(self._path / name), content.decode())

    def delete(self, name: str) -> None:
        """Delete a file, if there is one of this name."""
        with self._named("cannot be written"):
            (self._path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _named(self, what: str, *, absent: bool = False) -> Iterator[None]:
        """Turn a failure into a `StorageError`; a file that is not there may be the caller's."""
        try:
            yield
        except OSError as error:
            if absent and isinstance(error, FileNotFoundError):
                raise
            msg = f"{self._setting} '{self._path}' {what}: {error.strerror}"
            raise StorageError(msg) from None
