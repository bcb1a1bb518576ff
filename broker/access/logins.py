"""Logins: who holds which cookie, and how slow guessing a password becomes.

    ask ──► attempt (counted first, so that guessing side by side gains nothing) ──► verify, outside of any transaction
        ──► open: only when the password and the person are still those that were verified

Whoever has logged in from a network is counted apart there: a stranger who guesses at a login elsewhere slows themselves, not its owner.

Of a token only its sha256 is stored. A login ends after idling, at its absolute end, by logging out, and when the person's
password, role or activity changes: then Bell.LOGINS rings with their id and live sockets ask again who they are.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import bindparam, delete, select, update

from broker import metrics
from broker.access.authorize import Actor
from broker.access.passwords import Passwords
from broker.config import LoginLimits
from broker.domain import LineId, OperatorId, Role, to_us
from broker.errors import BadInput, NotAuthenticated, TooMany
from broker.networks import network_of
from broker.ports import Bell, Store, Tx
from broker.store.sql import cols, insert_row, sql, upsert
from broker.store.tables import login_failures, logins, operators, seats

log = structlog.get_logger(__name__)

LOGIN_MAX = 100
"""Characters of a login."""
SEEN_SECONDS = 60.0
"""How stale `seen_us` may become: a write for every request would cost an fsync each."""
_DOUBLINGS_MAX = 30
KNOWN_DAYS = 60
"""How long a network where somebody logged in is known to be theirs."""
_DEFAULTS = LoginLimits()

_ACCOUNT = sql(select(*cols(operators, "id password_hash active")).where(operators.c.login == bindparam("login")))
_WHO = "id login name role language password_generated"
_PERSON = sql(select(*cols(operators, f"{_WHO} password_hash active")).where(operators.c.id == bindparam("operator")))
_REHASH = sql(update(operators).values(password_hash=bindparam("made")).where(operators.c.id == bindparam("operator")))
_OPEN = insert_row(logins, "token_hash operator_id created_us seen_us ends_us address agent")
_FIND = sql(
    select(*cols(operators, _WHO), logins.c.seen_us)
    .join(operators, operators.c.id == logins.c.operator_id)
    .where(
        logins.c.token_hash == bindparam("token"),
        logins.c.ends_us > bindparam("now"),
        logins.c.seen_us > bindparam("idle"),
        operators.c.active == 1,
    )
)
_LINES = sql(select(seats.c.line_id).where(seats.c.operator_id == bindparam("operator")))
_SEEN = sql(
    update(logins)
    .values(seen_us=bindparam("now"))
    .where(logins.c.token_hash == bindparam("token"), logins.c.seen_us < bindparam("now"))
)
_END = sql(delete(logins).where(logins.c.token_hash == bindparam("token")).returning(logins.c.operator_id))
_END_OTHERS = sql(delete(logins).where(logins.c.operator_id == bindparam("operator"), logins.c.token_hash != bindparam("token")))
_SWEEP = sql(delete(logins).where((logins.c.ends_us <= bindparam("now")) | (logins.c.seen_us <= bindparam("idle"))))
_FAILURE = sql(select(*cols(login_failures, "count until_us")).where(login_failures.c.key == bindparam("key")))
_COUNT = upsert(login_failures, "key count until_us", "key", "count until_us")
_FORGIVE = sql(delete(login_failures).where(login_failures.c.key == bindparam("key")))
_GIVE_BACK = sql(
    update(login_failures)
    .values(count=login_failures.c.count - 1, until_us=bindparam("now"))
    .where(login_failures.c.key == bindparam("key"), login_failures.c.count > 0)
)
_FORGET = sql(delete(login_failures).where(login_failures.c.until_us < bindparam("old")))


@dataclass(frozen=True, slots=True)
class Account:
    """What a login name stands for, for verifying."""

    operator_id: OperatorId
    password_hash: str


def hash_token(token: str) -> str:
    """Return what is stored of *token*; it has 256 random bits, so no salt and no slowness are needed."""
    return hashlib.sha256(token.encode()).hexdigest()


# --- transaction functions


def attempt(tx: Tx, login: str, address: str, limits: LoginLimits) -> Account | None:
    """Count an attempt and return the account, None when there is none that may log in. Raises TooMany."""
    keys = _keys(tx, login, address)
    now = to_us(tx.now)
    forgotten = now - int(limits.forget_seconds * 1e6)
    counted = {}
    for key, free in zip(keys, (limits.free_per_account, limits.free_per_address), strict=True):
        row = tx.one(_FAILURE, key=key)
        count, until = row if row and row[1] > forgotten else (0, 0)
        if until > now:
            raise TooMany("too many attempts to log in; wait a little", retry_after=(until - now) / 1e6, code="login_delayed")
        counted[key] = (count + 1, now + _delay_us(count + 1 - free, limits))
    for key, (count, until) in counted.items():
        tx.run(_COUNT, key=key, count=count, until_us=until)
    found = tx.one(_ACCOUNT, login=login)
    return Account(OperatorId(found[0]), found[1]) if found and found[2] else None


def forgive(tx: Tx, login: str, address: str, limits: LoginLimits) -> None:
    """Take back the attempts of somebody who proved to be right; of an address only this one, its others may be guesses."""
    account_key, address_key = _keys(tx, login, address)
    tx.run(_FORGIVE, key=account_key)
    until = to_us(tx.now + timedelta(days=KNOWN_DAYS))
    tx.run(_COUNT, key=_known_key(login, address), count=0, until_us=until)
    tx.run(_GIVE_BACK, key=address_key, now=to_us(tx.now))
    tx.run(_FORGET, old=to_us(tx.now) - int(limits.forget_seconds * 1e6))


def open_login(
    tx: Tx,
    account: Account,
    token: str,
    *,
    address: str,
    agent: str,
    limits: LoginLimits,
    instead_of: str | None = None,
    rehashed: str | None = None,
) -> Actor:
    """Open a login for who was verified; *instead_of* is a token this browser had, which ends.

    Raises NotAuthenticated when the password or the person changed since.
    """
    now = to_us(tx.now)
    row = tx.one(_PERSON, operator=account.operator_id)
    if row is None or not row[-1] or row[-2] != account.password_hash:
        raise NotAuthenticated("the login or the password is wrong")
    if rehashed:
        tx.run(_REHASH, operator=account.operator_id, made=rehashed)
    if instead_of:
        end_login(tx, instead_of)
    tx.run(_SWEEP, now=now, idle=now - int(limits.idle_seconds * 1e6))
    tx.run(
        _OPEN,
        token_hash=hash_token(token),
        operator_id=account.operator_id,
        created_us=now,
        seen_us=now,
        ends_us=now + int(limits.absolute_seconds * 1e6),
        address=address,
        agent=agent[:200],
    )
    return _actor(tx, *row[:-2])


def find(tx: Tx, token: str, limits: LoginLimits = _DEFAULTS) -> tuple[Actor, bool] | None:
    """Return whose login *token* is, and whether `seen` is due; None when the login has ended or never was."""
    now = to_us(tx.now)
    row = tx.one(_FIND, token=hash_token(token), now=now, idle=now - int(limits.idle_seconds * 1e6))
    if row is None:
        return None
    *person, seen_us = row
    return _actor(tx, *person), now - seen_us >= SEEN_SECONDS * 1e6


def seen(tx: Tx, token: str) -> None:
    """Note that the holder of *token* is here."""
    tx.run(_SEEN, token=hash_token(token), now=to_us(tx.now))


def end_login(tx: Tx, token: str) -> OperatorId | None:
    """End one login and return whose it was; ending what has ended is no error."""
    ended = tx.one(_END, token=hash_token(token))
    if not ended:
        return None
    tx.ring(Bell.LOGINS, ended[0])
    return OperatorId(ended[0])


def end_others(tx: Tx, operator_id: OperatorId, keep: str = "") -> None:
    """End every login of a person but that of the token *keep*, and tell live sockets to ask again."""
    tx.run(_END_OTHERS, operator=operator_id, token=hash_token(keep) if keep else "")
    tx.ring(Bell.LOGINS, operator_id)


def _actor(tx: Tx, id_: str, login: str, name: str, role: str, language: str, generated: int) -> Actor:
    lines = frozenset(LineId(line) for (line,) in tx.all(_LINES, operator=id_)) if role == Role.OPERATOR.value else None
    return Actor(OperatorId(id_), login, name, Role(role), language, bool(generated), lines)


def _keys(tx: Tx, login: str, address: str) -> tuple[str, str]:
    """Return what an attempt counts for: the account, or the account at a network that is known to be its owner's; and the address."""
    network = network_of(address)
    known = tx.one(_FAILURE, key=_known_key(login, address))
    account = f"account:{login}@{network}" if known is not None and known[1] > to_us(tx.now) else f"account:{login}"
    return account, f"address:{network}"


