"""Splits the names of columns and streams into words, and looks up the meanings of the words.

`custMail`, `CUSTOMER EMAIL` and `email_do_cliente` all have the words `customer` and `email`. The
known words are in `recognized.yaml`.
"""

from __future__ import annotations

import functools
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Iterator

import msgspec

_CAMEL = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_HUNGARIAN = re.compile(r"^[a-z](?=[A-Z])")
"""Matches a first letter that marks the type of a variable, as in `dErstellt`."""
_TOKEN = re.compile(r"sha256|md5|ipv4|v4|[^\W\d_]+|\d+")
_SHORT = frozenset({"id", "ip", "nr", "no", "de", "do", "da", "at", "on", "am", "em", "is"})
"""The words of two letters that can be parts of a longer text without spaces."""
_LEAST_LETTERS_TO_SPLIT = 4
"""A text is split into words only if one of the words has at least this number of letters, because
shorter words may occur by chance."""


# The file


class Unsure(msgspec.Struct, frozen=True):
    """The conditions under which the meaning of a column's name is uncertain.

    The meaning is uncertain if the stream or another column has a word of `present` in its name, or
    if neither the stream nor another column has a word of `absent` in its name.
    """

    present: frozenset[str] = msgspec.field(default=frozenset(), name="if")
    absent: frozenset[str] = msgspec.field(default=frozenset(), name="unless")


class RecognitionRules(msgspec.Struct, frozen=True, dict=True):
    """The rules by which the program recognizes the tap's columns that fill one column of events.

    `recognized.yaml` explains the attributes.
    """

    comment: str = ""
    names: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    core: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset({"string"})
    shape: str = ".*"
    by_shape: bool = False
    mark: str | None = None
    unsure: dict[str, Unsure] = {}

    @functools.cached_property
    def phrases(self) -> tuple[frozenset[str], ...]:
        """The names as sets of words of at least two letters; the most likely name comes first."""
        return tuple(
            frozenset(word for word in name.split() if len(word) > 1) for name in self.names
        )

    @functools.cached_property
    def words(self) -> frozenset[str]:
        """All words of the names, and the other words that a column's name may contain."""
        return frozenset(_words_in(self.names)).union(self.also)


class AmountWords(msgspec.Struct, frozen=True):
    """Words that say how to read amounts; `recognized.yaml` explains the attributes."""

    minor: frozenset[str]
    minor_sources: tuple[frozenset[str], ...]
    counted: frozenset[str]
    codes: frozenset[str]


class FilterWords(msgspec.Struct, frozen=True, dict=True):
    """Words in names of columns that may forbid conversions, as `recognized.yaml` explains."""

    also: frozenset[str]
    flags: dict[str, bool]
    asked: frozenset[str]
    unasked: frozenset[str]
    places: frozenset[str]
    values: frozenset[str]

    @functools.cached_property
    def of_no_sale(self) -> frozenset[str]:
        """The words in values, such as `refunded`, that may mean that a record is no conversion."""
        flags = (name for name, only_true in self.flags.items() if not only_true)
        return self.values.union(_words_in(flags))

    @functools.cached_property
    def meanings(self) -> dict[frozenset[str], bool]:
        """For the words of each flag: the value of the flag with which records count."""
        return {frozenset(name.split()): only_true for name, only_true in self.flags.items()}


class Vocabulary(msgspec.Struct, frozen=True, dict=True):
    """The content of `recognized.yaml`."""

    words: dict[str, list[str]]
    neutral: frozenset[str]
    deeds: frozenset[str]
    doubtful_streams: frozenset[str]
    strangers: frozenset[str]
    personal: frozenset[str]
    amounts: AmountWords
    fields: dict[str, RecognitionRules]
    filters: FilterWords

    @functools.cached_property
    def meanings(self) -> dict[str, str]:
        """The meaning of each known word: the word itself, or one or more English words."""
        known: list[Iterable[str]] = [self.words, self.neutral, self.deeds]
        known += [self.doubtful_streams, self.strangers]
        known += [self.amounts.minor, self.amounts.codes]
        known += [self.filters.also, self.filters.flags, self.filters.asked, self.filters.unasked]
        known += [self.filters.places, *(field.words for field in self.fields.values())]
        meanings = {word: word for texts in known for word in _words_in(texts)}
        for meaning, words in self.words.items():
            meanings |= dict.fromkeys(words, meaning)
        return meanings


def _words_in(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from text.split()


@functools.cache
def vocabulary() -> Vocabulary:
    """Return the content of `recognized.yaml`."""
    text = pathlib.Path(__file__).with_name("recognized.yaml").read_bytes()
    return msgspec.yaml.decode(text, type=Vocabulary)


# Names


def words_of(*path: str) -> frozenset[str]:
    """Return the meanings of the words in a path: `custMail` means `customer` and `email`.

    A capital letter after a small one begins a word. Accents and single letters have no effect. At
    the beginning of a name, `data` means a date, as in Italian and Portuguese, unless `data` is a
    whole step of a longer path.
    """
    tokens: list[str] = []
    for step in path:
        words = _tokens(step)
        if words[:1] == ["data"] and (len(words) > 1 or len(path) == 1):
            words[0] = "date"
        tokens += words
    meanings = vocabulary().meanings
    meant = _words_in(meanings.get(token, token) for token in tokens)
    return frozenset(word for word in meant if len(word) > 1 or word.isdigit())


def is_number_of(name: str) -> bool:
    """Return whether a name means a number of things, such as `total_orders`, and not an amount."""
    tokens = _tokens(name)
    return bool(tokens) and tokens[-1] in vocabulary().amounts.counted and "total" in words_of(name)


def _tokens(name: str) -> list[str]:
    """Return the words of a name in their original language, in lower case, without accents."""
    plain = unicodedata.normalize("NFKD", _CAMEL.sub(" ", _HUNGARIAN.sub("", name)))
    plain = "".join(c for c in plain if not unicodedata.combining(c)).casefold()
    return [word for token in _TOKEN.findall(plain) for word in _known_words(token)]


@functools.cache
def _known_words(token: str) -> tuple[str, ...]:
    """Return the known words of a text without spaces.

    If the text has other words, or only short ones, the result is the text itself.
    """
    for text in (token, token.removesuffix("s")):
        if text in vocabulary().meanings:
            return (text,)
        words = _split(text)
        if any(len(word) >= _LEAST_LETTERS_TO_SPLIT for word in words):
            return words
    return (token,)


def _split(text: str) -> tuple[str, ...]:
    """Return the known words that form a text, each as long as possible; empty if this fails."""
    for end in range(len(text), 1, -1):
        word = text[:end]
        is_long_enough = len(word) > 2 or word in _SHORT  # noqa: PLR2004
        if is_long_enough and word in vocabulary().meanings:
            rest = _split(text[end:])
            if rest or end == len(text):
                return (word, *rest)
    return ()
