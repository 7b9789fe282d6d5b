"""A system that gives few file descriptors: the run has fewer requests in flight, or waits."""

import errno
import os
import socket
from typing import Any

import pytest
import urllib3
from fakes import settings

from target_liveintent.delivery.api import Verdict
from target_liveintent.delivery.client import Client
from target_liveintent.delivery.pool import most_connections
from target_liveintent.delivery.transport import explain

resource = pytest.importorskip("resource")
EMFILE = OSError(errno.EMFILE, "Too many open files")
NO_DESCRIPTORS = (
    "no file descriptors are left. Raise the limit on open files (ulimit -n), or lower"
    " max_concurrent_requests"
)


def fail(*_: Any, **__: Any) -> None:
    """Give no descriptor."""
    raise EMFILE


def chained(outer: BaseException, inner: BaseException) -> BaseException:
    """Return an exception that another one caused."""
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("fault", "is_starved"),
    [
        (EMFILE, True),
        (OSError(errno.ENFILE, "Too many open files in system"), True),
        (chained(urllib3.exceptions.NewConnectionError(None, ""), EMFILE), True),  # type: ignore[arg-type]
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), False),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
    ],
)
def test_what_is_for_want_of_a_descriptor(fault: BaseException, is_starved: bool) -> None:
    """It is the fault, or what urllib3 wraps."""
    assert (explain(fault).detail == NO_DESCRIPTORS) == is_starved


@pytest.mark.parametrize(
    "where",
    [
        "target_liveintent.delivery.transport._Limited",
        "socket.getaddrinfo",
        "ssl.SSLContext.load_verify_locations",  # Its file is not wrong then.
    ],
)
def test_a_connection_without_a_descriptor(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run has too many requests in flight then, and the API is not at fault."""
    monkeypatch.setattr(where, fail)
    answer = Client(settings(api_url="http://127.0.0.1:9")).post(b"[{}]", ["1"], 60.0)
    assert (answer.verdict, answer.detail) == (Verdict.STARVED, NO_DESCRIPTORS)


@pytest.mark.parametrize(
    ("left", "most"), [(1000, 64), (80, 64), (79, 63), (36, 20), (17, 1), (0, 1), (-1, 64)]
)
def test_connections_leave_descriptors_for_files(
    left: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen stay free beside those that are open now; one connection may be open in any case."""
    used = len(os.listdir("/dev/fd"))  # noqa: PTH208
    limit = left if left == resource.RLIM_INFINITY else used + left
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert most_connections(64) == most
