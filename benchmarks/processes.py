"""Runs the child processes of a benchmark: the API, the order generator, the measured programs.

Each function here also ends the processes that it starts, even after an error, and no others.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchmarks.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 1_800.0
"""Seconds after which a program is killed."""

_POLL_SECONDS = 0.002
_SETTLE_SECONDS = 5.0
"""Time that a target has to start and to process its first orders."""
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1_024
"""Bytes in one unit of `ru_maxrss`."""
ENVIRONMENT = os.environ | {
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
    "PYTHONPATH": str(ROOT),
}
"""The environment of the programs."""


class FailedRunError(Exception):
    """A run is invalid; the message says why."""


class Usage(NamedTuple):
    """The resources that a run used.

    Attributes:
        wall: Seconds from its start to its end.
        cpu: Seconds of CPU time, in user and kernel mode.
        peak: Peak memory in MiB.
    """

    wall: float
    cpu: float
    peak: float


def median(runs: Iterable[Usage]) -> Usage:
    """Return the median of each figure."""
    return Usage(*map(statistics.median, zip(*runs, strict=True)))


def module(name: str, *arguments: object) -> list[str]:
    """Return the command line that runs a module of the benchmarks."""
    return [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]


@contextlib.contextmanager
def ending(child: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Kill a child process, if it is still running, at the end of the context."""
    try:
        yield child
    finally:
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        if child.returncode is None:
            child.kill()
            child.wait()


def run(command: list[str], source: IO[bytes] | int, limit: float = LIMIT) -> Usage:
    """Run a program to its end.

    Args:
        command: The program.
        source: Its standard input.
        limit: Seconds after which it is killed.

    Raises:
        FailedRunError: If it fails or exceeds the limit.
    """
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        child = subprocess.Popen(
            command, stdin=source, stdout=subprocess.DEVNULL, stderr=errors, env=ENVIRONMENT
        )
        with ending(child):
            # Popen.wait does not return the kernel's figures. Their peak is at least that of this
            # process, because each child starts as a copy of it; so this process stays small.
            while not (ended := _wait(child.pid))[0]:
                if time.perf_counter() - began > limit:
                    msg = f"{child.args!r} took longer than {limit:g} s"
                    raise FailedRunError(msg)
                time.sleep(_POLL_SECONDS)
            wall = time.perf_counter() - began
            child.returncode = os.waitstatus_to_exitcode(ended[1])
        _check_exit_code(child, errors)
    usage = ended[2]
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _MAXRSS_BYTES / 2**20)


def _wait(pid: int) -> tuple[int, int, Any]:
    """Return how a process ended, and what it used; its number is 0 if it goes on.

    Windows does not say what a process used, so there is no benchmark there.
    """
    ended: tuple[int, int, Any] = (pid, 1, None)
    if sys.platform != "win32":
        ended = os.wait4(pid, os.WNOHANG)
    return ended


def _check_exit_code(child: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    if child.returncode != 0:
        errors.seek(0)
        output = errors.read()[-2_000:].decode(errors="replace")
        msg = f"{child.args!r} ended with {child.returncode}:\n{output}"
        raise FailedRunError(msg)


@contextlib.contextmanager
def orders(count: int, columns: int, now: int) -> Iterator[IO[bytes]]:
    """Open a pipe from which to read a stream of orders, generated while they are read."""
    command = module("orders", count, "--columns", columns, "--now", now)
    with ending(subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT)) as generator:
        assert generator.stdout is not None  # noqa: S101 (for the type checker)
        yield generator.stdout


class Api:
    """An API on loopback, which runs in its own process while the context lasts.

    Args:
        latency: Seconds before each answer.
        workers: How many requests it serves at the same time, each for `latency` seconds; the
            others queue. 0 for any number.
        certificate: A file with a certificate and its key, to speak TLS; None for plain HTTP.
        counts: Whether events are only counted, and not read.

    Attributes:
        url: Its address.
    """

    def __init__(
        self,
        latency: float = 0.0,
        workers: int = 0,
        certificate: Path | None = None,
        *,
        counts: bool = False,
    ) -> None:
        """Start nothing yet."""
        self._arguments: list[object] = ["--latency", latency, "--workers", workers]
        if certificate is not None:
            self._arguments += ["--certificate", certificate]
        if counts:
            self._arguments.append("--count")
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start the API."""
        command = module("api", *self._arguments)
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT
        )
        self._stack.enter_context(ending(self._child))
        self.url = self._read_line().decode().strip()
        return self

    def __exit__(self, *_: object) -> None:
        """End the API."""
        self._stack.close()

    def take(self) -> Tally:
        """Return the tally of what has arrived since the last call."""
        assert self._child.stdin is not None  # noqa: S101 (for the type checker)
        self._child.stdin.write(b"\n")
        self._child.stdin.flush()
        return msgspec.json.decode(self._read_line(), type=Tally)

    def _read_line(self) -> bytes:
        assert self._child.stdout is not None  # noqa: S101 (for the type checker)
        return self._child.stdout.readline()


def silence(command: list[str], first: bytes, seconds: float) -> float | None:
    """Measure the CPU time that a program uses while its input is open, but silent.

    Args:
        command: The program.
        first: The input before the silence.
        seconds: The duration of the silence.

    Returns:
        Seconds of CPU time per minute; None if the operating system does not provide it.
    """
    if math.isnan(_cpu_of(os.getpid())):
        return None
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=ENVIRONMENT,
        )
        with ending(child):
            assert child.stdin is not None  # noqa: S101 (for the type checker)
            child.stdin.write(first)
            child.stdin.flush()
            time.sleep(_SETTLE_SECONDS)
            before = _cpu_of(child.pid)
            time.sleep(seconds)
            after = _cpu_of(child.pid)
            child.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=30)
        _check_exit_code(child, errors)
    return (after - before) * 60 / seconds


def _cpu_of(pid: int) -> float:
    """Return the seconds of CPU time of a process, from the clock of clock_getcpuclockid(3)."""
    used = math.nan
    if sys.platform == "linux":
        used = time.clock_gettime((~pid << 3) | 2)
    return used
