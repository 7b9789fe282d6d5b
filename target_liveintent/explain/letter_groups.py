"""What `dead-letters` shows: the dead letters of the store, judged and counted.

docs/reference/json.md describes the JSON. Increase `LETTERS_FORMAT` when a field changes its
meaning. There may be millions of dead letters, so the database counts them, and only some are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from target_liveintent.reasons import REASONS
from target_liveintent.run.replay_converter import PROSPECTS, ReplayConverter, prospect_of
from target_liveintent.store import dead_letters
from target_liveintent.store.database import Database
from target_liveintent.store.dead_letters import LetterGroup, utc
from target_liveintent.store.ledger import Ledger

LETTERS_FORMAT = 1
_MOST_EXAMPLES = 3
_MOST_JUDGED = 5_000
"""At most this many dead letters are read, which takes about a second."""
_MOST_GROUPS_JUDGED = 200
"""Only dead letters of this many groups, the largest ones, are read: each group takes a query."""
_LONGEST_TEXT = 300
"""How many characters of a value are shown."""
_UNKNOWN = (
    "This version does not know the reason: a newer version wrote the dead letter, or somebody"
    " has edited the dead letter."
)
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Example(msgspec.Struct):
    """A dead letter as an example.

    Attributes:
        event_id: The event ID.
        order_id: The order ID.
        field: The column at fault.
        detail: Facts about the reason.
        keys: The key properties, if nothing else identifies the row of the tap.
    """

    event_id: str | None
    order_id: str | None
    field: str | None
    detail: str | None
    keys: Any = None


class Letters(msgspec.Struct):
    """How many dead letters there are, and what a replay does with those that are judged.

    Attributes:
        letters: How many dead letters there are.
        first: When the first one was written, in UTC.
        last: When the last one was written, in UTC.
        judged: How many dead letters `replay` counts: all, or the newest of each group, up to
            5,000. The command `replay --dry-run` counts all.
        replay: How many a replay `sends`, keeps for `--unconfirmed` (`leaves_out`) or for an
            `other_account`, drops (`expired` or `dropped`), or `cannot_send` as they are.
    """

    letters: int = 0
    first: str | None = None
    last: str | None = None
    judged: int = 0
    replay: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(PROSPECTS, 0))

    def add(self, group: LetterGroup, prospects: Counter[str]) -> None:
        """Count the dead letters of a group, given what a replay does with those judged."""
        self.letters += group.letters
        self.first = min(filter(None, (self.first, utc(group.first))))
        self.last = max(filter(None, (self.last, utc(group.last))))
        self.judged += prospects.total()
        for prospect, count in prospects.items():
            self.replay[prospect] += count


class StreamLetters(Letters, kw_only=True):
    """The dead letters of one stream, for one reason.

    Attributes:
        stream: The tap's name for the stream.
        examples: Up to three of the dead letters.
    """

    stream: str
    examples: list[Example] = []


class ReasonLetters(msgspec.Struct):
    """The dead letters that have one reason.

    Attributes:
        reason: The code of the reason.
        letters: How many dead letters have the reason.
        advice: What happened, and what to do.
        streams: The dead letters of each stream.
    """

    reason: str
    letters: int
    advice: str
    streams: list[StreamLetters]


class Addressee(msgspec.Struct):
    """The account and the pixel for which dead letters were written.

    Attributes:
        customer_id: The customer ID.
        api_host: The host of the API.
        pixel_id: The pixel ID; None if the dead letters have no usable one.
        letters: How many dead letters they have.
    """

    customer_id: str
    api_host: str
    pixel_id: str | None
    letters: int


class DeadLetters(Letters, kw_only=True):
    """All that `dead-letters` shows.

    Attributes:
        notes: Sentences about the settings.
        ledger: Where the events of the last 91 days are, for the account and the pixel of the
            settings.
        reasons: The dead letters by reason.
        written_for: The number of dead letters for each account and pixel.
        version: The version of this format.
    """

    notes: list[str]
    ledger: Ledger
    reasons: list[ReasonLetters] = []
    written_for: list[Addressee] = []
    version: int = LETTERS_FORMAT


def look_at(
    database: Database, converter: ReplayConverter, notes: Iterable[str], ledger: Ledger
) -> DeadLetters:
    """Count all dead letters, and what a replay would do with the newest of each large group.

    Raises:
        StorageError: If the store cannot be read.
    """
    groups = sorted(dead_letters.letter_groups(database), key=lambda group: group.letters)
    numbers = _numbers_to_judge(groups[-_MOST_GROUPS_JUDGED:])
    total = DeadLetters(notes=[*notes], ledger=ledger)
    reasons = dict[str, dict[str, StreamLetters]]()
    written_for: Counter[tuple[str, str, int]] = Counter()
    for group in groups:
        letters = [
            *map(
                dead_letters.letter_columns,
                dead_letters.newest_letters(database, group, numbers.get(group, 0)),
            )
        ]
        prospects = Counter(prospect_of(converter, letter) for letter in letters)
        stream = StreamLetters(stream=_text(group.stream or "(none)"))
        streams = reasons.setdefault(_text(group.reason or "(none)"), {})
        stream = streams.setdefault(stream.stream, stream)
        for counted in (total, stream):
            counted.add(group, prospects)
        stream.examples += map(_example, letters[: _MOST_EXAMPLES - len(stream.examples)])
        written_for[group.customer_id, group.api_host, group.pixel_id] += group.letters
    of_reasons = (_of_reason(name, [*streams.values()]) for name, streams in reasons.items())
    total.reasons = sorted(of_reasons, key=lambda group: (-group.letters, group.reason))
    total.written_for = [
        Addressee(customer_id, api_host, str(pixel_id) if pixel_id else None, letters)
        for (customer_id, api_host, pixel_id), letters in written_for.most_common()
    ]
    return total


def _numbers_to_judge(groups: Sequence[LetterGroup]) -> dict[LetterGroup, int]:
    """Return how many dead letters of each group are judged; `groups` begin with the smallest.

    The groups have equal shares. What a small group does not need goes to the larger ones.
    """
    numbers, left = dict[LetterGroup, int](), _MOST_JUDGED
    for groups_left, group in zip(range(len(groups), 0, -1), groups, strict=True):
        numbers[group] = min(group.letters, left // groups_left)
        left -= numbers[group]
    return numbers


def _of_reason(reason: str, streams: list[StreamLetters]) -> ReasonLetters:
    advice = REASONS[reason].meaning if reason in REASONS else _UNKNOWN
    streams.sort(key=lambda group: (-group.letters, group.stream))
    return ReasonLetters(reason, sum(group.letters for group in streams), advice, streams)


def _example(letter: dict[str, Any]) -> Example:
    texts = {
        name: None if letter.get(name) is None else _text(letter[name])
        for name in Example.__struct_fields__[:-1]
    }
    return Example(**texts, keys=letter.get("keys"))


def _text(value: Any) -> str:
    """Return a value of a dead letter as text to show. Dead letters contain no address."""
    text = value if isinstance(value, str) else _encode(value).decode()
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
