"""E-mail addresses in, hashes out: the only module that handles a raw address.

Whatever leaves here is a hash, a UUID, or text with its addresses replaced, so no other module can
leak one. The normalisation rules are those of LiveIntent's guide (see `NORMALIZATIONS`).
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from types import NoneType
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://conversions.liveintent.com/target-liveintent")
"""The namespace of every UUIDv5 made here. Changing it would make every event a new one."""

_GMAIL = frozenset({"gmail.com", "googlemail.com"})
_HASH = re.compile(r"[0-9a-fA-F]{32}(?:[0-9a-fA-F]{32})?")
_DOMAIN = r"(?:[\w-]{1,63}[.]){1,10}(?:[^\W\d_]{2,63}|xn--[\w-]{2,59})"
_LOCAL = r"[\w\u0300-\u036f.%+'!#$*^`{}~-]"
# The last character is one that `_ADDRESS_WITHIN` finds, so whatever is hashed is found as well.
_ADDRESS = re.compile(rf"[^\s@<>()\[\],;:\"\\]{{0,127}}{_LOCAL}@{_DOMAIN}")
# Bounded, so that a long text without an address costs linear time. In a URL, %40 is an @ (%2540 in
# a URL that is itself a parameter), %2E a dot, and %C3%BC a letter.
_LETTER_CODE = r"%(?:25)*[89a-fA-F][0-9a-fA-F]"
_ADDRESS_WITHIN = re.compile(
    rf"(?:\"[^\"\n]{{1,64}}\"|{_LOCAL}{{1,128}})(?:@|%(?:25)*40)"
    rf"(?:(?:[\w-]|{_LETTER_CODE}){{1,63}}(?:[.]|%(?:25)*2[eE])){{1,10}}"
    rf"(?:(?:[^\W\d_]|{_LETTER_CODE}){{2,63}}|xn--[\w-]{{2,59}})"
)
MAX_NESTING = 50
"""Levels of lists and objects in a value; what lies deeper is left out."""
_DIGITS = 1_000
_JUNK_TEXTS = ("", " ", "null", "none", "undefined", "nan", "nil", "n/a", "unknown")


class Identity(msgspec.Struct, frozen=True, gc=False):
    """Who an event is about, in hashes only.

    Attributes:
        md5: 32 lower-case hexadecimal digits, or None.
        sha2: 64 lower-case hexadecimal digits (SHA-256), or None.
        notes: What was noticed on the way: `junk`, `conflict`.
    """

    md5: str | None
    sha2: str | None
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is a hashed e-mail at all."""
        return self.md5 is not None or self.sha2 is not None


def _lower(address: str) -> str:
    return address.strip().lower()


def _without_dots_and_plus(local: str) -> str:
    return local.partition("+")[0].replace(".", "")


def _all_domains(address: str) -> str:
    local, _, domain = _lower(address).rpartition("@")
    return f"{_without_dots_and_plus(local)}@{domain}"


def _gmail(address: str) -> str:
    lowered = address.strip().lower()
    local, _, domain = lowered.rpartition("@")
    return f"{_without_dots_and_plus(local)}@{domain}" if domain in _GMAIL else lowered


NORMALIZATIONS: dict[str, Callable[[str], str]] = {
    # Source: the md5 of the guide's example is that of `johndoe@gmail.com`, its address being
    # `John.Doe+office@gmail.com`. For other domains the guide is silent, so nothing is dropped.
    "gmail": _gmail,
    # A sister product of LiveIntent's drops dots and `+…` in every domain.
    "all_domains": _all_domains,
    # LiveIntent's own privacy tool only trims and lower-cases.
    "lowercase": _lower,
}


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_JUNK_HASHES = frozenset(
    digest(variant)
    for text in _JUNK_TEXTS
    for variant in {text, text.upper(), text.capitalize()}
    for digest in (_md5, _sha256)
) | {"0" * 32, "0" * 64}


