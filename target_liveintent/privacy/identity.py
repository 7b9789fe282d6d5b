"""Hashing of e-mail addresses.

A record carries a raw address only until `identify`; what is kept, sent or logged after that holds
hashes, a UUID, or text with its addresses replaced. `NORMALIZATIONS` names the source of each rule.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from types import NoneType
from typing import Any

import msgspec

from target_liveintent.privacy.addresses import ADDRESS, ASCII_ADDRESS, INVISIBLE

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://conversions.liveintent.com/target-liveintent")
"""The namespace of every UUIDv5 made here. With another one, every event would get a new ID."""
_NAMED = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)
_MD5, _SHA256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
"""Of nothing yet: to copy a hash takes less time than to make one."""
_VARIANTS = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""The digit of a UUID that names its variant, by the digit that a hash has there."""
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str).encode
_GMAIL = ("@gmail.com", "@googlemail.com")
_HASH = re.compile(r"[0-9a-fA-F]{32}(?:[0-9a-fA-F]{32})?")
_TEXTS = (
    *("", " ", "null", "(null)", "None", "(none)", "nil", "NaN", "undefined", "unknown"),
    *("n/a", "#n/a", "na", "not set", "(not set)", "not_set", "[object Object]", "-", "<null>"),
    *("true", "false", "0"),
    *(str(uuid.UUID(int=0)), "0" * 32, "0" * 64),
)
"""Texts that sources write, or hash, instead of an ID or an address that they do not have."""
_PLACEHOLDERS = frozenset(text.strip().lower() for text in _TEXTS)
_LONGEST = max(map(len, _PLACEHOLDERS))
JUNK_HASHES = frozenset(
    algorithm(variant.encode(), usedforsecurity=False).hexdigest()
    for text in _TEXTS
    for variant in (text, text.lower(), text.upper(), text.capitalize(), text.title())
    for algorithm in (hashlib.md5, hashlib.sha256)
) | {text for text in _TEXTS if len(text) in (32, 64)}
"""The hashes of these texts in their usual cases, and those of zeros alone: in lower case."""
MAX_NESTING = 50
"""Levels of lists and objects in a value; what lies deeper is left out."""
IDENTITY_COLUMNS = ("email", "md5", "sha2")
"""The columns of which an identity is made, the most trusted first."""
_EMPTY_NOTES = {column: f"{column} empty" for column in IDENTITY_COLUMNS}


class Identity(msgspec.Struct, frozen=True, gc=False):
    """The person that an event is about, in hashes only.

    Attributes:
        md5: 32 lower-case hexadecimal digits, or None.
        sha2: 64 lower-case hexadecimal digits, or None.
        notes: What to count as left out: `email`, the name of a column, if its value is neither an
            address nor a usable hash; `conflict` if a given hash contradicts the address. Without
            an address, `email empty` for a column without a value.
    """

    md5: str | None
    sha2: str | None
    notes: tuple[str, ...] = ()


def _without_dots_and_plus(lowered: str) -> str:
    local, _, domain = lowered.rpartition("@")
    return f"{local.partition('+')[0].replace('.', '')}@{domain}"


def _gmail(address: str) -> str:
    lowered = address.lower()
    return _without_dots_and_plus(lowered) if lowered.endswith(_GMAIL) else lowered


NORMALIZATIONS: dict[str, Callable[[str], str]] = {  # Of addresses without spaces around them.
    # Source: the guide's example gives the md5 of `johndoe@gmail.com` for the address
    # `John.Doe+office@gmail.com`. It says nothing about other domains, so nothing is dropped there.
    "gmail": _gmail,
    # A sister product of LiveIntent's drops dots and `+…` in all domains.
    "all_domains": lambda address: _without_dots_and_plus(address.lower()),
    # LiveIntent's own privacy tool only trims the address and makes it lower case.
    "lowercase": str.lower,
}


