"""Removes from page URLs what must not be sent: user names, passwords, keys and addresses.

Shops put a buyer's key into the URL of the status page (`?key=…`); sites put tokens and addresses
into links. Parameters for attribution (`li_did`, `utm_*`, click IDs) and all others stay unchanged.
"""

from __future__ import annotations

import functools
import re
from urllib.parse import unquote

from target_liveintent.privacy.identity import holds_address

_USER_INFO = re.compile(r"^(\s*(?:[a-z][a-z0-9+.-]*:)?//)[^/?#]*@", re.IGNORECASE)
_USER_INFO_WITHIN = re.compile(r"//[^/?#\s]*@")
_NAME_WITHIN = re.compile(r"[?&;#]([^=&;?#]{1,64})=")
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_SECRET_WORDS = frozenset(
    {"key", "apikey", "authkey", "token", "accesstoken", "authtoken", "jwt", "otp", "sig"}
    | {"signature", "secret", "password", "passwd", "pwd", "auth", "authorization"}
    | {"session", "sessionid", "sid", "credential", "credentials"}
)
_SECRET_PREFIXES = ("x-amz-", "x-goog-")
_ATTRIBUTION = re.compile(r"li_did|utm_.*", re.IGNORECASE)
# The usual query, from which nothing is removed: this takes 0.3 µs instead of 0.9.
_HARMLESS = re.compile(r"(?:(?:li_did|utm_[a-z]+)=[^&#@%=;]*(?:&|$))+")
_LEVELS = 3
"""A URL in a parameter is searched as it came, and after each of two percent-decodings."""


def clean_url(url: str) -> str:
    """Remove credentials, and parameters that contain an address, from a URL or any other text.

    An address outside of a parameter's value stays in it.
    """
    if "@" in url:
        url = _USER_INFO.sub(r"\1", url)
    if "=" not in url:
        return url
    if "#" not in url and _HARMLESS.fullmatch(url, url.find("?") + 1):
        return url
    page, hash_mark, fragment = url.partition("#")
    page, question_mark, query = page.partition("?")
    return page + _sendable(question_mark, query) + _sendable(hash_mark, fragment)


def _sendable(mark: str, text: str) -> str:
    if "=" not in text:
        return mark + text
    kept = [parameter for parameter in text.split("&") if _may_be_sent(parameter)]
    return mark + "&".join(kept) if kept else ""


def _may_be_sent(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    # A fragment may contain a page with a query, and some sites separate parameters by semicolons.
    if _is_credential(name.rpartition("?")[2].rpartition(";")[2]):
        return False
    if "@" not in value and "%" not in value and "=" not in value:
        return True
    return not holds_address(value) and not _contains_credential(value)


@functools.lru_cache(maxsize=1024)
def _is_credential(name: str) -> bool:
    """Return whether a parameter's name means a credential: `key`, `orderKey`, `user[token]`."""
    plain = unquote(name)
    if _ATTRIBUTION.fullmatch(plain):
        return False
    words = _WORD.findall(plain)
    last = words[-1].lower() if words else ""
    return last in _SECRET_WORDS or plain.lower().startswith(_SECRET_PREFIXES)


def _contains_credential(value: str) -> bool:
    for _ in range(_LEVELS):
        if _USER_INFO_WITHIN.search(value) or any(map(_is_credential, _NAME_WITHIN.findall(value))):
            return True
        decoded = unquote(value)
        if decoded == value:
            return False
        value = decoded
    return False
