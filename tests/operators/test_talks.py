"""What is done in the midst of a talk, and the lists of calls: hold, a colleague asked, a number outside, supervisors who listen."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest

from broker.access.authorize import Actor
from broker.domain import Role
from broker.events import CallEnded, ConsultAnswered, ListenBegan, RingAnswered
from broker.store import directory as directories
from operators import cards, news
from operators.deeds import Refusal, dialled
from operators.hall import Hall
from operators.news import Board
from tests.operators.shop import Shop

CALLER = "+79001234567"


class Screen:
    """A console that only listens: the latest card of each session."""

    def __init__(self, shop: Shop, who: str, role: Role = Role.OPERATOR, *, lists_all: bool = False) -> None:
        lines = frozenset(shop.lines[:1]) if role is Role.OPERATOR else None
        self.actor = Actor(shop.ids[who], who, who, role, "en", False, lines)
        self.session = self.conversation = ""
        self.lists_all = lists_all
        self.cards: dict[str, dict[str, Any]] = {}

    def apply(self, encoded: bytes) -> None:
        """Take an update in."""
        card = msgspec.json.decode(encoded).get("card")
        if card:
            self.cards[card["session"]] = card

    def talk(self, session: str) -> dict[str, Any]:
        """Return what its card says of the call."""
        talk: dict[str, Any] = self.cards[session]["talk"]
        return talk


def listen(shop: Shop, board: Board, *listeners: Screen) -> None:
    """Read the journal to its end."""
    known = shop.site.write(directories.load)
    while (page := shop.site.write(lambda tx: news.read(tx, board.at, board.sessions))).rows:
        folded = board.fold(page, known, ())
        news.tell(folded, Hall(listeners), known, lambda screen, update: screen.apply(update))  # type: ignore[arg-type]


def refusal(shop: Shop, who: str, session: str, verb: str, **body: Any) -> str:
    """Return the code with which the engine decided against a deed: sent again, its sender is told."""
    key = str(uuid.uuid4())
    assert shop.do(who, session, verb, key, **body).status_code == 202
    return str(shop.do(who, session, verb, key, **body).json()["refused"])


def call(shop: Shop, who: str, session: str) -> dict[str, Any]:
    """Return what *who* is told of the call."""
    found: dict[str, Any] = shop.get(who, f"/sessions/{session}/call")
    return found


def test_a_caller_is_put_on_hold_and_spoken_with_again(shop):
    """Only by whoever talks; the card says since when, without being asked for again."""
    session = shop.talked()
    board, sue = shop.site.write(Board.load), Screen(shop, "sue", Role.SUPERVISOR, lists_all=True)

    assert shop.do("ann", session, "hold").status_code == 202
    assert call(shop, "ann", session)["held"] is True
    listen(shop, board, sue)
    assert sue.talk(session)["held"] == sue.cards[session]["changed"]
    assert (CALLER, True) == (sue.talk(session)["number"], sue.talk(session)["answered"] > 0)
    assert "not_yours" == refusal(shop, "sue", session, "resume")
    assert shop.do("ann", session, "resume").status_code == 202
    assert call(shop, "ann", session)["held"] is False
    listen(shop, board, sue)
    assert "held" not in sue.talk(session)


def test_a_colleague_is_asked_and_has_the_call_handed_over(shop):
    """They see it before they lift the phone; it is handed over when they have, and not sooner."""
    bob = shop.ids["bob"]
    session = shop.talked()
    board, screen = shop.site.write(Board.load), Screen(shop, "bob")

    assert shop.do("ann", session, "consult", operator_id=bob).status_code == 202
    told = call(shop, "bob", session)
    assert (told["held"], told["consulted_id"], told["consult_lifted"]) == (True, bob, False)
    listen(shop, board, screen)
    assert (screen.cards[session]["invited"], screen.talk(session)["consulted"]) == ([bob], bob)
    assert "not_lifted" == refusal(shop, "ann", session, "transfer", operator_id=bob)
    assert "one_at_a_time" == refusal(shop, "ann", session, "consult", operator_id=shop.ids["sue"])
    shop.hear(session, lambda at: ConsultAnswered(at=at, operator_id=bob))
    listen(shop, board, screen)
    assert screen.talk(session)["lifted"] is True
    assert shop.do("ann", session, "transfer", operator_id=bob, text="a friend").status_code == 202
    after = shop.get("bob", f"/sessions/{session}")
    assert (after["status"], after["operator_id"]) == ("active", bob)
    assert (call(shop, "bob", session)["held"], call(shop, "bob", session)["consulted_id"]) == (False, None)


def test_a_call_goes_to_a_number_outside(shop):
    """Written as people write it; to one place only, and never a chat."""
    session = shop.talked()

    for whom in ({"number": "100", "line_id": shop.lines[0]}, {"number": " "}):
        answer = shop.do("ann", session, "transfer", **whom)
        assert (422, "nobody_named") == (answer.status_code, answer.json()["code"])
    bad = shop.do("ann", session, "transfer", number="call me")
    assert (422, "bad_number", "number") == (bad.status_code, bad.json()["code"], bad.json()["errors"][0]["field"])
    assert shop.do("ann", session, "transfer", number="+7 (900) 111-22\u201133").status_code == 202
    assert ("closed", "forward") == tuple(shop.rows("SELECT status, outcome FROM sessions WHERE id = ?", session)[0])
    assert call(shop, "ann", session)["forward_to"] == "+79001112233"


@pytest.mark.parametrize(
    "written", ["1", "+", "++12", "12+3", "12a", "sip:1@2", "1" * 21, "+" + "1" * 20, "12\n&SIP/1", "\u0661\u0662"]
)
def test_what_is_no_number_is_refused(written):
    """Whatever else a telephone exchange may understand is never dialled."""
    with pytest.raises(Refusal, match="bad_number"):
        dialled(written)


def test_numbers_are_dialled_bare():
    """Spaces, brackets and dashes are people's."""
    written = ("02", "+1", "8 (800) 555-35-35", "+7\u00a0900\u2013123", "9.11", "1" * 20)

    assert [dialled(one) for one in written] == ["02", "+1", "88005553535", "+7900123", "911", "1" * 20]


