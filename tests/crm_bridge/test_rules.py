"""When a lead is made and what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.domain import ChannelId, ContactId, LeadRule, LineId, LineSettings, OperatorId, PointKind, Source
from crm_bridge.rules import Case, Way, lead_of, title_of
from tests.support.channels import PUSH, STREAM

PAGE, BOT = ChannelId("page"), ChannelId("bot")
CAPABILITIES = {PAGE: STREAM, BOT: PUSH}
VISITOR = Way(PointKind.CHANNEL, "v1", PAGE)
CHATTER = Way(PointKind.CHANNEL, "chat-1", BOT)
PHONE = Way(PointKind.PHONE, "+79123456789")
EMAIL = Way(PointKind.EMAIL, "ann@example.com")

CASE = Case(
    contact_id=ContactId("c1"),
    contact_name="Ann",
    ways=(VISITOR, PHONE),
    session_id="s1",
    line_id=LineId("l1"),
    line_name="Shop",
    settings=LineSettings(),
    channel_kind="widget",
    channel_name="Site",
    responsible_id=OperatorId("bob"),
    source=Source("https://shop.example/", "Shop", "https://search.example/", {"b": "2", "a": "1"}),
)


@pytest.mark.parametrize(
    ("ways", "made"),
    [
        ((), False),
        ((VISITOR,), False),
        ((VISITOR, PHONE), True),
        ((VISITOR, EMAIL), True),
        ((CHATTER,), True),
        ((VISITOR, CHATTER), True),
        ((Way(PointKind.CHANNEL, "x", ChannelId("gone")),), False),
    ],
)
def test_a_lead_is_made_for_whom_we_can_reach_again(ways, made):
    """A phone, an e-mail or a channel that finds the absent; a web page and a channel that is no more reach nobody."""
    assert made == (lead_of(replace(CASE, ways=ways), CAPABILITIES) is not None)


def test_a_line_that_wants_no_leads_gets_none():
    """The line's rule goes first."""
    assert lead_of(replace(CASE, settings=LineSettings(lead_rule=LeadRule.NOTHING)), CAPABILITIES) is None


def test_a_lead_knows_where_it_came_from():
    """Contact, session, line, responsible, and the page with its referrer and tags."""
    lead = lead_of(CASE, CAPABILITIES)

    assert lead is not None
    assert (
        lead.external_id,
        lead.contact_id,
        lead.session_id,
        lead.line_id,
        lead.responsible_id,
        lead.title,
        lead.source,
    ) == ("contact:c1", "c1", "s1", "l1", "bob", "Ann · Shop", "Shop")
    assert lead.source_details == {
        "page": "https://shop.example/",
        "title": "Shop",
        "referrer": "https://search.example/",
        "utm": {"a": "1", "b": "2"},
        "channel": "Site",
        "channel_kind": "widget",
        "line": "Shop",
    }


def test_the_source_tag_is_the_lines_word():
    """A line that names its source is believed."""
    lead = lead_of(replace(CASE, settings=LineSettings(source_tag="Spring sale")), CAPABILITIES)

    assert lead is not None
    assert lead.source == "Spring sale"


@pytest.mark.parametrize(
    ("name", "ways", "title"),
    [
        ("Ann", (PHONE,), "Ann · Shop"),
        ("", (CHATTER, EMAIL, PHONE), "+79123456789 · Shop"),
        (" ", (CHATTER, EMAIL), "ann@example.com · Shop"),
        ("", (CHATTER,), "chat-1 · Shop"),
        ("", (), "Shop"),
    ],
)
def test_a_lead_is_called_after_the_person_else_their_point(name, ways, title):
    """The name, else the phone, else the e-mail, else the channel's identity."""
    assert title == title_of(replace(CASE, contact_name=name, ways=ways))
