"""Judges whether the columns that should say whose conversions a stream has do so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from target_liveintent.privacy import IDENTITY_COLUMNS
from target_liveintent.reasons import GUESTS, NO_IDENTITY, REASONS

_NEARLY_ALL = 0.98
"""The share of events from which on a column that gave nothing is probably a mistake. Shops of
guests and of tills have an address for a few."""
_LEAST_EVENTS_TO_WARN = 50
_LEAST_EVENTS_TO_ADVISE = 10
_MOST = 0.5
"""The share of events for which a column must stand in for one that is empty."""


class Identification(NamedTuple):
    """What identified the events of a stream.

    Attributes:
        stream: The name under which it is counted.
        events: How many there were, with those that became `no_identity`.
        unidentified: How many became `no_identity`.
        mapped: Those of `email`, `md5`, `sha2`, `decision_id` and `source_url` that the stream has.
        left_out: As in `StreamCounts`.
    """

    stream: str
    events: int
    unidentified: int
    mapped: frozenset[str]
    left_out: Mapping[str, int]

    @property
    def hashed(self) -> list[str]:
        """The columns of an e-mail address or a hash that the stream has."""
        return [column for column in IDENTITY_COLUMNS if column in self.mapped]

    def idle(self, least_events: int = _LEAST_EVENTS_TO_WARN) -> list[str]:
        """Return the columns that gave nothing in nearly all events, if those are so many."""
        if self.events < least_events:
            return []
        columns = (*self.hashed, *self.mapped.intersection(["decision_id"]))
        return [column for column in columns if self._is_idle(column)]

    def _is_idle(self, column: str) -> bool:
        unusable, empty = self._without(column)
        if unusable + empty < self.events * _NEARLY_ALL:
            return False
        if unusable > empty:
            return True
        if column == "decision_id":  # Few buyers come from an ad, so others may identify them.
            return self.unidentified >= self.events * _NEARLY_ALL
        return not any(
            sum(self._without(other)) <= self.events * (1 - _MOST) for other in self.hashed
        )

    def _without(self, column: str) -> tuple[int, int]:
        """Return in how many events a column could not be used, and in how many it was empty."""
        unusable = self.left_out.get(column, 0)
        # An empty decision ID beside a page's that cannot be used counts as both.
        return unusable, min(self.left_out.get(f"{column} empty", 0), self.events - unusable)

    def idle_columns(self) -> Iterator[str]:
        """Return a warning for each column that was empty in nearly all events."""
        for column in self.idle():
            unusable, empty = self._without(column)
            if unusable > empty:  # `doubts.left_out_columns` says it.
                continue
            yield (
                f"in {unusable + empty} of {self.events} events, the column {column} did not"
                f" identify a person ({empty} empty, {unusable} unusable). Check what is mapped to"
                f" {column}"
            )


def what_to_do(reason: str, found: Iterable[Identification], *, replay: bool) -> str:
    """Return what happened to records that were not sent for a reason, and what to do about it.

    For `no_identity`, that depends on what identified the events of each stream; not in a replay,
    as no map applies to dead letters.
    """
    meaning = REASONS[reason].advice(replay=replay)
    if replay or reason != "no_identity":
        return meaning
    concerned = [one for one in found if one.unidentified]
    with_url = [one.stream for one in concerned if "source_url" in one.mapped]
    if with_url:
        if len(with_url) == len(concerned):
            meaning = f"{NO_IDENTITY} {GUESTS}."
        meaning += f" The URLs in source_url of {', '.join(with_url)} have no li_did."
    hints = [hint for one in concerned if (hint := _no_identity_hint(one))]
    if hints and len(hints) == len(concerned):
        meaning = NO_IDENTITY
    return " ".join([meaning, *hints])


def _no_identity_hint(found: Identification) -> str:
    """Return what is wrong with the map of a stream with guests; empty if nothing seems to be."""
    if not found.hashed:
        return f"No e-mail address is mapped in stream {found.stream}: map email, md5 or sha2."
    columns = ", ".join(found.hashed)
    if set(found.idle(_LEAST_EVENTS_TO_ADVISE)).issuperset(found.hashed):
        return (
            f"In stream {found.stream}, almost no event has a usable value in {columns}: check"
            f" what is mapped to {columns}."
        )
    return ""
