"""A visitor's token is theirs, in their channel, and nobody else can make one."""

import pytest

from broker.domain import ChannelId
from broker.errors import ConfigError
from channels.widget.tokens import VisitorTokens, load_key

SHOP, HELP = ChannelId("shop"), ChannelId("help")


def test_own_token_is_known_again():
    """Who comes with the token they were given is who they were."""
    tokens = VisitorTokens(b"k" * 32)
    visitor = tokens.new()

    assert visitor == tokens.check(SHOP, tokens.sign(SHOP, visitor))


@pytest.mark.parametrize("change", ["", ".", "x", "é", "a.b.c", "A" * 300])
def test_what_is_no_token_is_nobody(change):
    """Garbage of any kind is refused without an error."""
    assert VisitorTokens(b"k" * 32).check(SHOP, change) is None


def test_token_of_another_channel_is_nobody():
    """A token is bound to its channel: one site's visitor is nobody on another."""
    tokens = VisitorTokens(b"k" * 32)

    assert tokens.check(HELP, tokens.sign(SHOP, tokens.new())) is None


def test_changed_visitor_is_nobody():
    """Naming another visitor under one's own signature is refused."""
    tokens = VisitorTokens(b"k" * 32)
    mine, other = tokens.new(), tokens.new()
    signature = tokens.sign(SHOP, mine).partition(".")[2]

    assert tokens.check(SHOP, f"{other}.{signature}") is None


def test_key_is_made_once_and_kept(tmp_path):
    """A restart keeps every visitor known: the key is on the disk, for the owner alone."""
    path = tmp_path / "visitors.key"
    made = load_key(path)

    assert made == load_key(path)
    assert path.stat().st_mode & 0o077 == 0


def test_key_that_others_may_read_is_refused(tmp_path):
    """A key somebody else could have read signs nothing; the error says what to run."""
    path = tmp_path / "visitors.key"
    load_key(path)
    path.chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 600"):
        load_key(path)
