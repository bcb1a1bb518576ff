"""`omniline apply`: a house from a file; applying it again changes nothing, and what the file does not name stays."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from broker.domain import Role
from broker.errors import BadInput, ConfigError, NotFound
from broker.sealing import Sealer, opened, sealing
from operators import lines, people
from operators.applying import FILE_MAX, apply, given_passwords, parse, text_of
from operators.commands import commands
from operators.demo import first_data
from tests.operators.conftest import CALENDARS, KINDS
from tests.support.site import Site

HOUSE = """
[operators.ann]
name = "Ann"
role = "supervisor"
password_file = "ann.txt"

[operators.bob]
budget = 50

[lines.shop]
name = "Shop"
operators = ["bob", "ann"]
settings = { distribution = "strictly", weights = { chat = 10 } }

[channels.site]
kind = "fake"
line = "shop"
settings = { colour = "blue" }
"""


@pytest.fixture
def site(tmp_path):
    """Return an empty house; Ann's password lies beside the file."""
    (tmp_path / "ann.txt").write_text("correct horse battery\n")
    made = Site(tmp_path)
    yield made
    made.close()


def _apply(site, tmp_path, text=HOUSE):
    given = given_passwords(text, "house.toml", tmp_path)
    return site.do(apply(site.store, text, "house.toml", given, KINDS, CALENDARS))


def _line(site):
    return site.write(lambda tx: lines.line_by_slug(tx, "shop"))


def test_a_house_comes_from_a_file(site, tmp_path):
    """People with their roles, a line with its settings and queue, a channel checked by its kind."""
    told = _apply(site, tmp_path)

    line = _line(site)
    seated = [site.write(lambda tx, id_=id_: people.find(tx, id_)) for id_ in line["seats"]]
    assert [(one["login"], one["name"], one["role"], one["budget"]) for one in seated] == [
        ("bob", "bob", Role.OPERATOR, 50),
        ("ann", "Ann", Role.SUPERVISOR, 100),
    ]
    assert (line["settings"].weights.chat, line["settings"].weights.mail) == (10, 5)
    assert site.write(lambda tx: lines.channel_by_slug(tx, "site"))["settings"] == {"colour": "blue"}
    assert "added operator bob; password: " in told
    assert "correct horse" not in told


def test_applying_again_changes_nothing(site, tmp_path):
    """No version grows, nothing rings, no password is made."""
    _apply(site, tmp_path)
    before = _line(site)
    site.rung.clear()

    assert _apply(site, tmp_path) == "nothing to change"
    assert _line(site) == before
    assert site.rung == []


def test_what_the_file_does_not_name_stays(site, tmp_path):
    """A setting, a name, or a switch that was changed in the console is not undone by a file that is silent about it."""
    _apply(site, tmp_path)
    line = _line(site)
    changed = lines.settings_of({"rounds": 9, "weights": {"mail": 7}}, CALENDARS, line["settings"])
    site.write(lambda tx: lines.change_line(tx, line["id"], settings=changed, name="The shop", active=False))
    silent = HOUSE.replace('name = "Shop"\n', "")

    assert _apply(site, tmp_path, silent) == "nothing to change"
    kept = _line(site)
    assert (kept["name"], kept["active"], kept["settings"].rounds, kept["settings"].weights.mail) == ("The shop", False, 9, 7)


