"""Runs to which the system gives few file descriptors, or none."""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from faulty_server import FaultyServer, Reply
from integration_support import (
    OPTIONS,
    WITH_ID,
    Launcher,
    lines,
    numbered,
    order,
    read_letters,
    schema,
    state,
    wait_until,
)

if TYPE_CHECKING:
    from pathlib import Path

LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
from target_liveintent.target import TargetLiveIntent
TargetLiveIntent.cli()
"""
"""The target, with 30 file descriptors."""
FILES = {
    "dead_letter_path": "letters.singer",
    "delivered_path": "delivered.csv",
    "ledger_path": "ledger.sqlite",
    "metrics_path": "run.prom",
    "report_path": "report.html",
}


def test_a_low_limit_of_open_files(
    to_server: Launcher, server: FaultyServer, tmp_path: Path
) -> None:
    """A run goes on with fewer requests in flight, and has descriptors for all its files."""
    server.answer = lambda _: Reply(delay=0.02)
    config = to_server.config(batch_size_rows=1, **FILES)
    guest = order(200, email=None)
    messages = [schema(columns=WITH_ID), *numbered(200), guest, state({"n": 1})]
    run = subprocess.run(
        [sys.executable, *OPTIONS, "-c", LIMITED, "--config", config],
        cwd=tmp_path,
        env=to_server.env,
        input=lines(messages),
        capture_output=True,
        check=False,
        timeout=60,
    )
    log = run.stderr.decode()
    assert (run.returncode, run.stdout) == (0, b'{"n": 1}\n'), log
    assert sorted(server.accepted) == sorted(f"order-{n}" for n in range(200))
    assert 2 <= server.busiest <= 12
    assert log.count("the limit on open files allows only ") == 1
    assert [letter["reason"] for letter in read_letters(tmp_path / "letters.singer")] == [
        "no_identity"
    ]
    assert all((tmp_path / name).exists() for name in FILES.values())


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is part of Linux")
def test_no_descriptor_at_all(to_server: Launcher, server: FaultyServer) -> None:
    """The run ends after `max_retry_seconds`, says what to do, and writes no STATE."""
    run = to_server.start(max_retry_seconds=2, stream_maps={"orders": {}})
    run.send(schema("mark", ("id",)))
    wait_until(lambda: "'mark'" in run.log, "the warning that no map names this stream")
    resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (3, 3))
    run.send(schema(columns=WITH_ID), *numbered(3), state({"n": 1})).close_input().wait()
    assert (run.code, run.states, server.requests, run.letters) == (1, [], [], []), run.log
    assert run.last_line.startswith(
        "the API accepted nothing for 2 seconds (max_retry_seconds): no file descriptors are left."
    )
    assert "Raise the limit on open files (ulimit -n)" in run.last_line
