"""Logins: what is stored, when one ends, and how slow guessing becomes."""

from __future__ import annotations

import pytest

from broker.access import logins
from broker.access.logins import Account, attempt, end_others, find, forgive, hash_token, login_key, open_login, seen
from broker.config import LoginLimits
from broker.domain import Role
from broker.errors import BadInput, NotAuthenticated, TooMany
from broker.ports import Bell
from tests.support.house import add_line, add_operator
from tests.support.store import MemoryStore

LIMITS = LoginLimits()
TOKEN = "t" * 43


class House(MemoryStore):
    """A store with Ann, who sits in one of two lines."""

    def __init__(self) -> None:
        super().__init__()
        self.line = self.write(lambda tx: add_line(tx, "shop"))
        self.write(lambda tx: add_line(tx, "help"))
        self.ann = self.write(lambda tx: add_operator(tx, "ann", [self.line]))


@pytest.fixture
def store():
    """Return a store with Ann, who sits in one of two lines."""
    return House()


def _open(store, token=TOKEN, **more):
    return store.write(
        lambda tx: open_login(tx, Account(store.ann, ""), token, address="1.2.3.4", agent="browser", limits=LIMITS, **more)
    )


def test_only_the_hash_of_a_token_is_stored(store):
    """Who reads the database cannot log in."""
    _open(store)

    assert store.rows("SELECT token_hash FROM logins") == [(hash_token(TOKEN),)]
    assert TOKEN not in str(store.rows("SELECT * FROM logins"))


def test_an_operator_has_the_lines_they_sit_in(store):
    """A supervisor and an administrator have all."""
    assert _open(store).lines == frozenset({store.line})
    boss = store.write(lambda tx: add_operator(tx, "boss", role=Role.ADMINISTRATOR))
    actor = store.write(lambda tx: open_login(tx, Account(boss, ""), "b", address="", agent="", limits=LIMITS))
    assert actor.lines is None
    assert actor.sees("any")


def test_being_here_is_written_once_a_minute(store):
    """A request within the minute costs no write; idleness counts from what is written."""
    _open(store)
    store.clock.move(59)
    assert store.write(lambda tx: find(tx, TOKEN, LIMITS))[1] is False
    store.clock.move(1)
    assert store.write(lambda tx: find(tx, TOKEN, LIMITS))[1] is True
    store.write(lambda tx: seen(tx, TOKEN))
    store.clock.move(LIMITS.idle_seconds - 1)
    assert store.write(lambda tx: find(tx, TOKEN, LIMITS)) is not None
    store.clock.move(1)
    assert store.write(lambda tx: find(tx, TOKEN, LIMITS)) is None


def test_what_was_verified_must_still_be_so(store):
    """A password changed, or a person switched off, between verifying and opening: no login."""
    with pytest.raises(NotAuthenticated):
        store.write(lambda tx: open_login(tx, Account(store.ann, "old"), TOKEN, address="", agent="", limits=LIMITS))


def test_logging_in_again_ends_the_login_this_browser_had(store):
    """A browser has one login; the other is not left lying about."""
    _open(store)
    _open(store, "n" * 43, instead_of=TOKEN)

    assert store.write(lambda tx: find(tx, TOKEN, LIMITS)) is None
    assert store.write(lambda tx: find(tx, "n" * 43, LIMITS)) is not None
    assert (Bell.LOGINS, store.ann) in store.rung


def test_ending_the_others_keeps_the_one(store):
    """And rings with the person's id, so that live sockets ask again."""
    _open(store)
    _open(store, "n" * 43)
    store.write(lambda tx: end_others(tx, store.ann, TOKEN))

    assert store.write(lambda tx: find(tx, TOKEN, LIMITS)) is not None
    assert store.write(lambda tx: find(tx, "n" * 43, LIMITS)) is None
    store.write(lambda tx: end_others(tx, store.ann))
    assert store.rows("SELECT * FROM logins") == []


def _attempts(store, count, login="ann", address="1.2.3.4"):
    delays = []
    for _ in range(count):
        try:
            store.write(lambda tx: attempt(tx, login, address, LIMITS))
            delays.append(0.0)
        except TooMany as error:
            delays.append(error.retry_after)
            store.clock.move(error.retry_after)
    return delays


