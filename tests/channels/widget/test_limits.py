"""Limits bound what strangers may ask, and forget who has gone."""

from channels.widget.limits import HOUR, Addresses, Bucket, Limits


def test_bucket_gives_its_burst_then_its_rate():
    """A burst goes at once; after it one waits as long as the rate says, and the answer names the time."""
    bucket = Bucket(rate=5.0, burst=3, now=0.0)

    assert [0.0, 0.0, 0.0] == [bucket.take(0.0) for _ in range(3)]
    assert bucket.take(0.0) == 0.2
    assert bucket.take(0.2) == 0.0


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