def test_supervisors_listen_and_are_not_seen(shop):
    """Who listens is told to supervisors; never to an operator, nor to a supervisor who is listened to."""
    sue = shop.ids["sue"]
    session = shop.talked()
    shop.person("max", Role.SUPERVISOR)
    board = shop.site.write(Board.load)
    watching = {
        "ann": Screen(shop, "ann"),
        "sue": Screen(shop, "sue", Role.SUPERVISOR, lists_all=True),
        "max": Screen(shop, "max", Role.SUPERVISOR, lists_all=True),
    }

    assert shop.do("ann", session, "listen", how="listen").status_code == 403
    assert shop.do("sue", session, "listen", how="loudly").status_code == 422
    assert shop.do("sue", session, "listen", how="whisper").status_code == 202
    listen(shop, board, *watching.values())
    assert [sue, sue, None] == [watching[who].talk(session).get("listens") for who in ("sue", "max", "ann")]
    shop.hear(session, lambda at: ListenBegan(at=at, operator_id=sue))
    listen(shop, board, *watching.values())
    assert [[sue], [sue], None] == [watching[who].talk(session).get("listeners") for who in ("sue", "max", "ann")]
    assert [[sue], [sue], []] == [call(shop, who, session)["listeners"] for who in ("sue", "max", "ann")]
    shop.do("ann", session, "note", text="an old customer")
    listen(shop, board, *watching.values())
    assert [[sue], [sue], None] == [watching[who].talk(session).get("listeners") for who in ("sue", "max", "ann")]


def test_a_supervisor_who_talks_is_not_told_who_listens(shop):
    """They are listened to like anybody else."""
    session = shop.talked(by="sue")
    shop.person("max", Role.SUPERVISOR)
    shop.rows("UPDATE operators SET phone = 'PJSIP/' || login")
    shop.do("max", session, "listen", how="listen")
    shop.hear(session, lambda at: ListenBegan(at=at, operator_id=shop.ids["max"]))

    assert ([], [shop.ids["max"]]) == (call(shop, "sue", session)["listeners"], call(shop, "max", session)["listeners"])
    assert "yours_already" == refusal(shop, "sue", session, "listen", how="listen")