def identify(
    candidates: Iterable[Any],
    normalize: Callable[[str], str],
    columns: Sequence[str] = IDENTITY_COLUMNS,
) -> Identity:
    """Make one identity of the values in the columns `email`, `md5` and `sha2`.

    The first candidate is the most trusted, but a raw address in any of them wins over a given
    hash. The length of a hash decides whether it is the md5 or the sha2. All other texts, and the
    hashes of placeholders, are junk.
    """
    computed: Identity | None = None
    given: dict[int, str] = {}
    notes: list[str] = []
    empty: tuple[str, ...] = ()
    for place, candidate in enumerate(candidates):
        text = candidate.strip() if isinstance(candidate, str) else ""
        if "@" in text:
            hashed = hash_address(text, normalize)
            computed = computed or hashed
            if hashed is None:
                notes.append(columns[place])
        elif _HASH.fullmatch(text) and (digest := text.lower()) not in JUNK_HASHES:
            given.setdefault(len(digest), digest)
        elif text or not isinstance(candidate, (str, NoneType)):
            notes.append(columns[place])
        else:
            empty += (_EMPTY_NOTES[columns[place]],)
    if computed is None:
        return Identity(given.get(32), given.get(64), (*notes, *empty))
    if given and not {computed.md5, computed.sha2}.issuperset(given.values()):
        notes.append("conflict")
    return Identity(computed.md5, computed.sha2, tuple(notes)) if notes else computed


def digests(text: str) -> set[str]:
    """Return the hashes of an address in each normalization, or a given hash; else an empty set."""
    if _HASH.fullmatch(text):
        return {text.lower()}
    hashed = (hash_address(text, normalize) for normalize in NORMALIZATIONS.values())
    return {digest for one in hashed if one for digest in (one.md5, one.sha2) if digest}


def hash_address(text: str, normalize: Callable[[str], str]) -> Identity | None:
    """Return the hashes of an address without spaces around it; None if the text is no address."""
    if text.isascii():
        found = ASCII_ADDRESS.fullmatch(text)
    else:
        text = INVISIBLE.sub("", text)
        found = ADDRESS.fullmatch(text)
    if found is None:
        return None
    normalized = normalize(text)
    if normalized[0] == "@":  # The local part is empty after normalization: `+tag@gmail.com`.
        return None
    address = normalized.encode()
    md5, sha2 = _MD5.copy(), _SHA256.copy()
    md5.update(address)
    sha2.update(address)
    return Identity(md5.hexdigest(), sha2.hexdigest())


def is_placeholder(text: str) -> bool:
    """Return whether a text is a placeholder, in any case and with any spaces around it."""
    return len(text) <= _LONGEST and text.strip().lower() in _PLACEHOLDERS


def pseudonym(text: str) -> str:
    """Return a UUIDv5 in place of an event ID that contains an e-mail address."""
    return _uuid5(text.encode(errors="replace"))


def derive_event_id(stream: str, values: Iterable[Any]) -> str:
    """Derive a UUIDv5 for a record without an event ID. It is the same in each run.

    The JSON-like values distinguish it from all other records of the stream.
    """
    members = "".join([f",{_encode(_canonical(value, 0))}" for value in values])
    return _uuid5(f"{members}]".encode(), _begun(stream))


@functools.lru_cache
def _begun(stream: str) -> Any:
    """Return the hash of the beginning of the names from which the IDs of a stream are derived."""
    made = _NAMED.copy()
    made.update(f"[{_encode(stream)}".encode())
    return made


def _uuid5(name: bytes, begun: Any = _NAMED) -> str:
    """Return `str(uuid.uuid5(NAMESPACE, name))` in a third of its time.

    `begun` is the hash of what comes before the name.
    """
    made = begun.copy()
    made.update(name)
    digits = made.hexdigest()
    variant = _VARIANTS[digits[16]]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _canonical(value: Any, depth: int) -> Any:
    """Return a value that `json.dumps` can sort: keys are text, and what is too deep is None."""
    if depth > MAX_NESTING:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {str(name): _canonical(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(inner, depth + 1) for inner in value]
    # Python refuses to write integers of thousands of digits in decimal.
    too_long = isinstance(value, int) and abs(value) >= 2**1000
    return hex(value) if too_long else value
