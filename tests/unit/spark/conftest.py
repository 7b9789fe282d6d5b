"""Folders that the machines of a Spark write share, on a disk and in object storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

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
        yield str(tmp_path / "deep" / "folder")
        return
    fsspec.filesystem(request.param).mkdir("/bucket")
    yield f"{request.param}://bucket/folder"
    fsspec.filesystem(request.param).rm("/bucket", recursive=True)
