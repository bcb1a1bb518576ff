"""The mail servers of these tests, and who has a mailbox there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.channels.mail.account import Account
from tests.support.mail import MailServers, mail_servers

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def servers() -> Iterator[MailServers]:
    """Return running servers."""
    with mail_servers() as running:
        yield running


@pytest.fixture
def ann(servers: MailServers) -> Account:
    """Return somebody new."""
    account = Account(servers, f"ann{next(_numbers)}@example.test", 'p"a ss\\wörd')
    servers.add_user(account.user, account.password)
    return account
