"""IP addresses: which are a buyer's, and which of a chain is sent."""

from __future__ import annotations

from typing import Any

import pytest

from target_liveintent.conversions.coerce import UNUSABLE, ip


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("203.0.113.7", ["203.0.113.7", " 203.0.113.7 ", "::ffff:203.0.113.7", "::FFFF:cb00:7107"]),
        ("2001:db8::1", ["2001:DB8::1", "2001:0db8:0000::0001"]),
        (None, [None, ""]),
        (UNUSABLE, ["203.0.113", "203.0.113.256", "203.0.113.7:443", "203.0.113.0/24", "unknown"]),
        (UNUSABLE, ["[2001:db8::1]", "2001:db8::1%eth0", 3405803783, True, b"\xcb\x00\x71\x07"]),
    ],
)
def test_ip(address: Any, values: list[Any]) -> None:
    """IPv4 or IPv6; a mapped address becomes IPv4, and an integer is unusable."""
    assert [ip(value) for value in values] == [address] * len(values)


# The first and the last address of each network, and their neighbours outside of it.
NETWORKS = [
    ("0.0.0.0", "0.255.255.255", None, "1.0.0.0"),  # noqa: S104 (nothing listens there)
    ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
    ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
    ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
    ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
    ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
    ("192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"),
    ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
    ("224.0.0.0", "255.255.255.255", "223.255.255.255", None),
    ("::ffff:10.0.0.0", "::ffff:10.255.255.255", None, None),
    ("::", "::1", None, "2001:db8::1"),
    ("4000::", "ffff::1", "3fff:ffff::1", None),
    ("::10.0.0.5", "1fff::203.0.113.9", None, "2000::1"),
    ("64:ff9b::cb00:7107", "64:ff9b:1::a00:5", None, None),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
    ("fe80::", "febf::1", None, None),
    ("ff00::", "ff02::1", None, None),
]


@pytest.mark.parametrize(("first", "last", "before", "after"), NETWORKS)
def test_addresses_that_are_nobodys(
    first: str, last: str, before: str | None, after: str | None
) -> None:
    """Private, loopback, link-local and multicast addresses say nothing about a buyer."""
    for inside in (first, last):
        assert ip(inside) is UNUSABLE
        assert ip(f" {inside}\n") is UNUSABLE
    for outside in (before, after):
        assert outside is None or ip(outside) == outside


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::5", "3fff::1", "8.8.8.8"]
)
def test_documentation_counts_as_public(address: str) -> None:
    """Examples and tests use the ranges for documentation."""
    assert ip(address) == address


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        ("203.0.113.9, 10.0.0.1", "203.0.113.9"),
        ("203.0.113.9,198.51.100.2", "203.0.113.9"),
        ("10.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("unknown, 203.0.113.9", "203.0.113.9"),
        (" , 127.0.0.1 ,, 2001:DB8::7 , 203.0.113.9", "2001:db8::7"),
        ("::ffff:10.0.0.1, ::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.1, 192.168.0.1", UNUSABLE),
        ("10.0.0.1,", UNUSABLE),
        (",", UNUSABLE),
        ("203.0.113.9 10.0.0.1", UNUSABLE),
    ],
)
def test_chains(chain: str, address: Any) -> None:
    """Of the addresses that proxies have written one after the other, the first public one."""
    assert ip(chain) == address
