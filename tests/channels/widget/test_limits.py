"""Limits bound what strangers may ask, and forget who has gone."""

from channels.widget import limits
from channels.widget.limits import HOUR, Addresses, Limits


def test_address_is_full_and_empties():
    """One address holds so many sockets; when one leaves, another may come, and nothing of it is remembered in the end."""
    addresses = Addresses(Limits(sockets_per_address=2))

    assert [True, True, False] == [addresses.enter("a") for _ in range(3)]
    assert addresses.enter("b")
    addresses.leave("a")
    assert addresses.enter("a")


def test_house_is_full():
    """Together all addresses hold so many sockets."""
    addresses = Addresses(Limits(sockets=1))

    assert addresses.enter("a")
    assert not addresses.enter("b")


def test_new_conversations_are_counted_by_the_hour():
    """The address that began its share is told when the oldest of them is an hour old."""
    addresses = Addresses(Limits(conversations_per_hour=2))

    assert [0.0, 0.0] == [addresses.begin("a", now) for now in (0.0, 10.0)]
    assert addresses.begin("a", 20.0) == HOUR - 20.0
    assert addresses.begin("a", HOUR) == 0.0


def test_one_network_is_one_address():
    """A person with IPv6 owns a /64: its addresses share what one may have."""
    addresses = Addresses(Limits(sockets_per_address=1, conversations_per_hour=1))

    assert [True, False, True] == [addresses.enter(one) for one in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")]
    addresses.leave("2001:db8::1")
    assert addresses.enter("2001:db8::3")
    assert [0.0, HOUR] == [addresses.begin(one, 0.0) for one in ("2001:db8::1", "2001:db8::2")]


def test_addresses_of_an_hour_ago_are_forgotten(monkeypatch):
    """They are looked for when there are many, and again only when there are twice as many as were left."""
    monkeypatch.setattr(limits, "FORGET_ABOVE", 4)
    looked = []
    addresses = Addresses(Limits())
    begun = addresses._begun
    forget = begun._forget

    def look(now):
        looked.append(len(begun._done))
        forget(now)

    monkeypatch.setattr(begun, "_forget", look)

    for number in range(40):
        addresses.begin(f"old {number}", 0.0)
    assert looked == [5, 11, 23]
    for number in range(7):
        addresses.begin(f"new {number}", HOUR)
    assert looked[3:] == [47]
    assert len(begun._done) == 7
