"""Records which tests reach which lines of the package, and runs chosen tests only.

A pytest plugin for scripts/mutants.py. The processes that tests start are recorded too, through
`start_in_child`, which `sitecustomize` calls in each of them.
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
"""The environment variable that names the folder for records; unset, nothing is recorded."""
CHOSEN = "REACHED_CHOSEN"
"""The environment variable that names a JSON file: the tests to run, in order, and their limits.

A limit is the number of seconds after which a test counts as hung: SIGALRM ends pytest then.
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
    """Record a process that a test has started, or that is forked from such a process."""
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
    """Begin before the package is imported, in each worker of pytest-xdist."""
    global _recorder  # noqa: PLW0603
    if FOLDER in os.environ and "PYTEST_XDIST_WORKER" in os.environ:
        _recorder = _start()


def pytest_configure() -> None:
    """Read which tests to run, if not all."""
    if CHOSEN in os.environ:
        _limits.update(json.loads(Path(os.environ[CHOSEN]).read_text(encoding="utf-8")))
        signal.setitimer(signal.ITIMER_REAL, OUTSIDE_TESTS)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the chosen tests, in their order."""
    if _limits:
        found = {item.nodeid: item for item in items}
        items[:] = [found[test] for test in _limits if test in found]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Record what a test reaches under its name, or give it its time."""
    if _limits:
        signal.setitimer(signal.ITIMER_REAL, _limits[item.nodeid])
    if _recorder is not None:
        _recorder.switch_context(item.nodeid)
    return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how long a test took, and whether it failed."""
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration
    if report.failed:
        _failed.add(report.nodeid)


def pytest_sessionfinish() -> None:
    """Write what was recorded."""
    if _limits:
        signal.setitimer(signal.ITIMER_REAL, OUTSIDE_TESTS)
    if _recorder is None:
        return
    _recorder.stop()
    data = _recorder.get_data()
    lines = {file: data.contexts_by_lineno(file) for file in data.measured_files()}
    _write({"lines": lines, "seconds": _seconds, "failed": sorted(_failed)}, os.environ[FOLDER])
