"""Fixtures: a running sandbox, and ways to send to it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from integration_support import Launcher
from sandbox_support import NOW, TOKEN, Call, Post

from target_liveintent.sandbox import Sandbox


@pytest.fixture(scope="session")
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False  # no proxy for loopback
        yield session


@pytest.fixture(scope="session")
def _shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(clock=lambda: NOW) as sandbox:
        yield sandbox


@pytest.fixture
def call(sandbox: Sandbox, http: requests.Session) -> Call:
    """Return a function that calls a path of the sandbox; other arguments go to `requests`."""

    def send(path: str, method: str = "GET", *, to: Sandbox = sandbox, **how: Any) -> Any:
        return http.request(method, to.url + path, timeout=5, **how)

    return send


@pytest.fixture
def post(call: Call) -> Post:
    """Return a function that posts a body as the sandbox's customer: bytes, or a value as JSON."""

    def send(
        body: Any,
        *,
        path: str = "/conversions/a-1b2c",
        token: str | None = TOKEN,
        headers: dict[str, str] | None = None,
        **how: Any,
    ) -> requests.Response:
        content = {"data": body} if isinstance(body, bytes) else {"json": body}
        sent = {"Authorization": token, **(headers or {})}  # (Without a token, it is None.)
        return call(path, "POST", headers=sent, **content, **how)

    return send


@pytest.fixture
def target(tmp_path: Path, own_sandbox: Sandbox) -> Iterator[Launcher]:
    """Return a launcher of targets that send to `own_sandbox`, which uses the real time."""
    with contextlib.closing(Launcher(tmp_path, own_sandbox.url)) as launcher:
        yield launcher
