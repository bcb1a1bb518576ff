"""The configuration: where it comes from, what it refuses, and how it says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from broker.config import Settings, read_settings
from broker.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Stand in an empty folder, with none of our variables set."""
    for name in list(os.environ):
        if name.upper().startswith("OMNILINE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_anything_the_defaults_serve_this_machine_only():
    """Nothing set is a working house that strangers cannot reach."""
    settings = read_settings()

    assert (settings.host, settings.port, settings.trusted_proxies) == ("127.0.0.1", 8080, ())
    assert (settings.visitor.burst, settings.visitor.conversations_per_hour, settings.presence_grace_seconds) == (40, 30, 30.0)


def test_the_environment_stands_above_the_file(folder, monkeypatch):
    """What a variable sets wins; what it leaves is the file's; what both leave is the default."""
    (folder / "omniline.toml").write_text('listen = "127.0.0.1:9000"\n[visitor]\nburst = 7\nsockets = 9\n')
    monkeypatch.setenv("OMNILINE_VISITOR__BURST", "8")

    settings = read_settings()

    assert (settings.port, settings.visitor.burst, settings.visitor.sockets, settings.visitor.hello_seconds) == (9000, 8, 9, 5.0)


def test_the_file_is_found_in_the_data_folder_too(folder, monkeypatch):
    """A container mounts one folder; the file may lie in it."""
    (folder / "data").mkdir()
    (folder / "data" / "omniline.toml").write_text('listen = "127.0.0.1:9001"\n')
    monkeypatch.setenv("OMNILINE_DATA", str(folder / "data"))

    assert read_settings().port == 9001


def test_what_may_not_be_looked_at_is_not_there(folder, monkeypatch):
    """A command as the service's user, in somebody's home, goes without a file."""

    def refused(path: Path, **_: object) -> bool:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "is_file", refused)

    assert read_settings() == Settings()


def test_a_named_file_must_exist(folder):
    """Asking for a file that is not there is a mistake, not a wish for defaults."""
    with pytest.raises(ConfigError, match=r"nowhere\.toml does not exist"):
        read_settings(folder / "nowhere.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[visitor]\nbrust = 1\n", r"visitor\.brust is not known; did you mean visitor\.burst\?"),
        ("lisen = 'x'\n", r"lisen is not known; did you mean listen\?"),
        ("[log]\nlevel = 'loud'\n", r"log\.level \(OMNILINE_LOG__LEVEL\): 'loud' is not allowed: .*'debug'"),
        ("[visitor]\nburst = 0\n", r"visitor\.burst .*'0' is not allowed: .*greater than or equal to 1"),
        ("listen = '8080'\n", "HOST:PORT"),
        ("listen = '::1:8080'\n", "HOST:PORT"),
        ("public_url = 'https://chat.example.com/path'\n", "without a path"),
        ("trusted_proxies = ['10.0.0.1/8']\n", "trusted_proxies"),
        ("database_url = 'mysql://u:geheim@h/d'\n", "write it as postgresql://"),
        ("database_url = 'postgresql://u:geheim?x@h/d'\n", "percent-encode"),
        ("database_url = 'postgresql://u:geheim#x@h/d'\n", "percent-encode"),
        ("database_url = 'postgresql://u:geheim/x@h/d'\n", "percent-encode"),
        ("database_url = 'postgresql://u:geheim%x@h/d'\n", "percent-encode"),
        ("redis_url = 'redis://u:geheim#x@h'\n", "percent-encode"),
        ("database_password_file = '/etc/omniline/database'\n", "whose password that is, database_url must say"),
        ("redis_password_file = '/etc/omniline/redis'\n", "whose password that is, redis_url must say"),
        ("= 1", "cannot be read"),
    ],
)
def test_a_mistake_in_the_file_is_named(folder, text, says):
    """Which key, what was given, what is allowed, and the nearest key that is known; never a password."""
    (folder / "omniline.toml").write_text(text)

    with pytest.raises(ConfigError, match=says) as caught:
        read_settings()

    assert "geheim" not in str(caught.value)


def test_an_unknown_variable_is_refused_with_the_nearest(monkeypatch):
    """A misspelt variable would otherwise be silently ignored."""
    monkeypatch.setenv("OMNILINE_LISTN", "127.0.0.1:1")

    with pytest.raises(ConfigError, match=r"OMNILINE_LISTN is not known; did you mean OMNILINE_LISTEN\?"):
        read_settings()


def test_variables_of_the_tests_are_no_settings(monkeypatch):
    """A server that the tests start inherits their variables."""
    monkeypatch.setenv("OMNILINE_TEST_CHROMIUM", "/usr/bin/chromium")
    monkeypatch.setenv("OMNILINE_SCHEMAS", "x")

    assert read_settings() == Settings()


def test_lists_are_written_with_commas_in_a_variable(monkeypatch):
    """Proxies: 10.0.0.0/8, 192.168.1.1."""
    monkeypatch.setenv("OMNILINE_TRUSTED_PROXIES", "10.0.0.0/8, 192.168.1.1")

    assert ["10.0.0.0/8", "192.168.1.1/32"] == [str(one) for one in read_settings().trusted_proxies]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://Chat.Example.com/", "https://chat.example.com"),
        ("https://chat.example.com:443", "https://chat.example.com"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_the_public_address_is_kept_as_an_origin(monkeypatch, written, kept):
    """As browsers write it, so that it can be compared."""
    monkeypatch.setenv("OMNILINE_PUBLIC_URL", written)

    assert read_settings().public_url == kept


def test_ipv6_listens_in_brackets(monkeypatch):
    """The host comes without them, as sockets want it."""
    monkeypatch.setenv("OMNILINE_LISTEN", "[::1]:8080")

    assert (read_settings().host, read_settings().port) == ("::1", 8080)


def test_a_group_in_one_variable_that_is_no_json_is_refused(monkeypatch):
    """The sentence says how to set one key."""
    monkeypatch.setenv("OMNILINE_LOG", "loud")

    with pytest.raises(ConfigError, match="OMNILINE_LOG__LEVEL"):
        read_settings()
