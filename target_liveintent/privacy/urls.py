"""Removes secrets and personal data from the URLs of pages.

Shops put a buyer's key into the URL of the status page (`?key=…`). Other sites put tokens, codes,
phone numbers and addresses into links. The setting `source_url_parameters` says which other
parameters are kept.
"""

from __future__ import annotations

import functools
import pathlib
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote

from target_liveintent.files import word_table
from target_liveintent.privacy.addresses import holds_address, may_hold_address

_USER_INFO = re.compile(r"^(\s*(?:[a-z][a-z0-9+.-]*:)?//)[^/?#]*@", re.IGNORECASE)
_USER_INFO_WITHIN = re.compile(r"//[^/?#\s]*@")
_NAME_WITHIN = re.compile(r"[?&;#]([^=&;?#]+)=")
_PATH_PARAMETER = re.compile(r";([^;/=]{1,64}=[^;/]*)")
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_NAMES = word_table(pathlib.Path(__file__).with_name("parameters.txt"))
"""The known words in names of parameters, in three groups: `secret`, `harmless` and `click`."""
_SECRET_PREFIXES = ("x-amz-", "x-goog-")
_ALWAYS_ATTRIBUTION = re.compile(r"li_did|utm_.*", re.IGNORECASE)
_ENCODED = re.compile(r"%(?:25)*(?:23|26|3[bBdDfF])")
"""Matches the percent code of a sign that separates parameters, or a name from a value."""
_LEVELS = 3
"""How often the value of a parameter is searched: unchanged, and after each of two decodings."""


def _all_but_secrets(parameter: str) -> str | None:
    name, equals_sign, value = parameter.partition("=")
    if equals_sign and _is_credential(name):
        return None
    return None if holds_address(value) or _contains_credential(value) else parameter


def _attribution(parameter: str) -> str | None:
    name, equals_sign, value = parameter.partition("=")
    own = _own_name(name)
    if not _is_attribution(unquote(own)) or _all_but_secrets(parameter) is None:
        return None
    return f"{own}{equals_sign}{value}"


def _own_name(name: str) -> str:
    """Return the part of a parameter's name after the last `?` or semicolon."""
    return name.rpartition("?")[2].rpartition(";")[2]


URL_PARAMETERS: dict[str, Callable[[str], str | None]] = {
    "all_but_secrets": _all_but_secrets,
    "attribution": _attribution,
    "none": lambda _: None,
}
"""The values of the setting `source_url_parameters`, each with a function that returns a cleaned
parameter, or None to remove the parameter."""


def clean_url(url: str, kept: Callable[[str], str | None] = _all_but_secrets) -> str:
    """Return a URL, or any other text, from which credentials and some parameters are removed.

    A parameter with an address is always removed. An address outside of the value of a parameter
    stays in the text.

    Args:
        url: The URL, or the other text.
        kept: The function that cleans a parameter: a value of `URL_PARAMETERS`.
    """
    if "@" in url:
        url = _USER_INFO.sub(r"\1", url)
    if kept is _all_but_secrets and ("=" not in url or _is_plain(url)):
        return url
    page, hash_mark, fragment = url.partition("#")
    page, question_mark, query = page.partition("?")
    if ";" in page:
        page = _PATH_PARAMETER.sub(lambda found: _sendable(";", found[1], kept), page)
    return page + _sendable(question_mark, query, kept) + _sendable(hash_mark, fragment, kept)


def _is_plain(url: str) -> bool:
    """Return whether a URL certainly has no parameter with a secret or an address."""
    if may_hold_address(url) or ("%" in url and _ENCODED.search(url)):
        return False
    return not any(map(_is_credential, _NAME_WITHIN.findall(url)))


def _sendable(mark: str, text: str, kept: Callable[[str], str | None]) -> str:
    parameters = [left for one in text.split("&") if (left := kept(one)) is not None]
    return mark + "&".join(parameters) if parameters else ""


def _is_attribution(name: str) -> bool:
    return _ALWAYS_ATTRIBUTION.fullmatch(name) is not None or name.lower() in _NAMES["click"]


@functools.lru_cache(maxsize=1024)
def _is_credential(name: str) -> bool:
    """Return whether a parameter's name means a secret: `key`, `orderKey`, `user[token]`."""
    plain = _in_ascii(_own_name(name))
    if _is_attribution(plain):
        return False
    words = [word.lower() for word in _WORD.findall(plain)]
    ends = {"".join(words[-1:]), "".join(words[-2:])}
    ends |= {end.rstrip("0123456789") for end in ends}  # For names such as `phone2`.
    if not ends.isdisjoint(_NAMES["harmless"]):
        return False
    return not ends.isdisjoint(_NAMES["secret"]) or plain.lower().startswith(_SECRET_PREFIXES)


def _in_ascii(name: str) -> str:
    """Return a name without percent codes and accents.

    Percent codes that are not UTF-8 are read as Latin-1, because many pages still use Latin-1.
    """
    try:
        plain = unquote(name, errors="strict")
    except UnicodeDecodeError:
        plain = unquote(name, "latin-1")
    if plain.isascii():
        return plain
    letters = unicodedata.normalize("NFKD", plain.replace("\u00df", "ss"))
    return letters.encode("ascii", "ignore").decode()


def _contains_credential(value: str) -> bool:
    for _ in range(_LEVELS):
        if _USER_INFO_WITHIN.search(value) or any(map(_is_credential, _NAME_WITHIN.findall(value))):
            return True
        value = unquote(value)
    return False
