"""Reads IP addresses of buyers, and accepts only public ones."""

from __future__ import annotations

import re
import socket
from typing import Any

from target_liveintent.conversions.coerce import UNUSABLE, Unusable, text

_NOT_PUBLIC = re.compile(
    r"(?:0|10|127|22[4-9]|2[3-5][0-9])[.]|192[.](?:0[.]0|168)[.]|169[.]254[.]"
    r"|172[.](?:1[6-9]|2[0-9]|3[01])[.]|100[.](?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])[.]"
)
"""IPv4 networks that are not public, in the registry of IANA. Their addresses are those of proxies,
tills and offices, and do not distinguish buyers. The ranges for documentation are accepted."""
_PUBLIC_IPV6 = 0b001
"""The first three bits of all public IPv6 addresses, 2000::/3, from which IANA assigns networks."""
_MAPPED = bytes(10) + b"\xff\xff"
"""The beginning of an IPv6 address that contains an IPv4 address."""


def ip(value: Any) -> str | Unusable | None:
    """Return a public IPv4 or IPv6 address; of a chain with commas, the first that is public.

    Proxies write such chains. `::ffff:203.0.113.9` becomes IPv4.
    """
    if not isinstance(plain := text(value), str):
        return plain
    for part in plain.split(","):
        if (address := _public(part.strip())) is not None:
            return address
    return UNUSABLE


def _public(plain: str) -> str | None:
    """Return a public address in its usual form; None if the text is no public address."""
    try:
        if ":" not in plain:
            socket.inet_pton(socket.AF_INET, plain)
            return None if _NOT_PUBLIC.match(plain) else plain
        address = socket.inet_pton(socket.AF_INET6, plain)
    except (OSError, ValueError):
        return None
    if address.startswith(_MAPPED):
        return _public(socket.inet_ntop(socket.AF_INET, address[12:]))
    return socket.inet_ntop(socket.AF_INET6, address) if address[0] >> 5 == _PUBLIC_IPV6 else None
