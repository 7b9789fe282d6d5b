"""Decision IDs: those that a record gives, and those in the URL of the page that a click opened."""

from __future__ import annotations

import re
from typing import Any

from target_liveintent.conversions.coerce import UNUSABLE, UUID_FORM, Unusable, text
from target_liveintent.privacy import is_placeholder

_PARAMETER = re.compile(
    rf"li_did(=|%(?:25){{0,4}}3[dD])(?:({UUID_FORM.pattern})(?![\w.-]))?", re.ASCII
)
"""The parameter, and its value if that is a UUID; also in a URL that is itself a parameter, and
encoded as such."""
_SEPARATORS = frozenset("?&;#/ ")
_ENCODED_SEPARATOR = re.compile(r"%(?:25){0,4}(?:3[fFbB]|26|23|2[fF]|20)\Z")
_LONGEST_SEPARATOR = len("%" + "25" * 4 + "3F")


def decision_id(value: Any) -> str | Unusable | None:
    """Return a decision ID as text; a placeholder such as `undefined` is unusable."""
    plain = text(value)
    if plain is None:  # (`text` treats `null` as null, but here it must be counted.)
        return UNUSABLE if isinstance(value, str) and value.strip() else None
    return UNUSABLE if isinstance(plain, Unusable) or is_placeholder(plain) else plain


def decision_id_of_url(url: str) -> str | Unusable | None:
    """Return the UUID in the parameter `li_did` of a URL, None without the parameter.

    It may be in the query, in the fragment, and in a URL that is itself a parameter. The least
    encoded one with a UUID counts. Without any, the parameter is unusable.

    This is inferred: LiveIntent's own pixel stores that parameter as "decision id".
    """
    if "li_did" not in url:  # This is so for most URLs.
        return None
    found: str | Unusable | None = None
    least_encoded = len(url)
    for parameter in _PARAMETER.finditer(url):
        if _begins_parameter(url, parameter.start()):
            sign, value = parameter.groups()
            if value is None or is_placeholder(value):
                found = found or UNUSABLE
            elif len(sign) < least_encoded:
                found, least_encoded = value, len(sign)
    return found


def _begins_parameter(url: str, start: int) -> bool:
    """Return whether a parameter's name starts here: `old_li_did` is another parameter."""
    if start == 0 or url[start - 1] in _SEPARATORS:
        return True
    return bool(_ENCODED_SEPARATOR.search(url, max(0, start - _LONGEST_SEPARATOR), start))
