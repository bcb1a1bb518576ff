"""Texts that are longer than a message may be, cut where people would cut them. Pure.

Telegram counts UTF-16 code units (4,096 a message, 1,024 below a file): most emoji are two, and many are several characters that belong
together. A cut never falls inside what is seen as one sign.
"""

from __future__ import annotations

import re
import unicodedata

TEXT_UNITS = 4_096
CAPTION_UNITS = 1_024
_LOOK_BACK = 600
"""Units before a piece's end in which a better place than its end is looked for."""
# What clings to the sign before it besides marks: joiners, skin tones, tags, and the later parts of a Hangul syllable.
_CLINGS = re.compile("[\u200c\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\u1160-\u11ff\ud7b0-\ud7ff]")
_REGIONAL = re.compile("[\U0001f1e6-\U0001f1ff]")
_BREAKS = ("\n\n", "\n", ". ", "! ", "? ", "… ", "; ", ", ", " ")


def units(text: str) -> int:
    """Return the length of *text* in UTF-16 code units."""
    return len(text) + sum(sign > "\uffff" for sign in text)


def pieces(text: str, first: int = TEXT_UNITS, rest: int = TEXT_UNITS) -> list[str]:
    """Return *text* in pieces of at most *first* units, then *rest*; all of it is there but white space at the cuts."""
    found: list[str] = []
    most = first
    while units(text) > most:
        end = _end(text, most)
        piece = text[:end].rstrip()
        if piece:
            found.append(piece)
            most = rest
        text = _without_white(text[end:])
    if text:
        found.append(text)
    return found


def _end(text: str, most: int) -> int:
    """Return where to cut: after the last good break, or between two signs."""
    farthest = _fitting(text, most)
    # One more: the white space that a break ends with is left out.
    window = text[: farthest + 1]
    low = max(1, farthest - _LOOK_BACK, len(text) - len(text.lstrip()))
    for break_ in _BREAKS:
        at = window.rfind(break_, low)
        while at > 0 and not _may_cut(text, at + len(break_)):
            at = window.rfind(break_, low, at)
        if at > 0:
            return at + len(break_)
    end = farthest
    while end >= low and not _may_cut(text, end):
        end -= 1
    # One sign that is longer than all that: it is cut like any other text.
    return end if end >= low else farthest


def _fitting(text: str, most: int) -> int:
    """Return how many characters of *text* are at most *most* units."""
    end = min(len(text), most)
    while units(text[:end]) > most:
        end -= max(1, (units(text[:end]) - most) // 2)
    return end


def _may_cut(text: str, at: int) -> bool:
    if at >= len(text):
        return True
    # A joiner binds what follows it, and so does a virama, of the combining class 9.
    if _clings(text[at]) or text[at - 1] == "\u200d" or unicodedata.combining(text[at - 1]) == 9:
        return False
    if _REGIONAL.match(text[at]) and _REGIONAL.match(text[at - 1]):
        # A flag is two of them: a cut between pairs is none inside one.
        run = at
        while run and _REGIONAL.match(text[run - 1]):
            run -= 1
        return (at - run) % 2 == 0
    return True


def _clings(sign: str) -> bool:
    return unicodedata.category(sign) in ("Mn", "Mc", "Me") or _CLINGS.match(sign) is not None


def _without_white(text: str) -> str:
    """Return *text* without the white space that it begins with, but what a mark stands upon."""
    found = text.lstrip()
    if found and len(found) < len(text) and _clings(found[0]):
        return text[len(text) - len(found) - 1 :]
    return found
