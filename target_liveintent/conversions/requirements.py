"""What a stream must have so that events can be built from its records."""

from __future__ import annotations

from collections.abc import Iterable

from target_liveintent.conversions.fields import IDENTITY_COLUMNS, places_of
from target_liveintent.settings import EventDefaults

_IDENTITY_SOURCES = (*IDENTITY_COLUMNS, "decision_id", "source_url")
_LACKS_PIXEL = "pixel_id (column or setting)"
_LACKS_SOURCE = "source (column, or the setting default_source)"
SETTING_FOR = {_LACKS_PIXEL: "pixel_id", _LACKS_SOURCE: "default_source"}
"""Maps a phrase of `missing_columns` to the setting that can supply what is missing."""


def missing_columns(properties: Iterable[str], defaults: EventDefaults) -> list[str]:
    """List what a stream lacks so that no event can ever be built from its records.

    Args:
        properties: The names of its columns after mapping.
        defaults: What the settings supply.

    Returns:
        One phrase for each thing that is missing; empty if events can be built.
    """
    there = set(places_of(properties))
    missing = []
    if "event_time" not in there:
        missing.append("event_time")
    if there.isdisjoint(_IDENTITY_SOURCES):
        missing.append("one of " + ", ".join(_IDENTITY_SOURCES))
    if "pixel_id" not in there and defaults.pixel_id is None:
        missing.append(_LACKS_PIXEL)
    if "source" not in there and defaults.source is None:
        missing.append(_LACKS_SOURCE)
    return missing


def missing_columns_message(stream: str, missing: Iterable[str]) -> str:
    """Say in a sentence why a stream can never give an event.

    Args:
        stream: The stream's name.
        missing: What `missing_columns` returns for it.
    """
    return f"stream '{stream}' can never give an event: it lacks {'; '.join(missing)}."
