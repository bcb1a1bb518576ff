"""The auditor itself: a sound record has no fault, and each planted fault is found under its name."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from routing.replies import CATALOGUE
from tests.chaos.checker import check
from tests.chaos.record import MISSED, Did, House, Line, OperatorRecord, Run, Said, VisitorRecord
from tests.chaos.trials import never_came

CONVERSATION = "c1"
WELCOME, NO_ANSWER, CLOSING = (CATALOGUE[name]["en"] for name in ("welcome", "no_answer", "close"))


def sound() -> Run:
    """Return a run of one visitor and one operator in which everything went well."""
    said = [Said("id-1", "v00 1", sends=2, acks=[2, 2]), Said("id-2", "v00 2", sends=1, acks=[4])]
    history = [
        Line(2, "contact", "v00 1", "id-1"),
        Line(3, "system", WELCOME),
        Line(4, "contact", "v00 2", "id-2"),
        Line(6, "operator", "re: v00 1"),
        Line(8, "operator", "re: v00 2"),
    ]
    thread = [replace(line, mark={6: "re-1", 8: "re-2"}.get(line.seq, ""), session="s1") for line in history]
    did = [
        Did("take-1", "take", "s1", accepted=True),
        Did("re-1", "reply", "s1", "re: v00 1", accepted=True),
        Did("re-2", "reply", "s1", "re: v00 2", accepted=True),
    ]
    return Run(
        visitors=[VisitorRecord("v00", said, [history[1], history[3], history[3], history[4]], history)],
        operators=[OperatorRecord("ann", did, {CONVERSATION: [*thread[:3], thread[0], *_news(1, *thread[2:])]})],
        house=House(threads={CONVERSATION: thread}),
        trials=3,
    )


def _news(socket: int, *lines: Line) -> list[Line]:
    """Return *lines* as the live updates of a socket bring them."""
    return [replace(line, news=socket) for line in lines]


def _shown(run: Run) -> list[Line]:
    """Return what the operator's screen was shown."""
    return run.operators[0].shown[CONVERSATION]


def _say_by_itself(run: Run, text: str) -> None:
    """Have the house say *text*, once more or for the first time."""
    visitor = run.visitors[0]
    line = Line(visitor.history[-1].seq + 1, "system", text, session="s1")
    for lines in (visitor.history, visitor.pushed, run.house.threads[CONVERSATION]):
        lines.append(line)


def test_own_words_that_come_once_more_are_no_step_back():
    """They stand on the screen since their ack: a process that does not know that shows them again."""
    run = sound()
    visitor = run.visitors[0]
    visitor.pushed.append(visitor.history[2])

    assert visitor.history[2].seq < visitor.pushed[-2].seq
    assert check(run).ok


def test_own_words_that_come_before_what_is_on_its_way_are_no_step_forward():
    """What they wrote meanwhile is on every screen of theirs before what stood above it and had not been told yet."""
    run = sound()
    visitor = run.visitors[0]
    visitor.pushed.insert(0, visitor.history[2])

    assert visitor.pushed[0].seq > visitor.pushed[1].seq
    assert check(run).ok


def test_news_that_come_again_after_a_resume_are_no_step_back():
    """A process tells again what came after the mark, whatever the one before it has told."""
    run = sound()
    _shown(run).extend(_news(MISSED, *run.house.threads[CONVERSATION][2:]))

    assert check(run).ok


def test_news_of_a_process_that_lags_are_in_order_among_themselves():
    """It goes on from where it stands: what nobody showed on this screen may stand above what a resume has brought."""
    run = sound()
    thread = run.house.threads[CONVERSATION]
    _shown(run)[:] = [*_news(MISSED, *thread[3:]), *_news(2, *thread)]

    assert check(run).ok


def test_an_answer_in_the_news_before_the_words_above_it_is_no_step_back():
    """Words have their place since they were stored, and are news when they are decided: each side is in order for itself."""
    run = sound()
    thread = run.house.threads[CONVERSATION]
    _shown(run)[:] = _news(1, *(thread[number] for number in (0, 1, 3, 2, 4)))

    assert check(run).ok


