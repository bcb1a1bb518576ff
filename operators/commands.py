"""The command line's deeds on people and settings; omniline.py mounts them, the running process or a lone one does them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from broker.access import passwords
from broker.domain import Role
from broker.errors import BadInput
from broker.ports import Calendars, ChannelKind, Store
from operators import applying, people

Command = Callable[[Store, dict[str, Any]], Awaitable[str]]
"""(store, arguments) -> what to print."""


async def add_user(store: Store, arguments: dict[str, Any]) -> str:
    """Add a person; the answer has the password when it was generated."""
    login = people.login_of(str(arguments["login"]))
    name = people.name_of(str(arguments["name"]))
    role = Role(arguments["role"])
    password, hashed = await _password(arguments["password"])
    await store.write(lambda tx: people.add(tx, login, name, role, hashed, generated=arguments["password"] is None))
    told = f"; password: {password}" if arguments["password"] is None else ""
    return f"added {role} {login}{told}"


async def set_password(store: Store, arguments: dict[str, Any]) -> str:
    """Give a person a new password and end their logins."""
    login = people.login_of(str(arguments["login"]))
    password, hashed = await _password(arguments["password"])
    generated = arguments["password"] is None
    await store.write(lambda tx: people.set_password(tx, people.id_of(tx, login), hashed, generated=generated))
    told = f": {password}" if generated else ""
    return f"{login} has a new password{told}; their logins have ended"


async def _password(given: object) -> tuple[str, str]:
    password = passwords.generate() if given is None else str(given)
    passwords.check_new(password)
    return password, await passwords.hash_password(password)


def commands(kinds: Mapping[str, ChannelKind], calendars: Calendars) -> dict[str, Command]:
    """Return the commands by name; *kinds* check the settings of channels, *calendars* hours and shifts."""

    async def apply(store: Store, arguments: dict[str, Any]) -> str:
        text, name = arguments["text"], str(arguments["name"])
        if not isinstance(text, str):
            raise BadInput("the file must be text")
        return await applying.apply(store, text, name, arguments["given"], kinds, calendars)

    return {"user add": add_user, "user password": set_password, "apply": apply}
