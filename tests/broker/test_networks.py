"""Who is counted together: one address, or the network that one person has."""

import pytest

from broker.networks import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        # A socket for both families shows IPv4 clients so: their /64 would be one for all of them.
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::1", "::/64"),
        ("", ""),
        ("unix:" + "x" * 100, "unix:" + "x" * 59),
    ],
)
def test_network_of(address, network):
    """IPv4 counts alone, IPv6 by /64; what is no address is kept, but not all of it."""
    assert network_of(address) == network