def test_what_the_house_says_by_itself_may_come_again_with_reason():
    """It takes leave at each closing; of each message it may say that nobody has answered yet."""
    run = sound()
    run.operators[0].did += [Did(f"close-{number}", "close", "s1", accepted=True) for number in range(2)]
    for text in (NO_ANSWER, NO_ANSWER, CLOSING, CLOSING):
        _say_by_itself(run, text)

    assert check(run).evidence() == ""


def test_what_a_provider_took_once_is_no_repeat():
    """Its app shows each message that it has taken."""
    run = sound()
    visitor = run.visitors[0]
    visitor.shows_repeats, visitor.pushed = True, list(dict.fromkeys(visitor.pushed))

    assert check(run).ok


def test_an_answer_in_doubt_need_not_have_arrived():
    """Once at most: whoever sent it has told the operator that nobody knows."""
    run = sound()
    visitor = run.visitors[0]
    del visitor.pushed[-1]
    visitor.in_doubt = {8}

    assert check(run).ok


def _never_stored(run):
    for lines in (run.visitors[0].history, run.house.threads[CONVERSATION]):
        lines[:] = [line for line in lines if line.seq != 4]


def _never_on_a_screen(run):
    lines = run.operators[0].shown[CONVERSATION]
    lines[:] = [line for line in lines if line.seq != 4]


def _never_answered(run):
    for lines in (run.visitors[0].history, run.house.threads[CONVERSATION], run.operators[0].shown[CONVERSATION]):
        lines[:] = [line for line in lines if line.seq != 8]
    del run.operators[0].did[2]


def _reply_never_seen(run):
    del run.visitors[0].pushed[-1]


def _system_text_never_seen(run):
    del run.visitors[0].pushed[0]


def _updates_with_a_hole(run):
    run.operators[0].gaps = 1


def _not_reconciled(run):
    run.house.reconciled, run.house.report = False, "FAIL  messages: every accepted message is stored: 1"


def _not_replayed(run):
    run.house.unlike = "the same: 7, different: 1, of another engine: 0, no decision: 2"


def _shown_and_gone(run):
    run.operators[0].shown[CONVERSATION].append(Line(9, "contact", "v00 3"))


def _shown_to_the_visitor_and_gone(run):
    run.visitors[0].pushed.append(Line(9, "system", CLOSING))


def _accepted_and_not_in_the_thread(run):
    thread = run.house.threads[CONVERSATION]
    thread[-1] = replace(thread[-1], mark="")


def _buried(run):
    run.house.dead = ["ours/re-2/c1/7/IllegalTransition: no rule for Reply"]


def _unreadable_and_not_kept(run):
    run.house.unkept = ["update 7"]


def _stored_twice(run):
    for lines in (run.visitors[0].history, run.house.threads[CONVERSATION]):
        lines.append(replace(lines[0], seq=9))


def _acknowledged_twice(run):
    run.visitors[0].said[0].acks = [2, 9]


def _answered_twice(run):
    for lines in (run.visitors[0].history, run.house.threads[CONVERSATION], run.visitors[0].pushed):
        lines.append(Line(9, "operator", "re: v00 2"))


def _taken_twice(run):
    run.visitors[0].shows_repeats = True


def _welcomed_twice(run):
    _say_by_itself(run, WELCOME)


def _said_in_vain_more_often_than_asked(run):
    for _ in range(3):
        _say_by_itself(run, NO_ANSWER)


def _took_leave_twice(run):
    run.operators[0].did.append(Did("close-1", "close", "s1", accepted=True))
    _say_by_itself(run, CLOSING)
    _say_by_itself(run, CLOSING)


def _another_content(run):
    run.visitors[0].pushed.insert(0, Line(3, "system", "good-bye"))


def _another_history(run):
    run.house.threads[CONVERSATION][1] = Line(3, "system", "good-bye")


def _said_in_another_order(run):
    run.visitors[0].said.reverse()


def _answered_in_another_order(run):
    run.operators[0].did[1:] = run.operators[0].did[:0:-1]


