"""Files that a run replaces, files of any file system, and tables of words."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from target_liveintent.system import replace


def replace_file(path: Path, text: str) -> None:
    """Replace the text of a file in one step: a reader finds the old text or the new one.

    A new file has mode 0600. An existing file, or the target of a link, keeps its mode. The
    encoding is UTF-8.

    Raises:
        OSError: If the file cannot be written.
    """
    path = path.resolve()
    file, scratch = tempfile.mkstemp(prefix=".liveintent-", dir=path.parent)  # (Mode 0600.)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(text)
        with contextlib.suppress(FileNotFoundError):
            Path(scratch).chmod(stat.S_IMODE(path.stat().st_mode))
        replace(Path(scratch), path)
    except BaseException:
        Path(scratch).unlink()
        raise


def word_table(path: Path) -> dict[str, frozenset[str]]:
    """Read a file of sets of words, and return each set by its name.

    Each line has a set's name and some of its words. Lines that begin with `#` are comments.
    """
    table: dict[str, frozenset[str]] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            name, *words = line.split()
            table[name] = table.get(name, frozenset()).union(words)
    return table


def open_anywhere(url: str) -> IO[bytes]:
    """Open a file for reading: a path, or a URL of any file system that fsspec has a package for.

    Raises:
        OSError: If the file cannot be opened. The message leaves out the URL, which may contain
            credentials.
    """
    if "://" not in url:
        return Path(url).open("rb")
    # Imported here because only a run with such a URL needs it.
    import fsspec  # noqa: PLC0415

    try:
        file: IO[bytes] = fsspec.open(url, "rb").open()
    except ImportError:
        scheme = urlsplit(url).scheme
        msg = f"files at {scheme}:// need a package of fsspec that is not installed"
        raise OSError(0, msg) from None
    except Exception as error:  # noqa: BLE001 (each file system has its own)
        raise OSError(0, _reason(error)) from None
    return file


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, without any part of its URL."""
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    if isinstance(error, PermissionError):
        return "access is denied"
    return type(error).__name__
