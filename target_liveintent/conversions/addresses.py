"""IP addresses of buyers: those that are reached over the internet, and no others."""

from __future__ import annotations

import ipaddress
from typing import Any

from target_liveintent.conversions.coerce import UNUSABLE, Unusable, text

_NOBODYS = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
        # Among them `::` and `::1`; then the inside of translators, sinks, sites and links.
        *("::/96", "64:ff9b:1::/48", "100::/64", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)
"""Networks of machines that are not reached over the internet: their addresses are those of
proxies, tills and offices, and tell no buyer from another. The ranges for documentation pass."""
FIRST_BYTES_OF_NOBODY = frozenset(
    byte
    for network in _NOBODYS
    if network.version == 4  # noqa: PLR2004
    for byte in range(network[0].packed[0], network[-1].packed[0] + 1)
)
"""The first bytes of the IPv4 addresses in these networks, and of some others."""


def ip(value: Any) -> str | Unusable | None:
    """Return a public IPv4 or IPv6 address; of a chain with commas, the first that is public.

    Proxies write such chains. `::ffff:203.0.113.9` becomes IPv4.
    """
    if not isinstance(plain := text(value), str):
        return plain
    public = (_public(part.strip()) for part in plain.split(","))
    return next((address for address in public if address is not None), UNUSABLE)


def _public(plain: str) -> str | None:
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        address = address.ipv4_mapped or address
    return None if any(address in network for network in _NOBODYS) else str(address)
