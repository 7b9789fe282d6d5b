"""What a stream must have so that events can be built from its records."""

from __future__ import annotations

import pytest
from unit_support import BARE, DEFAULTS

from target_liveintent.conversions.fields import (
    SETTING_FOR,
    missing_columns,
    missing_columns_message,
)
from target_liveintent.settings import EventDefaults

ALL = ["event_time", "email", "pixel_id", "source"]


@pytest.mark.parametrize(
    ("properties", "defaults", "missing"),
    [
        *((["event_time", name], DEFAULTS, []) for name in ("email", "md5", "sha2", "decision_id")),
        (["event_time", "source_url"], DEFAULTS, []),
        (ALL, BARE, []),
        (["eventTime", "userData", "pixelId", "source"], BARE, []),
        (["eventTime", "decisionId"], DEFAULTS, []),
        (["eventTime", "purchaseData"], DEFAULTS, []),
        (["email"], DEFAULTS, ["event_time"]),
        (["event_time"], DEFAULTS, ["email"]),
        (["event_time", "ip", "idfa"], DEFAULTS, ["email"]),
        (["event_time", "email"], BARE, ["pixel_id", "source"]),
        (["event_time", "email", "pixel_id"], BARE, ["source"]),
        ([], BARE, ALL),
        (["created_at", "Email"], DEFAULTS, ["event_time", "email"]),
    ],
)
def test_missing_columns(
    properties: list[str], defaults: EventDefaults, missing: list[str]
) -> None:
    """Everything that a stream lacks has a phrase of its own."""
    phrases = missing_columns(properties, defaults)
    assert len(phrases) == len(missing)
    assert all(name in phrase for phrase, name in zip(phrases, missing, strict=True))


def test_what_a_setting_can_supply() -> None:
    """The settings supply exactly the phrases that disappear when they are set."""
    missing = missing_columns([], BARE)
    supplied = set(missing) - set(missing_columns([], DEFAULTS))
    assert {phrase: SETTING_FOR[phrase] for phrase in supplied} == SETTING_FOR
    assert set(SETTING_FOR.values()) == {"pixel_id", "default_source"}


def test_the_message() -> None:
    """It names the stream and everything that is missing."""
    assert missing_columns_message("orders", missing_columns(["email"], BARE)) == (
        "stream 'orders' cannot produce any event: it lacks event_time;"
        " pixel_id (column or setting); source (column, or the setting default_source)."
    )
