"""The token of a conversation goes out and comes back."""

from __future__ import annotations

from uuid import UUID

import pytest

from broker.errors import BadInput
from channels.mail.letters import Address, Mail
from channels.mail.threading import message_id, plus_address, token_of, tokens_in, valid

KEY = b"k" * 32
ID = str(UUID(int=12345))
TOKEN = token_of(KEY, ID)


@pytest.mark.parametrize("conversation_id", [ID, "c-1", "раз", ID.upper()])
def test_a_token_names_its_conversation(conversation_id):
    """In whatever case it comes back."""
    token = token_of(KEY, conversation_id)

    assert (valid(KEY, token), valid(KEY, token.upper())) == (conversation_id, conversation_id)


@pytest.mark.parametrize(
    "token", ["", "a", "a" * 40, TOKEN[:-1], TOKEN + "a", TOKEN[1:] + "a", "ж" * 30, TOKEN.replace("a", "1")]
)
def test_what_was_not_signed_names_nothing(token):
    """A stranger cannot make a token."""
    assert valid(KEY, token) is None


def test_another_key_signs_another_token():
    """The tokens of one house open nothing in another."""
    assert valid(b"other" * 8, TOKEN) is None


def test_a_token_fits_into_an_address():
    """Behind a name of twenty letters; behind a longer one the address is left as it is."""
    assert plus_address("support@x.ru", TOKEN) == f"support+{TOKEN}@x.ru"
    assert plus_address("s" * 40 + "@x.ru", TOKEN) == "s" * 40 + "@x.ru"
    with pytest.raises(BadInput, match="does not fit"):
        token_of(KEY, "x" * 40)


def test_tokens_are_told_in_the_order_of_trust():
    """The last reference first, then the answer's field, the address, the subject."""
    tokens = [token_of(KEY, f"conv-{n}") for n in range(6)]
    mail = Mail(
        references=("foreign@x", message_id(tokens[0], 1, "x.ru").strip("<>"), message_id(tokens[1], 22, "x.ru").strip("<>")),
        in_reply_to=(message_id(tokens[2], 3, "x.ru").strip("<>"),),
        to=(Address("", plus_address("Support@X.ru", tokens[3].upper())), Address("", f"other+{tokens[5]}@x.ru")),
        delivered_to=(plus_address("support@x.ru", tokens[3]),),
        subject=f"Re: help [#{tokens[4]}]",
    )

    assert tokens_in(mail, "support@x.ru") == [
        (tokens[1], "references"),
        (tokens[0], "references"),
        (tokens[2], "in_reply_to"),
        (tokens[3], "address"),
        (tokens[4], "subject"),
    ]
