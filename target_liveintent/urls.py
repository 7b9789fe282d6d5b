"""Page URLs without what must not travel: user names, passwords, keys, and addresses.

Shops put a buyer's key into status pages (`?key=…`), sites put tokens and addresses into links.
What means attribution (`li_did`, `utm_*`, click IDs) stays, byte for byte.
"""

from __future__ import annotations

import re

from target_liveintent.identity import holds_address

_SECRET = re.compile(
    r"(?:.*[_.-])?(?:key|token|signature|sig|secret|password|passwd|pwd|auth|authorization|"
    r"session|sessionid|sid|jwt|otp|credential|credentials|apikey|accesstoken|authtoken|authkey)"
    r"|x-(?:amz|goog)-.*",
    re.IGNORECASE,
)
_ATTRIBUTION = re.compile(r"li_did|utm_.*", re.IGNORECASE)
_USER_INFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*:)?//(?P<user>[^/?#]*)@", re.IGNORECASE)


def clean(url: str) -> str:
    """A URL, or any text in its place, without credentials and addresses in its parameters.

    Args:
        url: As the source has it; a path alone will do.

    Returns:
        The rest of it, unchanged to the byte. An address elsewhere in it is still there.
    """
    if "@" in url:
        url = _USER_INFO.sub(lambda found: f"{found['scheme'] or ''}//", url, count=1)
    if "=" not in url:
        return url
    page, mark, fragment = url.partition("#")
    page, question, query = page.partition("?")
    query, fragment = _parameters(query), _parameters(fragment)
    return page + (question and query and f"?{query}") + (mark and fragment and f"#{fragment}")


def _parameters(query: str) -> str:
    if "=" not in query:
        return query
    route, question, rest = query.partition("?")  # A fragment may hold a page of its own.
    if question:
        kept = _parameters(rest)
        return _parameters(route) + (kept and f"?{kept}")
    return "&".join(part for part in query.split("&") if _travels(part))


def _travels(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    if holds_address(value):
        return False
    return bool(_ATTRIBUTION.fullmatch(name)) or not _SECRET.fullmatch(name)
