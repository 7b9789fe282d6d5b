"""Starts targets as processes of their own without the half second that their imports take.

Python's fork server has imported the package, and forks a process for each target, which then goes
on as `python -m target_liveintent` does: with arguments, environment, folder and standard streams
of its own. Tests of the command line itself start the interpreter anew.
"""

import functools
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing import connection, reduction
from pathlib import Path
from typing import Any

_SERVER: Any = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
_SERVER.set_forkserver_preload(["target_liveintent.cli", "prometheus_client"])
_LOCK = threading.Lock()
"""Only one thread may look how a process has ended; the start of another one looks as well."""


class Forked:
    """A target that was forked; the part of `subprocess.Popen` that tests need.

    `streams` are the descriptors of its standard streams. `constants` are new values of the
    package's constants, by `module:NAME` or `module:Class.name`, so that a test does not wait for a
    time that a user never sets.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        streams: Sequence[int],
        constants: Mapping[str, Any],
    ) -> None:
        given = (list(arguments), folder, dict(env), [*map(_Copied, streams)], dict(constants))
        self._process = _SERVER.Process(target=_run, args=given)
        with _LOCK:
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        with _LOCK:
            exitcode: int | None = self._process.exitcode
            return exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        connection.wait([self._process.sentinel], timeout)
        if (code := self.returncode) is None:
            raise subprocess.TimeoutExpired("target", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class TimeAhead:
    """The module `time`, if the wall clock is so many seconds ahead."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.monotonic = time.monotonic

    def time(self) -> float:
        return time.time() + self._seconds


class _Copied:
    """A descriptor, of which the process gets a copy."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> Any:
        return _detached, (reduction.DupFd(self._descriptor),)


def _detached(copy: Any) -> int:
    descriptor: int = copy.detach()
    return descriptor


def _run(
    arguments: list[str],
    folder: Path,
    env: dict[str, str],
    streams: list[int],
    constants: dict[str, Any],
) -> None:
    """Be a target, in the process that was forked."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    warnings.simplefilter("error")
    # The SDK says at import that Python 3.10 is at its end of life.
    warnings.filterwarnings("ignore", ".*end of life", FutureWarning)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[1:] = arguments
    for place, value in constants.items():
        module, _, path = place.partition(":")
        *owners, name = path.split(".")
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        assert hasattr(owner, name), place
        setattr(owner, name, value)
    runpy.run_module("target_liveintent", run_name="__main__", alter_sys=True)
