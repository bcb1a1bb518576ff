"""Who is at the other end, with and without proxies."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from broker.web.addresses import Addresses

PROXIES = (ip_network("10.0.0.0/8"), ip_network("127.0.0.1"))


def scope(peer="127.0.0.1", scheme="http", **headers):
    """Return a scope from *peer* with *headers* (underscores for dashes)."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "client": (peer, 1) if peer else None, "scheme": scheme, "headers": pairs}


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ((), "203.0.113.9", "1.1.1.1", "203.0.113.9"),
        (PROXIES, "203.0.113.9", "1.1.1.1", "203.0.113.9"),
        (PROXIES, "10.0.0.1", "1.1.1.1", "1.1.1.1"),
        (PROXIES, "10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
        (PROXIES, "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (PROXIES, "10.0.0.1", "unknown", "10.0.0.1"),
        (PROXIES, "10.0.0.1", "6.6.6.6, nonsense, 10.0.0.2", "10.0.0.2"),
        (PROXIES, "10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        (PROXIES, "10.0.0.1", "1.1.1.1:5000", "1.1.1.1"),
        (PROXIES, "::ffff:10.0.0.1", "1.1.1.1", "1.1.1.1"),
    ],
)
def test_the_client_is_the_last_that_no_trusted_proxy_vouches_for(trusted, peer, forwarded, client):
    """Whatever a stranger writes in front of it is not believed."""
    assert Addresses(trusted).client(scope(peer, x_forwarded_for=forwarded)) == client


def test_without_a_peer_there_is_no_address():
    """A unix socket has none; nobody is taken for this machine by that."""
    assert Addresses().client(scope("")) == ""
    assert not Addresses().is_loopback(scope("", host="localhost"))


def test_the_scheme_is_the_proxys_word_only_when_trusted():
    """Otherwise what we see ourselves; a socket's scheme counts as its page's."""
    said = {"x_forwarded_proto": "https"}

    assert Addresses(PROXIES).is_https(scope("10.0.0.1", **said))
    assert not Addresses(PROXIES).is_https(scope("203.0.113.9", **said))
    assert not Addresses().is_https(scope("10.0.0.1", **said))
    assert Addresses().is_https(scope(scheme="wss"))


@pytest.mark.parametrize(
    ("peer", "headers", "local"),
    [
        ("127.0.0.1", {"host": "localhost:8080"}, True),
        ("127.0.0.1", {"host": "127.0.0.1"}, True),
        ("::1", {"host": "[::1]:8080"}, True),
        ("::ffff:127.0.0.1", {"host": "LOCALHOST"}, True),
        ("127.0.0.1", {"host": "evil.example:8080"}, False),
        ("127.0.0.1", {"host": "localhost.evil.example"}, False),
        ("127.0.0.1", {}, False),
        ("127.0.0.1", {"host": "localhost", "x_forwarded_for": "1.1.1.1"}, False),
        ("127.0.0.1", {"host": "localhost", "forwarded": "for=1.1.1.1"}, False),
        ("192.168.1.5", {"host": "localhost"}, False),
    ],
)
def test_this_machine_itself_and_nothing_in_between(peer, headers, local):
    """Not a name that was made to point here, and not a proxy of this machine that passes strangers on."""
    assert Addresses().is_loopback(scope(peer, **headers)) == local


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("http://shop.example:8080", True),
        ("HTTP://SHOP.EXAMPLE:8080", True),
        ("https://chat.example.com", True),
        ("https://shop.example:8080", False),
        ("http://shop.example", False),
        ("http://shop.example:8080.evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_our_own_origin_is_the_host_asked_for_or_the_public_address(origin, own):
    """Scheme, host and port, exactly."""
    addresses = Addresses((), "https://chat.example.com")

    assert addresses.own_origin(scope(host="Shop.Example:8080"), origin) == own


def test_behind_a_trusted_proxy_the_origin_is_what_the_browser_sees():
    """Its scheme and its host, the usual port left out as browsers do."""
    behind = scope("10.0.0.1", host="backend:8080", x_forwarded_host="chat.example.com:443", x_forwarded_proto="https")

    assert Addresses(PROXIES).own_origin(behind, "https://chat.example.com")
    assert not Addresses().own_origin(behind, "https://chat.example.com")