def _known_key(login: str, address: str) -> str:
    return f"known:{login}@{network_of(address)}"


def _delay_us(over: int, limits: LoginLimits) -> int:
    if over <= 0:
        return 0
    return int(min(limits.delay_seconds * 2 ** min(over - 1, _DOUBLINGS_MAX), limits.delay_max_seconds) * 1e6)


# --- the whole way of a login


class Logins:
    """Logging in, being known and logging out, for whoever holds a cookie."""

    def __init__(self, store: Store, passwords: Passwords, limits: LoginLimits | None = None) -> None:
        self._store = store
        self._passwords = passwords
        self.limits = limits or _DEFAULTS

    @property
    def lasts(self) -> timedelta:
        """After how long a login ends in any case."""
        return timedelta(seconds=self.limits.absolute_seconds)

    async def log_in(
        self, login: str, password: str, *, address: str, agent: str = "", instead_of: str | None = None
    ) -> tuple[str, Actor]:
        """Return a new token and whose it is. Raises NotAuthenticated, the same for every reason, or TooMany."""
        account = await self.verify(login, password, address=address)
        if account is None:
            metrics.logins_total.labels("refused").inc()
            log.info("login_refused", address=address)
            raise NotAuthenticated("the login or the password is wrong")
        rehashed = await self._passwords.hash(password) if self._passwords.is_outdated(account.password_hash) else None
        token = secrets.token_urlsafe(32)

        def work(tx: Tx) -> Actor:
            forgive(tx, login_key(login), address, self.limits)
            return open_login(
                tx, account, token, address=address, agent=agent, limits=self.limits, instead_of=instead_of, rehashed=rehashed
            )

        actor = await self._store.write(work)
        metrics.logins_total.labels("opened").inc()
        log.info("login_opened", operator_id=actor.operator_id, address=address)
        return token, actor

    async def confirm(self, login: str, password: str, *, address: str) -> bool:
        """Return whether *password* is that of somebody who is logged in already; guessing is as slow as at the door. Raises TooMany."""
        if await self.verify(login, password, address=address) is None:
            return False
        await self._store.write(lambda tx: forgive(tx, login_key(login), address, self.limits))
        return True

    async def verify(self, login: str, password: str, *, address: str) -> Account | None:
        """Count an attempt; return the account when the password is right. It costs the same for nobody's login. Raises TooMany."""
        key = login_key(login)
        try:
            account = await self._store.write(lambda tx: attempt(tx, key, address, self.limits))
        except TooMany:
            metrics.logins_total.labels("delayed").inc()
            raise
        right = await self._passwords.verify(account.password_hash if account else None, password)
        return account if right else None

    async def actor_of(self, token: str | None) -> Actor | None:
        """Return who holds *token*, and note once a minute that they are here; None when nobody does."""
        if not token:
            return None

        found = await self._store.read(lambda tx: find(tx, token, self.limits))
        if found is None:
            return None
        actor, stale = found
        if stale:
            await self._store.write(lambda tx: seen(tx, token))
        return actor

    async def log_out(self, token: str | None, told: Callable[[Tx, OperatorId], object] = lambda tx, operator: None) -> None:
        """End the login of *token*; *told* whose it was, in the same transaction."""

        def end(tx: Tx) -> None:
            operator = end_login(tx, token or "")
            if operator is not None:
                told(tx, operator)

        if token:
            await self._store.write(end)


def login_key(login: str) -> str:
    """Return the login as it is stored: lower case, trimmed. Raises BadInput."""
    key = login.strip().lower()
    if not key.isprintable() or not 1 <= len(key) <= LOGIN_MAX:
        raise BadInput(f"a login has 1 to {LOGIN_MAX} characters that can be seen", field="login")
    return key
