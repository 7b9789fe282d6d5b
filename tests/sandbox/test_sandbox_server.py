"""Starting and stopping the sandbox from Python."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from sandbox_support import event

import target_liveintent.sandbox
from target_liveintent.sandbox import Sandbox

if TYPE_CHECKING:
    from sandbox_support import Call, Post


def test_starts_many_times(call: Call) -> None:
    """A process can start many sandboxes, and one sandbox many times; each ends its thread."""
    before = threading.active_count()
    again = Sandbox()
    for sandbox in (again, again, Sandbox()):
        with sandbox:
            assert call("/stats", to=sandbox).status_code == 200
            address = urlsplit(sandbox.url)
        with socket.socket() as probe:
            assert probe.connect_ex((address.hostname, address.port)) != 0
    assert threading.active_count() == before


def test_stops_soon(call: Call) -> None:
    """A connection that a client keeps open delays neither the stop nor the next use of a port."""
    with Sandbox() as first:
        port = urlsplit(first.url).port or 0
        call("/stats", to=first)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    with Sandbox(port=port) as second:
        assert call("/stats", to=second).status_code == 200


def test_survives_a_client_that_disconnects(caplog: pytest.LogCaptureFixture) -> None:
    """A client that disconnects in the middle of its body causes no error and no request."""
    head = "POST /conversions/a-1b2c HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n["
    with Sandbox() as sandbox:
        address = urlsplit(sandbox.url)
        with socket.create_connection((address.hostname or "", address.port or 0)) as client:
            client.sendall(head.encode())
    assert sandbox.requests == []
    assert caplog.records == []


def test_customer_and_token_can_be_chosen(post: Post) -> None:
    """The sandbox accepts the customer ID and the token from its options."""
    with Sandbox(customer_id="b-9z9z", auth_token="other") as chosen:
        sent = [event(eventTime=int(time.time()) - 60)]
        answer = post(sent, to=chosen, path="/conversions/b-9z9z", token="Bearer other")
    assert answer.status_code == 204


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_loopback(call: Call, host: str) -> None:
    """The sandbox can listen on any loopback address."""
    try:
        with Sandbox(host=host) as sandbox:
            assert call("/stats", to=sandbox).status_code == 200
    except OSError as error:
        pytest.skip(f"this machine has no {host}: {error}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "0.0.0.0"}, "not a loopback"),  # noqa: S104 - refused
        ({"host": "::"}, "not a loopback"),
        ({"host": "192.0.2.1"}, "not a loopback"),
        ({"host": "example.com"}, "not a loopback"),
        ({"host": ""}, "not a loopback"),
        ({"customer_id": "c-1b2c"}, "customer ID 'c-1b2c'"),
        ({"customer_id": "a-1b2c\n"}, "customer ID"),
    ],
)
def test_rejects_invalid_options(options: dict[str, Any], message: str) -> None:
    """Hosts that other machines can reach and malformed customer IDs are rejected."""
    with pytest.raises(ValueError, match=message):
        Sandbox(**options)


def test_port_in_use(sandbox: Sandbox) -> None:
    """A port in use raises an OSError, and leaves nothing open."""
    with pytest.raises(OSError, match=r".*"), Sandbox(port=urlsplit(sandbox.url).port or 0):
        pass


def test_has_no_url_when_stopped() -> None:
    """A sandbox that is not running has no URL."""
    with pytest.raises(RuntimeError, match="not running"):
        _ = Sandbox().url


def test_has_no_other_names() -> None:
    """The package exports only the sandbox."""
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = target_liveintent.sandbox.Nothing


def test_is_independent() -> None:
    """The sandbox imports nothing of the target, so that each reveals the other's mistakes."""
    code = (
        "import sys, target_liveintent; before = set(sys.modules)\n"
        "import target_liveintent.sandbox.server, target_liveintent.sandbox.cli\n"
        "print([m for m in sys.modules.keys() - before if m.startswith('target_liveintent.')\n"
        "       and not m.startswith('target_liveintent.sandbox')])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[]"
