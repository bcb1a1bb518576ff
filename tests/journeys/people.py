"""Who sits before the browsers: a visitor with the chat, an operator with the console. What they do and what they see.

Both speak in the words of the screens. Everything that a page complains of is kept: an error in its console, an exception,
a break of its Content-Security-Policy, a dialog that it opens. Whoever expects a complaint says so by `excuse`.
"""

from __future__ import annotations

import re

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Expect, Locator, Page

SEE_SECONDS = 10
"""How long we look for what must appear."""
expect = Expect()  # our own: the options of Playwright's are everybody's
expect.set_options(timeout=SEE_SECONDS * 1_000)

NO_ROAD = re.compile(r"WebSocket connection to .* failed|Failed to load resource: net::ERR_")
"""What a browser writes when a socket or a request meets a broken road."""
NOBODY_YET = re.compile(r"Failed to load resource: .* 401 .*/api/v1/me$")
"""The console asks who we are before anybody has logged in."""

# A break of the policy is reported to the page itself too, be it written to the console or not.
_LISTEN = """
addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""
_FORGED = "img, iframe, object, embed, base, script:not([src]), a[href^='javascript' i], a[href^='data' i]"


class Watch:
    """Keeps what the pages of one browser complain of."""

    def __init__(self, context: BrowserContext) -> None:
        self._complaints: list[str] = []
        self._excused: list[re.Pattern[str]] = [NOBODY_YET]
        context.add_init_script(_LISTEN)
        context.on("page", self._follow)

    def excuse(self, pattern: re.Pattern[str]) -> None:
        """Let complaints that match *pattern* pass."""
        self._excused.append(pattern)

    def complaints(self) -> list[str]:
        """Return what nobody excused."""
        return [one for one in self._complaints if not any(pattern.search(one) for pattern in self._excused)]

    def _follow(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self._complaints.append(f"exception: {error}"))
        page.on("dialog", self._asked)
        page.on("crash", lambda _: self._complaints.append("the page crashed"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

    def _asked(self, dialog: Dialog) -> None:
        self._complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()


class Screen:
    """One tab, with what every screen of ours has in common."""

    def __init__(self, page: Page, watch: Watch) -> None:
        self.page = page
        self.watch = watch

    def hurry(self) -> None:
        """Say, as the browser does, that the network is back: the page tries at once, whatever is left of its pause."""
        self.page.evaluate("dispatchEvent(new Event('online'))")

    def pass_seconds(self, seconds: int) -> None:
        """Let time pass at once for the pages of this profile, and for nobody else. They need a clock of their own."""
        self.page.clock.fast_forward(seconds * 1_000)

    def forged(self) -> Locator:
        """Return what only a stranger's markup could have put here. Shadow roots are looked into."""
        return self.page.locator(_FORGED)


class Visitor(Screen):
    """Somebody with a question, on the demo shop or on the public page."""

    def __init__(self, page: Page, watch: Watch) -> None:
        super().__init__(page, watch)
        self.log = page.get_by_role("log", name="Messages")
        self.own = self.log.locator("li.me p")
        self.answers = self.log.locator("li.operator p")
        self.from_line = self.log.locator("li.system p")
        self.unsent = self.log.locator("li.sending p")
        self.banner = page.get_by_text("No connection. What you write is kept here")
        self.writing = page.get_by_role("textbox", name="Your message")

    def visit(self, address: str, query: str = "") -> None:
        """Open the shop, and the chat on it."""
        self.page.goto(f"{address}/demo/shop{query}")
        self.page.get_by_role("button", name="Chat", exact=True).click()

    def introduce(self, name: str, email: str = "", phone: str = "") -> None:
        """Fill in the form before the chat."""
        self.page.get_by_label("Name").fill(name)
        if email:
            self.page.get_by_label("E-mail").fill(email)
        if phone:
            self.page.get_by_label("Phone").fill(phone)
        self.page.get_by_role("button", name="Begin the chat").click()

    def say(self, text: str) -> None:
        """Write and send."""
        self.writing.fill(text)
        self.writing.press("Enter")


class Operator(Screen):
    """Somebody who answers, in the console."""

    def __init__(self, page: Page, watch: Watch) -> None:
        super().__init__(page, watch)
        self.list = page.get_by_role("region", name="Dialogues")
        self.rows = self.list.get_by_role("listitem")
        self.messages = page.get_by_role("log", name="Messages")
        self.theirs = self.messages.locator(".theirs .said")
        self.ours = self.messages.locator(".ours:not(.note) .said")
        self.notes = self.messages.locator(".note .said")
        self.marks = self.messages.locator(".ours:not(.note) [data-fate]")
        self.writing = page.get_by_role("textbox", name="Your answer")
        self.banner = page.get_by_text("Reconnecting… What you write is kept and will be sent.")
        self.contact = page.get_by_role("complementary", name="Contact")

    def visit(self, address: str) -> None:
        """Open the console."""
        self.page.goto(f"{address}/console/")

    def log_in(self, password: str, login: str = "admin") -> None:
        """Log in, and go on without waiting."""
        self.page.get_by_label("Login").fill(login)
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_role("button", name="Log in").click()

    def expect_ready(self) -> None:
        """See that offers may come."""
        expect(self.page.get_by_label("Your presence")).to_have_value("online")
        expect(self.list).to_be_visible()

    def take(self) -> None:
        """Take what is offered, from the list, and see that it is ours."""
        self.rows.get_by_role("button", name="Take").click()
        expect(self.writing).to_be_editable()
        expect(self.page.get_by_role("main").get_by_role("button", name="Close", exact=True)).to_be_visible()

    def answer(self, text: str) -> None:
        """Write and send."""
        self.writing.fill(text)
        self.writing.press("Enter")

    def note(self, text: str) -> None:
        """Write what only colleagues see."""
        self.page.get_by_role("group", name="What you write").get_by_text("Note").click()
        words = self.page.get_by_role("textbox", name="Your note")
        words.fill(text)
        words.press("Enter")

    def close(self, outcome: str = "") -> None:
        """Close the dialogue that is open."""
        self.page.get_by_role("main").get_by_role("button", name="Close", exact=True).click()
        question = self.page.get_by_role("dialog", name="Close the dialogue")
        question.get_by_label("Outcome").fill(outcome)
        question.get_by_role("button", name="Close the dialogue").click()

    def await_transcript(self) -> None:
        """See the transcript of the lead that is open: the CRM follows in its own time, and the page of leads follows the CRM."""
        expect(self.page.locator(".transcript .said").first).to_be_visible()

    def open_leads(self) -> None:
        """Go to the leads."""
        self.page.get_by_role("navigation", name="Sections").get_by_role("link", name="Leads").click()
