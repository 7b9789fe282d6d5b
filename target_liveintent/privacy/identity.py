"""Reads e-mail addresses and hashes in all usual spellings, and hashes the addresses.

After `identify`, the conversion of a record uses only hashes, UUIDs and texts without addresses.
The comments in `NORMALIZATIONS` name the source of each rule.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import msgspec

from target_liveintent.privacy.addresses import ADDRESS, ASCII_ADDRESS, holds_address
from target_liveintent.privacy.characters import is_misread, visible
from target_liveintent.remarks import COLUMN_EMPTY, COLUMN_UNUSABLE, HASH_CONFLICT, Remark, Remarks

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://conversions.liveintent.com/target-liveintent")
"""The namespace of every UUIDv5 of this module. Another namespace would change every derived ID."""
_NAMED = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)
_MD5, _SHA256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
"""Hash objects of an empty text. Copying a hash object is faster than creating one."""
_VARIANTS = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""One digit of a UUID says which variant it is. This maps the digit of the hash to the digit that
replaces it in the UUID."""
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str).encode
_GMAIL = ("@gmail.com", "@googlemail.com")
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
"""Hashes that identify nobody, in lower-case digits: those of `_TEXTS` in upper and lower case, and
those whose digits are all 0."""
MAX_NESTING = 50
"""The greatest number of levels of lists and objects in a value. Deeper values become null."""
IDENTITY_COLUMNS = ("email", "md5", "sha2")
"""The columns from which an identity is made. The most trusted column comes first."""
_EMPTY = {column: Remark(COLUMN_EMPTY, column) for column in IDENTITY_COLUMNS}


# Spellings in which people and warehouses write addresses and hashes. A text that only a guess can
# explain is neither an address nor a hash.
_LONGEST_ADDRESS = 2_000
"""The greatest length of a text with an address, because composing thousands of accents would take
seconds."""
_LINK = re.compile(r"mailto:([^?%]+)(?:\?.*)?", re.IGNORECASE)
"""Matches a link to an address without percent codes, which could mean any character."""
_NAMED_ADDRESS = re.compile(r"[^<>@]*<([^<>]+)>")
"""Matches `Jane <jane@example.com>`, but no name with an @, which could be another address."""
_PLAIN_HASH = re.compile(r"[0-9a-fA-F]{32}(?:[0-9a-fA-F]{32})?")
_HEXADECIMAL = re.compile(
    r"(?:\\x|0x|(md5|sha-?256):)?([0-9a-f]{32}|[0-9a-f]{64})", re.IGNORECASE | re.ASCII
)
_DIGITS = {"md5": 32, "sha256": 64}
"""How many hexadecimal digits the hash of each algorithm has."""
_BASE64 = re.compile(r"[\w+/-]{22}==|[\w+/-]{43}=", re.ASCII)
"""Matches 16 or 32 bytes with padding. A text without padding could be an ID of the same length."""
_FROM_URLS = str.maketrans("-_", "+/")


class Identity(msgspec.Struct, frozen=True, gc=False):
    """The hashes of the person to whom an event belongs.

    Attributes:
        md5: 32 lower-case hexadecimal digits, or None.
        sha2: 64 lower-case hexadecimal digits, or None.
        remarks: Remarks on columns that have neither an address nor a usable hash, on a hash that
            conflicts with the address, and on empty columns if no column has an address.
        others: All other hashes by which a list may name the person, as bytes: the hashes of the
            address in its other normalization, and given hashes that are not sent. None if these
            hashes are unknown, because a value contains an unreadable address.
    """

    md5: str | None
    sha2: str | None
    remarks: Remarks = ()
    others: tuple[bytes, ...] | None = ()

    @property
    def hashes(self) -> list[str]:
        """All known hashes of the person in hexadecimal digits, first the hashes that are sent."""
        sent = [digest for digest in (self.md5, self.sha2) if digest is not None]
        return [*sent, *(digest.hex() for digest in self.others or ())]


NORMALIZATIONS: dict[str, Callable[[str], bool]] = {
    # Source: the guide's example gives the md5 of `johndoe@gmail.com` for the address
    # `John.Doe+office@gmail.com`. In other domains, which the guide omits, dots and `+…` stay.
    "gmail": lambda address: address.endswith(_GMAIL),
    # A sister product of LiveIntent drops dots and `+…` in all domains.
    "all_domains": lambda _: True,
    # LiveIntent's own privacy tool only trims the address and makes it lower case.
    "lowercase": lambda _: False,
}
"""For each normalization: the function that says whether dots and `+…` are dropped from the local
part of a lower-case address."""


