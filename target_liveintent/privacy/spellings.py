"""Reads e-mail addresses and hashes in the spellings in which people and warehouses write them.

What cannot be understood without a guess is neither: `address_in` and `hash_in` return None.
"""

from __future__ import annotations

import base64
import re
import unicodedata

from target_liveintent.privacy.addresses import ADDRESS, ASCII_ADDRESS
from target_liveintent.privacy.characters import is_misread, visible

_LONGEST = 2_000
"""Characters of a text with an address. To compose thousands of accents would take seconds."""
_LINK = re.compile(r"mailto:([^?%]+)(?:\?.*)?", re.IGNORECASE)
"""A link. Percent codes in it could mean any character, so such a link is not an address."""
_NAMED = re.compile(r"[^<>@]*<([^<>]+)>")
"""`Jane <jane@example.com>`. A name with an @ could be another address."""
_PLAIN_HASH = re.compile(r"[0-9a-fA-F]{32}(?:[0-9a-fA-F]{32})?")
_HEXADECIMAL = re.compile(
    r"(?:\\x|0x|(md5|sha-?256):)?([0-9a-f]{32}|[0-9a-f]{64})", re.IGNORECASE | re.ASCII
)
_DIGITS = {"md5": 32, "sha256": 64}
"""How many hexadecimal digits the hash of each algorithm has."""
_BASE64 = re.compile(r"[\w+/-]{22}==|[\w+/-]{43}=", re.ASCII)
"""Exactly 16 or 32 bytes. Without the padding, it could be an ID of the same length."""
_FROM_URLS = str.maketrans("-_", "+/")


def address_in(text: str) -> str | None:
    """Return the address that a person sees in a text: composed, and without what is around it.

    Args:
        text: An address, a link (`mailto:a@b.example`), a name with an address
            (`Jane <a@b.example>`), or an address with a semicolon behind it.
    """
    if text.isascii() and ASCII_ADDRESS.fullmatch(text):
        return text
    if len(text) > _LONGEST or is_misread(text):
        return None
    # What nobody sees goes first, as it may stand between a letter and its accent.
    plain = unicodedata.normalize("NFC", visible(text)).strip()
    plain = plain.removesuffix(";").rstrip()
    found = _LINK.fullmatch(plain) or _NAMED.fullmatch(plain)
    address = found[1].strip() if found else plain
    # Full-width letters and ligatures are other letters to a hash, but not to a person.
    is_plain = unicodedata.normalize("NFKC", address) == address
    return address if is_plain and ADDRESS.fullmatch(address) else None


def hash_in(text: str) -> str | None:
    r"""Return the hash in a text as 32 (MD5) or 64 (SHA-256) lower-case hexadecimal digits.

    Args:
        text: Hexadecimal digits, also with `\x`, `0x`, `md5:` or `sha256:` in front, or base64.
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
    if base64.b64encode(decoded).decode() != standard:  # The last bits mean nothing.
        return None
    # Some programs encode the digits of an MD5, which are 32 bytes as well. Any other text, such as
    # an address of 16 letters, is not a hash.
    is_text = decoded.isascii() and decoded.decode().isprintable()
    return hash_in(decoded.decode()) if is_text else decoded.hex()
