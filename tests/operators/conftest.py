"""A site with the operators' routes, and one person of each role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from broker.domain import Capabilities, Delivered, LineSettings, LoadKind, Role
from broker.errors import BadInput
from broker.ports import ChannelKind
from broker.sealing import Sealer
from operators.channels_rest import routes as channel_routes
from operators.files_rest import routes as file_routes
from operators.rest import routes
from operators.sounds_rest import routes as sound_routes
from routing.hours_rest import routes as hours_routes
from routing.public_holidays import WorldCalendars
from tests.operators.shop import open_shop
from tests.support.site import Site


def _check(given: Any) -> dict[str, Any]:
    if set(given) - {"colour"}:
        raise BadInput("only colour is known", field="settings")
    return {"colour": "red", **given}


KINDS = {"fake": ChannelKind("fake", Capabilities(Delivered.PUSH, LoadKind.CHAT, idempotent=True, reaches_absent=True), _check)}
CALENDARS = WorldCalendars()
SEALER = Sealer(lambda: bytes(64))
CHANNEL_ROUTES = channel_routes(KINDS, SEALER, lambda _: None, lambda _: LineSettings())


@dataclass
class Office:
    """The site and who sits there; *ids* and *browsers* by role."""

    site: Site
    ids: dict[Role, str]
    browsers: dict[Role, httpx.AsyncClient]

    def ask(self, role: Role | None, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask as somebody of *role*, or as a stranger."""
        return self.site.ask(method, path, by=self.browsers[role] if role else self.site.browser(), **more)

    def admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask as the administrator."""
        return self.ask(Role.ADMINISTRATOR, method, path, **more)


@pytest.fixture
def office(tmp_path):
    """Return an office where everybody is logged in."""
    site = Site(tmp_path, routes=[*routes(CALENDARS), *CHANNEL_ROUTES, file_routes, sound_routes, hours_routes])
    made = Office(site, {}, {})
    for role in Role:
        made.ids[role] = site.person(role.value, role)
        made.browsers[role] = site.browser()
        assert site.log_in(role.value, by=made.browsers[role]).status_code == 200
    yield made
    site.close()


@pytest.fixture
def shop(tmp_path):
    """Return a shop that is open: ann sits in its first line, bob in its second, sue supervises."""
    made = open_shop(tmp_path)
    yield made
    made.site.close()
