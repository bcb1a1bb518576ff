"""A newcomer's first day: the demo shop and the console in two browsers, before and after the server is killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.support.replay import unlike

pytestmark = pytest.mark.browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 40_000
"""Longer than the longest pause before a browser tries to connect again."""
expect.set_options(timeout=WAIT_MS)


class Server:
    """`omniline serve --demo` on a port that stays its own across restarts."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OMNILINE_")}
        self._environment = kept | {
            "OMNILINE_DATA": str(folder / "data"),
            "OMNILINE_LISTEN": f"127.0.0.1:{self.port}",
            "OMNILINE_ALLOW_UNSAFE_DISK": "true",
        }
        self.password = re.search(r"password: (\S+)", self.start())[1]  # type: ignore[index]

    def start(self) -> str:
        """Start it, and return what it said when it had opened."""
        line = [sys.executable, "-m", "omniline", "serve", "--demo"]
        self.process = subprocess.Popen(line, env=self._environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        said = ""
        for printed in self.process.stdout:
            said += printed
            if "demo shop" in printed:
                break
        return said

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def server(tmp_path):
    """Serve a demo house; it is killed at the end, and what it leaves behind must replay to the byte."""
    started = Server(tmp_path)
    yield started
    started.kill()
    assert [] == unlike(tmp_path / "data" / "omniline.db")


@pytest.fixture
def browsers():
    """Return a function that opens a page in a browser session of its own; errors in any page fail the test."""
    problems: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=os.environ["OMNILINE_TEST_CHROMIUM"], args=FLAGS)

        def opened(**options) -> Page:
            page = chromium.new_context(**options).new_page()
            page.set_default_timeout(WAIT_MS)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
            page.on(
                "console",
                lambda said: problems.append(said.text) if "Content Security Policy" in said.text else None,
            )
            return page

        yield opened
        chromium.close()
    assert problems == []


def test_a_visitor_is_answered_and_nothing_is_lost_when_the_server_dies(server, browsers):
    """Written, offered, taken, answered, read; the server is killed while both write; both are kept, once and in order."""
    console = browsers(viewport={"width": 1440, "height": 900})
    console.goto(f"{server.base}/console/")
    console.get_by_label("Login").fill("admin")
    console.get_by_label("Password", exact=True).fill(server.password)
    console.keyboard.press("Enter")
    expect(console.get_by_text("Choose a dialogue")).to_be_visible()

    shop = browsers(viewport={"width": 1000, "height": 800})
    shop.goto(f"{server.base}/demo/shop")
    shop.get_by_role("button").first.click()
    shop.get_by_label("Name").fill("Joe <b>Visitor</b>")
    shop.get_by_label("E-mail").fill("joe@example.com")
    shop.keyboard.press("Enter")
    writing = shop.get_by_placeholder("Your message")
    writing.fill("Does <img src=x onerror=alert(1)> whistle in A?")
    writing.press("Enter")

    console.get_by_role("button", name="Take").first.click()
    answering = console.get_by_placeholder(re.compile("Write to"))
    answering.fill("It does, 440 Hz.")
    answering.press("Enter")
    expect(shop.get_by_text("It does, 440 Hz.")).to_be_visible()

    server.kill()
    writing.fill("one while you were down")
    writing.press("Enter")
    writing.fill("two while you were down")
    writing.press("Enter")
    answering.fill("and I answered meanwhile")
    answering.press("Enter")
    server.start()

    expect(shop.get_by_text("and I answered meanwhile")).to_have_count(1)
    for text in ("one while you were down", "two while you were down"):
        expect(console.get_by_role("log").get_by_text(text)).to_have_count(1)
        expect(shop.get_by_text(text)).to_have_count(1)
    thread = console.get_by_role("log").inner_text()
    assert thread.index("one while") < thread.index("two while")

    console.get_by_role("button", name="Close").first.click()
    console.get_by_role("dialog").get_by_role("button", name=re.compile("^Close")).click()
    expect(shop.get_by_text("Thank you for writing to us")).to_be_visible()
    console.goto(f"{server.base}/console/#/leads")
    expect(console.get_by_text("Joe <b>Visitor</b>").first).to_be_visible()


def test_the_public_page_serves_those_without_a_site(server, browsers):
    """A page of its own takes a message; a line that is not there says so."""
    page = browsers(viewport={"width": 390, "height": 800})
    page.goto(f"{server.base}/chat/shop")
    page.get_by_label("Name").fill("Ann")
    page.get_by_label("E-mail").fill("ann@example.com")
    page.keyboard.press("Enter")
    page.get_by_placeholder("Your message").fill("hello")
    page.get_by_placeholder("Your message").press("Enter")
    expect(page.get_by_text("Hello! We have your message")).to_be_visible()

    page.goto(f"{server.base}/chat/nowhere")
    expect(page.get_by_placeholder("Your message")).to_have_count(0)
