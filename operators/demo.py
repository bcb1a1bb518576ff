"""The first data of an empty house: an administrator with a generated password, a line, and a chat for a site."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from broker.access import passwords
from broker.domain import LineSettings, Role
from broker.errors import Conflict
from broker.ports import ChannelKind, Store, Tx
from broker.store.sql import sql
from broker.store.tables import operators
from operators import lines, people

LINE = "shop"
LOGIN = "admin"

_ANYBODY = sql(select(operators.c.id).limit(1))


async def first_data(store: Store, kinds: Mapping[str, ChannelKind], *, demo: bool) -> str | None:
    """Give an empty house its first administrator, and with *demo* a line; return the password, None when somebody lives here."""
    if await store.read(lambda tx: tx.one(_ANYBODY)) is not None:
        return None
    password = passwords.generate()
    hashed = await passwords.hash_password(password)

    def work(tx: Tx) -> str | None:
        if tx.one(_ANYBODY) is not None:
            return None
        try:
            administrator = people.add(tx, LOGIN, "Administrator", Role.ADMINISTRATOR, hashed, generated=True)
        except Conflict:
            return None  # another start, which we could not see yet, has been quicker
        if demo:
            line = lines.add_line(tx, LINE, "Shop", LineSettings())
            lines.add_channel(tx, line, LINE, "widget", "Shop", kinds["widget"].check({}))
            lines.set_seats(tx, line, [administrator])
        return password

    return await store.write(work)
