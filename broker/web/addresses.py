"""Who is at the other end: the client's address, the scheme it used and the host it asked for.

A proxy's X-Forwarded-* are believed only when the proxy's own address is in `trusted_proxies`; anybody else may write what they
like there. A request that a proxy of this machine passed on is not a local one: see `is_loopback`.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from broker.web.asgi import Scope, header

Network = IPv4Network | IPv6Network
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"x-real-ip", b"via"})
_PORTS = {"http": "80", "https": "443"}


__all__ = ["Addresses", "header"]


class Addresses:
    """Reads scopes as the configuration says; *public_url* is the origin that people use, if it is set."""

    def __init__(self, trusted: Sequence[Network] = (), public_url: str | None = None) -> None:
        self._trusted = tuple(trusted)
        self._public = public_url

    def client(self, scope: Scope) -> str:
        """Return the client's address; behind trusted proxies, the last one that is none of them."""
        peer = _peer(scope)
        if not self.is_proxy(peer):
            return peer
        for hop in reversed((header(scope, b"x-forwarded-for") or "").split(",")):
            address = _bare(hop)
            if _parsed(address) is None:
                break
            peer = address
            if not self.is_proxy(address):
                break
        return peer

    def scheme(self, scope: Scope) -> str:
        """Return http or https: what the browser speaks."""
        if self.is_proxy(_peer(scope)):
            said = (header(scope, b"x-forwarded-proto") or "").split(",")[-1].strip().lower()
            if said in _PORTS:
                return said
        return "https" if scope["scheme"] in ("https", "wss") else "http"

    def host(self, scope: Scope) -> str:
        """Return the host, with its port unless that is the usual one, that the browser asked for."""
        host = header(scope, b"host") or ""
        if self.is_proxy(_peer(scope)):
            host = (header(scope, b"x-forwarded-host") or host).split(",")[-1].strip()
        return host.lower().removesuffix(":" + _PORTS.get(self.scheme(scope), ""))

    def is_https(self, scope: Scope) -> bool:
        """Return whether the browser speaks https."""
        return self.scheme(scope) == "https"

    def is_loopback(self, scope: Scope) -> bool:
        """Return whether the request comes from this very machine and passed through nothing.

        The Host must name this machine: a page of somebody's site, whose name was made to point here, says its own.
        """
        client = _parsed(_peer(scope))
        host = (header(scope, b"host") or "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return client is not None and client.is_loopback and name in _LOCAL_HOSTS and _is_direct(scope)

    def is_from(self, scope: Scope, networks: Sequence[Network]) -> bool:
        """Return whether the request comes from one of *networks* and passed through nothing."""
        client = _parsed(_peer(scope))
        return client is not None and any(client in network for network in networks) and _is_direct(scope)

    def own_origin(self, scope: Scope, origin: str) -> bool:
        """Return whether *origin* (of a page) is our own: the host asked for, or the public address."""
        origin = origin.lower()
        return origin == f"{self.scheme(scope)}://{self.host(scope)}" or (self._public is not None and origin == self._public)

    def is_proxy(self, address: str) -> bool:
        """Return whether *address* is a trusted proxy's: it speaks for many people."""
        parsed = _parsed(address) if self._trusted else None
        return parsed is not None and any(parsed in network for network in self._trusted)


def _is_direct(scope: Scope) -> bool:
    return not any(key in _FORWARDED for key, _ in scope["headers"])


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return _bare(client[0]) if client else ""


def _bare(address: str) -> str:
    """Return the address without brackets, port or zone."""
    address = address.strip()
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address.partition("%")[0]


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    # A socket for both families shows IPv4 clients so.
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed
