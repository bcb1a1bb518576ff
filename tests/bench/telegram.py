"""What a Telegram update costs until it is stored: parsed, a message of its conversation, committed with the offset."""

from __future__ import annotations

from pathlib import Path

import msgspec

from broker.clock import SystemClock
from broker.domain import ChannelId, ChannelRow, LineId
from broker.files import LocalFiles
from broker.ports import Channel
from channels.telegram.adapter import TelegramChannel
from tests.bench.intake import report_ratio
from tests.bench.measure import Report


def run(report: Report) -> None:
    """Report `telegram_accept_ratio`."""
    report_ratio(report, "telegram_accept_ratio", "telegram", _channel, _update)


def _channel(id_: ChannelId) -> Channel:
    row = ChannelRow(id_, LineId("line"), "bot", "telegram", "Bot", {"token": "123456:bench"}, 1)
    return TelegramChannel(row, SystemClock(), LocalFiles(Path("/nowhere")), None)


def _update(customer: int, number: int) -> bytes:
    """Return an update as the provider sends it for a few words."""
    person = {
        "id": 5_000_000 + customer,
        "is_bot": False,
        "first_name": f"Customer {customer}",
        "username": f"customer{customer}",
        "language_code": "ru",
    }
    chat = {"id": person["id"], "first_name": person["first_name"], "username": person["username"], "type": "private"}
    text = "Здравствуйте, когда будет готов мой заказ? Это уже не первый раз, и я жду."
    message = {"message_id": number, "from": person, "chat": chat, "date": 1_795_890_074, "text": text}
    return msgspec.json.encode({"update_id": 800_000_000 + number, "message": message})
