"""Passwords: argon2id away from the loop, a few at a time, and the same cost whether the person exists or not."""

from __future__ import annotations

import asyncio
import base64
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from broker.errors import BadInput, TooMany

LENGTH_MIN, LENGTH_MAX = 10, 128
_READABLE = "abcdefghjkmnpqrstuvwxyz23456789"  # no l and 1, no i, no o and 0: it is read aloud and typed from paper
_GROUPS, _GROUP = 4, 4  # 16 of 31 characters: 79 bits
_WORKERS = 2
_WAITING_MAX = 64
"""Hashes asked for and not done: beyond it memory and patience end."""


def generate() -> str:
    """Return a password nobody can guess and everybody can read: `k7mf-2xqa-w9tc-hd4n`."""
    return "-".join("".join(secrets.choice(_READABLE) for _ in range(_GROUP)) for _ in range(_GROUPS))


def check_new(password: str, login: str = "", *, field: str = "password") -> None:
    """Refuse a new password that is too short, too long or too plain. Raises BadInput."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise BadInput(f"a password has {LENGTH_MIN} to {LENGTH_MAX} characters", field=field, code="weak_password")
    if len(set(password)) < 5 or (login and login.lower() in password.lower()):
        raise BadInput("use more different characters, and not the login itself", field=field, code="weak_password")


class Passwords:
    """Hashes and verifies in threads of its own; the parameters are RFC 9106's second choice, on one lane."""

    def __init__(self, *, memory_kib: int = 65_536, passes: int = 3) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1, type=Type.ID)
        self._threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="passwords")
        self._waiting = 0
        # A hash of nothing: verifying it takes as long as verifying a real one.
        salt, digest = (base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
        self._nobody = f"$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${digest}"

    async def hash(self, password: str) -> str:
        """Return the hash to store. Raises TooMany."""
        return str(await self._run(self._hasher.hash, password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Return whether *password* is the one; *stored* None, for nobody, costs the same and is never right. Raises TooMany."""
        right = bool(await self._run(self._verify, stored or self._nobody, password))
        return right and bool(stored)

    def is_outdated(self, stored: str) -> bool:
        """Return whether *stored* was made with other parameters than ours."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: object, *arguments: str) -> object:
        if self._waiting >= _WAITING_MAX:
            raise TooMany("too many people are logging in just now; try again in a few seconds", retry_after=5.0, code="busy")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)  # type: ignore[arg-type]
        finally:
            self._waiting -= 1


@cache
def shared() -> Passwords:
    """Return the one of this process."""
    return Passwords()


async def hash_password(password: str) -> str:
    """Return the hash to store. Raises TooMany."""
    return await shared().hash(password)


async def verify_password(stored: str | None, password: str) -> bool:
    """Return whether *password* is the one that *stored* was made of; see `Passwords.verify`."""
    return await shared().verify(stored, password)
