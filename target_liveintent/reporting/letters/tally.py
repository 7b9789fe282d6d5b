"""Counts dead letters by reason and stream, in memory that does not grow with their number."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from target_liveintent.privacy import redact_value
from target_liveintent.reasons import REASONS
from target_liveintent.reporting.letters.model import (
    PROSPECTS,
    Addressee,
    Example,
    ReasonLetters,
    StreamLetters,
)

_MOST_EXAMPLES = 3
_MOST_GROUPS = 1_000
"""Groups that are counted by their names. People may have written anything into a letter; whatever
comes then is counted under `_OTHERS`."""
_OTHERS = "(others)"
_LONGEST_TEXT = 300
"""Characters of a value that are shown."""
_UNKNOWN = (
    "This version does not know the reason: a newer version wrote the dead letter, or somebody"
    " has edited the dead letter."
)
_ADDRESSEE = ("customer_id", "api_host", "pixel_id")
_Named = tuple[str | None, str | None, str | None]


class _Times:
    """The first and the last of times that dead letters give."""

    def __init__(self) -> None:
        self._first: dt.datetime | None = None
        self._last: dt.datetime | None = None

    def add(self, time: dt.datetime | None) -> None:
        if time is not None:
            self._first = time if self._first is None else min(self._first, time)
            self._last = time if self._last is None else max(self._last, time)

    @property
    def shown(self) -> tuple[str | None, str | None]:
        return _iso(self._first), _iso(self._last)


class _Group:
    """The dead letters of one stream, for one reason."""

    def __init__(self) -> None:
        self.prospects: Counter[str] = Counter()
        self.times = _Times()
        self.examples: list[Example] = []


class LetterTally:
    """Counts dead letters.

    Args:
        judge: Returns what a replay would do with one: a key of `PROSPECTS`.
    """

    def __init__(self, judge: Callable[[dict[str, Any]], str]) -> None:
        self._judge = judge
        self._groups: dict[tuple[str, str], _Group] = {}
        self._addressees: Counter[_Named] = Counter()
        self._times = _Times()
        self.letters = 0

    def add(self, letter: dict[str, Any]) -> None:
        """Count a dead letter, the record of its message."""
        self.letters += 1
        group = self._group(letter)
        group.prospects[self._judge(letter)] += 1
        time = _time(letter.get("time"))
        group.times.add(time)
        self._times.add(time)
        if len(group.examples) < _MOST_EXAMPLES:
            group.examples.append(_example(letter))
        named = letter.get("written_for")
        account = named if isinstance(named, dict) else {}
        customer_id, api_host, pixel_id = (_text(account.get(name)) for name in _ADDRESSEE)
        addressee: _Named = (customer_id, api_host, pixel_id)
        if addressee not in self._addressees and len(self._addressees) >= _MOST_GROUPS:
            addressee = (_OTHERS, None, None)
        self._addressees[addressee] += 1

    def _group(self, letter: dict[str, Any]) -> _Group:
        reason, stream = (_text(letter.get(name)) or "(none)" for name in ("reason", "stream"))
        group = self._groups.get((reason, stream))
        if group is None:
            if len(self._groups) >= _MOST_GROUPS:
                reason, stream = (reason if reason in REASONS else _OTHERS), _OTHERS
            group = self._groups.setdefault((reason, stream), _Group())
        return group

    @property
    def times(self) -> tuple[str | None, str | None]:
        """When the first and the last dead letter was written."""
        return self._times.shown

    @property
    def prospects(self) -> dict[str, int]:
        """How many dead letters there are by what a replay does with them."""
        return _ordered(sum((one.prospects for one in self._groups.values()), Counter()))

    @property
    def reasons(self) -> list[ReasonLetters]:
        """The dead letters by reason, the most frequent first."""
        streams: dict[str, list[StreamLetters]] = {}
        for (reason, stream), group in self._groups.items():
            prospects = _ordered(group.prospects)
            one = StreamLetters(
                stream, group.prospects.total(), *group.times.shown, prospects, group.examples
            )
            streams.setdefault(reason, []).append(one)
        found = [
            ReasonLetters(
                reason,
                sum(one.letters for one in its),
                REASONS[reason].meaning if reason in REASONS else _UNKNOWN,
                sorted(its, key=lambda one: (-one.letters, one.stream)),
            )
            for reason, its in streams.items()
        ]
        return sorted(found, key=lambda one: (-one.letters, one.reason))

    @property
    def addressees(self) -> list[Addressee]:
        """Whom the dead letters were written for, those of most letters first."""
        found = self._addressees.most_common()
        return [Addressee(*named, letters=letters) for named, letters in found]


def _iso(time: dt.datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds")


def _ordered(prospects: Counter[str]) -> dict[str, int]:
    return {name: prospects[name] for name in PROSPECTS}


def _example(letter: dict[str, Any]) -> Example:
    return Example(
        event_id=_text(letter.get("event_id")),
        order_id=_text(letter.get("order_id")),
        field=_text(letter.get("field")),
        detail=_text(letter.get("detail")),
        keys=redact_value(letter.get("keys")),
    )


def _text(value: Any) -> str | None:
    """Return a value of a dead letter as text to show, without addresses.

    A dead letter has none, but somebody may have edited it.
    """
    if value is None:
        return None
    redacted = redact_value(value)  # Before the text is cut, where half an address would be left.
    text = redacted if isinstance(redacted, str) else _encode(redacted).decode()
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


_encode = msgspec.json.Encoder(decimal_format="number").encode


def _time(value: Any) -> dt.datetime | None:
    utc = dt.timezone.utc
    try:
        time = msgspec.convert(value, dt.datetime)
        return time.replace(tzinfo=utc) if time.tzinfo is None else time.astimezone(utc)
    except (msgspec.ValidationError, OverflowError):  # (In the years 1 and 9999.)
        return None
