"""Starting and stopping the sandbox, from Python and as `liveintent-sandbox`; what it keeps."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import requests
from sandbox_support import NOW, Call, Post, event, events

from target_liveintent.sandbox import Sandbox, store


def test_starts_many_times(call: Call) -> None:
    """A process can start many sandboxes, and one sandbox many times; each ends its threads."""
    before = {*threading.enumerate()}
    again = Sandbox()
    for sandbox in (again, again, Sandbox()):
        with sandbox:
            assert call("/static/page.js", to=sandbox).status_code == 200
            address = urlsplit(sandbox.url)
        with socket.socket() as probe:
            assert probe.connect_ex((address.hostname, address.port)) != 0
    for thread in {*threading.enumerate()} - before:
        thread.join(5)
    assert {*threading.enumerate()} <= before


def test_survives_a_client_that_disconnects(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    """A client that disconnects in the middle of its body causes no error and no request."""
    head = "POST /conversions/a-1b2c HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n["
    with Sandbox() as sandbox:
        address = urlsplit(sandbox.url)
        with socket.create_connection((address.hostname or "", address.port or 0)) as client:
            client.sendall(head.encode())
            call("/stats", to=sandbox)
        call("/stats", to=sandbox)
    assert sandbox.requests == []
    assert caplog.records == []


def test_the_counts_include_all_that_arrived_until_a_reset(
    sandbox: Sandbox, post: Post, call: Call
) -> None:
    """The counts include everything that arrived, also repeated events; a reset clears them."""
    post([event(eventId="e-1"), event(eventId="e-2"), event(eventId="e-1")])
    post([event(eventId="e-1", decisionId="d-1")])
    post([event(source="shop")] * 5)
    whole = ("eventId", "eventTime", "pixelId", "source", "userData", "purchaseData")
    expected: dict[str, Any] = {
        "accepted": 4,
        "arrived": 9,
        "requests": 3,
        "by_status": {"204": 2, "400": 1},
        "by_outcome": {"accepted": 2, "refused": 1},
        "largest_batch": 5,
        "duplicates": 2,
        "coverage": dict.fromkeys((*whole, "md5", "orderId", "value", "currency"), 4)
        | {"decisionId": 1},
    }
    assert call("/stats").json() == expected
    sandbox.add_faults({"kind": "status", "status": 500})
    assert call("/events", "DELETE").status_code == 204
    assert (sandbox.events, sandbox.requests, sandbox.faults) == ([], [], {})
    post([event(eventId="e-1")])
    assert (sandbox.stats.requests, sandbox.stats.accepted, sandbox.stats.duplicates) == (1, 1, 0)


def test_accepted_events_are_listed_newest_first(sandbox: Sandbox, post: Post, call: Call) -> None:
    """Accepted events are counted, and listed newest first, up to a limit and for a search."""
    sent = [*events(2), event({"purchaseData.orderId": "Zürich"}, eventId="e-2")]
    post(msgspec.json.encode(sent))  # unescaped, as the target sends it
    post([event(source="shop", eventId="e-1")])
    assert sandbox.events == sent
    for query, found in (
        ("", sent[::-1]),
        ("?limit=1", [sent[2]]),
        ("?search=e-1", [sent[1]]),
        ("?search=Zürich", [sent[2]]),
        ("?search=x-y", []),
    ):
        assert call(f"/events{query}").json() == {"total": 3, "events": found}
    post(events(12))
    answer = call("/events").json()
    assert (answer["total"], len(answer["events"])) == (15, 10)
    for limit in ("0", "-1", "x", "1.5"):
        answer = call("/events", params={"limit": limit})
        assert (answer.status_code, list(answer.json())) == (422, ["error"])


def test_only_the_newest_requests_are_kept_and_counts_stay_exact(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_KEPT", 2)
    with Sandbox(clock=lambda: NOW) as small:
        post([event(source="shop")], to=small)
        for n in range(4):
            post([event(eventId=f"e-{n}"), event(eventId=f"f-{n}")], to=small)
    assert [kept["eventId"] for kept in small.events] == ["e-2", "f-2", "e-3", "f-3"]
    assert [kept.number for kept in small.requests] == [4, 5]
    assert (small.stats.accepted, small.stats.requests, small.stats.duplicates) == (8, 5, 0)


# The program `liveintent-sandbox`

START = "from target_liveintent.sandbox.__main__ import main; main()"


def command(arguments: Sequence[str], code: str | None = None) -> dict[str, Any]:
    program = ["-c", code] if code else ["-m", "target_liveintent.sandbox"]
    return {
        "args": [sys.executable, "-W", "error", *program, *arguments],
        "env": {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        "text": True,
    }


def run(*arguments: str, code: str | None = None) -> tuple[int, str, str]:
    options = command(arguments, code)
    done = subprocess.run(**options, capture_output=True, timeout=20, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals between processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_a_signal(http: requests.Session, number: signal.Signals) -> None:
    """It prints one line with its address, serves there, and ends with 0 at a signal."""
    options = command(["--port", "0", "--customer-id", "b-0000", "--auth-token", "t0"])
    with subprocess.Popen(**options, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(
            r"The sandbox of LiveIntent's Conversions API runs at (http://127\.0\.0\.1:\d+)\."
            r" It accepts the customer ID b-0000 and the token t0\. To see what it receives, open"
            r" \1/ in a browser\n",
            line,
        )
        assert found, line
        assert http.get(f"{found[1]}/stats", timeout=5).json()["requests"] == 0
        process.send_signal(number)
        rest, errors = process.communicate(timeout=5)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_an_option_that_does_not_work_ends_the_program_with_a_reason(sandbox: Sandbox) -> None:
    port = str(urlsplit(sandbox.url).port)
    for arguments, code, message in (
        (["--port", port], 1, f"Error: The sandbox cannot listen on port {port}: "),
        (["--port", "65536"], 2, "Invalid value for '--port'"),
    ):
        found, output, errors = run(*arguments)
        assert (found, output) == (code, "")
        assert message in errors


def test_a_sandbox_that_is_never_stopped() -> None:
    """It does not keep its process alive."""
    code = "from target_liveintent.sandbox import Sandbox; print(Sandbox().__enter__().url)"
    assert run(code=code)[0] == 0


def test_without_the_extra_the_program_says_how_to_install_it() -> None:
    code, output, errors = run(code=f"import sys; sys.modules['uvicorn'] = None; {START}")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert "pip install 'target-liveintent[sandbox]'" in errors
