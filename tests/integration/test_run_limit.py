"""The setting `limit`: a canary sends a few events and leaves the rest, and STATE, alone."""

import signal

from faulty_server import FaultyServer
from integration_support import Launcher, orders, schema, state, wait_until


def test_limit(to_server: Launcher, server: FaultyServer) -> None:
    """The first events go, no more and no fewer; nothing else is read, and no STATE is written.

    Rejected records do not count. The next run sends the rest, and with --send-again all of it.
    """
    limit = 101
    bad = orders(2_000, 2_005, event_time="never")
    given = (schema(), state(0), *bad, *orders(200), state(1))
    run = to_server.run(*given, limit=limit)
    assert (run.code, run.states, len(run.letters)) == (0, [], len(bad))
    assert sum(len(request.ids) for request in server.requests) == limit
    assert max(len(request.ids) for request in server.requests) <= 100
    assert run.summary["orders"].read == len(bad) + limit
    assert run.summary["total"].adds_up
    (line,) = [text for text in run.texts if "(setting 'limit')" in text]
    assert "is reached; the next run continues from the last STATE" in line
    assert to_server.run(*given).states[-1] == 1
    assert len(server.accepted) == len(server.delivered) == 200
    assert to_server.run(*given, options=["--send-again"]).states[-1] == 1
    assert (len(server.accepted), len(server.delivered)) == (400, 200)


def test_a_tap_that_is_not_done(to_server: Launcher, server: FaultyServer) -> None:
    """The canary's events go at once; the tap may write on, and is not cut off."""
    run = to_server.start(limit=5)
    run.send(schema(), *orders(20))
    wait_until(lambda: server.requests, "the canary's events")
    for _ in range(20):
        run.send(*orders(2_000))  # More than a pipe holds.
    run.close_input().wait()
    assert (run.code, run.states) == (0, [])
    assert [len(request.ids) for request in server.requests] == [5]
    run = to_server.start(limit=5)
    run.send(schema(), *orders(20))
    wait_until(lambda: len(server.requests) == 2, "the canary's events")
    run.signal(signal.SIGTERM).wait()
    assert run.code == 128 + signal.SIGTERM
