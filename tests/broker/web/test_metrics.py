"""`/metrics`: who may have the numbers, and what they say of the house while the database answers and while it does not."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest

from broker.config import Settings
from broker.store import journal
from broker.web import metrics
from tests.support.clock import MovedClock
from tests.support.house import add_line

LOST = {"x-forwarded-for": "10.1.2.3"}


def value(text: str, sample: str) -> float | None:
    """Return the value of *sample*, name and labels as Prometheus writes them."""
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


@pytest.fixture
def watched(make_site):
    """A site whose Prometheus asks from 10.1.0.0/16, with a row in the journal that a reader has not read."""
    site = make_site(settings=Settings(metrics_from=(ip_network("10.1.0.0/16"),)))
    site.write(add_line)
    site.write(lambda tx: journal.append(tx, "presence", "{}"))
    site.write(lambda tx: journal.move(tx, "crm", journal.BEGINNING))
    return site


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [("10.1.2.3", {}, 200), ("10.2.0.1", {}, 401), ("10.1.2.3", LOST, 401), ("10.2.0.1", LOST, 401)],
)
def test_a_named_network_needs_no_login(watched, peer, headers, status):
    """But it must ask itself: what a proxy there passes on may come from anywhere, and what it says of that is not believed."""
    browser = watched.browser("http://omniline:8080", peer)

    assert watched.ask("GET", "/metrics", by=browser, headers=headers).status_code == status


def test_the_house_is_measured_again_when_it_has_got_old(watched):
    """Several who ask in the same seconds cost one reading."""
    clock: MovedClock = watched.clock
    clock.move(3)
    first = watched.ask("GET", "/metrics").text
    clock.move(metrics.FRESH_SECONDS - 1)
    second = watched.ask("GET", "/metrics").text
    clock.move(1)
    third = watched.ask("GET", "/metrics").text

    age = 'omniline_reader_behind_seconds{reader="crm"}'
    assert [value(text, age) for text in (first, second, third)] == [3.0, 3.0, 3.0 + metrics.FRESH_SECONDS]
    assert value(third, 'omniline_reader_behind_rows{reader="crm"}') == 1.0


def test_a_database_that_does_not_answer_leaves_no_old_numbers(watched):
    """What the process counts by itself is still shown: then it matters most."""
    before = watched.ask("GET", "/metrics").text
    assert (value(before, 'omniline_reader_behind_rows{reader="crm"}'), value(before, "omniline_store_lost")) == (1.0, 0.0)
    watched.do(watched.store.close())
    watched.clock.move(60)
    answer = watched.ask("GET", "/metrics")

    assert answer.status_code == 200
    assert value(answer.text, "omniline_store_lost") == 1.0
    assert value(answer.text, 'omniline_reader_behind_rows{reader="crm"}') is None
    assert value(answer.text, "omniline_house_oldest_undecided_seconds") != value(
        answer.text, "omniline_house_oldest_undecided_seconds"
    )
    assert "omniline_store_commits_total" in answer.text
