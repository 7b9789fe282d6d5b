"""IP addresses of buyers: those that are reached over the internet, and no others."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

from target_liveintent.conversions.coerce import UNUSABLE, Unusable, text

_NOBODYS = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
    # Among them `::` and `::1`; then the inside of translators, sinks, sites and links.
    *("::/96", "64:ff9b:1::/48", "100::/64", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
)
"""Networks of machines that are not reached over the internet: their addresses are those of
proxies, tills and offices, and tell no buyer from another. The ranges for documentation pass."""


def _by_first_byte(version: int) -> dict[int, list[tuple[bytes, bytes]]]:
    """Return the first and the last address of the networks, by the first byte of both."""
    found: dict[int, list[tuple[bytes, bytes]]] = {}
    for network in map(ipaddress.ip_network, _NOBODYS):
        if network.version == version:
            first, last = network[0].packed, network[-1].packed
            for byte in range(first[0], last[0] + 1):
                found.setdefault(byte, []).append((first, last))
    return found


_IPV4, _IPV6 = _by_first_byte(4), _by_first_byte(6)


def ip(value: Any) -> str | Unusable | None:
    """Return a public IPv4 or IPv6 address; of a chain with commas, the first that is public.

    Proxies write such chains. `::ffff:203.0.113.9` becomes IPv4.
    """
    if isinstance(value, str):
        try:  # The usual case, in a tenth of the time of Python's parser below.
            octets = socket.inet_pton(socket.AF_INET, value)
        except (OSError, ValueError):
            pass
        else:
            if octets[0] in _IPV4 and _is_within(octets, _IPV4[octets[0]]):
                return UNUSABLE
            return value
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
    networks = _IPV4 if isinstance(address, ipaddress.IPv4Address) else _IPV6
    packed = address.packed
    return None if _is_within(packed, networks.get(packed[0], ())) else str(address)


def _is_within(packed: bytes, networks: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(first <= packed <= last for first, last in networks)
