"""`/metrics`: who may have the numbers, and what they say of the house while the database answers and while it does not."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest

from broker.config import Settings
from broker.domain import ConversationId, LineSettings
from broker.inbound import accept, prepare
from broker.ports import Tx
from broker.store import journal
from broker.web import metrics
from routing import worker
from tests.support.channels import FakeChannel, wrote
from tests.support.clock import MovedClock
from tests.support.house import add_channel, add_line, load_house
from tests.support.site import Site
from tests.support.store import plain

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


class Busy:
    """A house in which there is something of everything that is measured, each of another age."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.channel = site.write(self._build)
        self.decide(self.write("eve", "1"))
        self.change("UPDATE outbox SET state = 'sent'")
        self.read = site.write(journal.last)
        site.write(lambda tx: journal.move(tx, "crm", journal.Position(self.read)))
        site.clock.move(3)
        self.decide(self.write("bob", "2"))
        site.clock.move(2)
        self.write("bob", "3")
        site.clock.move(2)

    @staticmethod
    def _build(tx: Tx) -> FakeChannel:
        line = add_line(tx)
        return FakeChannel(add_channel(tx, line), line)

    def write(self, key: str, number: str) -> ConversationId:
        """Have the customer *key* write."""
        prepared = prepare(self.channel, [wrote(number, key, "hello")], LineSettings())
        (accepted,) = self.site.write(lambda tx: accept(tx, self.channel.id, prepared))
        assert accepted.conversation_id is not None
        return accepted.conversation_id

    def decide(self, conversation: ConversationId) -> None:
        """Have a worker decide what was written: a session waits, and a welcome is to be sent to its customer."""
        self.site.write(lambda tx: worker.step(tx, conversation, load_house(tx)))

    def change(self, text: str) -> None:
        """Execute a plain statement."""
        self.site.write(lambda tx: plain(tx, text))


def numbers(text: str) -> dict[str, float]:
    """Return what is said of the house, by sample; what is not known is not a number, and left away."""
    found = re.findall(r"^(omniline_(?:house|reader|oldest)_\S+) (\S+)$", text, re.MULTILINE)
    return {sample: float(number) for sample, number in found if number != "NaN"}


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


def test_a_full_disk_is_told(site):
    """For as long as it is full."""
    told = []
    for site.full in (False, True, False):
        told.append(value(site.ask("GET", "/metrics").text, "omniline_store_full"))

    assert told == [0.0, 1.0, 0.0]


def test_each_number_of_the_house_stands_under_its_own_name(site):
    """What waits, how much of it and since when; for whoever reads the journal, how far they are behind."""
    busy = Busy(site)

    assert numbers(site.ask("GET", "/metrics").text) == {
        'omniline_house_sessions{line="shop",status="queued"}': 2.0,
        'omniline_house_longest_wait_seconds{line="shop"}': 7.0,
        "omniline_house_oldest_undecided_seconds": 2.0,
        'omniline_house_unsent{channel="page"}': 1.0,
        'omniline_house_oldest_unsent_seconds{channel="page"}': 4.0,
        'omniline_reader_behind_rows{reader="crm"}': site.write(journal.last) - busy.read,
        'omniline_reader_behind_seconds{reader="crm"}': 4.0,
        "omniline_oldest_transaction_seconds": 0.0,
    }


def test_what_is_over_is_shown_no_more(site):
    """A line where nobody waits, a channel whose messages are sent, a reader that is gone: no number of theirs stays."""
    busy = Busy(site)
    before = numbers(site.ask("GET", "/metrics").text)
    busy.change("UPDATE sessions SET status = 'closed'")
    busy.change("UPDATE outbox SET state = 'sent'")
    busy.change("UPDATE conversations SET worked_seq = input_seq")
    busy.change("DELETE FROM readers")
    site.clock.move(metrics.FRESH_SECONDS)

    assert len(before) == 8
    assert numbers(site.ask("GET", "/metrics").text) == {
        "omniline_house_oldest_undecided_seconds": 0.0,
        "omniline_oldest_transaction_seconds": 0.0,
    }


def test_nothing_is_said_of_a_house_whose_database_does_not_answer(site):
    """An old number would be taken for a true one."""
    Busy(site)
    before = numbers(site.ask("GET", "/metrics").text)
    site.do(site.store.close())
    site.clock.move(60)

    assert (len(before), numbers(site.ask("GET", "/metrics").text)) == (8, {})
