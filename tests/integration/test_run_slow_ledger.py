"""A database that is far away slows a run down only a little: few round trips, of many events."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from integration_support import WITH_ID, numbered, schema, state
from slow_proxy import SlowProxy

if TYPE_CHECKING:
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

pytestmark = pytest.mark.postgres
EVENTS = 8_000
OWN_WORK = 50e-6
"""Seconds that an event may take besides the round trips; about 25e-6 on an idle machine."""
AT_START = 6
"""Round trips before the first event: the connection, the tables, the newest events."""


@pytest.mark.parametrize(("latency", "rate"), [(0.01, 10_000), (0.05, 4_000)])
def test_the_rate_with_a_database_that_is_far_away(
    target: Launcher, sandbox: Sandbox, ledger_url: str, latency: float, rate: float
) -> None:
    """All the time for round trips, and for the work of the run, allows for the rate."""
    port = urlsplit(ledger_url).port
    assert port is not None
    with SlowProxy(port, latency) as proxy:
        far = ledger_url.replace(f":{port}/", f":{proxy.port}/")
        run = target.run(
            schema(columns=WITH_ID), *numbered(EVENTS), state(1), patience=60, ledger_url=far
        )
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], EVENTS)
    seconds = (proxy.round_trips - AT_START) * latency + EVENTS * OWN_WORK
    assert EVENTS / seconds > rate
