"""Long texts are cut where people would cut them: nothing is lost, nothing is longer than may be, no sign is torn."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.telegram.splitting import CAPTION_UNITS, TEXT_UNITS, pieces, units

FAMILY = "👨‍👩‍👧‍👦"
FLAG, ENGLAND = "🇷🇺", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
KEYCAP, WAVE, HEART = "1️⃣", "👋🏽", "❤️"
E_ACUTE, SYLLABLE, DEVANAGARI = "e\u0301", "\u1112\u1161\u11ab", "क्षि"
SIGNS = [FAMILY, FLAG, ENGLAND, KEYCAP, WAVE, HEART, E_ACUTE, SYLLABLE, DEVANAGARI, "😀", "я", "a", ".", "\u200f"]
"""What a person sees as one sign each."""
WHITE = [" ", "\n", "\n\n", "\t", "\r\n", "\u00a0"]


@pytest.mark.parametrize(
    ("text", "counted"), [("", 0), ("abc", 3), ("я", 1), ("😀", 2), (FAMILY, 11), (FLAG, 4), (KEYCAP, 3), (ENGLAND, 14)]
)
def test_length_is_counted_in_code_units_of_utf_16(text: str, counted: int):
    """As Telegram counts, which is neither characters nor bytes."""
    assert counted == units(text) == len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    ("text", "most", "cut"),
    [
        ("", 10, []),
        ("short", 10, ["short"]),
        ("exactly 10", 10, ["exactly 10"]),
        ("one two three", 10, ["one two", "three"]),
        ("first\nsecond third", 14, ["first", "second third"]),
        ("par one\n\npar two x", 14, ["par one", "par two x"]),
        ("One. Two three", 10, ["One.", "Two three"]),
        ("abcdefghijklm", 5, ["abcde", "fghij", "klm"]),
        ("  indented text", 10, ["  indented", "text"]),
        ("ab      \n\n    cd", 5, ["ab", "cd"]),
        ("😀😀😀", 5, ["😀😀", "😀"]),
        (f"ab{FAMILY}", 12, ["ab", FAMILY]),
        (f"a{FLAG}{FLAG}", 8, [f"a{FLAG}", FLAG]),
        (f"😀{ENGLAND}", 15, ["😀", ENGLAND]),
        (f"ab{KEYCAP}", 4, ["ab", KEYCAP]),
        (f"abc{WAVE}", 5, ["abc", WAVE]),
        (f"abc{ENGLAND}", 15, ["abc", ENGLAND]),
        (f"abcd{E_ACUTE}", 5, ["abcd", E_ACUTE]),
        (f"abc{SYLLABLE}", 5, ["abc", SYLLABLE]),
        ("ab \u0301cd", 3, ["ab", " \u0301c", "d"]),
    ],
)
def test_cut_where_people_would_cut(text: str, most: int, cut: list[str]):
    """Behind a paragraph, a line, a sentence, a word; else between two signs."""
    assert cut == pieces(text, most, most)


def test_the_first_piece_may_have_another_limit():
    """A caption is shorter than a message."""
    first, *rest = pieces("word " * 2_000, CAPTION_UNITS)

    assert CAPTION_UNITS >= units(first) > CAPTION_UNITS - 10
    assert all(TEXT_UNITS - 10 < units(one) <= TEXT_UNITS for one in rest[:-1])


def test_a_sign_that_is_longer_than_a_piece_is_cut_all_the_same():
    """A letter with ten thousand marks upon it ends no process and loses nothing."""
    text = "a" + "\u0301" * 10_000

    cut = pieces(text)

    assert "".join(cut) == text
    assert all(units(one) <= TEXT_UNITS for one in cut)


def test_a_long_row_of_flags_is_cut_between_flags():
    """Two letters are a flag, whatever stands before them."""
    cut = pieces(FLAG * 3_000)

    assert "".join(cut) == FLAG * 3_000
    assert all(not len(one) % 2 for one in cut)


def _bare(text: str) -> str:
    return re.sub(r"\s", "", text)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from([*SIGNS, *WHITE])), st.integers(15, 40), st.integers(15, 40))
def test_signs_stay_whole(signs: list[str], first: int, rest: int):
    """Whatever stands beside them: each piece is made of whole signs, and all of them are there."""
    text = "".join(signs)

    cut = pieces(text, first, rest)

    assert _bare("".join(cut)) == _bare(text)
    assert all(units(one) <= (rest if number else first) for number, one in enumerate(cut))
    left = iter([one for one in signs if one not in WHITE])
    for piece in cut:
        whole = ""
        while whole != _bare(piece):
            whole += next(left)
            assert _bare(piece).startswith(whole)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200), st.integers(2, 30))
def test_nothing_is_lost_but_white_space(text: str, most: int):
    """Of any text whatever, within any limit."""
    cut = pieces(text, most, most)

    assert _bare("".join(cut)) == _bare(text)
    assert all(0 < units(one) <= most for one in cut)
    assert all(one.strip() for one in cut) or not text.strip()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=20), st.integers(8_000, 20_000))
def test_real_lengths_within_real_limits(words: list[str], length: int):
    """Some thousand characters, as operators paste them."""
    text = (" ".join(words) * length)[:length]

    cut = pieces(text)

    assert _bare("".join(cut)) == _bare(text)
    assert all(units(one) <= TEXT_UNITS for one in cut)
