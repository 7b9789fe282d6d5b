"""Decision IDs: those that a record gives, and those in the URL of the page that a click opened."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from target_liveintent.conversions.coerce import UNUSABLE, UUID_FORM, Unusable, text
from target_liveintent.privacy import is_placeholder

_PARAMETER = re.compile(  # (A pattern that begins with a plain text is fast.)
    rf"li_did=(?<![^?&;#/ ]li_did=)(?:({UUID_FORM.pattern})(?![\w.-]))?", re.ASCII
)
"""The parameter, and its value if that is a UUID. `old_li_did` is another parameter."""
_LEVELS = 5
"""How often a URL in a parameter may be encoded, plus one."""


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
    for _ in range(_LEVELS):
        for parameter in _PARAMETER.finditer(url):
            value: str | None = parameter[1]
            if value is not None and not is_placeholder(value):
                return value
            found = UNUSABLE
        url = unquote(url)
    return found
