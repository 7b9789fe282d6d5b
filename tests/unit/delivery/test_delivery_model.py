"""Conversions that were not delivered, as the rejections that become dead letters."""

from __future__ import annotations

import pytest
from fakes import event

from target_liveintent.delivery.model import Undelivered


@pytest.mark.parametrize(
    ("reason", "column"),
    [("event_too_old", "event_time"), ("refused_by_api", None), ("unconfirmed", None)],
)
def test_the_column_at_fault(reason: str, column: str | None) -> None:
    """Only an event that became too old names a column: the API says nothing of columns."""
    made = Undelivered(event("7"), reason, "HTTP 400: bad").rejection
    assert (made.event_id, made.reason, made.field) == ("7", reason, column)
    assert made.detail == "HTTP 400: bad"
