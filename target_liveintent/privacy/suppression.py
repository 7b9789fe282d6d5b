"""Reads lists of people, such as the file of `suppression_path`, and looks up people in a list."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from target_liveintent.errors import ConfigurationError, InputError
from target_liveintent.files import open_anywhere
from target_liveintent.privacy.identity import Identity, hashes_of

_NAMES_NOBODY = (
    "the file of suppression_path names nobody, so no event is left out. If the file should name"
    " people, check the program that writes the file"
)


class Person(NamedTuple):
    """A person on a list.

    Attributes:
        line: The number of the line in the list, from 1.
        known_by: The texts that identify the person, such as hashes in hexadecimal digits.
    """

    line: int
    is_address: bool  # Whether the line has the address, and not a hash.
    known_by: list[str]


class Suppressions:
    """The people whose events must not be sent, as a set of hashes of their addresses.

    Args:
        path: The setting `suppression_path`.

    Attributes:
        warnings: Warnings about the content of the file.

    Raises:
        ConfigurationError: If any part of the file cannot be read. A run must not send events
            without the list.
    """

    def __init__(self, path: str | None) -> None:
        self._hashes: set[bytes] = set()
        self.warnings: list[str] = []
        if path is None:
            return
        try:
            with io.TextIOWrapper(open_anywhere(path), encoding="utf-8-sig") as lines:
                for person in people_in(lines):
                    self._hashes.update(map(bytes.fromhex, person.known_by))
        except InputError as error:
            msg = f"suppression_path: {error}"
            raise ConfigurationError(msg) from None
        except (OSError, ValueError) as error:
            name = "" if "://" in path else f" {path!r}"  # (A URL may hold credentials.)
            reason = getattr(error, "strerror", None) or "it must be a text file in UTF-8"
            msg = f"suppression_path{name} cannot be read: {reason}"
            raise ConfigurationError(msg) from None
        if not self._hashes:
            self.warnings.append(_NAMES_NOBODY)

    def __bool__(self) -> bool:
        """Return whether the list names anybody."""
        return bool(self._hashes)

    def contains(self, identity: Identity) -> bool:
        """Return whether the list names this person, by any hash of the person."""
        md5, sha2 = identity.md5, identity.sha2
        return (
            (md5 is not None and bytes.fromhex(md5) in self._hashes)
            or (sha2 is not None and bytes.fromhex(sha2) in self._hashes)
            or not self._hashes.isdisjoint(identity.others or ())
        )


def people_in(
    lines: Iterable[str], read: Callable[[str], list[str]] = hashes_of
) -> Iterator[Person]:
    """Yield the people on a list. Blank lines, and lines that begin with `#`, are skipped.

    Args:
        lines: The lines of the list, each with an address or the hash of an address.
        read: `hashes_of` or `traces_of`, which returns an empty list if a text names nobody.

    Raises:
        InputError: If another line is neither an address nor a hash. The message has only the
            number of the line.
    """
    for number, line in enumerate(lines, 1):
        text = line.strip()
        is_pattern = "*" in text.partition("@")[0]  # Patterns such as `*@b.example` are wrong.
        if not is_pattern and (known_by := read(text)):
            yield Person(number, "@" in text, known_by)
        elif text and not text.startswith("#"):
            msg = f"line {number} is neither an e-mail address nor the hash of one: correct it"
            raise InputError(msg)
