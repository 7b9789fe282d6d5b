"""Fixtures that several folders of tests use."""

from __future__ import annotations

import contextlib
import enum
import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from browser_support import OpenPage, launch, opened
from faulty_server import FaultyServer
from integration_support import STORE, Launcher
from needs import pytest_runtest_setup
from postgres_server import Postgres, running
from xdist.scheduler import LoadScopeScheduling

from target_liveintent.privacy import redaction
from target_liveintent.sandbox import Sandbox

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["pytest_runtest_setup"]

# On a busy machine, an example can take any time. Each run tries the same examples.
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _forget_secrets() -> Iterator[None]:
    """Forget the tokens and passwords of a test: a process of tests would have thousands."""
    yield
    redaction._secrets.clear()  # noqa: SLF001 (no program forgets them)
    redaction._secret_spellings.cache_clear()  # noqa: SLF001


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the promise that a test checks in the report of its failure."""
    report = yield
    promises = [mark.args[0] for mark in item.iter_markers("promise")]
    if report.failed and promises:
        report.sections.append(("Not kept: a promise of docs/guarantees.md", "\n".join(promises)))
    return report


class ByFile(LoadScopeScheduling):
    """Runs all tests of a file in one process, and all tests of `tests/spark` in one process.

    Otherwise, each process would have to start Spark.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "tests/spark" if nodeid.startswith("tests/spark/") else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    """Replace xdist's own scheduler for `--dist loadfile`."""
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_make_parametrize_id(val: object, argname: str) -> None:
    """Refuse a row whose id would only be a number, because a failing test must say what failed."""
    has_name = isinstance(val, (str, bytes, int, float, enum.Enum, type(None)))
    if not has_name and not hasattr(val, "__name__"):
        msg = f"a row with {argname} = {val!r:.60} needs an id that says what it is"
        raise pytest.UsageError(msg)


TIME_LIMITS = {"spark": 900, "meltano": 900, "orchestrators": 1800, "site": 600, "slow": 7200}
"""The time limits of tests, in seconds, by marker. The default limit is in pyproject.toml."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Set a longer time limit for tests that start slow programs, unless limits are turned off."""
    if config.getoption("timeout", None) == 0:
        return
    for item in items:
        limits = [limit for marker, limit in TIME_LIMITS.items() if item.get_closest_marker(marker)]
        if limits and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(max(limits)))


@pytest.fixture
def _keep_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore hooks and logging after a test in which the program changes them."""
    for owner, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    level, handlers = root.level, root.handlers[:]
    yield
    root.level, root.handlers = level, handlers
    logging.setLogRecordFactory(factory)
    logging.captureWarnings(capture=False)


@pytest.fixture(scope="session")
def _shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_shared_sandbox: Sandbox) -> Sandbox:
    """Return a local Conversions API that has received no requests yet."""
    _shared_sandbox.reset()
    return _shared_sandbox


@pytest.fixture
def own_sandbox() -> Iterator[Sandbox]:
    """Yield a separate local Conversions API, for a test whose requests may outlive the test."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Yield a running PostgreSQL server, which all tests share."""
    with running() as server:
        yield server


@pytest.fixture
def new_store_url(
    postgres: Postgres, request: pytest.FixtureRequest
) -> Iterator[Callable[[], str]]:
    """Yield a function that creates an empty database for a store and returns its URL."""
    name = f"test_{os.getpid()}_{abs(hash(request.node.nodeid))}"
    schemas: list[str] = []

    def make() -> str:
        schemas.append(f"{name}_{len(schemas)}")
        postgres.sql(f"CREATE SCHEMA {schemas[-1]}")
        return postgres.url(schemas[-1])

    yield make
    for schema in schemas:
        postgres.sql(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
def store_url(new_store_url: Callable[[], str]) -> str:
    """Return the URL of an empty database for the store."""
    return new_store_url()


@pytest.fixture(params=["file", pytest.param("database", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Return the place of a new store: the path of a file, or the URL of a database."""
    if request.param == "database":
        return str(request.getfixturevalue("store_url"))
    return tmp_path / STORE


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """Yield an API that accepts everything, until a test sets another `answer`."""
    with FaultyServer() as server:
        yield server


@pytest.fixture
def to_server(tmp_path: Path, server: FaultyServer) -> Iterator[Launcher]:
    """Yield a launcher of targets that send to `server`."""
    with contextlib.closing(Launcher(tmp_path, server.url)) as launcher:
        yield launcher


@pytest.fixture
def target(tmp_path: Path, sandbox: Sandbox) -> Iterator[Launcher]:
    """Yield a launcher of targets that send to `sandbox`."""
    with contextlib.closing(Launcher(tmp_path, sandbox.url)) as launcher:
        yield launcher


# Not for the session: while it runs, no other test of this thread could use asyncio.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield a real browser."""
    yield from launch()


@pytest.fixture
def open_page(browser: Browser) -> OpenPage:
    """Return `browser_support.opened` for the browser: a context manager that opens a page."""
    return functools.partial(opened, browser)
