"""Functions that replace a file, open a file of any file system, and read a table of words."""

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
    """Replace the text of a file in one step: a reader finds either the old or the new text.

    A new file has mode 0600. An existing file, or the target of a link, keeps its mode. The text
    is encoded as UTF-8.

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
    """Return the sets of words in an ASCII file, by their names.

    Each line contains the name of a set and words of this set, separated by spaces. A set may have
    several lines. Lines that begin with `#` are comments.
    """
    table: dict[str, frozenset[str]] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            name, *words = line.split()
            table[name] = table.get(name, frozenset()).union(words)
    return table


def open_anywhere(url: str) -> IO[bytes]:
    """Open a file to read its bytes.

    Args:
        url: A path, or a URL of a file system that fsspec supports.

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
        msg = f"install the package that fsspec needs for {scheme}://"
        raise OSError(0, msg) from None
    except Exception as error:  # noqa: BLE001 (each file system has its own exceptions)
        raise OSError(0, _reason(error)) from None
    return file


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, without any part of its URL."""
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    if isinstance(error, PermissionError):
        return "access is denied"
    return type(error).__name__
