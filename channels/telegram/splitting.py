"""Texts that are longer than a message may be, cut where people would cut them. Pure.

Telegram counts UTF-16 code units (4,096 a message, 1,024 below a file): most emoji are two, and many are several characters that belong
together. A cut never falls inside what is seen as one sign.
"""

from __future__ import annotations

import re

TEXT_UNITS = 4_096
CAPTION_UNITS = 1_024
_LOOK_BACK = 600
"""Units before a piece's end in which a better place than its end is looked for."""
# What clings to the sign before it: joiners and what they join, variation selectors, skin tones, combining marks, the second half of a
# flag, tags, and keycaps.
_CLINGS = re.compile(
    r"[\u200d\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
    r"\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]"
)
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
        text = text[end:].lstrip()
    if text:
        found.append(text)
    return found


def _end(text: str, most: int) -> int:
    """Return where to cut: after the last good break, or between two signs."""
    farthest = _fitting(text, most)
    window = text[:farthest]
    low = max(1, farthest - _LOOK_BACK)
    for break_ in _BREAKS:
        at = window.rfind(break_, low)
        if at > 0:
            return at + len(break_)
    end = farthest
    while end > low and not _may_cut(text, end):
        end -= 1
    # One sign that is longer than all that: it is cut like any other text.
    return end if end > low else farthest


def _fitting(text: str, most: int) -> int:
    """Return how many characters of *text* are at most *most* units."""
    end = min(len(text), most)
    while units(text[:end]) > most:
        end -= max(1, (units(text[:end]) - most) // 2)
    return end


def _may_cut(text: str, at: int) -> bool:
    if at >= len(text):
        return True
    if _CLINGS.match(text[at]) or text[at - 1] == "\u200d":
        return False
    if _REGIONAL.match(text[at]) and _REGIONAL.match(text[at - 1]):
        # A flag is two of them: a cut between pairs is none inside one.
        run = at
        while run and _REGIONAL.match(text[run - 1]):
            run -= 1
        return (at - run) % 2 == 0
    return True
