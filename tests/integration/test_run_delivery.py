"""A machine that gives few file descriptors, or none."""

import resource

import pytest
from faulty_server import FaultyServer, Reply
from integration_support import WITH_ID, Launcher, lines, numbered, order, schema, state, wait_until
from ledger_claims import read_letters

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
