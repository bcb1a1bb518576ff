"""`omniline asterisk --write DIR`: ours is written anew, the administrator's once, and nothing that Asterisk would misread."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.errors import ConfigError
from channels.phone import dialplan
from omniline import main

SECRET = "of-the-dialplan"
FILES = {"omniline.conf", "omniline-music.conf", "omniline-local.conf"}


def write(tmp_path: Path, *more: str, telephone: str = "") -> int:
    """Give the command, with settings of its own, and return its status."""
    settings = tmp_path / "omniline.toml"
    settings.write_text(f'[telephone]\nlisten = "127.0.0.1:4573"\nsecret = "{SECRET}"\n{telephone}')
    return main(["--config", str(settings), "asterisk", "--write", str(tmp_path / "etc"), *more])


def text(tmp_path: Path, name: str) -> str:
    """Return a file that was written."""
    return (tmp_path / "etc" / name).read_text()


def test_the_files_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With where to ask, what to say, and where our music is; the one with the secret is not everybody's to read."""
    assert write(tmp_path, telephone='sounds = "/srv/omniline-sounds"\n') == 0
    assert {path.name for path in (tmp_path / "etc").iterdir()} == FILES
    local = text(tmp_path, "omniline-local.conf")
    assert (
        "BROKER_ADDRESSES=127.0.0.1:4573" in local,
        f"BROKER_SECRET={SECRET}" in local,
        "@" in local.replace("@trunk", ""),
    ) == (
        True,
        True,
        False,
    )
    assert "[omniline-9]\nmode=playlist\nentry=/srv/omniline-sounds/music/9\n" in text(tmp_path, "omniline-music.conf")
    assert (tmp_path / "etc/omniline-local.conf").stat().st_mode & 0o007 == 0
    assert len(capsys.readouterr().out.splitlines()) == len(FILES)


def test_what_is_the_administrators_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """After an upgrade, or when a folder has changed: theirs stays, ours is new."""
    write(tmp_path)
    for name in FILES:
        (tmp_path / "etc" / name).write_text("changed")
    capsys.readouterr()
    assert write(tmp_path, telephone='sounds_there = "/there"\n') == 0
    assert (text(tmp_path, "omniline-local.conf"), "changed" in text(tmp_path, "omniline.conf")) == ("changed", False)
    assert "entry=/there/music/1\n" in text(tmp_path, "omniline-music.conf")
    assert "left as it is" in capsys.readouterr().out


def test_several_brokers_are_named(tmp_path: Path):
    """In place of where this process listens."""
    write(tmp_path, "--broker", "192.0.2.11:4573", "--broker", "192.0.2.12:4573")
    local = text(tmp_path, "omniline-local.conf")
    assert ("BROKER_ADDRESSES=192.0.2.11:4573&192.0.2.12:4573" in local, "BROKER_COUNT=2" in local) == (True, True)


@pytest.mark.parametrize(
    ("brokers", "secret", "there", "words"),
    [
        (["here"], SECRET, "/s", "no HOST:PORT"),
        (["a:1,Hangup()"], SECRET, "/s", "no HOST:PORT"),
        (["a:1"], "a,b", "/s", "telephone.secret"),
        (["a:1"], SECRET, "sounds", "telephone.sounds_there"),
        (["a:1"], SECRET, "/s\nmode=custom", "telephone.sounds_there"),
    ],
)
def test_what_asterisk_would_misread_is_refused(tmp_path: Path, brokers: list[str], secret: str, there: str, words: str):
    """Before anything is written."""
    with pytest.raises(ConfigError, match=words):
        dialplan.write(tmp_path / "etc", brokers, secret, there)
    assert not (tmp_path / "etc").exists()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path):
    """With its name."""
    (tmp_path / "etc").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be written into"):
        dialplan.write(tmp_path / "etc", ["a:1"], SECRET, "/s")
