"""Conversions and rejections as values, and the age windows."""

from __future__ import annotations

import pytest
from unit_support import ADDRESS, DAY, MD5, SHA2, conversion, order

from target_liveintent.conversions.model import MARGIN, WINDOWS, Rejection


def test_the_windows_are_those_of_the_guide() -> None:
    """Seven days online, thirty days offline, and a minute of margin."""
    assert WINDOWS == {"web": 7 * DAY, "app": 7 * DAY, "offline": 30 * DAY}
    assert tuple(WINDOWS) == ("web", "app", "offline")
    assert MARGIN == 60


@pytest.mark.parametrize("detail", [None, "the API says no"])
def test_a_conversion_that_is_refused_becomes_a_rejection(detail: str | None) -> None:
    """It keeps its ID and its columns, with hashes in place of the address."""
    made = conversion(order(order_id="7"), stream="sales")
    assert made.rejected("refused_by_api", "order_id", detail) == Rejection(
        "sales",
        "1007",
        "refused_by_api",
        "order_id",
        {"event_time": made.columns["event_time"], "order_id": "7", "md5": MD5, "sha2": SHA2},
        detail,
    )
    assert ADDRESS not in repr(made)