def test_each_failure_doubles_the_wait(store):
    """Five are free; then 1, 2, 4 … seconds, never more than five minutes; waiting is itself no failure."""
    waits = [wait for wait in _attempts(store, 40) if wait]

    assert waits[:5] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert max(waits) == 300.0


def test_an_address_waits_for_all_its_accounts_together(store):
    """Trying one password on many logins is as slow, and one IPv6 network is one address."""
    for number in range(21):
        store.write(lambda tx, n=number: attempt(tx, f"login{n}", f"2001:db8::{n}", LIMITS))

    with pytest.raises(TooMany):
        store.write(lambda tx: attempt(tx, "another", "2001:db8::ffff", LIMITS))
    store.write(lambda tx: attempt(tx, "another", "2001:db8:0:1::1", LIMITS))


def test_being_right_forgives_the_account_and_one_attempt_of_the_address(store):
    """Who owns one account cannot wash an address clean with it."""
    for number in range(4):
        store.write(lambda tx, n=number: attempt(tx, f"victim{n}", "1.2.3.4", LIMITS))
    store.write(lambda tx: attempt(tx, "ann", "1.2.3.4", LIMITS))
    store.write(lambda tx: forgive(tx, "ann", "1.2.3.4", LIMITS))

    assert store.rows("SELECT count FROM login_failures WHERE key = 'account:ann'") == []
    assert store.rows("SELECT count FROM login_failures WHERE key = 'address:1.2.3.4'") == [(4,)]


def _until_delayed(store, address):
    for _ in range(LIMITS.free_per_account + 1):
        store.write(lambda tx: attempt(tx, "ann", address, LIMITS))
    with pytest.raises(TooMany):
        store.write(lambda tx: attempt(tx, "ann", address, LIMITS))


def test_a_stranger_keeps_nobody_out(store):
    """Who guesses at a login from elsewhere slows themselves; where its owner has logged in before, the owner still may."""
    store.write(lambda tx: attempt(tx, "ann", "1.2.3.4", LIMITS))
    store.write(lambda tx: forgive(tx, "ann", "1.2.3.4", LIMITS))

    _until_delayed(store, "6.6.6.6")
    with pytest.raises(TooMany):
        store.write(lambda tx: attempt(tx, "ann", "9.9.9.9", LIMITS))
    assert store.write(lambda tx: attempt(tx, "ann", "1.2.3.4", LIMITS)) is not None
    store.write(lambda tx: forgive(tx, "ann", "1.2.3.4", LIMITS))
    _until_delayed(store, "1.2.3.4")  # guessing is slow there too


def test_a_network_is_not_known_for_ever(store):
    """Whoever has the address next is a stranger."""
    store.write(lambda tx: attempt(tx, "ann", "1.2.3.4", LIMITS))
    store.write(lambda tx: forgive(tx, "ann", "1.2.3.4", LIMITS))
    store.clock.move(logins.KNOWN_DAYS * 86_400 + 1)

    _until_delayed(store, "6.6.6.6")
    with pytest.raises(TooMany):
        store.write(lambda tx: attempt(tx, "ann", "1.2.3.4", LIMITS))


def test_failures_are_forgotten_after_a_quiet_hour(store):
    """Nobody pays for ever for a bad morning."""
    _attempts(store, 6)
    store.clock.move(LIMITS.forget_seconds + 2)

    assert [0.0] * 5 == _attempts(store, 5)


def test_who_may_not_log_in_is_no_account(store):
    """Switched off and unknown are the same to the door."""
    store.write(lambda tx: add_operator(tx, "gone", active=False))

    assert store.write(lambda tx: attempt(tx, "gone", "a", LIMITS)) is None
    assert store.write(lambda tx: attempt(tx, "nobody", "a", LIMITS)) is None
    assert store.write(lambda tx: attempt(tx, "ann", "a", LIMITS)).operator_id == store.ann


def test_logins_are_written_one_way(store):
    """Case and blanks around do not matter; what is too long is refused before the database."""
    assert login_key("  Ann ") == "ann"
    with pytest.raises(BadInput):
        login_key("x" * (logins.LOGIN_MAX + 1))
