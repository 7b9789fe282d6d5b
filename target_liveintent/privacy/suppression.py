"""Lists of people by addresses or hashes, such as a file of those who must not be sent."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

from target_liveintent.errors import ConfigurationError, InputError
from target_liveintent.files import open_anywhere
from target_liveintent.privacy.identity import Identity, digests


class Suppressions:
    """The people who must not be sent, as the hashes of each normalization of an address.

    `path` is the setting `suppression_path`. If any part of the file cannot be read, this raises a
    `ConfigurationError`: a run must not send without it.
    """

    def __init__(self, path: str | None) -> None:
        self._hashes: set[bytes] = set()
        if path is None:
            return
        try:
            with io.TextIOWrapper(open_anywhere(path), encoding="utf-8-sig") as lines:
                self._hashes.update(map(bytes.fromhex, digests_in(lines)))
        except InputError as error:
            msg = f"suppression_path: {error}"
            raise ConfigurationError(msg) from None
        except (OSError, ValueError) as error:
            name = "" if "://" in path else f" {path!r}"  # (A URL may hold credentials.)
            reason = getattr(error, "strerror", None) or "it must be a text file in UTF-8"
            msg = f"suppression_path{name} cannot be read: {reason}"
            raise ConfigurationError(msg) from None

    def __bool__(self) -> bool:
        """Return whether the list has any entry."""
        return bool(self._hashes)

    def contains(self, identity: Identity) -> bool:
        """Return whether this person must not be sent."""
        return any(
            digest is not None and bytes.fromhex(digest) in self._hashes
            for digest in (identity.md5, identity.sha2)
        )


def digests_in(lines: Iterable[str]) -> Iterator[str]:
    """Yield the hashes of people, each of whom has a line with an address or the hash of one.

    Blank lines, and those that begin with `#`, name nobody. For any other line, this raises an
    `InputError` with its number, and not the line.
    """
    for number, line in enumerate(lines, 1):
        text = line.strip()
        found = digests(text)
        if not found and text and not text.startswith("#"):
            msg = f"line {number} is neither an e-mail address nor the hash of one: correct it"
            raise InputError(msg)
        yield from found
