"""A machine that gives few file descriptors, or none."""

from faulty_server import FaultyServer, Reply
from integration_support import WITH_ID, Launcher, lines, numbered, order, schema, state
from store_tables import read_letters

FILES = {"store": "own.sqlite", "metrics_path": "run.prom", "report_path": "report.html"}


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
