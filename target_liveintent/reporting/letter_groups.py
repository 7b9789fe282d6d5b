"""What `dead-letters` shows: the dead letters of the store, judged and counted.

docs/reference/cli.md describes the JSON. Increase `LETTERS_FORMAT` when a field changes its
meaning. However many dead letters there are, only groups of them are in memory.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from target_liveintent.conversions.event_model import Rejection
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.reasons import MAY_HAVE_COUNTED, REASONS
from target_liveintent.run.replay import ReplayChoice, ReplayConverter
from target_liveintent.settings import Settings
from target_liveintent.store.database import Database
from target_liveintent.store.dead_letters import letters_in

LETTERS_FORMAT = 1
PROSPECTS = ("sends", "leaves_out", "other_account", "expired", "dropped", "cannot_send")
"""What a replay with these settings does with a dead letter."""
_MOST_EXAMPLES = 3
_LONGEST_TEXT = 300
"""How many characters of a value are shown."""
_UNKNOWN = (
    "This version does not know the reason: a newer version wrote the dead letter, or somebody"
    " has edited the dead letter."
)
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Example(msgspec.Struct):
    """A dead letter; it has `keys` if nothing else identifies the row of the tap."""

    event_id: str | None
    order_id: str | None
    field: str | None
    detail: str | None
    keys: Any = None


class Letters(msgspec.Struct):
    """How many dead letters there are, in all and by what a replay does with them.

    Times are in UTC, in ISO 8601.
    """

    letters: int = 0
    first: str | None = None
    last: str | None = None
    replay: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(PROSPECTS, 0))

    def add(self, letter: dict[str, Any], prospect: str) -> None:
        """Count a dead letter, given what a replay does with it."""
        self.letters += 1
        self.replay[prospect] += 1
        written = _text(letter.get("time"))
        self.first = min(filter(None, (self.first, written)), default=None)
        self.last = max(filter(None, (self.last, written)), default=None)


class StreamLetters(Letters, kw_only=True):
    """The dead letters of one stream, for one reason."""

    stream: str
    examples: list[Example] = []

    def add(self, letter: dict[str, Any], prospect: str) -> None:
        """Count a dead letter, and show some of them."""
        super().add(letter, prospect)
        if len(self.examples) < _MOST_EXAMPLES:
            texts = {name: _text(letter.get(name)) for name in Example.__struct_fields__[:-1]}
            self.examples.append(Example(**texts, keys=letter.get("keys")))


class ReasonLetters(msgspec.Struct):
    """The dead letters that have one reason; `advice` says what happened, and what to do."""

    reason: str
    letters: int
    advice: str
    streams: list[StreamLetters]


class Addressee(msgspec.Struct):
    """The account and the pixel that dead letters were written for; None without a usable pixel."""

    customer_id: str
    api_host: str
    pixel_id: str | None
    letters: int


class DeadLetters(Letters, kw_only=True):
    """All that `dead-letters` shows; the notes are sentences about the settings."""

    notes: list[str]
    reasons: list[ReasonLetters] = []
    written_for: list[Addressee] = []
    version: int = LETTERS_FORMAT


def look_at(
    database: Database,
    settings: Settings,
    choice: ReplayChoice,
    notes: Iterable[str],
    now: Callable[[], float] = time.time,
) -> DeadLetters:
    """Count the dead letters of the store, judged as a replay with the same settings would.

    Raises:
        ConfigurationError: If the file of `suppression_path` cannot be read.
        StorageError: If the store cannot be read.
    """
    suppressions = Suppressions(settings.suppression_path)
    converter = ReplayConverter(settings, suppressions, choice, now)
    total, groups = DeadLetters(notes=[*notes]), dict[str, dict[str, StreamLetters]]()
    written_for: Counter[tuple[str, str, int]] = Counter()
    for key, record in letters_in(database):
        letter = _decode(record)
        reason, stream = (_text(letter.get(name)) or "(none)" for name in ("reason", "stream"))
        prospect = _prospect(converter, letter)
        total.add(letter, prospect)
        streams = groups.setdefault(reason, {})
        streams.setdefault(stream, StreamLetters(stream=stream)).add(letter, prospect)
        written_for[key.customer_id, key.api_host, key.pixel_id] += 1
    reasons = [_of_reason(reason, [*streams.values()]) for reason, streams in groups.items()]
    total.reasons = sorted(reasons, key=lambda group: (-group.letters, group.reason))
    total.written_for = [
        Addressee(customer_id, api_host, str(pixel_id) if pixel_id else None, letters)
        for (customer_id, api_host, pixel_id), letters in written_for.most_common()
    ]
    return total


def _of_reason(reason: str, streams: list[StreamLetters]) -> ReasonLetters:
    advice = REASONS[reason].meaning if reason in REASONS else _UNKNOWN
    streams.sort(key=lambda group: (-group.letters, group.stream))
    return ReasonLetters(reason, sum(group.letters for group in streams), advice, streams)


def _prospect(converter: ReplayConverter, letter: dict[str, Any]) -> str:
    """Return what a replay would do with a dead letter: a key of `PROSPECTS`."""
    result = converter.convert(letter)
    if not isinstance(result, Rejection):
        return "sends"
    if result.reason in {"expired", "other_account"}:
        return result.reason
    if result.reason in MAY_HAVE_COUNTED:
        return "leaves_out"
    return "cannot_send" if REASONS[result.reason].letter else "dropped"


def _text(value: Any) -> str | None:
    """Return a value of a dead letter as text to show. Dead letters have no address."""
    if value is None:
        return None
    text = value if isinstance(value, str) else _encode(value).decode()
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
