"""Leads and transcripts over REST, bounded by the lines of who asks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from broker.access.authorize import Actor
from broker.domain import LineId, OperatorId, Role
from broker.leases import free
from broker.web import problem
from broker.web.wiring import unlisted
from crm_bridge.builtin import BuiltInCrm
from crm_bridge.reader import Reader
from crm_bridge.routes import routes
from tests.crm_bridge.house import House


class Site:
    """A house with two lines, a lead in each and a transcript in the first; asked by whoever `asking` is."""

    def __init__(self) -> None:
        self.house = House()
        self.shop, self.help = self.house.line("shop"), self.house.line("help")
        ann = self.house.operator("ann", self.shop)
        first = self.house.say(self.house.channel(self.shop, "shop"), "v1", "hello, ann@example.com", name="Ann")
        self.house.settle()
        self.house.take(first, ann)
        self.house.end(first, ann, "sold")
        self._read()
        self.house.clock.move(1)
        second = self.house.say(self.house.channel(self.help, "help"), "v2", "hello, bob@example.com", name="Bob")
        self.house.settle()
        self._read()
        self.closed, self.open = self.house.session(first)["id"], self.house.session(second)["id"]
        self.asking = _actor(None)

    def _read(self) -> None:
        reader = Reader(self.house, BuiltInCrm(self.house), lambda: self.house.capabilities, fence=free)
        while asyncio.run(reader.step()):
            pass

    def get(self, path: str) -> httpx.Response:
        """Ask for *path*."""
        app = FastAPI()
        app.state.parts = self
        problem.install(app)
        app.include_router(routes)

        async def get() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                return await client.get(path)

        return asyncio.run(get())

    @property
    def store(self) -> House:
        """The store that routes read."""
        return self.house

    async def actor_of(self, scope: object) -> Actor:
        """Return who is asking."""
        return self.asking

    def leads(self, query: str = "") -> list[dict[str, Any]]:
        """Return the items of a page."""
        items: list[dict[str, Any]] = self.get(f"/api/v1/leads{query}").json()["items"]
        return items


def _actor(lines: frozenset[LineId] | None) -> Actor:
    role = Role.SUPERVISOR if lines is None else Role.OPERATOR
    return Actor(OperatorId("me"), "me", "Me", role, "en", False, lines)


@pytest.fixture
def site() -> Site:
    """Return the two lines, asked by a supervisor."""
    return Site()


def test_leads_come_newest_first(site):
    """A supervisor sees the leads of every line, each with what the page shows."""
    newest, oldest = site.leads()

    assert (newest["title"], oldest["title"]) == ("Bob · Help", "Ann · Shop")
    assert (
        oldest["stage"],
        oldest["source"],
        oldest["contact"]["name"],
        oldest["line"]["name"],
        oldest["responsible"]["name"],
    ) == (
        "new",
        "Shop",
        "Ann",
        "Shop",
        "Ann",
    )
    assert (oldest["transcript"], newest["transcript"]) == (True, False)
    assert oldest["created_at"] == "2026-03-02T12:00:00Z"


def test_an_operator_sees_the_leads_of_their_lines(site):
    """What belongs to another line is not in the list, has no page and no words."""
    lead = site.leads()[1]["id"]
    site.asking = _actor(frozenset({site.help}))

    assert [item["title"] for item in site.leads()] == ["Bob · Help"]
    assert site.get(f"/api/v1/leads/{lead}").status_code == 404
    assert site.get(f"/api/v1/sessions/{site.closed}/transcript").status_code == 404


def test_whoever_is_responsible_sees_their_lead(site):
    """A lead stays with its responsible, also after they have left the line."""
    ann = site.house.row("operators", login="ann")["id"]
    site.asking = replace(_actor(frozenset()), operator_id=ann)

    assert [item["title"] for item in site.leads()] == ["Ann · Shop"]
    assert site.get(f"/api/v1/sessions/{site.closed}/transcript").status_code == 200


def test_every_route_names_what_it_asks_for():
    """No route of ours is open to strangers."""
    assert unlisted(routes.routes) == []


def test_an_operator_without_a_seat_sees_nothing(site):
    """No line, no lead."""
    site.asking = _actor(frozenset())

    assert site.leads() == []


def test_pages_follow_one_another(site):
    """The cursor of a page is the way to the next; the last page has none."""
    first = site.get("/api/v1/leads?limit=1").json()
    second = site.get(f"/api/v1/leads?limit=1&cursor={first['next_cursor']}").json()

    assert [item["title"] for page in (first, second) for item in page["items"]] == ["Bob · Help", "Ann · Shop"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["x", "1", "1.", "-1.a", "9" * 40 + ".a", "²."])
def test_a_foreign_cursor_is_refused(site, cursor):
    """A cursor that was not given by us gets a clear error."""
    assert site.get(f"/api/v1/leads?cursor={cursor}").status_code == 422


def test_a_lead_has_its_transcripts(site):
    """The card lists what was said with this contact."""
    lead = site.get(f"/api/v1/leads/{site.leads()[1]['id']}").json()

    assert [(text["session_id"], text["frozen"]) for text in lead["transcripts"]] == [(site.closed, False)]


def test_a_transcript_is_what_was_said(site):
    """Who, name, words and moment of each message, and how the session ended."""
    transcript = site.get(f"/api/v1/sessions/{site.closed}/transcript").json()

    assert [(said["who"], said["name"]) for said in transcript["messages"]] == [
        ("contact", "Ann"),
        ("system", ""),
        ("system", ""),
    ]
    assert (transcript["outcome"], transcript["operator"]["name"], transcript["frozen"]) == ("sold", "Ann", False)
    assert transcript["messages"][0]["at"] == "2026-03-02T12:00:00Z"


def test_an_open_session_has_no_transcript_yet(site):
    """It is written at closing; until then the answer says so."""
    answer = site.get(f"/api/v1/sessions/{site.open}/transcript")

    assert (answer.status_code, "when the session closes" in answer.json()["detail"]) == (404, True)


def test_a_lead_that_does_not_exist_is_not_found(site):
    """Any other id answers alike."""
    assert site.get("/api/v1/leads/nobody").status_code == 404