def identify(candidates: Iterable[Any], normalize: Callable[[str], str]) -> Identity:
    """Make one identity of what the columns `email`, `md5` and `sha2` hold.

    A raw address in any of them wins over a given hash. A hash goes where its length says. What is
    neither, and hashes of nothing, identify nobody.

    Args:
        candidates: The values, the most trusted first.
        normalize: One of `NORMALIZATIONS`.

    Returns:
        The identity, with the notes `junk` and `conflict`.
    """
    computed: Identity | None = None
    given: dict[int, str] = {}
    notes: list[str] = []
    for candidate in candidates:
        text = candidate.strip() if isinstance(candidate, str) else ""
        if "@" in text:
            hashed = _hash_address(text, normalize)
            computed = computed or hashed
            if hashed is None:
                notes.append("junk")
        elif _HASH.fullmatch(text) and (digest := text.lower()) not in _JUNK_HASHES:
            given.setdefault(len(digest), digest)
        elif text or not isinstance(candidate, (str, NoneType)):
            notes.append("junk")
    if computed is None:
        return Identity(given.get(32), given.get(64), tuple(notes))
    if given.get(32, computed.md5) != computed.md5 or given.get(64, computed.sha2) != computed.sha2:
        notes.append("conflict")
    return Identity(computed.md5, computed.sha2, tuple(notes)) if notes else computed


def digests(text: str) -> set[str]:
    """Every hash by which a person may be known: those of an address, or the one that is given.

    An address counts under all normalisations. Empty if the text is neither an address nor a hash.
    """
    if _HASH.fullmatch(text):
        return {text.lower()}
    hashed = (_hash_address(text, normalize) for normalize in NORMALIZATIONS.values())
    return {digest for one in hashed if one for digest in (one.md5, one.sha2) if digest}


def _hash_address(text: str, normalize: Callable[[str], str]) -> Identity | None:
    if not _ADDRESS.fullmatch(text) or not (text.isascii() or _is_unicode(text)):
        return None
    normalized = normalize(text)
    if normalized[0] == "@":  # Nothing is left of the local part: `+tag@gmail.com`.
        return None
    address = normalized.encode()
    return Identity(
        hashlib.md5(address, usedforsecurity=False).hexdigest(),
        hashlib.sha256(address).hexdigest(),
    )


def _is_unicode(text: str) -> bool:
    """Whether the text can be encoded: JSON may bring lone surrogates, which UTF-8 lacks."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def holds_address(text: str) -> bool:
    """Whether an e-mail address stands anywhere in the text, percent-encoded or plain."""
    return ("@" in text or "%" in text) and _ADDRESS_WITHIN.search(text) is not None


def scrub(text: str) -> str:
    """Replace each e-mail address in a text by the SHA-256 of its lower-case form."""
    if "@" not in text and "%" not in text:
        return text
    return _ADDRESS_WITHIN.sub(
        lambda found: _sha256(_lower(found[0]).encode(errors="replace").decode()), text
    )


def pseudonym(text: str) -> str:
    """A UUIDv5 in place of an event ID that is, or holds, an e-mail address."""
    return str(uuid.uuid5(NAMESPACE, text.encode(errors="replace").decode()))


def derive_event_id(stream: str, values: Iterable[Any]) -> str:
    """The event ID of a record that brings none: the same whenever the record is the same.

    Args:
        stream: The name that the tap gives the stream.
        values: JSON-like values that tell the record from all others, in a fixed order.

    Returns:
        A UUIDv5 as text.
    """
    name = json.dumps(
        [stream, *(_canonical(value, 0) for value in values)],
        sort_keys=True,
        separators=(",", ":"),
        default=str,
    )
    return str(uuid.uuid5(NAMESPACE, name))


def _canonical(value: Any, depth: int) -> Any:
    """JSON with text for keys; what is nested deeper than any row's column is left out."""
    if depth > MAX_NESTING:
        return None
    if isinstance(value, dict):
        return {str(name): _canonical(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(inner, depth + 1) for inner in value]
    # Python refuses to write integers of thousands of digits.
    return hex(value) if isinstance(value, int) and value.bit_length() > _DIGITS else value