def _screen_went_back(run):
    run.visitors[0].pushed = [run.visitors[0].pushed[number] for number in (0, 3, 1)]


def _news_went_back(run):
    thread = run.house.threads[CONVERSATION]
    _shown(run)[:] = _news(1, *(thread[number] for number in (0, 2, 1, 4, 3)))


def _words_in_the_news_went_back(run):
    thread = run.house.threads[CONVERSATION]
    _shown(run)[:] = _news(1, *(thread[number] for number in (2, 0)))


def _missed_news_went_back(run):
    thread = run.house.threads[CONVERSATION]
    _shown(run)[:] = [*_news(1, thread[0], thread[2], thread[4]), *_news(MISSED, thread[3])]


def _never_acknowledged(run):
    run.visitors[0].said.append(Said("id-3", "v00 3", sends=4))


def _never_sent(run):
    run.visitors[0].said.append(Said("id-3", "v00 3", sends=0))


def _deed_never_answered(run):
    run.operators[0].did.append(Did("close-1", "close", "s1"))


def _outbox_open(run):
    run.house.open_outbox = ["o1"]


def _outbox_failed(run):
    run.house.failed = ["o1"]


def _somebody_did_not_come_back(run):
    run.absent = ["of a crowd of 200 only 199 came back within 120 s"]


def _offer_open(run):
    run.house.open_offers = ["f1"]


def _session_open(run):
    run.house.open_sessions = ["s1"]


def _input_undecided(run):
    run.house.unrouted = ["c1/9"]


def _timer_due(run):
    run.house.due = ["c1/reopen"]


def _news_unread(run):
    run.house.unread = ["crm, 3 rows"]


def _in_doubt(run):
    run.house.unconfirmed = ["o1"]


PLANTED = {
    "lost": [
        _never_stored,
        _never_on_a_screen,
        _never_answered,
        _reply_never_seen,
        _system_text_never_seen,
        _updates_with_a_hole,
        _not_reconciled,
        _not_replayed,
        _shown_and_gone,
        _shown_to_the_visitor_and_gone,
        _accepted_and_not_in_the_thread,
        _buried,
        _unreadable_and_not_kept,
    ],
    "doubled": [
        _stored_twice,
        _acknowledged_twice,
        _answered_twice,
        _taken_twice,
        _welcomed_twice,
        _said_in_vain_more_often_than_asked,
        _took_leave_twice,
        _another_content,
        _another_history,
    ],
    "reordered": [
        _said_in_another_order,
        _answered_in_another_order,
        _screen_went_back,
        _news_went_back,
        _words_in_the_news_went_back,
        _missed_news_went_back,
    ],
    "stuck": [
        _never_acknowledged,
        _never_sent,
        _deed_never_answered,
        _outbox_open,
        _outbox_failed,
        _somebody_did_not_come_back,
        _offer_open,
        _session_open,
        _input_undecided,
        _timer_due,
        _news_unread,
    ],
    "unconfirmed": [_in_doubt],
}


def test_sound_record_has_no_fault():
    """Repeats on the wire are no faults: they are rendered once."""
    ledger = check(sound())

    assert ledger.evidence() == ""
    assert ledger.line() == "lost 0 doubled 0 reordered 0 stuck 0 unconfirmed 0 trials 3"


@pytest.mark.parametrize(
    ("kind", "plant"), [pytest.param(kind, plant, id=plant.__name__) for kind, plants in PLANTED.items() for plant in plants]
)
def test_planted_fault_is_found(kind, plant):
    """Each way of breaking a promise is counted under its kind, and told."""
    run = sound()
    plant(run)
    ledger = check(run)

    assert ledger.count(kind) >= 1
    assert not ledger.ok
    assert kind.upper() in ledger.evidence()


def test_a_fault_that_never_came_is_told():
    """Planned and not done proves nothing: a run says so, and is not sound."""
    ends = Counter({"kill": 3, "after_send": 1, "before_send not come to": 2})

    assert never_came(["kill", "before_send", "after_send", "before_send"], ends) == [
        "the fault before_send was planned and never came"
    ]
