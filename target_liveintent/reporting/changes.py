"""Finds the days on which the settings or the version changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

import msgspec

from target_liveintent.reporting.history import RunRecord

_DIGESTED = {
    "presets": "the ready-made mappings of columns to events (`presets`)",
    "stream_maps": "the mapping of columns to events (`stream_maps`)",
}
"""Settings of which the history has only a digest, and what they are."""
_LONGEST = 40
"""Characters of a value that is shown."""


class Change(msgspec.Struct, frozen=True):
    """A day on which the settings or the version changed, and what changed, in words."""

    day: dt.date
    words: list[str]


def changes_of(usual_runs: Iterable[RunRecord]) -> list[Change]:
    """Return the changes, the newest first.

    A run is compared with the one before it that had the same streams: two loaders of the same
    pixel may have different settings.

    Args:
        usual_runs: Runs in the order in which they ended.
    """
    before: dict[frozenset[str], RunRecord] = {}
    found: dict[dt.date, dict[str, None]] = {}
    for run in usual_runs:
        streams = frozenset(run.streams)
        if not streams:  # It failed before its first SCHEMA.
            continue
        last = before.get(streams)
        before[streams] = run
        if last is None or (last.settings, last.version) == (run.settings, run.version):
            continue
        words = found.setdefault(run.day, {})
        if last.version != run.version:
            words[f"version: {last.version} became {run.version}"] = None
        words |= dict.fromkeys(_differences(last.settings, run.settings))
    return [Change(day, list(words)) for day, words in reversed(found.items()) if words]


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[str]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if name in _DIGESTED:  # Even without one, there is a digest.
            yield f"{_DIGESTED[name]} changed"
        elif old is None or new is None:
            yield f"`{name}` was {'set' if old is None else 'removed'}"
        elif max(len(old), len(new)) > _LONGEST:
            yield f"`{name}` changed"
        else:
            yield f"`{name}`: {old} became {new}"
