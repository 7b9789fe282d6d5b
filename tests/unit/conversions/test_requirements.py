"""What a stream lacks to give events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from unit_support import (
    BARE,
    DEFAULTS,
)

from target_liveintent.conversions.requirements import missing_columns

if TYPE_CHECKING:
    from target_liveintent.settings import EventDefaults


@pytest.mark.parametrize(
    ("properties", "defaults", "missing"),
    [
        (["event_time", "email"], DEFAULTS, []),
        (["event_time", "md5"], DEFAULTS, []),
        (["event_time", "sha2"], DEFAULTS, []),
        (["event_time", "decision_id"], DEFAULTS, []),
        (["event_time", "source_url"], DEFAULTS, []),
        (["event_time", "email", "pixel_id", "source"], BARE, []),
        (["eventTime", "userData", "pixelId", "source"], BARE, []),
        (["eventTime", "decisionId"], DEFAULTS, []),
        (["eventTime", "purchaseData"], DEFAULTS, []),
        (["email"], DEFAULTS, ["event_time"]),
        (["event_time"], DEFAULTS, ["email"]),
        (["event_time", "ip", "idfa"], DEFAULTS, ["email"]),
        (["event_time", "email"], BARE, ["pixel_id", "source"]),
        (["event_time", "email", "pixel_id"], BARE, ["source"]),
        (["event_time", "email", "source"], BARE, ["pixel_id"]),
        ([], BARE, ["event_time", "email", "pixel_id", "source"]),
        (["created_at", "Email"], DEFAULTS, ["event_time", "email"]),
    ],
)
def test_missing_columns(
    properties: list[str], defaults: EventDefaults, missing: list[str]
) -> None:
    """What a stream lacks to ever give an event is listed, a phrase each."""
    phrases = missing_columns(properties, defaults)
    assert len(phrases) == len(missing)
    for phrase, name in zip(phrases, missing, strict=False):
        assert name in phrase
