"""The differences between operating systems. No other module checks which system it runs on.

mypy checks the package for Linux, macOS and Windows, and understands comparisons of `sys.platform`.
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
"""The parameter of glibc's `mallopt` for the maximum number of heaps."""
_REPLACE_SECONDS = 2.0
"""If Windows refuses to replace a file, `replace` tries again for this number of seconds."""

# Time


def seconds_since_boot() -> float:
    """Return the seconds since an arbitrary moment; the time of a suspension counts, too."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    elif sys.platform == "darwin":  # noqa: RET505 (mypy)
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    else:
        return time.monotonic()  # On Windows, it also counts the time of a suspended machine.


# Memory and open files


def use_one_heap() -> None:
    """Make all threads share one heap, because each further heap would keep 0.4 MiB unused.

    This concerns only glibc, the C library of most Linux systems.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # Other C libraries have no such limit.
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def free_descriptors() -> int | None:
    """Return how many more files and connections this process may open.

    None means that there is no limit, or that the number is unknown. Windows has no such limit.
    """
    if sys.platform != "win32":
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The folder may not exist, or the process may have no free descriptor to read it.
        with contextlib.suppress(OSError):
            used = len(os.listdir("/dev/fd"))  # noqa: PTH208 (only their number counts)
            return None if most == resource.RLIM_INFINITY else most - used
    return None


# Files


def open_private(path: str, flags: int) -> int:
    """Return the descriptor of an opened file, which is created with mode 0600 if it is missing.

    On Windows, the permissions of the folder decide who can use a new file.

    Args:
        path: The path of the file.
        flags: The flags of `os.open`, such as `os.O_RDWR`.
    """
    return os.open(path, flags | os.O_CREAT, 0o600)


def identity_of(path: str) -> str:
    """Return a text that two paths share only if they name the same file, which may not exist yet.

    On macOS and Windows, paths that differ only in upper and lower case name the same file.

    Args:
        path: A path without links, as `os.path.realpath` returns it.
    """
    return path if sys.platform == "linux" else path.casefold()


def allocate(file: IO[bytes], size: int) -> None:
    """Reserve `size` bytes on the disk for a file, which must be empty and unbuffered.

    Linux reserves the space without writing. On other systems, this function writes random bytes,
    which no file system can compress.

    Raises:
        OSError: If the disk has too little space, or the file system cannot reserve any.
    """
    if sys.platform == "linux":
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.write(os.urandom(size))


def sync(descriptor: int) -> None:
    """Flush a file to the disk, so that its data survives a power cut.

    On Windows, the descriptor must be writable. On macOS, `fsync` alone would leave the data in the
    cache of the drive.
    """
    os.fsync(descriptor)
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):  # A network file system cannot do more.
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)


def replace(scratch: Path, path: Path) -> None:
    """Rename the file `scratch` to `path`, and replace the file that is there.

    Windows refuses this while another program, such as a virus scanner, has one of the files open.
    So this function tries again for some seconds, and then raises the `PermissionError`.
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
    """Set the encoding of the standard streams to UTF-8, because Windows has other encodings."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(encoding="utf-8", errors=stream.errors)


def chunks(descriptor: int, size: int, seconds: float) -> Iterator[bytes | None]:
    """Yield chunks of input: b"" at the end, and None after `seconds` without input.

    On Windows, `select` waits only for sockets, so a thread reads each chunk. The thread does not
    read the next chunk before the caller asks for it.

    Args:
        descriptor: The descriptor of the input.
        size: The maximum number of bytes in a chunk.
        seconds: The maximum time to wait for a chunk.
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
    """Install a handler for Ctrl-Break on Windows; do nothing on other systems.

    Ctrl-Break is the only signal that a program can send to another program on Windows.
    """
    if sys.platform == "win32":
        signal.signal(signal.SIGBREAK, handler)


class Alarm:
    """Calls the function `ring` after some seconds, even if the main thread is busy.

    A signal interrupts the main thread, even in a long search with a regular expression. On
    Windows, which has no such signal, another thread calls the function.
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
        """Cancel the call of the function."""
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)
        else:
            self._timer.cancel()
