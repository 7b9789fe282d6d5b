"""The differences between operating systems. No other module asks which system it runs on.

mypy checks the package for Linux, macOS and Windows. It understands comparisons of `sys.platform`.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import queue
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

if sys.platform != "win32":
    import fcntl
    import resource

_M_ARENA_MAX = -8
"""The parameter of glibc's `mallopt` for the greatest number of heaps."""
_REPLACE_SECONDS = 2.0
"""How long Windows may refuse to replace a file."""

# Time


def seconds_since_boot() -> float:
    """Return seconds that also pass while the machine is suspended, since an unknown time."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    elif sys.platform == "darwin":  # noqa: RET505 (mypy)
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    else:
        return time.monotonic()  # On Windows, it is such a clock.


# Memory, and what is open


def use_one_heap() -> None:
    """Let all threads share a heap: each thread with its own heap would keep 0.4 MiB unused.

    Only glibc, the C library of most Linux systems, has such heaps.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # Other C libraries have no such limit.
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def free_descriptors() -> int | None:
    """Return how many more files and connections this process may open; None without a limit.

    Windows has no limit that matters here.
    """
    if sys.platform != "win32":
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The folder may not exist, or no descriptor may be left to read it.
        with contextlib.suppress(OSError):
            used = len(os.listdir("/dev/fd"))  # noqa: PTH208 (only their number counts)
            return None if most == resource.RLIM_INFINITY else most - used
    return None


# Files


def open_private(path: str, flags: int) -> int:
    """Open a file, or create it so that only its owner can use it; returns its descriptor.

    On Windows, the folder decides who can use a new file.
    """
    return os.open(path, flags | os.O_CREAT, 0o600)


def identity_of(place: str) -> str:
    """Return a text that is equal for two real paths of the same file, which need not exist.

    Linux alone has files whose names differ only in upper and lower case.
    """
    return place if sys.platform == "linux" else place.casefold()


def allocate(file: IO[bytes], size: int) -> None:
    """Reserve space on the disk for a file, which must be empty and unbuffered.

    Linux reserves the space without writing. On other systems, this function writes random bytes,
    which no file system can compress.

    Raises:
        OSError: If the disk has less space, or the file system cannot allocate any.
    """
    if sys.platform == "linux":
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.write(os.urandom(size))


def sync(descriptor: int) -> None:
    """Make what was written to a file survive a power cut; Windows needs a writable descriptor.

    On macOS, `fsync` alone leaves the data in the memory of the drive.
    """
    os.fsync(descriptor)
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):  # A network file system cannot do more.
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)


def replace(scratch: Path, path: Path) -> None:
    """Rename a file to a path, over the file that is there.

    Windows refuses this while another program, such as a virus scanner, has one of the files open.
    """
    end = time.monotonic() + _REPLACE_SECONDS
    while sys.platform == "win32" and time.monotonic() < end:
        with contextlib.suppress(PermissionError):
            scratch.replace(path)
            return
        time.sleep(0.05)
    scratch.replace(path)


# Standard streams


def use_utf8() -> None:
    """Read and write text in UTF-8 everywhere: for files and pipes, Windows has other encodings."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(encoding="utf-8", errors=stream.errors)


def chunks(descriptor: int, size: int, seconds: float) -> Iterator[bytes | None]:
    """Yield chunks of bytes, b"" at the end, and None after so many seconds without input.

    On Windows, `select` waits only for sockets, so a thread reads each chunk. The thread does not
    read ahead: it would take input that nobody reads any more.
    """
    if sys.platform != "win32":
        while True:
            ready, _, _ = select.select([descriptor], [], [], seconds)
            yield os.read(descriptor, size) if ready else None
    else:
        answers: queue.SimpleQueue[bytes | OSError] = queue.SimpleQueue()
        is_read = False
        while True:
            if not is_read:
                is_read = True
                threading.Thread(
                    target=_read, args=(descriptor, size, answers), daemon=True
                ).start()
            chunk = None
            with contextlib.suppress(queue.Empty):
                chunk = answers.get(timeout=seconds)
                is_read = False
            if isinstance(chunk, OSError):
                raise chunk
            yield chunk


def _read(descriptor: int, size: int, answers: queue.SimpleQueue[bytes | OSError]) -> None:
    try:
        answers.put(os.read(descriptor, size))
    except OSError as error:
        answers.put(error)


# Signals


def handle_break(handler: Callable[[int, Any], Any]) -> None:
    """Handle Ctrl-Break on Windows, the only signal that one program can send to another there."""
    if sys.platform == "win32":
        signal.signal(signal.SIGBREAK, handler)


class Alarm:
    """Calls a function after some seconds, whatever the main thread waits for.

    A signal interrupts the main thread, also in a long search with a regular expression. Windows
    has no such signal: there, another thread calls the function.
    """

    def __init__(self, seconds: float, ring: Callable[[], object]) -> None:
        if sys.platform != "win32":
            signal.signal(signal.SIGALRM, lambda *_: ring())
            signal.setitimer(signal.ITIMER_REAL, seconds)
        else:
            self._timer = threading.Timer(seconds, ring)
            self._timer.daemon = True
            self._timer.start()

    def cancel(self) -> None:
        """Prevent the call."""
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)
        else:
            self._timer.cancel()
