"""A system that gives few file descriptors: what is delivered, and what a run makes of it."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from fakes import settings
from faulty_server import FaultyServer, Reply
from loopback import Loopback, answer_with

from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.delivery import tokens
from target_liveintent.delivery.answers import Verdict
from target_liveintent.delivery.client import Client
from target_liveintent.delivery.descriptors import most_connections
from target_liveintent.delivery.faults import is_starved

if TYPE_CHECKING:
    from collections.abc import Callable

resource = pytest.importorskip("resource")
EMFILE = OSError(errno.EMFILE, "Too many open files")


def deliver(count: int, left: int, **changes: Any) -> tuple[dict[str, Any], list[str]]:
    """Deliver batches in a process with so few descriptors; return what became of them, the log."""
    program = Path(__file__).with_name("starving.py")
    process = subprocess.run(
        [sys.executable, program, str(count), str(left), json.dumps(changes)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(process.stdout), process.stderr.splitlines()


def test_a_run_goes_on_with_few_descriptors() -> None:
    """Every event is delivered once, in as many requests at the same time as the system allows."""
    with FaultyServer(lambda _: Reply(delay=0.02)) as server:
        said, log = deliver(200, 5, api_url=server.url)
    assert said == {
        "confirmed": list(range(200)),
        "undelivered": [],
        "failures": [],
        "requests": 200,
        "retries": 0,
    }
    assert len(server.requests) == 200
    assert 2 <= server.busiest <= 5
    assert "\n".join(log) == (
        "no file descriptors are left for another connection, so the run continues with fewer"
        " requests in flight. Raise the limit on open files (ulimit -n), or lower"
        " max_concurrent_requests"
    )


def test_no_descriptor_ever_comes() -> None:
    """The run ends after `max_retry_seconds`, and the message says what to do."""
    with FaultyServer() as server:
        said, _ = deliver(3, 0, api_url=server.url, max_retry_seconds=2)
    (failure,) = said.pop("failures")
    assert failure == (
        "the API accepted nothing for 2 seconds (max_retry_seconds): no file descriptors are left."
        " Raise the limit on open files (ulimit -n), or lower max_concurrent_requests"
    )
    assert said == {"confirmed": [], "undelivered": [], "requests": 0, "retries": 0}
    assert server.requests == []


def chained(outer: BaseException, inner: BaseException) -> BaseException:
    """Return an exception that another one caused."""
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("fault", "starved"),
    [
        (EMFILE, True),
        (OSError(errno.ENFILE, "Too many open files in system"), True),
        (chained(urllib3.exceptions.NewConnectionError(None, ""), EMFILE), True),  # type: ignore[arg-type]
        (urllib3.exceptions.ProtocolError("Connection aborted.", EMFILE), True),
        (urllib3.exceptions.SSLError(EMFILE), True),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), False),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
    ],
)
def test_what_is_for_want_of_a_descriptor(fault: BaseException, starved: bool) -> None:
    """It is in the causes of a fault, however urllib3 wraps them."""
    assert is_starved(fault) == starved


def post_with(where: str, monkeypatch: pytest.MonkeyPatch, url: str, **changes: Any) -> Verdict:
    """Post while one function of the system gives no descriptor."""

    def fail(*_: Any, **__: Any) -> None:
        raise EMFILE

    client = Client(settings(api_url=url, **changes), SYSTEM_CLOCK)
    monkeypatch.setattr(where, fail)
    return client.post(b"[{}]", ["1"], 60.0).verdict


@pytest.mark.parametrize("where", ["socket.socket", "socket.getaddrinfo"])
def test_a_connection_without_a_descriptor(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a socket nor the look-up of a name is a fault of the API then."""
    assert post_with(where, monkeypatch, "http://127.0.0.1:9") is Verdict.STARVED


def test_certificates_without_a_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of certificates that cannot be opened now is no fault of the set-up."""
    where = "ssl.SSLContext.load_verify_locations"
    assert post_with(where, monkeypatch, "https://127.0.0.1:9") is Verdict.STARVED


def test_a_token_without_a_descriptor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A token's file that cannot be opened now may hold another token: the run goes on."""
    path = tmp_path / "token"
    path.write_text("a-token")
    given = {"auth_token_path": str(path), "auth_token": None}
    with Loopback(answer_with("401 Unauthorized")) as server:
        client = Client(settings(api_url=server.url, **given), SYSTEM_CLOCK)

        def fail(*_: Any, **__: Any) -> None:
            raise EMFILE

        monkeypatch.setattr(tokens.Path, "open", fail)
        assert client.post(b"[{}]", ["1"], 60.0).verdict is Verdict.STARVED


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what sets the limit on open files, beside those that are open now."""
    used = len(os.listdir("/dev/fd"))  # noqa: PTH208

    def set_limit(left: int) -> None:
        most = left if left == resource.RLIM_INFINITY else used + left
        monkeypatch.setattr(resource, "getrlimit", lambda _: (most, most))

    return set_limit


@pytest.mark.parametrize(
    ("left", "most"), [(1000, 64), (80, 64), (79, 63), (36, 20), (17, 1), (0, 1), (-1, 64)]
)
def test_connections_leave_descriptors_for_files(
    left: int, most: int, limit: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Sixteen stay free, but one connection may be open in any case; fewer give a warning."""
    limit(left)
    assert most_connections(64) == most
    warning = (
        f"max_concurrent_requests is 64, but the limit on open files allows only {most}"
        " requests at the same time. "
    )
    assert [line.startswith(warning) for line in caplog.messages] == [True] * (most < 64)
