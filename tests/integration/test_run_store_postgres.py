"""A database of the store that cannot be reached, or is far away."""

import time
from urllib.parse import urlsplit

import pytest
from integration_support import OFTEN, WITH_ID, Launcher, numbered, orders, schema, state
from slow_proxy import SlowProxy

from target_liveintent.sandbox import Sandbox

pytestmark = pytest.mark.postgres


def test_unreachable(target: Launcher, sandbox: Sandbox) -> None:
    """The run fails after max_retry_seconds, and sends nothing; user and password stay secret.

    `health` ends with 1, which is neither good health nor bad.
    """
    url = "postgresql://bob-77:pw-4711@127.0.0.1:1/x"
    start = time.monotonic()
    run = target.run(schema(), *orders(3), store=url, max_retry_seconds=1, constants=OFTEN)
    assert 1 <= time.monotonic() - start < 8
    for ended in (run, target.ask("health", store=url, max_retry_seconds=0)):
        assert (ended.code, ended.stdout, sandbox.stats.requests) == (1, "", 0)
        assert ended.last_line.startswith("the database named in store cannot be used: ")
        assert "Connection refused" in ended.last_line
        assert not [secret for secret in ("bob-77", "pw-4711", url) if secret in ended.log]


EVENTS = 8_000
OWN_WORK = 50e-6
"""Seconds that an event may take besides the round trips; about 25e-6 on an idle machine."""
LATENCY = 0.05
RATES = {0.01: 10_000, LATENCY: 5_000}
"""Events a second, by the seconds of a round trip."""
NOT_BY_TIME = {
    "target_liveintent.run.run:TICK": 600.0,
    "target_liveintent.run.outcome_writer:_WRITE_SECONDS": 600.0,
}
"""Constants of a run that does nothing because time has passed, however slow the machine is."""
TRIPS_A_SECOND = 4
"""Round trips that it would make because of the time: it writes twice a second."""


def test_the_rate_with_a_database_that_is_far_away(
    target: Launcher, sandbox: Sandbox, store_url: str
) -> None:
    """A run asks it about many events at once: all round trips and its own work allow a rate."""
    port = urlsplit(store_url).port
    assert port is not None
    with SlowProxy(port, LATENCY) as proxy:
        far = store_url.replace(f":{port}/", f":{proxy.port}/")
        assert target.run(store=store_url).code == 0  # It creates the tables.
        assert target.run(store=far).code == 0
        of_any_run = proxy.round_trips
        messages = (schema(columns=WITH_ID), *numbered(EVENTS), state(1))
        run = target.run(*messages, patience=60, store=far, constants=NOT_BY_TIME)
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], EVENTS)
    assert of_any_run <= 13
    for latency, rate in RATES.items():
        trips = proxy.round_trips - 2 * of_any_run + TRIPS_A_SECOND * EVENTS / rate
        seconds = trips * latency + EVENTS * OWN_WORK
        assert EVENTS / seconds > rate
