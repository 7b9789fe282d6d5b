"""Counts which fields delivered events have, and how soon they were sent."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import msgspec

from target_liveintent.conversions.event_model import DAY, Event, PurchaseData, UserData

HOUR = 3_600
COVERAGE_FIELDS = {
    "md5": "MD5 of the e-mail address",
    "sha2": "SHA-256 of the address",
    "both": "both hashes",
    "decision_id": "decision ID",
    "ip": "IP address",
    "user_agent": "user agent",
    "device_id": "idfa or aaid",
    "order_id": "order ID",
    "value": "value",
    "currency": "currency",
}
"""The fields that coverage counts, with words for each."""


class Timing(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many events were sent within an hour, a day and two days after their event time."""

    within_an_hour: int = 0
    within_a_day: int = 0
    within_two_days: int = 0

    def __add__(self, other: Timing) -> Timing:
        """Return the sum of both figures."""
        return Timing(
            self.within_an_hour + other.within_an_hour,
            self.within_a_day + other.within_a_day,
            self.within_two_days + other.within_two_days,
        )


def timing_of(events: Sequence[Event], sent_at: Sequence[float]) -> Timing:
    """Return how soon events were sent; `sent_at` has the Unix time at which each was sent."""
    ages = sorted([at - event.event_time for event, at in zip(events, sent_at, strict=True)])
    limits = (HOUR, DAY, 2 * DAY)
    return Timing(*(bisect.bisect_right(ages, limit) for limit in limits))


def coverage_of(events: Sequence[Event]) -> dict[str, int]:
    """Return how many `events` there are, and how many of them have each of `COVERAGE_FIELDS`."""
    counts = {
        "decision_id": _having([event.decision_id for event in events]),
        **_user_coverage([event.user_data for event in events]),
        **_purchase_coverage([event.purchase_data for event in events]),
    }
    return {"events": len(events), **{name: counts[name] for name in COVERAGE_FIELDS}}


def _user_coverage(users: list[UserData]) -> dict[str, int]:
    both_hashes = [user.md5 and user.sha2 for user in users]
    device_ids = [user.idfa or user.aaid for user in users]
    return {
        "md5": _having([user.md5 for user in users]),
        "sha2": _having([user.sha2 for user in users]),
        "both": _having(both_hashes),
        "ip": _having([user.ip for user in users]),
        "user_agent": _having([user.user_agent for user in users]),
        "device_id": _having(device_ids),
    }


def _purchase_coverage(purchases: list[PurchaseData]) -> dict[str, int]:
    return {
        "order_id": _having([purchase.order_id for purchase in purchases]),
        "value": _having([purchase.value for purchase in purchases]),
        "currency": _having([purchase.currency for purchase in purchases]),
    }


def _having(values: list[Any]) -> int:
    return len(values) - values.count(None)