def test_a_difference_is_applied_and_told(site, tmp_path):
    """One line for each thing that changed."""
    _apply(site, tmp_path)

    told = _apply(site, tmp_path, HOUSE.replace('"strictly"', '"evenly"').replace('["bob", "ann"]', '["ann"]'))

    assert told.splitlines() == ["changed line shop", "seated ann in line shop"]
    assert _line(site)["version"] == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[line.shop]", "line is not known; did you mean lines"),
        ("[lines.shop]\noperator = []", r"lines\.shop: operator is not known; did you mean operators"),
        ("[lines.shop]\nsettings = { ofer_seconds = 1 }", "did you mean offer_seconds"),
        ("[lines.shop]\nsettings = { weights = { chatt = 1 } }", "did you mean chat"),
        ("[lines.shop]\nsettings = { offer_seconds = 1 }", "offer_seconds: '1' is not allowed: .*greater than or equal to 5"),
        ("[lines.Shop]", "cannot be a short name"),
        ("[lines.shop]\nsettings = { welcome_text = { en = 'You are {position}' } }", r"welcome_text: .* names \{position\}"),
        (
            "[lines.shop]\nsettings = { no_answer_does = 'line', no_answer_line = 'desk' }",
            r"lines\.shop\.settings\.no_answer_line: there is no line desk",
        ),
        ("[operators.ann]\nrole = 'bos'", "role"),
        ("[operators.ann]\nactive = 'yes'", "true or false"),
        ("[operators.ann]\npassword_env = 'NOT_SET_ANYWHERE'", "NOT_SET_ANYWHERE is not set"),
        ("[operators.ann]\npassword_file = 'none.txt'", r"none\.txt cannot be read"),
        ("[operators.ann]\npassword_file = 1", "password_file: text is needed"),
        ("[operators.ann]\nlanguage = 7", "language: text is needed"),
        ("[channels.site]\nkind = 'pigeon'\nline = 'shop'", "pigeon is not known; known are fake"),
        ("[channels.site]\nkind = 'fake'\nline = 'none'", "there is no line none"),
        ("lines = 1", "must be tables"),
        ("= 1", "not TOML"),
        ("[lines.shop]\nrounds = " + "1" * 5_000, "not TOML"),
        ("[lines.shop]\nsettings = " + "[" * 5_000 + "]" * 5_000, "nested far too deep"),
        (
            '[lines.shop]\nsettings = { welcome_text = { en = "a\\u0000b" } }',
            r"lines\.shop\.settings\.welcome_text\.en: it holds",
        ),
        ('[lines.shop]\nsettings = { welcome_text = { "e\\u0000" = "b" } }', r"welcome_text\.e.u0000: it holds"),
        ('[lines.shop]\noperators = ["a\\u0000"]', r"lines\.shop\.operators: it holds a character that cannot be stored"),
        ('[operators.ann]\npassword_file = "a\\u0000"', r"operators\.ann\.password_file: it holds"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_done(site, tmp_path, text, says):
    """The file, the place, what is known; and not half of it is applied."""
    with pytest.raises(ConfigError, match=rf"house\.toml: .*{says}"):
        _apply(site, tmp_path, "[lines.first]\n" + text if "=" not in text.splitlines()[0] else text)

    assert site.write(lambda tx: lines.line_by_slug(tx, "first")) is None


def test_a_file_is_text_of_a_sane_size():
    """Neither a picture nor a disk image is read to its end."""
    assert text_of(b"#" * FILE_MAX, "house.toml") == "#" * FILE_MAX
    with pytest.raises(ConfigError, match=r"house\.toml: is larger than 1 MB"):
        text_of(b"#" * FILE_MAX + b"#", "house.toml")
    with pytest.raises(ConfigError, match=r"house\.toml: cannot be read"):
        text_of(b"\xff", "house.toml")


def test_somebody_unknown_in_a_queue_undoes_all(site, tmp_path):
    """One transaction: the line before it is not there either."""
    with pytest.raises((ConfigError, NotFound), match="carl"):
        _apply(site, tmp_path, '[lines.first]\n[lines.shop]\noperators = ["carl"]')

    assert site.write(lambda tx: lines.line_by_slug(tx, "first")) is None


def test_parsing_needs_no_house():
    """A file can be checked anywhere."""
    assert set(parse(HOUSE, "house.toml", KINDS, CALENDARS).lines) == {"shop"}


def test_people_are_added_from_the_command_line(site):
    """A generated password is told once; a given one is not repeated; either opens."""
    known = commands(KINDS, CALENDARS)
    told = site.do(known["user add"](site.store, {"login": "Ann", "name": "Ann", "role": "operator", "password": None}))
    given = {"login": "bob", "name": "Bob", "role": "operator", "password": "correct horse battery"}

    assert site.do(known["user add"](site.store, given)) == "added operator bob"
    assert site.do(site.parts.logins.log_in("ann", told.rpartition(" ")[2], address="a"))
    assert site.do(site.parts.logins.log_in("bob", "correct horse battery", address="a"))


def test_a_new_password_from_the_command_line_ends_the_logins(site):
    """Who forgot it, or lost a laptop, is helped by one command."""
    site.person("ann")
    token, _ = site.do(site.parts.logins.log_in("ann", "correct horse battery", address="a"))

    told = site.do(commands(KINDS, CALENDARS)["user password"](site.store, {"login": "ann", "password": None}))

    assert site.do(site.parts.logins.actor_of(token)) is None
    password = told.partition(": ")[2].partition(";")[0]
    assert site.do(site.parts.logins.log_in("ann", password, address="a"))
    with pytest.raises(NotFound, match="omniline user add nobody"):
        site.do(commands(KINDS, CALENDARS)["user password"](site.store, {"login": "nobody", "password": None}))


def test_an_empty_house_gets_its_first_data_once(site):
    """An administrator who sits in the demo line; where somebody lives already, nothing."""
    kinds = {"widget": KINDS["fake"]}
    password = site.do(first_data(site.store, kinds, demo=True))

    _, actor = site.do(site.parts.logins.log_in("admin", password, address="a"))
    assert (actor.role, actor.password_generated) == (Role.ADMINISTRATOR, True)
    assert _line(site)["seats"] == [actor.operator_id]
    assert site.do(first_data(site.store, kinds, demo=True)) is None


class _Hasty:
    """A store to whose transactions nobody lives in the house yet: what another start has done becomes seen a moment later."""

    def __init__(self, store):
        self._store = store

    async def read(self, work):
        return await self._store.read(lambda tx: work(_Hasty.Tx(tx)))

    async def write(self, work):
        return await self._store.write(lambda tx: work(_Hasty.Tx(tx)))

    class Tx:
        def __init__(self, tx):
            self._tx = tx

        def __getattr__(self, name):
            return getattr(self._tx, name)

        def one(self, statement, **values):
            return None


def test_a_start_that_comes_second_leaves_the_first_ones_data(tmp_path):
    """Both have seen an empty house; one makes the administrator, the other one says that somebody lives here."""
    site = Site(tmp_path)
    assert site.do(first_data(site.store, KINDS, demo=False)) is not None
    second: Any = _Hasty(site.store)
    assert site.do(first_data(second, KINDS, demo=True)) is None
    assert _line(site) is None
    site.close()


def test_without_a_demo_there_is_an_administrator_alone(tmp_path):
    """A real house begins empty, but somebody can log in; two starts at once make one administrator."""
    site = Site(tmp_path)

    async def twice():
        return await asyncio.gather(*(first_data(site.store, KINDS, demo=False) for _ in range(2)))

    assert sorted(one is None for one in site.do(twice())) == [False, True]
    assert _line(site) is None
    site.close()


BOT = """
[lines.shop]
name = "Shop"

[channels.bot]
kind = "messenger"
line = "shop"
settings = { token_%s }
"""


def _bot_check(given):
    if not given.get("token"):
        raise BadInput("give the token", field="settings.token")
    return {"token": given["token"]}


SEALER = Sealer(lambda: bytes(64))
MESSENGER = sealing(replace(KINDS["fake"], kind="messenger", check=_bot_check, secrets=frozenset({"token"})), SEALER)


def _apply_bot(site, tmp_path, where):
    text = BOT % where
    given = given_passwords(text, "house.toml", tmp_path)
    return site.do(apply(site.store, text, "house.toml", given, {"messenger": MESSENGER}, CALENDARS))


def test_a_secret_of_a_channel_stands_in_a_file_of_its_own(site, tmp_path):
    """It is kept sealed; applied again, nothing is another than it was."""
    (tmp_path / "token").write_text("123:abc\n")

    first = _apply_bot(site, tmp_path, 'file = "token"')
    kept = site.write(lambda tx: lines.channel_by_slug(tx, "bot"))
    again = _apply_bot(site, tmp_path, 'file = "token"')

    assert "added channel bot" in first
    assert "123:abc" not in str(kept)
    assert {"token": "123:abc"} == opened(MESSENGER, kept["settings"], SEALER)
    assert "nothing to change" == again


def test_a_secret_of_a_channel_may_be_a_variable(site, tmp_path, monkeypatch):
    """One that is not set is named, and nothing is made."""
    with pytest.raises(
        ConfigError, match=r"channels\.bot\.settings: token_env BOT_TOKEN is not set; export it or use token_file"
    ):
        _apply_bot(site, tmp_path, 'env = "BOT_TOKEN"')
    monkeypatch.setenv("BOT_TOKEN", "123:abc")

    assert "added channel bot" in _apply_bot(site, tmp_path, 'env = "BOT_TOKEN"')
