"""A server, a browser and people for each journey; whatever a page complained of fails the journey."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.journeys.people import SEE_SECONDS, Operator, Visitor, Watch
from tests.journeys.place import Place
from tests.journeys.road import Road
from tests.support.replay import unlike

FLAGS = (
    "--no-sandbox",  # containers have no user namespaces; the pages are our own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


# A module at a time: while Playwright is there, its loop runs in this thread, and other tests start loops of their own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser that OMNILINE_TEST_CHROMIUM names."""
    path = os.environ.get("OMNILINE_TEST_CHROMIUM")
    if not path:
        pytest.fail("OMNILINE_TEST_CHROMIUM names no browser; `make test` finds one, or: pytest -m 'not browser'")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture
def settings() -> str:
    """What `omniline.toml` says; a module whose journeys need more has its own."""
    return ""


@pytest.fixture
def place(tmp_path: Path, settings: str) -> Iterator[Place]:
    """A server that serves, with the demo line and one administrator; what it leaves behind must replay to the byte."""
    server = Place(tmp_path / "house")
    if settings:
        server.write("omniline.toml", settings)
    try:
        server.start()
        yield server
    finally:
        server.close()
    assert [] == unlike(server.database)


@pytest.fixture
def road(place: Place) -> Iterator[Callable[[], Road]]:
    """Makes roads to the server."""
    roads: list[Road] = []

    def make() -> Road:
        roads.append(Road(place.port))
        return roads[-1]

    yield make
    for one in roads:
        one.close()


class People:
    """Makes people, each with a browser profile of their own."""

    def __init__(self, chromium: Browser, place: Place) -> None:
        self._chromium = chromium
        self._place = place
        self._contexts: list[BrowserContext] = []
        self._watches: list[Watch] = []

    def visitor(self, *, own_clock: bool = False) -> Visitor:
        """Return somebody who was never here."""
        context, watch = self._profile(1000, 800, own_clock=own_clock)
        return Visitor(context.new_page(), watch)

    def operator(self, address: str = "", *, login: str = "admin", password: str = "", own_clock: bool = False) -> Operator:
        """Return somebody who has logged in and is online."""
        operator = self.stranger(own_clock=own_clock)
        operator.visit(address or self._place.address)
        operator.log_in(password or self._place.password, login)
        operator.expect_ready()
        return operator

    def stranger(self, *, own_clock: bool = False) -> Operator:
        """Return somebody who has not opened the console yet."""
        context, watch = self._profile(1440, 900, own_clock=own_clock)
        return Operator(context.new_page(), watch)

    def complaints(self) -> list[str]:
        """Return what any page complained of."""
        return [one for watch in self._watches for one in watch.complaints()]

    def leave(self) -> None:
        """Close every browser profile."""
        for context in self._contexts:
            context.close()

    def _profile(self, width: int, height: int, *, own_clock: bool) -> tuple[BrowserContext, Watch]:
        context = self._chromium.new_context(viewport={"width": width, "height": height}, locale="en-US")
        context.set_default_timeout(SEE_SECONDS * 1_000)
        if own_clock:
            # Half a minute's patience must not cost one: Screen.pass_seconds moves this clock, otherwise it goes as ours does.
            context.clock.install()
        watch = Watch(context)
        self._contexts.append(context)
        self._watches.append(watch)
        return context, watch


@pytest.fixture
def people(chromium: Browser, place: Place) -> Iterator[People]:
    """Visitors and operators; at the end no page may have complained."""
    everybody = People(chromium, place)
    try:
        yield everybody
    finally:
        everybody.leave()
    assert [] == everybody.complaints()
