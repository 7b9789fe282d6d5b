"""What a run warns of: what is lost or never used, streams that no map names, maps that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from integration_support import order, schema, state

if TYPE_CHECKING:
    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

MAP = {"event_id": "event_id", "event_time": "event_time", "email": "email", "__else__": "__NULL__"}


# What is lost


def booked(*sources: str | None, **columns: Any) -> list[dict[str, Any]]:
    """Return a stream of bookings with these sources."""
    messages = [order(n, source=source, **columns) for n, source in enumerate(sources)]
    return [schema(columns=(*MAP, "id", "source")), *messages, state(1)]


def test_a_run_that_delivers_nothing(target: Launcher, sandbox: Sandbox) -> None:
    """Twelve records of which none can be sent fail the run; the letters are kept, STATE is not."""
    run = target.run(*booked(*["desk"] * 7, *["site"] * 5))
    assert (run.code, run.states, sandbox.stats.requests) == (1, [], 0)
    assert [letter["reason"] for letter in run.letters] == ["invalid_source"] * 12
    assert run.last_line.startswith("nothing was delivered, and 12 records became dead letters")
    assert "max_dead_letter_percent" in run.last_line
    (lost, *_) = run.warnings
    assert lost.startswith(
        "orders: 12 of 12 records not delivered because of invalid_source (desk 7, site 5). No"
        " event of this stream was delivered. "
    )


# Settings and taps


@pytest.mark.parametrize("messages", [[], [state(1)]], ids=["nothing", "STATE"])
def test_a_tap_that_died(target: Launcher, messages: list[dict[str, Any]]) -> None:
    """A run to which not even a SCHEMA came says so."""
    run = target.run(*messages)
    assert run.code == 0
    (said,) = run.warnings
    assert said.startswith("the input contains neither a record nor a SCHEMA, ")


# Stream maps