def test_what_needs_a_talk_is_refused_without_one(shop):
    """While a call waits nobody speaks, and a chat is no call."""
    chat = shop.taken()
    assert "not_a_call" == refusal(shop, "ann", chat, "hold")
    assert "not_a_call" == refusal(shop, "ann", chat, "transfer", number="100")
    ringing = shop.ring(CALLER)
    for verb in ("hold", "resume", "listen"):
        assert "nobody_talks" == refusal(shop, "sue", ringing, verb)


def test_calls_under_way_are_a_list_of_their_own(shop):
    """No chats, nothing that is over, and only of lines that one sees."""
    shop.taken()
    session = shop.talked()

    assert [session] == [one["id"] for one in shop.get("sue", "/sessions?box=calls")["items"]]
    assert [session] == [one["id"] for one in shop.get("ann", "/sessions?box=calls")["items"]]
    assert [] == shop.get("bob", "/sessions?box=calls")["items"]
    shop.hear(session, lambda at: CallEnded(at=at))
    assert [] == shop.get("sue", "/sessions?box=calls")["items"]


def test_a_missed_call_is_listed_until_its_caller_is_spoken_with(shop):
    """Whoever lists it sees it go, too: their next call is answered."""
    missed, answered = shop.ring(CALLER), shop.talked("+79005550000")
    for session in (missed, answered):
        shop.hear(session, lambda at: CallEnded(at=at))
    board, sue = shop.site.write(Board.load), Screen(shop, "sue", Role.SUPERVISOR, lists_all=True)

    assert [missed] == [one["id"] for one in shop.get("ann", "/sessions?box=missed")["items"]]
    assert [] == shop.get("bob", "/sessions?box=missed")["items"]
    assert (True, False) == (call(shop, "ann", missed)["missed"], call(shop, "ann", answered)["missed"])
    shop.site.clock.move(1)
    again = shop.ring(CALLER)
    listen(shop, board, sue)
    # Of a session that has no news nothing is known yet.
    board.learn(shop.site.write(lambda tx: cards.load(tx, missed)))
    assert board.sessions[missed].talk.missed
    shop.hear(again, lambda at: RingAnswered(at=at, operator_id=shop.ids["ann"]))
    listen(shop, board, sue)
    assert "missed" not in sue.talk(missed)
    assert [] == shop.get("ann", "/sessions?box=missed")["items"]


def test_a_missed_call_is_listed_until_somebody_has_seen_to_it(shop):
    """Anybody of the line, once; everybody who lists it sees it go."""
    missed = shop.ring(CALLER)
    shop.hear(missed, lambda at: CallEnded(at=at))
    board, sue = shop.site.write(Board.load), Screen(shop, "sue", Role.SUPERVISOR, lists_all=True)

    assert shop.do("bob", missed, "settle").status_code == 404
    assert shop.do("ann", missed, "settle").status_code == 202
    listen(shop, board, sue)
    assert "missed" not in sue.talk(missed)
    assert [] == shop.get("ann", "/sessions?box=missed")["items"]
    assert (call(shop, "ann", missed)["missed"], shop.get("ann", f"/sessions/{missed}")["outcome"]) == (False, "settled")


def test_a_page_of_missed_calls_costs_no_more_the_fewer_there_are(shop, monkeypatch):
    """So many calls are looked at for it; it may be empty, and still have a next one."""
    monkeypatch.setattr(cards, "PAGE", 1)
    first = shop.ring(CALLER)
    second = shop.ring("+79005550000")
    for session in (first, second):
        shop.hear(session, lambda at: CallEnded(at=at))

    page = shop.get("ann", "/sessions?box=missed")
    assert [second] == [one["id"] for one in page["items"]]
    page = shop.get("ann", f"/sessions?box=missed&cursor={page['next_cursor']}")
    assert ([first], None) == ([one["id"] for one in page["items"]], page["next_cursor"])


def test_a_card_of_a_chat_says_nothing_of_talks(shop):
    """It is told a thousand times a minute."""
    session = shop.taken()
    watched = shop.site.write(lambda tx: cards.load(tx, session))

    assert b"talk" not in msgspec.json.encode(watched.card(shop.site.write(directories.load)))
