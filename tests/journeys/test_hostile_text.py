"""Whatever a stranger writes stays text on every screen that shows it."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.journeys.people import expect

pytestmark = pytest.mark.browser

MARKUP = "<img src=x onerror=alert(1)>"
TURNED = "\u202egpj.exe\u2066 \u200fabc\u061c"
WORDS = [
    MARKUP,
    "</script><script>alert(1)</script>",
    "javascript:alert(1) data:text/html,<b>x</b>",
    'https://example.com/"onmouseover="alert(1)',
    TURNED,
    "👩‍👩‍👧 🏳️‍🌈 ﷽ Z̮̞̠͙͔ͅalgo",
    "{{7*7}} ${7*7} %s {contact.name}",
    "W" * 8_000,
]


def test_hostile_words_are_shown_and_never_run(people, place):
    """Markup, script addresses, turned text and very long words are shown as written, wherever they come to stand.

    In the chat, the console's list, thread, contact card and address of origin, the lead's title, and the transcript: no dialog,
    no break of the page's policy, no element that a stranger's markup made.
    """
    ann = people.operator()
    joe = people.visitor()
    joe.visit(place.address, f"?utm_source={quote(MARKUP)}&utm_campaign={quote(TURNED)}")
    joe.introduce(f"{MARKUP}\u202e", email="joe@example.com")
    for text in WORDS:
        joe.say(text)

    expect(joe.own).to_have_text(WORDS)
    expect(joe.unsent).to_have_count(0)
    expect(ann.rows).to_contain_text(MARKUP)
    ann.take()
    expect(ann.theirs).to_have_text(WORDS)
    expect(ann.contact.get_by_role("heading", name=MARKUP)).to_have_text(MARKUP)
    expect(ann.contact.get_by_text("utm_source", exact=True)).to_be_visible()
    ann.note(MARKUP)
    for text in WORDS[:4]:
        ann.answer(text)
    expect(joe.answers).to_have_text(WORDS[:4])
    expect(ann.rows).to_contain_text("https://example.com/")

    # The one address among them is a link, and ends before the quotation mark.
    for messages in (joe.own, ann.theirs):
        links = messages.get_by_role("link")
        expect(links).to_have_count(1)
        expect(links).to_have_attribute("href", "https://example.com/")
        expect(links).to_have_attribute("rel", "noopener noreferrer nofollow" if messages is joe.own else "noopener noreferrer")
    ann.close(MARKUP)
    expect(ann.page.get_by_text("This dialogue is closed.")).to_be_visible()
    expect(ann.forged()).to_have_count(0)

    ann.open_leads()
    ann.page.get_by_role("button", name=f"{MARKUP} · Shop").click()
    ann.await_transcript()
    transcript = ann.page.locator(".transcript .said")
    expect(transcript.first).to_have_text(WORDS[0])
    expect(transcript.filter(has_text="</script><script>")).to_have_count(2)
    for screen in (ann, joe):
        expect(screen.forged()).to_have_count(0)
        # Nothing is so wide that the page must be moved sideways.
        assert screen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