def identify(
    candidates: Iterable[Any],
    normalization: str = "gmail",
    columns: Sequence[str] = IDENTITY_COLUMNS,
) -> Identity:
    """Return one identity for the values in the columns `email`, `md5` and `sha2`.

    An address in any column takes precedence over a given hash, and an earlier value over a later
    value. The length of a hash decides whether it is an MD5 or a SHA-256. All other texts, and the
    hashes of placeholders, are unusable.

    Args:
        candidates: The values of the columns.
        normalization: A key of `NORMALIZATIONS`.
        columns: The names of the columns.
    """
    addresses, hashes, empty, unusable = _read(candidates, normalization, columns)
    remarks = [Remark(COLUMN_UNUSABLE, column) for column in unusable]
    if addresses:
        md5, sha2 = addresses[0].md5, addresses[0].sha2
        if not {md5, sha2}.issuperset(hashes):
            remarks.append(Remark(HASH_CONFLICT, IDENTITY_COLUMNS[0]))
    else:
        by_digits = {len(digest): digest for digest in reversed(hashes)}  # The first hash counts.
        md5, sha2 = by_digits.get(_DIGITS["md5"]), by_digits.get(_DIGITS["sha256"])
        remarks += [_EMPTY[column] for column in empty]
    known = dict.fromkeys(chain(*(address.hashes for address in addresses), hashes))
    others = tuple(bytes.fromhex(digest) for digest in known if digest not in (md5, sha2))
    texts = map(str, unusable.values())
    is_complete = not any("@" in text or holds_address(text) for text in texts)
    return Identity(md5, sha2, tuple(remarks), others if is_complete else None)


def _read(
    candidates: Iterable[Any], normalization: str, columns: Sequence[str]
) -> tuple[list[Identity], list[str], list[str], dict[str, Any]]:
    """Return the identities of addresses, the hashes, the empty columns, and unusable values."""
    addresses: list[Identity] = []
    hashes: list[str] = []
    empty: list[str] = []
    unusable: dict[str, Any] = {}
    for column, candidate in zip(columns, candidates, strict=False):
        text = candidate.strip() if isinstance(candidate, str) else ""
        if "@" in text and (address := hash_address(text, normalization)) is not None:
            addresses.append(address)
        elif (digest := hash_in(text)) is not None and digest not in JUNK_HASHES:
            hashes.append(digest)
        elif candidate is None or (isinstance(candidate, str) and not text):
            empty.append(column)
        else:
            unusable[column] = candidate
    return addresses, hashes, empty, unusable


def hash_address(text: str, normalization: str) -> Identity | None:
    """Return the identity of an address; None if the text is not an address."""
    address = address_in(text)
    if address is None:
        return None
    sent = address.lower()
    others: tuple[bytes, ...] = ()
    local, _, domain = sent.rpartition("@")
    if "." in local or "+" in local:  # Otherwise, both normalizations give this address.
        other = f"{local.partition('+')[0].replace('.', '')}@{domain}"
        if NORMALIZATIONS[normalization](sent):
            sent, other = other, sent
        if sent[0] == "@":  # Nothing is left of the local part: `+tag@gmail.com`.
            return None
        if other[0] != "@":
            md5, sha2 = _hashed(other)
            others = (md5.digest(), sha2.digest())
    md5, sha2 = _hashed(sent)
    return Identity(md5.hexdigest(), sha2.hexdigest(), (), others)


def _hashed(address: str) -> tuple[Any, Any]:
    """Return the MD5 and the SHA-256 of a normalized address, as objects of `hashlib`."""
    encoded = address.encode()
    md5, sha2 = _MD5.copy(), _SHA256.copy()
    md5.update(encoded)
    sha2.update(encoded)
    return md5, sha2


def cause_of_junk(value: Any) -> str | None:
    """Return a code that says why a text with an @ is not an address; None if no code fits."""
    if not isinstance(value, str) or "@" not in value:
        return None
    if is_misread(value):
        return "wrong_encoding"
    address = visible(value).strip()
    is_apart = address.split() != [address] and not any(sign in address for sign in "<>:;,")
    return "white_space" if is_apart else None


