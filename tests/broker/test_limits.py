"""The buckets that a process keeps by itself: it remembers who has to wait, and not everybody who ever came."""

from broker.transport import limits
from broker.transport.limits import OwnBuckets


def test_buckets_that_have_filled_again_are_forgotten_and_no_other(monkeypatch):
    """There may come any number of names: whoever has to wait does so until the end."""
    monkeypatch.setattr(limits, "REMEMBERED", 10)
    buckets = OwnBuckets()
    assert buckets.take("slow", 0.001, 1, 0.0) == 0.0

    for number in range(1, 101):
        assert buckets.take(f"other {number}", 1, 1, float(number)) == 0.0
        assert len(buckets._buckets) <= 10
    assert buckets.take("slow", 0.001, 1, 100.0) == 900.0


def test_where_too_many_wait_at_once_the_latest_are_remembered(monkeypatch):
    """However many there are: memory has an end, and who came first has waited the longest."""
    monkeypatch.setattr(limits, "REMEMBERED", 10)
    buckets = OwnBuckets()

    for number in range(100):
        assert buckets.take(f"{number}", 0.001, 1, 0.0) == 0.0
        assert len(buckets._buckets) <= 10
    assert all(buckets.take(f"{number}", 0.001, 1, 0.0) > 0.0 for number in range(90, 100))
