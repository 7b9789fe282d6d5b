"""A system that gives few file descriptors: what is delivered, and what a run makes of it."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from fakes import ACCEPTED, STARVED, FakeClient, RealClock, batch, settings
from loopback import answer_with, loopback

from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.delivery import client as client_module
from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.delivery.client import Client
from target_liveintent.delivery.model import BatchResult
from target_liveintent.delivery.network_faults import is_starved, most_connections
from target_liveintent.delivery.pool import delivery_of

if TYPE_CHECKING:
    from pathlib import Path

resource = pytest.importorskip("resource")
EMFILE = OSError(errno.EMFILE, "Too many open files")


WARNING = (
    "no file descriptors are left for another connection, so the run continues with fewer requests"
    " in flight. Raise the limit on open files (ulimit -n), or lower max_concurrent_requests"
)


def test_a_run_goes_on_with_few_descriptors() -> None:
    """Every event is delivered once, in as many requests at the same time as the system allows."""
    descriptors = threading.Semaphore(5)

    def answer(_: list[str]) -> Answer:
        if not descriptors.acquire(blocking=False):
            return STARVED
        time.sleep(0.001)
        descriptors.release()
        return ACCEPTED

    client = FakeClient(answer)
    pool = delivery_of(settings(), client, RealClock())
    results: list[BatchResult] = []
    for number in range(200):
        while pool.full:
            results += filter(None, [pool.take(1.0)])
        pool.submit(batch(str(number), number=number))
    pool.drain()
    while pool.in_flight:
        results += filter(None, [pool.take(1.0)])
    pool.close()
    assert len(client.posted) > 200
    assert sorted(client.accepted, key=int) == [str(number) for number in range(200)]
    assert {result.failure for result in results} == {None}
    assert sum(result.requests for result in results) == 200
    assert sum(result.retries for result in results) == 0


def fail(*_: Any, **__: Any) -> None:
    """Give no descriptor."""
    raise EMFILE


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


@pytest.mark.parametrize(
    ("where", "url"),
    [
        # Neither a socket nor the look-up of a name is a fault of the API then,
        ("target_liveintent.delivery.transport._Limited", "http://127.0.0.1:9"),
        ("socket.getaddrinfo", "http://127.0.0.1:9"),
        # and a file of certificates that cannot be opened now is no fault of the set-up.
        ("ssl.SSLContext.load_verify_locations", "https://127.0.0.1:9"),
    ],
)
def test_a_connection_without_a_descriptor(
    where: str, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The request is made later, and the log says why, once."""
    client = Client(settings(api_url=url), SYSTEM_CLOCK)
    monkeypatch.setattr(where, fail)
    verdicts = [client.post(b"[{}]", ["1"], 60.0).verdict for _ in range(2)]
    assert verdicts == [Verdict.STARVED] * 2
    assert caplog.messages == [WARNING]


def test_a_token_without_a_descriptor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A token's file that cannot be opened now may hold another token: the run goes on."""
    path = tmp_path / "token"
    path.write_text("a-token")
    with loopback(answer_with("401 Unauthorized")) as server:
        given = settings(api_url=server.url, auth_token_path=str(path), auth_token=None)
        client = Client(given, SYSTEM_CLOCK)
        monkeypatch.setattr(client_module.Path, "open", fail)
        assert client.post(b"[{}]", ["1"], 60.0).verdict is Verdict.STARVED


@pytest.mark.parametrize(
    ("left", "most"), [(1000, 64), (80, 64), (79, 63), (36, 20), (17, 1), (0, 1), (-1, 64)]
)
def test_connections_leave_descriptors_for_files(
    left: int, most: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Sixteen stay free beside those that are open now; one connection may be open in any case.

    If there are fewer connections than are wanted, a warning says so.
    """
    used = len(os.listdir("/dev/fd"))  # noqa: PTH208
    limit = left if left == resource.RLIM_INFINITY else used + left
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert most_connections(64) == most
    warning = (
        f"max_concurrent_requests is 64, but the limit on open files allows only {most}"
        " requests at the same time. "
    )
    assert [line.startswith(warning) for line in caplog.messages] == [True] * (most < 64)
