"""Text as Telegram reads it: lengths in UTF-16 units, HTML with its entities, and what is found in it without being marked."""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]

MODES = frozenset({"", "html"})
"""What can be parsed here: nothing, and HTML."""
_TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "a": "text_link",
    "tg-emoji": "custom_emoji",
}
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_CHARACTER = re.compile(r"&(#x[0-9a-fA-F]+|#[0-9]+|lt|gt|amp|quot);?")
_TAG = re.compile(r"<(/?)([^\s/>]*)((?:[^>\"']|\"[^\"]*\"|'[^']*')*)>", re.DOTALL)
_ATTRIBUTE = re.compile(r"""([^\s=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_FOUND = (
    ("url", re.compile(r"https?://[^\s<>\"]+[^\s<>\".,!?:;)]")),
    ("email", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("bot_command", re.compile(r"(?<![\w/])/[A-Za-z0-9_]{1,64}(?:@\w+)?\b")),
    ("mention", re.compile(r"(?<!\w)@[A-Za-z]\w{3,31}\b")),
    ("hashtag", re.compile(r"(?<!\w)#\w*[^\W\d]\w*")),
)
_UNTOUCHED = frozenset({"code", "pre", "text_link", "text_mention"})
"""Nothing is looked for inside these."""


class CannotParse(Exception):
    """The text cannot be read; the message is what Telegram says after "can't parse entities:"."""


def units(text: str) -> int:
    """Return the length of *text* in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def read_text(text: str, mode: str, entities: list[Json] | None = None) -> tuple[str, list[Json]]:
    """Return *text* as it is shown, and its entities. Raises CannotParse."""
    if mode.lower() == "html":
        text, marked = _parse_html(text)
    else:
        marked = list(entities or [])
    text, marked = _trimmed(text, marked)
    return text, sorted(marked + _found(text, marked), key=lambda entity: (entity["offset"], -entity["length"]))


def _parse_html(source: str) -> tuple[str, list[Json]]:
    shown = ""
    entities: list[Json] = []
    opened: list[tuple[str, int, Json]] = []  # the tag, where it begins, what it makes
    place = 0
    while place < len(source):
        if source[place] == "&" and (found := _CHARACTER.match(source, place)):
            shown += _character(found[1])
            place = found.end()
        elif source[place] == "<":
            at = len(source[:place].encode())
            tag = _TAG.match(source, place)
            if tag is None:
                raise CannotParse(f"Unclosed {'end' if source.startswith('</', place) else 'start'} tag at byte offset {at}")
            name = tag[2].lower()
            if tag[1]:
                entities += _closed(opened, name, shown, at)
            else:
                opened.append((name, units(shown), _opened(name, tag[3], opened, at)))
            place = tag.end()
        else:
            shown += source[place]
            place += 1
    if opened:
        raise CannotParse(f'Can\'t find end tag corresponding to start tag "{opened[-1][0]}"')
    return shown, entities


def _character(name: str) -> str:
    if name in _NAMED:
        return _NAMED[name]
    return chr(int(name[2:], 16) if name[1] in "xX" else int(name[1:]))


def _opened(name: str, attributes: str, opened: list[tuple[str, int, Json]], at: int) -> Json:
    if name not in _TAGS:
        raise CannotParse(f'Unsupported start tag "{name}" at byte offset {at}')
    said = {found[1].lower(): found[2] or found[3] or found[4] or "" for found in _ATTRIBUTE.finditer(attributes)}
    if name == "span" and said.get("class") != "tg-spoiler":
        raise CannotParse(f'Tag "span" must have class "tg-spoiler" at byte offset {at}')
    made: Json = {"type": _TAGS[name]}
    if name == "a":
        made["url"] = said.get("href", "")
    elif name == "tg-emoji":
        made["custom_emoji_id"] = said.get("emoji-id", "")
    elif name == "blockquote" and "expandable" in said:
        made["type"] = "expandable_blockquote"
    elif name == "code" and opened and opened[-1][0] == "pre" and said.get("class", "").startswith("language-"):
        made |= {"type": "language", "language": said["class"].removeprefix("language-")}
    return made


def _closed(opened: list[tuple[str, int, Json]], name: str, shown: str, at: int) -> list[Json]:
    if not opened:
        raise CannotParse(f"Unexpected end tag at byte offset {at}")
    expected, offset, made = opened.pop()
    if name not in {"", expected}:
        raise CannotParse(f'Unmatched end tag at byte offset {at}, expected "</{expected}>", found "</{name}>"')
    length = units(shown) - offset
    if made["type"] == "language":
        opened[-1][2]["language"] = made["language"]
        return []
    if length == 0 or (made["type"] == "text_link" and not made["url"]):
        return []
    return [made | {"offset": offset, "length": length}]


def _trimmed(text: str, entities: list[Json]) -> tuple[str, list[Json]]:
    """Cut white space off both ends, and the entities to what is left."""
    lead = units(text) - units(text.lstrip())
    text = text.strip()
    end = units(text)
    cut = []
    for entity in entities:
        first = max(entity["offset"] - lead, 0)
        last = min(entity["offset"] - lead + entity["length"], end)
        if last > first:
            cut.append(entity | {"offset": first, "length": last - first})
    return text, cut


def _found(text: str, marked: list[Json]) -> list[Json]:
    taken = [(one["offset"], one["offset"] + one["length"]) for one in marked if one["type"] in _UNTOUCHED]
    given = {(one["type"], one["offset"]) for one in marked}
    found = []
    for kind, pattern in _FOUND:
        for match in pattern.finditer(text):
            first = units(text[: match.start()])
            last = first + units(match[0])
            if any(first < other_last and other_first < last for other_first, other_last in taken) or (kind, first) in given:
                continue
            taken.append((first, last))
            found.append({"type": kind, "offset": first, "length": last - first})
    return found