def hashes_of(text: str) -> list[str]:
    """Return all known hashes of the person whom an address, or the hash of an address, identifies.

    An address has hashes for each normalization. For any other text, the list is empty.
    """
    if "@" not in text:
        digest = hash_in(text)
        return [digest] if digest else []
    hashed = hash_address(text, "lowercase")
    return hashed.hashes if hashed else []


def traces_of(text: str) -> list[str]:
    """Return the texts that identify a person in stored rows: hashes, and event IDs.

    If an event ID was the address itself, the store has a `pseudonym` in its place.
    """
    hashes = hashes_of(text)
    if not hashes or "@" not in text:
        return hashes
    return [*hashes, *(pseudonym(spelling) for spelling in dict.fromkeys((text, text.lower())))]


def is_placeholder(text: str) -> bool:
    """Return whether a text is a placeholder such as `n/a` or zeros; case does not matter."""
    return len(text) <= _LONGEST and text.strip().lower() in _PLACEHOLDERS


def pseudonym(text: str) -> str:
    """Return a UUIDv5 in place of an event ID that contains an e-mail address."""
    return _uuid5(text.encode(errors="replace"))


def derive_event_id(stream: str, values: Iterable[Any]) -> str:
    """Return a UUIDv5 for a record without an event ID. The UUID is the same in each run.

    The JSON-like `values` distinguish the record from all other records of the stream.
    """
    members = "".join([f",{_encode(_canonical(value, 0))}" for value in values])
    return _uuid5(f"{members}]".encode(), _begun(stream))


@functools.lru_cache
def _begun(stream: str) -> Any:
    """Return the hash object of the text that all derived IDs of a stream begin with.

    This is the namespace, followed by the name of the stream.
    """
    made = _NAMED.copy()
    made.update(f"[{_encode(stream)}".encode())
    return made


def _uuid5(name: bytes, begun: Any = _NAMED) -> str:
    """Return `str(uuid.uuid5(NAMESPACE, name))` in a third of its time.

    `begun` is the hash object of all that comes before `name`: the namespace, and perhaps the first
    part of the name.
    """
    made = begun.copy()
    made.update(name)
    digits = made.hexdigest()
    variant = _VARIANTS[digits[16]]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _canonical(value: Any, depth: int) -> Any:
    """Return a value that `json.dumps` can write with sorted keys; deep values become None."""
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


def address_in(text: str) -> str | None:
    """Return the address that a person sees in a text; None if the text is not an address.

    Each accent and its letter become one character.

    Args:
        text: An address, a link (`mailto:a@b.example`), a name with an address
            (`Jane <a@b.example>`), or an address with a semicolon at the end.
    """
    if text.isascii() and ASCII_ADDRESS.fullmatch(text):
        return text
    if len(text) > _LONGEST_ADDRESS or is_misread(text):
        return None
    # Invisible characters are removed first: they may be between a letter and its accent.
    plain = unicodedata.normalize("NFC", visible(text)).strip()
    plain = plain.removesuffix(";").rstrip()
    found = _LINK.fullmatch(plain) or _NAMED_ADDRESS.fullmatch(plain)
    address = found[1].strip() if found else plain
    # An address with full-width letters or ligatures is left out: a person reads usual letters, but
    # the hash is another.
    is_plain = unicodedata.normalize("NFKC", address) == address
    return address if is_plain and ADDRESS.fullmatch(address) else None


def hash_in(text: str) -> str | None:
    r"""Return the hash in a text as 32 (MD5) or 64 (SHA-256) lower-case hexadecimal digits.

    Args:
        text: Hexadecimal digits, perhaps after `\x`, `0x`, `md5:` or `sha256:`, or base64.
    """
    if _PLAIN_HASH.fullmatch(text):
        return text.lower()
    plain = visible(text).strip()
    found = _HEXADECIMAL.fullmatch(plain)
    if found:
        label, digits = found.groups()
        is_right = label is None or _DIGITS[label.lower().replace("-", "")] == len(digits)
        return digits.lower() if is_right else None
    return _hash_in_base64(plain) if _BASE64.fullmatch(plain) else None


def _hash_in_base64(text: str) -> str | None:
    standard = text.translate(_FROM_URLS)
    decoded = base64.b64decode(standard)
    if base64.b64encode(decoded).decode() != standard:  # Unused bits at the end are not zero.
        return None
    # Some programs encode the digits of an MD5, which are 32 bytes as well. Any other text, such as
    # an address of 16 letters, is not a hash.
    is_text = decoded.isascii() and decoded.decode().isprintable()
    return hash_in(decoded.decode()) if is_text else decoded.hex()
