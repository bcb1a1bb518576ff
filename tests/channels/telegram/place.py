"""A bot's place in the contract of channels: the shipped channel, a fake of Telegram, and one customer who is there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from broker.domain import ChannelId, ChannelRow, ConversationId, LineId, MessageId
from broker.files import LocalFiles
from broker.ports import Button, Outbound, Raw
from channels.telegram import api
from channels.telegram.adapter import TelegramChannel
from tests.support.channels import Fault
from tests.support.clock import MovedClock
from tests.support.telegram import Bot, Person, TelegramFake, telegram_fake

CUSTOMER_ID = 5_000_001
_FAULTS = {Fault.UNAVAILABLE: "500", Fault.UNCERTAIN_LOST: "cut_undone", Fault.UNCERTAIN_DELIVERED: "cut_done"}


class TelegramPlace:
    """See the module. *key* is what the contract calls the customer; the fake begins when it is first needed."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._stack = ExitStack()
        self._fake: TelegramFake | None = None
        self._bot: Bot
        self._ann: Person

    def _begun(self) -> TelegramFake:
        if self._fake is None:
            self._fake = self._stack.enter_context(telegram_fake())
            self._bot, self._ann = self._fake.add_bot(), self._fake.add_person("Ann")
            self._fake.start_bot(self._ann, self._bot)
        return self._fake

    def close(self) -> None:
        """End the fake; nothing was said to it that is not as published."""
        found = self._fake.violations() if self._fake is not None else []
        self._stack.close()
        assert [] == found

    def channel(self) -> TelegramChannel:
        """Return the shipped channel."""
        return _InItsPlace(self)

    def there(self, outbound: Outbound) -> tuple[str, str, Outbound]:
        """Return the server, the bot's token, and *outbound* to who is there."""
        fake = self._begun()
        return fake.url, self._bot.token, replace(outbound, key=f"{self._ann.id}") if outbound.key == self._key else outbound

    def shown(self) -> Sequence[Outbound]:
        """Return what the customer sees."""
        found = []
        for one in self._begun().sent(self._bot, self._ann):
            rows = one.message.get("reply_markup", {}).get("inline_keyboard", [])
            buttons = tuple(Button(button["text"], button["callback_data"]) for row in rows for button in row)
            ids: dict[str, Any] = {"conversation_id": ConversationId(""), "message_id": MessageId(""), "token": "", "seq": one.id}
            found.append(
                Outbound(key=self._key, text=one.text, sender_name="", from_operator=True, at_ms=0, buttons=buttons, **ids)
            )
        return found

    def fail(self, fault: Fault) -> None:
        """Have the next send fail."""
        fake = self._begun()
        if fault is Fault.REJECTED:
            fake.block(self._ann, self._bot)
        else:
            fake.fail("sendMessage", _FAULTS[fault])

    def said(self, number: int, text: str, kind: str = "message") -> Raw:
        """Return the payload of a message."""
        return _raw(number, {kind: _message(number, text=text)})

    def blocked(self, number: int) -> Raw:
        """Return the payload of somebody who wants to hear no more of us."""
        told = {"chat": _CHAT, "from": _PERSON, "date": 1, "new_chat_member": {"status": "kicked"}}
        return _raw(number, {"my_chat_member": told})

    def pressed(self, number: int, value: str) -> Raw:
        """Return the payload of a button that was pressed."""
        told = {"id": "1", "from": _PERSON, "message": _message(number), "chat_instance": "1", "data": value}
        return _raw(number, {"callback_query": told})


class _InItsPlace(TelegramChannel):
    """The shipped channel with the customer of the contract; each send has a loop of its own, and leaves nothing open there."""

    def __init__(self, place: TelegramPlace) -> None:
        row = ChannelRow(ChannelId("c"), LineId("l"), "bot", "telegram", "Bot", {"token": "1:a"}, 1)
        super().__init__(row, MovedClock(), LocalFiles(Path("/nowhere")), None)
        self._place = place

    async def send(self, outbound: Outbound) -> str:
        """See `Channel.send`."""
        server, token, there = self._place.there(outbound)
        settings = {"token": token, "server": server, "names": False}
        row = ChannelRow(self.id, self.line_id, self.slug, self.kind, "Bot", settings, 1)
        try:
            return await TelegramChannel(row, MovedClock(), LocalFiles(Path("/nowhere")), None).send(there)
        finally:
            await api.close()


_PERSON = {"id": CUSTOMER_ID, "is_bot": False, "first_name": "Ann"}
_CHAT = {"id": CUSTOMER_ID, "type": "private", "first_name": "Ann"}


def _message(number: int, **more: Any) -> dict[str, Any]:
    return {"message_id": number, "from": _PERSON, "chat": _CHAT, "date": 1, **more}


def _raw(number: int, told: dict[str, Any]) -> Raw:
    return Raw(f"1:{number}", msgspec.json.encode({"update_id": number, **told}))
