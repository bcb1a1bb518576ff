"""Rates: a burst at once, then so many a second; what has gone is forgotten."""

from broker import rates
from broker.rates import Bucket, Rates


def test_bucket_gives_its_burst_then_its_rate():
    """A burst goes at once; after it one waits as long as the rate says, and the answer names the time."""
    bucket = Bucket(rate=5.0, burst=3, now=0.0)

    assert [0.0, 0.0, 0.0] == [bucket.take(0.0) for _ in range(3)]
    assert bucket.take(0.0) == 0.2
    assert bucket.take(0.2) == 0.0


def test_a_rest_saves_up_no_more_than_the_burst():
    """After an hour without a taker there is one burst, and then the rate again."""
    bucket = Bucket(rate=5.0, burst=3, now=0.0)
    while bucket.take(0.0) == 0.0:
        pass

    assert [0.0, 0.0, 0.0, 0.2] == [bucket.take(3_600.0) for _ in range(4)]


def test_each_key_has_its_own():
    """One that asks too often slows itself alone."""
    asked = Rates(rate=2.0, burst=1)

    assert [0.0, 0.5, 0.0] == [asked.take(key, 0.0) for key in ("a", "a", "b")]
    assert asked.take("a", 0.5) == 0.0


def test_keys_at_rest_are_forgotten(monkeypatch):
    """There may come any number of them: only those that still wait are kept."""
    monkeypatch.setattr(rates, "FORGET_ABOVE", 100)
    asked = Rates(rate=1.0, burst=2)

    for number in range(1_000):
        asked.take(str(number), now=float(number))
        assert len(asked._buckets) <= 100
    assert asked.take("999", 999.0) == 0.0
    assert asked.take("999", 999.0) > 0.0
