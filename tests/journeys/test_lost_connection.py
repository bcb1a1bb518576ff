"""What breaks between a page and the server loses nothing, doubles nothing, and leaves the order as it was written."""

from __future__ import annotations

import pytest

from tests.journeys.people import NO_ROAD, expect

pytestmark = pytest.mark.browser

RETURN_MS = 20_000
"""The pause between two attempts grows while nobody answers, and chance decides how much of it is waited."""


def _begun(people, *, visitor_address, operator_address="", clocks=False):
    """Return a visitor and an operator in the middle of a dialogue; with *clocks* their pages' time can be moved."""
    ann = people.operator(operator_address, own_clock=clocks)
    joe = people.visitor(own_clock=clocks)
    for one in (ann, joe):
        one.watch.excuse(NO_ROAD)
    joe.visit(visitor_address)
    joe.introduce("Joe Visitor", email="joe@example.com")
    joe.say("Before")
    expect(ann.rows).to_have_count(1)
    ann.take()
    ann.answer("Before too")
    expect(joe.answers).to_have_text(["Before too"])
    return joe, ann


def _expect_both(joe, ann, said, answered):
    """See *said* and *answered* on both screens, each once, in order, and nothing waiting any more."""
    expect(joe.unsent).to_have_count(0, timeout=RETURN_MS)
    expect(ann.theirs).to_have_text(said, timeout=RETURN_MS)
    expect(ann.banner).to_be_hidden(timeout=RETURN_MS)
    expect(ann.ours).to_have_text(answered)
    expect(joe.own).to_have_text(said)
    expect(joe.answers).to_have_text(answered, timeout=RETURN_MS)
    expect(joe.banner).to_be_hidden()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_restart_keeps_what_both_wrote_meanwhile(people, place, end):
    """While the server is down (stopped, or killed) both go on writing; after its start each word arrives once, in order."""
    joe, ann = _begun(people, visitor_address=place.address)
    assert {"stop": 0, "kill": -9}[end] == getattr(place, end)()

    expect(joe.banner).to_be_visible()
    expect(ann.banner).to_be_visible()
    joe.say("Down one")
    joe.say("Down two")
    ann.answer("Kept one")
    ann.answer("Kept two")
    expect(joe.unsent).to_have_text(["Down one", "Down two"])
    expect(ann.page.get_by_text("2 messages wait to be sent.")).to_be_visible()

    place.start()
    for one in (joe, ann):
        one.hurry()
    _expect_both(joe, ann, ["Before", "Down one", "Down two"], ["Before too", "Kept one", "Kept two"])
    joe.say("After")
    ann.answer("After too")
    said, answered = ["Before", "Down one", "Down two", "After"], ["Before too", "Kept one", "Kept two", "After too"]
    _expect_both(joe, ann, said, answered)
    # A fresh page has it from the server alone.
    joe.page.reload()
    expect(joe.own).to_have_text(said)
    expect(joe.answers).to_have_text(answered)
    place.command("reconcile")


def test_visitor_cut_off_is_told_and_loses_nothing(people, place, road):
    """A visitor without connection sees so, writes on, and reads what was answered meanwhile; all of it once and in order."""
    way = road()
    joe, ann = _begun(people, visitor_address=way.address)
    way.cut()

    expect(joe.banner).to_be_visible()
    joe.say("Cut one")
    joe.say("Cut two")
    expect(joe.unsent).to_have_text(["Cut one", "Cut two"])
    ann.answer("Are you there?")
    expect(ann.ours).to_have_text(["Before too", "Are you there?"])

    way.mend()
    _expect_both(joe, ann, ["Before", "Cut one", "Cut two"], ["Before too", "Are you there?"])
    expect(ann.marks.last).to_have_attribute("data-fate", "read")


def test_operator_cut_off_is_told_and_loses_nothing(people, place, road):
    """An operator without connection sees so, writes on, and gets what came meanwhile; all of it once and in order."""
    way = road()
    joe, ann = _begun(people, visitor_address=place.address, operator_address=way.address)
    way.cut()

    expect(ann.banner).to_be_visible()
    ann.answer("Cut one")
    ann.answer("Cut two")
    expect(ann.page.get_by_text("2 messages wait to be sent.")).to_be_visible()
    joe.say("Hello?")
    expect(joe.unsent).to_have_count(0)

    way.mend()
    _expect_both(joe, ann, ["Before", "Hello?"], ["Before too", "Cut one", "Cut two"])


def test_visitor_on_a_dead_line_finds_out_and_loses_nothing(people, place, road):
    """A line that swallows everything and tells nobody is found out; what it swallowed and what is sent anew is stored once."""
    way = road()
    joe, ann = _begun(people, visitor_address=way.address, clocks=True)
    way.freeze()

    joe.say("Frozen one")
    joe.say("Frozen two")
    expect(joe.unsent).to_have_text(["Frozen one", "Frozen two"])
    joe.pass_seconds(21)
    expect(joe.banner).to_be_visible()
    ann.answer("Are you there?")
    expect(ann.theirs).to_have_text(["Before"])

    # What stood on the line comes out now, beside what the page says over its new socket.
    way.mend()
    _expect_both(joe, ann, ["Before", "Frozen one", "Frozen two"], ["Before too", "Are you there?"])


def test_operator_on_a_dead_line_finds_out_and_loses_nothing(people, place, road):
    """The console, too, finds out by its own ping that the line is dead, and its answers are sent once."""
    way = road()
    joe, ann = _begun(people, visitor_address=place.address, operator_address=way.address, clocks=True)
    way.freeze()

    ann.answer("Frozen one")
    ann.answer("Frozen two")
    joe.say("Hello?")
    expect(joe.unsent).to_have_count(0)
    ann.pass_seconds(26)
    ann.pass_seconds(11)
    expect(ann.banner).to_be_visible()
    expect(joe.answers).to_have_text(["Before too"])

    way.mend()
    _expect_both(joe, ann, ["Before", "Hello?"], ["Before too", "Frozen one", "Frozen two"])


def test_reload_keeps_what_was_not_sent(people, place, road):
    """A visitor who reloads while cut off, and an operator who reloads over a draft, find their words again."""
    way = road()
    joe, ann = _begun(people, visitor_address=way.address)
    way.cut()
    expect(joe.banner).to_be_visible()
    joe.say("Written in the tunnel")
    joe.writing.fill("Half a thou")
    expect(joe.unsent).to_have_text(["Written in the tunnel"])
    way.mend()
    joe.page.reload()

    expect(joe.writing).to_have_value("Half a thou")
    _expect_both(joe, ann, ["Before", "Written in the tunnel"], ["Before too"])
    joe.writing.press("End")
    joe.writing.press_sequentially("ght")
    joe.writing.press("Enter")
    expect(ann.theirs).to_have_text(["Before", "Written in the tunnel", "Half a thought"])

    ann.writing.fill("Let me look")
    ann.page.reload()
    expect(ann.writing).to_have_value("Let me look")
    expect(joe.answers).to_have_text(["Before too"])
    ann.writing.press("Enter")
    expect(joe.answers).to_have_text(["Before too", "Let me look"])
    expect(ann.writing).to_have_value("")
    ann.page.reload()
    expect(ann.ours).to_have_text(["Before too", "Let me look"])
    expect(ann.writing).to_have_value("")
