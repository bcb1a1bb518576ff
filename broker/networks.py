"""Whom to count: what strangers do is counted by the network they come from, because one person has many addresses there."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

UNREADABLE_MAX = 64


def network_of(address: str) -> str:
    """Return the address itself, or the /64 that one person with IPv6 owns; what is no address is cut and returned."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:UNREADABLE_MAX]
    if isinstance(parsed, IPv6Address):
        # A socket for both families shows IPv4 clients so; their /64 would be one for all of them.
        return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))
    return str(parsed)
