"""The files of replays: their names, how they are written and removed, and the lock of a replay.

The names hold a hash of the name of a file of dead letters, so a replay finds what an interrupted
one has left, also where the folder has another path by then. They do not match `*dead-letters*`:
files so named hold Singer messages only.
"""

from __future__ import annotations

import contextlib
import glob
import os
import sys
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from target_liveintent.errors import StorageError
from target_liveintent.storage.files import BINARY, sync_folder

if sys.platform != "win32":
    import fcntl


def replay_files(path: str) -> str:
    """Return what the paths of a replay's files begin with.

    Args:
        path: The file of dead letters. The files are beside what a link leads to, as runs write to
            that.
    """
    folder, name = os.path.split(os.path.realpath(path))
    return os.path.join(folder, f".liveintent-replay-{digest(name)}")  # noqa: PTH118


def digest(text: str) -> str:
    """Return what stands for a name or a URL in the names of files and objects."""
    return blake2b(text.encode(errors="surrogateescape"), digest_size=6).hexdigest()


def leftover(prefix: str, kind: str) -> list[str]:
    """Return the paths of the files of a kind, such as `journal`, in the order of their parts."""
    return sorted(glob.glob(f"{glob.escape(prefix)}-*.{kind}"))  # noqa: PTH207


def is_anything_left(prefix: str) -> bool:
    """Return whether an interrupted replay has left a file of any kind."""
    return bool(glob.glob(f"{glob.escape(prefix)}*"))  # noqa: PTH207


def part_of(prefix: str, path: str) -> str:
    """Return the ID of the part that is in the name of a file."""
    return path[len(prefix) + 1 :].rpartition(".")[0]


def write_new(path: str, lines: Iterable[bytes]) -> None:
    """Write a file in one step, and leave nothing behind if that fails."""
    scratch = f"{path}.new"
    try:
        file = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.writelines(lines)
            stream.flush()
            os.fsync(file)
        os.replace(scratch, path)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch)  # noqa: PTH108
        raise
    sync_folder(path)


def remove(path: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108
        sync_folder(path)


def forget_ledger(path: str) -> None:
    """Remove a ledger with the files that SQLite has beside it."""
    for one in glob.glob(f"{glob.escape(path)}*"):  # noqa: PTH207
        remove(one)


def is_named(path: str, file: int) -> bool:
    """Return whether a path names a file that is open."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))  # noqa: PTH116
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def alone(lock: str, path: str) -> Iterator[None]:
    """Keep other replays of a path away.

    Args:
        lock: A file that is made and removed.
        path: The path, for messages.

    Raises:
        StorageError: If another replay goes on, or the file cannot be made.
    """
    with failures_named(f"the lock file of the replay, '{lock}', cannot be opened"):
        while True:
            file = os.open(lock, os.O_RDWR | os.O_CREAT | BINARY, 0o600)
            if not _lock_at_once(file):
                os.close(file)
                msg = (
                    f"another replay of '{path}' is running: wait until it has ended, then run the"
                    " command again"
                )
                raise StorageError(msg)
            if is_named(lock, file):  # Not removed by another replay at its end.
                break
            os.close(file)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(lock)  # noqa: PTH108
        os.close(file)


def _lock_at_once(file: int) -> bool:
    if sys.platform == "win32":  # It has no flock.
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def failures_named(what: str) -> Iterator[None]:
    """Turn a failure of a file into a `StorageError` that begins with what could not be done."""
    try:
        yield
    except (OSError, ValueError) as error:
        msg = f"{what}: {getattr(error, 'strerror', None) or error}"
        raise StorageError(msg) from None
