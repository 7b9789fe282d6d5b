"""When the window of an event closes, as far as its columns and the settings say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from target_liveintent.conversions import coerce
from target_liveintent.conversions.model import MARGIN, WINDOWS
from target_liveintent.settings import EventDefaults

_LONGEST = max(WINDOWS.values())


def window_end(columns: Mapping[str, Any], defaults: EventDefaults) -> int | None:
    """Return the Unix time from which on an event of these columns is too old to be sent.

    Where no source is known, it may be one with the longest window. None if the event time is
    absent or cannot be read.
    """
    event_time = coerce.unix_time(columns.get("event_time"), defaults.zone)
    if not isinstance(event_time, int):
        return None
    source = coerce.source(columns.get("source"))
    if source is None:
        source = defaults.source
    window = WINDOWS[source] if isinstance(source, str) else _LONGEST
    return event_time + window - MARGIN
