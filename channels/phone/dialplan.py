"""The dialplan that Asterisk needs, as files: `omniline asterisk --write DIR`.

omniline.conf         ours: written anew by each release
omniline-music.conf   ours: the classes of music on hold for music that was uploaded to us
omniline-local.conf   the administrator's: written once, with where the brokers are and what their secret is
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from broker.errors import ConfigError
from channels.phone import sounds

OURS, MUSIC, LOCAL = "omniline.conf", "omniline-music.conf", "omniline-local.conf"
_BROKER = re.compile(r"[A-Za-z0-9.-]{1,253}:[0-9]{1,5}")
_FOLDER = re.compile(r"/[^\r\n\0;\[\]]{0,400}")
_BAD = frozenset("\r\n\0\\;,$&{}()[]\"'")
"""Signs that mean something to a dialplan: a secret with one would be another secret there, or another dialplan."""


def ours() -> str:
    """Return our part of the dialplan."""
    return files("channels.phone").joinpath("asterisk", OURS).read_text(encoding="utf-8")


def local(brokers: Sequence[str], secret: str) -> str:
    """Return the administrator's part, with where the *brokers* listen (HOST:PORT) and their *secret*. Raises ConfigError."""
    if bad := sorted(_BAD & set(secret)):
        raise ConfigError(
            f"telephone.secret: Asterisk's dialplan cannot have {' '.join(map(repr, bad))} in it; take letters, digits and - _ . +"
        )
    for broker in brokers:
        if not _BROKER.fullmatch(broker):
            raise ConfigError(f"--broker: {broker!r} is no HOST:PORT that a dialplan can have, as 192.0.2.10:4573")
    text = files("channels.phone").joinpath("asterisk", LOCAL).read_text(encoding="utf-8")
    return text.replace("@brokers@", "&".join(brokers)).replace("@count@", str(len(brokers))).replace("@secret@", secret)


def music(sounds_there: str) -> str:
    """Return the classes of music on hold that play what stands in *sounds_there*, a folder of Asterisk's. Raises ConfigError."""
    if not _FOLDER.fullmatch(sounds_there):
        wrong = f"Asterisk's configuration cannot name {sounds_there!r}; begin with /, without ; [ ] and line breaks"
        raise ConfigError(f"telephone.sounds_there: {wrong}")
    return sounds.classes(sounds_there)


def write(folder: Path, brokers: Sequence[str], secret: str, sounds_there: str) -> list[str]:
    """Write the files into *folder*, but what the administrator has stays; return what has been done, in lines. Raises ConfigError."""
    told = []
    theirs, classes = local(brokers, secret), music(sounds_there)  # before anything is written: it may be refused
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / OURS).write_text(ours(), encoding="utf-8")
        (folder / MUSIC).write_text(classes, encoding="utf-8")
        told += [f"{folder / one}: written" for one in (OURS, MUSIC)]
        if (folder / LOCAL).exists():
            told.append(f"{folder / LOCAL}: there already, left as it is")
        else:
            (folder / LOCAL).touch(mode=0o640)
            (folder / LOCAL).write_text(theirs, encoding="utf-8")
            told.append(f"{folder / LOCAL}: written; look through it, it is yours")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written into ({error.strerror})") from error
    return told
