"""A dry run: events are shown instead of sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fakes import LOGGER, FakeClock, batch
from unit_support import NOW

from target_liveintent.delivery.dry_run import DryRun

if TYPE_CHECKING:
    import pytest


def test_the_first_events_are_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Five events are shown, however they lie in batches, and all batches come back delivered."""
    caplog.set_level("INFO")
    dry = DryRun(LOGGER, FakeClock())
    for number, size in enumerate((3, 4)):
        dry.submit(batch(*map(str, range(size)), number=number))
    assert len(caplog.messages) == 5
    assert {message.partition("{")[0] for message in caplog.messages} == {"would send: "}
    assert (dry.in_flight, dry.full, dry.status.waiting) == (2, False, 0)
    first, second = dry.take(0.0), dry.take(0.0)
    assert first is not None
    assert second is not None
    assert (len(first.delivered), len(second.delivered)) == (3, 4)
    assert first.sent_at == [NOW] * 3
    assert (first.requests, first.confirmed) == (0, first.delivered)
    assert (dry.in_flight, dry.take(60.0)) == (0, None)
