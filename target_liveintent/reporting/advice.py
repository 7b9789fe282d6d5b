"""Says which columns to supply so that LiveIntent can match more conversions."""

from __future__ import annotations

from target_liveintent.reporting.words import percent
from target_liveintent.run import ALL_SOURCES, StreamCounts, counted

_TOLERATED = 0.05
"""The share of conversions that may lack something before it is mentioned."""
_FRESH = 0.5
"""The share that should be sent within an hour; LiveIntent's guide advises it for all events."""
_WEB, _APP = ("web",), ("app",)
_GAPS = (
    (
        "both",
        ALL_SOURCES,
        "without both hashes of the address: supply the address as `email`.",
    ),
    ("ip", _WEB + _APP, "without an IP address: supply the buyer's IP address as `ip`."),
    ("user_agent", _WEB + _APP, "without the name of the browser: supply it as `user_agent`."),
    ("device_id", _APP, "without a device ID: supply it as `idfa` (Apple) or `aaid` (Android)."),
    ("decision_id", _WEB, "without a decision ID: supply the URL of the page as `source_url`."),
    (
        "order_id",
        ALL_SOURCES,
        "without an order ID, so nobody can compare it: supply `order_id`.",
    ),
    ("value", ALL_SOURCES, "without a value: supply the value as `value`."),
)
"""Columns that conversions of some sources should have, and what to do; the most useful first."""


def advise(recent: StreamCounts) -> list[str]:
    """Return a sentence for each thing to change, what would help most first.

    Args:
        recent: What the usual runs of the last 30 days did.
    """
    found = []
    for column, sources, words in _GAPS:
        events = recent.having("events", sources)
        missing = events - recent.having(column, sources)
        if missing > events * _TOLERATED:
            some = "" if sources == ALL_SOURCES else f"{' and '.join(sources)} "
            share = percent(missing, events)
            found.append(f"{counted(missing, f'{some}conversion')} ({share}) {words}")
    if recent.within_an_hour < recent.delivered * _FRESH:
        share = percent(recent.late, recent.delivered)
        found.append(
            f"{counted(recent.late, 'conversion')} ({share}) sent more than an hour after they"
            " happened: run the program more often."
        )
    return found
