"""What `dead-letters` shows: the dead letters of the store, judged and counted.

docs/reference/cli.md describes the fields of the JSON. Increase `VERSION` when the meaning of one
changes. However many dead letters there are, only groups of them are in memory.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from target_liveintent.conversions import Rejection
from target_liveintent.privacy import Suppressions, redact_value
from target_liveintent.reasons import MAY_HAVE_COUNTED, REASONS
from target_liveintent.run import ReplayChoice, ReplayConverter
from target_liveintent.settings import Settings
from target_liveintent.store import Database, letters_in

VERSION = 1
PROSPECTS = ("sends", "leaves_out", "other_account", "expired", "dropped", "cannot_send")
"""What a replay with these settings does with a dead letter."""
_PROSPECT_OF = {
    "other_account": "other_account",
    "expired": "expired",
    **dict.fromkeys(MAY_HAVE_COUNTED, "leaves_out"),
}
_MOST_EXAMPLES = 3
_LONGEST_TEXT = 300
"""How many characters of a value are shown."""
_UNKNOWN = (
    "This version does not know the reason: a newer version wrote the dead letter, or somebody"
    " has edited the dead letter."
)
_ADDRESSEE = ("customer_id", "api_host", "pixel_id")
_Whom = tuple[str | None, str | None, str | None]
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Example(msgspec.Struct, frozen=True):
    """A dead letter, without addresses.

    Attributes:
        keys: The values of the tap's key properties, where nothing else identifies the row.
    """

    event_id: str | None
    order_id: str | None
    field: str | None
    detail: str | None
    keys: Any = None


class StreamLetters(msgspec.Struct):
    """The dead letters of one stream, for one reason.

    Attributes:
        first: When the first of them was written, in ISO 8601; None if none says so.
        last: When the last of them was written.
        replay: How many there are by what a replay does with them, in the order of `PROSPECTS`.
    """

    stream: str
    letters: int = 0
    first: str | None = None
    last: str | None = None
    replay: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(PROSPECTS, 0))
    examples: list[Example] = msgspec.field(default_factory=list)


class ReasonLetters(msgspec.Struct, frozen=True):
    """The dead letters that have one reason.

    Attributes:
        advice: What happened, and what to do about it.
    """

    reason: str
    letters: int
    advice: str
    streams: list[StreamLetters]


class Addressee(msgspec.Struct, frozen=True):
    """The account and the pixel that letters were written for; None if a letter names none."""

    customer_id: str | None
    api_host: str | None
    pixel_id: str | None
    letters: int


class DeadLetters(msgspec.Struct, frozen=True):
    """All that `dead-letters` shows.

    Attributes:
        notes: About the settings, a sentence each.
    """

    notes: list[str]
    letters: int
    first: str | None
    last: str | None
    replay: dict[str, int]
    reasons: list[ReasonLetters]
    written_for: list[Addressee]
    version: int = VERSION


def look_at(
    database: Database,
    settings: Settings,
    choice: ReplayChoice,
    notes: Iterable[str],
    now: Callable[[], float] = time.time,
) -> DeadLetters:
    """Count the dead letters of the store.

    Args:
        database: The store.
        settings: Those of a replay.
        choice: What the replay would also send.
        notes: What there is to say about the settings.
        now: Returns the Unix time as of which the letters are judged.

    Raises:
        ConfigurationError: If the file of `suppression_path` cannot be read.
        StorageError: If the store cannot be read.
    """
    converter = ReplayConverter(settings, Suppressions(settings.suppression_path), choice, {}, now)
    by_reason: dict[str, dict[str, StreamLetters]] = {}
    written_for: Counter[_Whom] = Counter()
    for _, record in letters_in(database):
        letter = _decode(record)
        reason, stream = (_text(letter.get(name)) or "(none)" for name in ("reason", "stream"))
        streams = by_reason.setdefault(reason, {})
        group = streams.setdefault(stream, StreamLetters(stream))
        group.letters += 1
        group.replay[_prospect(converter, letter)] += 1
        written = _time(letter.get("time"))
        group.first = min(filter(None, (group.first, written)), default=None)
        group.last = max(filter(None, (group.last, written)), default=None)
        if len(group.examples) < _MOST_EXAMPLES:
            group.examples.append(_example(letter))
        named = letter.get("written_for")
        account = named if isinstance(named, dict) else {}
        customer_id, api_host, pixel_id = (_text(account.get(name)) for name in _ADDRESSEE)
        written_for[customer_id, api_host, pixel_id] += 1
    groups = [group for streams in by_reason.values() for group in streams.values()]
    reasons = [_reason(reason, streams.values()) for reason, streams in by_reason.items()]
    return DeadLetters(
        notes=list(notes),
        letters=sum(one.letters for one in groups),
        first=min((one.first for one in groups if one.first), default=None),
        last=max((one.last for one in groups if one.last), default=None),
        replay={name: sum(one.replay[name] for one in groups) for name in PROSPECTS},
        reasons=sorted(reasons, key=lambda one: (-one.letters, one.reason)),
        written_for=[Addressee(*whom, n) for whom, n in written_for.most_common()],
    )


def _prospect(converter: ReplayConverter, letter: dict[str, Any]) -> str:
    """Return what a replay would do with a dead letter: a key of `PROSPECTS`."""
    result = converter.convert(letter)
    if not isinstance(result, Rejection):
        return "sends"
    otherwise = "cannot_send" if REASONS[result.reason].letter else "dropped"
    return _PROSPECT_OF.get(result.reason, otherwise)


def _reason(reason: str, streams: Collection[StreamLetters]) -> ReasonLetters:
    return ReasonLetters(
        reason,
        sum(one.letters for one in streams),
        REASONS[reason].meaning if reason in REASONS else _UNKNOWN,
        sorted(streams, key=lambda one: (-one.letters, one.stream)),
    )


def _example(letter: Mapping[str, Any]) -> Example:
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
    redacted = redact_value(value)  # Before a cut could leave half of an address.
    text = redacted if isinstance(redacted, str) else _encode(redacted).decode()
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def _time(value: Any) -> str | None:
    """Return a time in UTC in ISO 8601, which sorts as times do; None if it cannot be read."""
    utc = dt.timezone.utc
    try:
        time = msgspec.convert(value, dt.datetime)
        time = time.replace(tzinfo=utc) if time.tzinfo is None else time.astimezone(utc)
    except (msgspec.ValidationError, OverflowError):  # (In the years 1 and 9999.)
        return None
    return time.isoformat(timespec="seconds")
