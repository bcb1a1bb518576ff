"""One fake of Telegram for the tests of a process: each has a bot of its own, and leaves nothing wrong behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.channels.telegram.desk import Desk
from tests.support.telegram import Bot, Person, TelegramFake, telegram_fake


@pytest.fixture(scope="session")
def running() -> Iterator[TelegramFake]:
    """Return a fake that runs."""
    with telegram_fake() as fake:
        yield fake


@pytest.fixture
def fake(running: TelegramFake) -> Iterator[TelegramFake]:
    """Return the fake, whole, its clock standing still; afterwards nothing was said to it that is not as published."""
    running.stop_clock()
    yield running
    running.come_up()
    running.forget_failures()
    running.start_clock()
    running.set_limits(on=True)
    found = running.violations()
    running.forget_violations()

    assert [] == found


@pytest.fixture
def bot(fake: TelegramFake) -> Bot:
    """Return a bot that nobody has met."""
    return fake.add_bot()


@pytest.fixture
def ann(fake: TelegramFake, bot: Bot) -> Person:
    """Return somebody who has started the bot; it has heard so."""
    person = fake.add_person("Ann")
    fake.start_bot(person, bot)
    fake.call(bot, "getUpdates", offset=2**31)
    return person


@pytest.fixture
def desk(tmp_path: Path, fake: TelegramFake, bot: Bot) -> Desk:
    """Return what serves the bot."""
    return Desk(tmp_path, fake, bot)
