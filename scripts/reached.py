"""A pytest plugin for scripts/mutants.py, which records the lines that each test reaches.

The plugin can also run only chosen tests. It records the processes that tests start, too: in each
of these processes, `sitecustomize` calls `start_in_child`.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import coverage
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

assert sys.platform != "win32"  # noqa: S101 (mypy understands it: Windows has no such alarms)

FOLDER = "REACHED_FOLDER"
"""The environment variable that names the folder for records. Without it, nothing is recorded."""
CHOSEN = "REACHED_CHOSEN"
"""The environment variable that names a JSON file: the tests to run, in order, and their limits.

A test that takes longer than its limit, in seconds, counts as hung, and SIGALRM ends pytest.
"""
OUTSIDE_TESTS = 60.0
"""Seconds that pytest may take before the first test, and after the last one."""

_seconds: dict[str, float] = {}
_failed: set[str] = set()
_limits: dict[str, float] = {}
_recorder: coverage.Coverage | None = None


def _start() -> coverage.Coverage:
    recorder = coverage.Coverage(data_file=None, source=["target_liveintent"])
    recorder.start()
    return recorder


def _write(record: dict[str, Any], folder: str) -> None:
    path = Path(folder, f"{uuid.uuid4()}.json")
    path.write_text(json.dumps(record), encoding="utf-8")


def start_in_child() -> None:
    """Record the lines that this process reaches, which a test has started."""
    folder, recorder = os.environ[FOLDER], _start()

    def end() -> None:
        recorder.stop()
        data = recorder.get_data()
        # A forked process gets the environment of its own test after it has been forked.
        test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" (")[0]
        lines = {file: data.lines(file) for file in data.measured_files()}
        reached = {file: {n: [test] for n in found or ()} for file, found in lines.items()}
        _write({"lines": reached}, folder)

    atexit.register(end)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Start the recording in each worker of pytest-xdist, before the package is imported."""
    global _recorder  # noqa: PLW0603
    if FOLDER in os.environ and "PYTEST_XDIST_WORKER" in os.environ:
        _recorder = _start()


def pytest_configure() -> None:
    """Read the chosen tests and their limits, if tests are chosen."""
    if CHOSEN in os.environ:
        _limits.update(json.loads(Path(os.environ[CHOSEN]).read_text(encoding="utf-8")))
        signal.setitimer(signal.ITIMER_REAL, OUTSIDE_TESTS)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep only the chosen tests, in their order."""
    if _limits:
        found = {item.nodeid: item for item in items}
        items[:] = [found[test] for test in _limits if test in found]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Record the lines that a test reaches, or set the test's time limit."""
    if _limits:
        signal.setitimer(signal.ITIMER_REAL, _limits[item.nodeid])
    if _recorder is not None:
        _recorder.switch_context(item.nodeid)
    return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Store how long a test took, and whether it failed."""
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration
    if report.failed:
        _failed.add(report.nodeid)


def pytest_sessionfinish() -> None:
    """Write the record to a file."""
    if _limits:
        signal.setitimer(signal.ITIMER_REAL, OUTSIDE_TESTS)
    if _recorder is None:
        return
    _recorder.stop()
    data = _recorder.get_data()
    lines = {file: data.contexts_by_lineno(file) for file in data.measured_files()}
    _write({"lines": lines, "seconds": _seconds, "failed": sorted(_failed)}, os.environ[FOLDER])
