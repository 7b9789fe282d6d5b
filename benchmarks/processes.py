"""The children of a benchmark: the API, the generator of orders, the programs that are measured.

Whatever happens, each is ended by what started it, and no other process is touched.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 1_800.0
"""Seconds after which a program is ended."""

_POLL = 0.002
_SETTLING = 5.0
"""Seconds after which a target has started, and done what there is to do."""
_MAXRSS = 1 if sys.platform == "darwin" else 1_024
"""Bytes of one unit of `ru_maxrss`."""
_ENVIRONMENT = os.environ | {
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
    "PYTHONPATH": str(ROOT),
}


class FailedRunError(Exception):
    """A run that does not count; says why."""


class Usage(NamedTuple):
    """What a run took.

    Attributes:
        wall: Seconds from its start to its end.
        cpu: Seconds of CPU time, in the program and in the kernel for it.
        peak: The most memory that it held at a time, in MiB.
    """

    wall: float
    cpu: float
    peak: float


def median(runs: Iterable[Usage]) -> Usage:
    """The median of each figure."""
    return Usage(*map(statistics.median, zip(*runs, strict=True)))


def module(name: str, *arguments: object) -> list[str]:
    """The command line that runs a module of the benchmarks."""
    return [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]


@contextlib.contextmanager
def ended(child: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A child that is gone afterwards."""
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
        limit: Seconds after which it is ended.

    Raises:
        FailedRunError: If it fails.
    """
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        child = subprocess.Popen(
            command, stdin=source, stdout=subprocess.DEVNULL, stderr=errors, env=_ENVIRONMENT
        )
        with ended(child):
            # Popen.wait would lose the kernel's account. Its peak is at least that of this process,
            # of which each child is a copy at first: so little is imported here, and less read.
            while not (found := os.wait4(child.pid, os.WNOHANG))[0]:
                if time.perf_counter() - began > limit:
                    msg = f"{child.args!r} took longer than {limit:g} s"
                    raise FailedRunError(msg)
                time.sleep(_POLL)
            wall = time.perf_counter() - began
            child.returncode = os.waitstatus_to_exitcode(found[1])
        _judge(child, errors)
    usage = found[2]
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _MAXRSS / 2**20)


def _judge(child: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    if child.returncode != 0:
        errors.seek(0)
        said = errors.read()[-2_000:].decode(errors="replace")
        msg = f"{child.args!r} ended with {child.returncode}:\n{said}"
        raise FailedRunError(msg)


@contextlib.contextmanager
def orders(count: int, columns: int, now: int) -> Iterator[IO[bytes]]:
    """A pipe with a stream of orders, made while they are read."""
    command = module("orders", count, "--columns", columns, "--now", now)
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE, env=_ENVIRONMENT)) as generator:
        assert generator.stdout is not None  # noqa: S101 (for the type checker)
        yield generator.stdout


class Api:
    """An API on loopback, in a process of its own, while the context lasts.

    Args:
        latency: Seconds before each answer.

    Attributes:
        url: Its address.
    """

    def __init__(self, latency: float = 0.0) -> None:
        """Remember the latency."""
        self._latency = latency
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start it."""
        command = module("api", "--latency", self._latency)
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_ENVIRONMENT
        )
        self._stack.enter_context(ended(self._child))
        self.url = self._said().decode().strip()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._stack.close()

    def take(self) -> Tally:
        """What has arrived since the last time."""
        assert self._child.stdin is not None  # noqa: S101 (for the type checker)
        self._child.stdin.write(b"\n")
        self._child.stdin.flush()
        return msgspec.json.decode(self._said(), type=Tally)

    def _said(self) -> bytes:
        assert self._child.stdout is not None  # noqa: S101 (for the type checker)
        return self._child.stdout.readline()


def silence(command: list[str], first: bytes, seconds: float) -> float | None:
    """The CPU time that a program takes while its input is open, but silent.

    Args:
        command: The program.
        first: What it reads before.
        seconds: How long the silence is.

    Returns:
        Seconds of CPU time a minute; None where the system does not tell.
    """
    if sys.platform != "linux":
        return None
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=_ENVIRONMENT,
        )
        with ended(child):
            assert child.stdin is not None  # noqa: S101 (for the type checker)
            child.stdin.write(first)
            child.stdin.flush()
            time.sleep(_SETTLING)
            before = _cpu_of(child.pid)
            time.sleep(seconds)
            after = _cpu_of(child.pid)
            child.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=30)
        _judge(child, errors)
    return (after - before) * 60 / seconds


def _cpu_of(pid: int) -> float:
    """Seconds of CPU time that a process has taken, by the clock of clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)
