"""Notes whether the time zone of the settings is used at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from target_liveintent.settings import EventDefaults


class _WatchedZone(dt.tzinfo):
    """A zone that reports each use. `unix_time` asks it about times without an offset only."""

    def __init__(self, zone: dt.tzinfo, note_use: Callable[[], None]) -> None:
        self._zone = zone
        self._note_use = note_use

    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta | None:
        self._note_use()
        return self._zone.utcoffset(moment)

    def dst(self, moment: dt.datetime | None) -> dt.timedelta | None:
        return self._zone.dst(moment)

    def tzname(self, moment: dt.datetime | None) -> str | None:
        return self._zone.tzname(moment)


def watch_zone(defaults: EventDefaults, note_use: Callable[[], None]) -> EventDefaults:
    """Return the defaults with a zone that reports each event time that is read in it."""
    return defaults._replace(zone=_WatchedZone(defaults.zone, note_use))
