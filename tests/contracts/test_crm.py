"""What every `Crm` promises: leads and transcripts are kept once, however often they come.

An implementation joins by a row in `CRMS`: it makes itself on a house and says how to look at what it keeps.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from broker.ports import Crm, LeadDraft, TranscriptDraft
from crm_bridge.builtin import BuiltInCrm
from tests.crm_bridge.house import House


@dataclass(frozen=True)
class Kept:
    """A CRM under test and what it holds: leads by external id, transcripts by external id."""

    crm: Crm
    leads: Callable[[], dict[str, dict[str, Any]]]
    transcripts: Callable[[], dict[str, dict[str, Any]]]


def _built_in(house: House) -> Kept:
    def by_external_id(table: str) -> dict[str, dict[str, Any]]:
        return {row["external_id"]: row for row in house.rows(table)}

    return Kept(BuiltInCrm(house), lambda: by_external_id("leads"), lambda: by_external_id("transcripts"))


CRMS: dict[str, Callable[[House], Kept]] = {"built in": _built_in}


@dataclass(frozen=True)
class Case:
    """A CRM, two contacts, and drafts about the first of them."""

    kept: Kept
    ann: str
    old: str
    lead: LeadDraft
    transcript: TranscriptDraft
    operator: str

    def put(self, lead: LeadDraft) -> str:
        """Put a lead and return its id."""
        return str(asyncio.run(_answer(self.kept.crm.put_lead(lead))))

    def write(self, transcript: TranscriptDraft) -> None:
        """Put a transcript."""
        asyncio.run(_answer(self.kept.crm.put_transcript(transcript)))

    def follow(self, moved_from: str, into: str) -> None:
        """Say that two contacts are one."""
        asyncio.run(_answer(self.kept.crm.follow_contact(moved_from, into)))

    def of(self, contact: str) -> LeadDraft:
        """Return the lead's draft of another contact."""
        return replace(self.lead, external_id=f"contact:{contact}", contact_id=contact)


async def _answer(deed: Any) -> Any:
    return await deed


@pytest.fixture(params=sorted(CRMS))
def case(request: pytest.FixtureRequest) -> Case:
    """Return each implementation on a house with two contacts and a session."""
    house = House()
    line = house.line()
    site = house.channel(line)
    operator = house.operator("bob", line)
    conversation = house.say(site, "v1", "hello", name="Ann")
    house.say(site, "v2", "hello", name="Old")
    house.settle()
    session = house.session(conversation)
    ann, old = (row["id"] for row in house.rows("contacts"))
    lead = LeadDraft(
        external_id=f"contact:{ann}",
        contact_id=ann,
        session_id=session["id"],
        line_id=line,
        title="Ann · Shop",
        source="Shop",
        source_details={"page": "https://shop.example/", "utm": {"source": "ads"}},
        responsible_id=None,
    )
    transcript = TranscriptDraft(f"session:{session['id']}", session["id"], ann, '{"messages":[]}', frozen=False)
    return Case(CRMS[request.param](house), ann, old, lead, transcript, operator)


def test_a_lead_is_kept_as_it_was_drafted(case):
    """Title, source, contact and where it came from stand in the lead."""
    id_ = case.put(case.lead)
    (kept,) = case.kept.leads().values()

    assert (id_, case.ann, "Ann · Shop", "Shop", "new") == tuple(
        kept[name] for name in ("id", "contact_id", "title", "source", "stage")
    )
    assert case.lead.source_details == json.loads(kept["source_details"])


def test_a_repeat_answers_with_the_first_lead(case):
    """A lead put twice is one lead: the reader may always repeat."""
    first = case.put(case.lead)
    before = case.kept.leads()

    assert first == case.put(replace(case.lead, title="Another title", source="Another source"))
    assert before == case.kept.leads()


def test_a_repeat_fills_what_was_not_known(case):
    """Who is responsible is learnt later than the lead is made; who is known stays."""
    case.put(replace(case.lead, session_id=None))
    case.put(replace(case.lead, responsible_id=case.operator))
    case.put(case.lead)
    (kept,) = case.kept.leads().values()

    assert (case.operator, case.lead.session_id) == (kept["responsible_id"], kept["session_id"])


def test_a_transcript_joins_the_lead(case):
    """The transcript of a contact with a lead is that lead's."""
    lead = case.put(case.lead)
    case.write(case.transcript)

    assert lead == case.kept.transcripts()[case.transcript.external_id]["lead_id"]


def test_a_lead_takes_earlier_transcripts(case):
    """A lead that is made after the session closed has the session's transcript."""
    case.write(case.transcript)
    lead = case.put(case.lead)

    assert lead == case.kept.transcripts()[case.transcript.external_id]["lead_id"]


def test_a_transcript_is_replaced_under_its_external_id(case):
    """A session that closed again has one transcript: the whole one."""
    case.write(case.transcript)
    case.write(replace(case.transcript, body='{"messages":[1]}', frozen=True))
    (kept,) = case.kept.transcripts().values()

    assert (kept["body"], bool(kept["frozen"])) == ('{"messages":[1]}', True)


def test_the_same_transcript_again_leaves_no_trace(case):
    """A repeat is a no-op, to the moment it was written."""
    case.write(case.transcript)
    before = case.kept.transcripts()
    case.write(case.transcript)

    assert before == case.kept.transcripts()


def test_a_frozen_transcript_is_not_thawed(case):
    """A draft made before the freezing may come after it."""
    case.write(replace(case.transcript, body='{"messages":[1]}', frozen=True))
    before = case.kept.transcripts()
    case.write(case.transcript)

    assert before == case.kept.transcripts()


def test_a_lead_follows_its_contact(case):
    """A stranger who turns out to be somebody we know takes their lead and transcripts along."""
    lead = case.put(case.lead)
    case.write(case.transcript)
    case.follow(case.ann, case.old)

    assert {f"contact:{case.old}": (lead, case.old)} == {
        external_id: (kept["id"], kept["contact_id"]) for external_id, kept in case.kept.leads().items()
    }
    assert (lead, case.old) == tuple(
        case.kept.transcripts()[case.transcript.external_id][name] for name in ("lead_id", "contact_id")
    )
    assert lead == case.put(case.of(case.old))


def test_of_two_leads_that_of_the_known_contact_stays(case):
    """After a merge the contact has one open lead with every transcript; the other is kept as merged: a merge can be undone."""
    theirs, known = case.put(case.lead), case.put(case.of(case.old))
    case.write(case.transcript)
    case.follow(case.ann, case.old)
    stages = {kept["id"]: (kept["stage"], kept["contact_id"]) for kept in case.kept.leads().values()}

    assert {known: ("new", case.old), theirs: ("merged", case.old)} == stages
    assert known == case.kept.transcripts()[case.transcript.external_id]["lead_id"]


def test_following_twice_is_following_once(case):
    """The reader repeats a page after a crash."""
    case.put(case.lead)
    case.put(case.of(case.old))
    case.write(case.transcript)
    case.follow(case.ann, case.old)
    before = case.kept.leads(), case.kept.transcripts()
    case.follow(case.ann, case.old)

    assert before == (case.kept.leads(), case.kept.transcripts())


def test_a_contact_without_a_lead_has_nothing_to_follow(case):
    """A merge of people the CRM never heard of is no error; their transcripts join the lead of the known one."""
    case.write(case.transcript)
    known = case.put(case.of(case.old))
    case.follow(case.ann, case.old)

    assert known == case.kept.transcripts()[case.transcript.external_id]["lead_id"]
