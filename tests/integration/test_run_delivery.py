"""Certificates, a refused batch, and a machine that gives few file descriptors."""

import contextlib
import json
import resource
from pathlib import Path

import pytest
from certificates import self_signed_tls, tls, trusted
from faulty_server import FaultyServer, Reply
from integration_forks import Forks
from integration_support import WITH_ID, Launcher, lines, numbered, order, schema, state, wait_until
from ledger_claims import read_letters

from target_liveintent.sandbox import Sandbox


def test_certificates(tmp_path: Path, forks: Forks) -> None:
    """Events go to an API whose authority SSL_CERT_FILE names.

    Where the certificate is not accepted, a run ends at once, whatever `max_retry_seconds` says,
    and its last line names the cause.
    """
    folder = tmp_path / "run"
    folder.mkdir()
    launcher = Launcher(folder, "https://127.0.0.1:9", forks)
    bundles = {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", "SSL_CERT_DIR": ""}
    launcher.env |= bundles | {"SSL_CERT_FILE": str(trusted(tmp_path))}
    messages = (schema(), order(1), state(1))
    with contextlib.closing(launcher):
        with FaultyServer(tls=tls()) as server:
            run = launcher.run(*messages, api_url=server.url)
        assert (run.code, run.states, len(server.accepted)) == (0, [1], 1)
        with FaultyServer(tls=self_signed_tls()) as server:
            how = {"api_url": server.url, "max_retry_seconds": 280}
            run = launcher.run(*messages, options=["--send-again"], **how)
    assert (run.code, run.states, run.letters, run.requests) == (1, [], [], 1)
    assert "signed certificate. Check this machine's clock" in run.last_line
    assert "Traceback" not in run.log
    assert server.requests == []


def test_one_bad_event(target: Launcher, sandbox: Sandbox) -> None:
    """One bad event in 100 is found in about 11 requests, and the others are delivered once."""
    bad = 99
    sandbox.add_faults({"kind": "refuse", "event_ids": [f"order-{bad}"], "times": None})
    run = target.run(schema(columns=WITH_ID), *numbered(100), state(1))
    assert (run.code, run.states) == (0, [1])
    assert {e["eventId"] for e in sandbox.events} == {f"order-{n}" for n in range(99)}
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (99, 0)
    (letter,) = run.letters
    assert (letter["event_id"], letter["reason"]) == (f"order-{bad}", "refused_by_api")
    assert "refused by a scripted fault" in json.dumps(letter)
    assert run.requests == sandbox.stats.requests <= 15


# A machine that gives few file descriptors, or none

FILES = {
    "store": "own.sqlite",
    "metrics_path": "run.prom",
    "report_path": "report.html",
}


def test_a_low_limit_of_open_files(to_server: Launcher, server: FaultyServer) -> None:
    """A run goes on with fewer requests in flight, and has descriptors for all its files."""
    server.answer = lambda _: Reply(delay=0.02)
    config = str(to_server.config(batch_size_rows=1, keep_delivered=True, **FILES))
    guest = order(200, email=None)
    given = lines([schema(columns=WITH_ID), *numbered(200), guest, state({"n": 1})])
    run = to_server.in_shell('ulimit -n 30; exec "$@"', "--config", config, given=given)
    log = run.stderr.decode()
    assert (run.returncode, run.stdout) == (0, b'{"n": 1}\n'), log
    assert sorted(server.accepted) == sorted(f"order-{n}" for n in range(200))
    assert 2 <= server.busiest <= 12
    (letter,) = read_letters(to_server.folder / "own.sqlite")
    assert letter["reason"] == "no_identity"
    assert all((to_server.folder / name).exists() for name in FILES.values())


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is part of Linux")
def test_no_descriptor_at_all(to_server: Launcher, server: FaultyServer) -> None:
    """The run ends after `max_retry_seconds`, says what to do, and writes no STATE."""
    run = to_server.start(max_retry_seconds=1, stream_maps={"orders": {}})
    run.send(schema("mark", ("id",)))
    wait_until(lambda: "'mark'" in run.log, "the warning that no map names this stream")
    resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (3, 3))
    run.send(schema(columns=WITH_ID), *numbered(3), state({"n": 1})).close_input().wait()
    assert (run.code, run.states, server.requests, run.letters) == (1, [], [], []), run.log
    assert run.last_line.startswith(
        "the API accepted nothing for 1 seconds (max_retry_seconds): no file descriptors are left."
    )
    assert "Raise the limit on open files (ulimit -n)" in run.last_line
