"""HTML of strangers: its words as plain text, and a form of it that can be shown.

Both are linear in what they read, and read no more than CAP and WORDS_CAP characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape, unescape

from channels.mail.charsets import clean_text

CAP = 2_000_000
WORDS_CAP = 1_000_000
TAGS = 60_000
DEPTH = 500
"""Of what is shown as HTML: the cleaner's time grows with the square of the depth. What has more is shown as its words."""
QUOTE_DEPTH = 8
"""Deeper quotes are shown at this depth."""

# An attribute's quotation marks may hide a `>`; when they are not closed before the next tag they are taken for nothing.
_TAG = re.compile(
    r"<(?:!--|(?:(/?)([A-Za-z][A-Za-z0-9:_-]{0,40})((?:[^<>\"']++|\"[^\"<]*+\"|'[^'<]*+')*+|[^<>]*+)|[!?][^<>]*+)>)",
    re.DOTALL,
)
_HREF = re.compile(r"""\bhref\s*=\s*("[^"]*+"|'[^']*+'|[^\s>"']++)""", re.IGNORECASE)
_ALT = re.compile(r"""\balt\s*=\s*("[^"]*+"|'[^']*+')""", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\r\n\f]+")
_NAMELESS = frozenset(["script", "style", "head", "title", "template", "noscript", "object", "applet", "svg", "math", "select"])
_EMPTY = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_BLOCKS = frozenset(
    "address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure footer form h1 h2 h3 h4"
    " h5 h6 header hr html legend li main menu nav ol p pre section summary table tbody tfoot thead tr ul caption".split()
)
_SPACED = frozenset("p h1 h2 h3 h4 h5 h6 ul ol blockquote table dl pre".split())
_BEGIN_QUOTE, _END_QUOTE, _LINE, _PARAGRAPH = "\x01", "\x02", "\x03", "\x04"
_LOWER = str.maketrans({chr(capital): chr(capital + 32) for capital in range(0x41, 0x5B)})  # keeps places, as lower() does not
_CONTROLS = str.maketrans("", "", "\x00\x01\x02\x03\x04\x05")


def to_text(html: str) -> str:
    """Return the words of *html*: blocks are lines, lists have dashes, quotes `>`, links their address where the words hide it."""
    text = _text(html[:WORDS_CAP], hide=True)
    return text or _text(html[:WORDS_CAP], hide=False)


def _text(html: str, *, hide: bool) -> str:  # noqa: PLR0915 - an arm for each kind of tag
    html = html.translate(_CONTROLS)
    out: list[str] = []
    skipped, depth, pre = "", 0, 0  # the element that is left out, and how often it was opened inside itself
    links: list[tuple[str, int]] = []
    lower = html.translate(_LOWER)
    endless: set[str] = set()  # what nothing closes any more
    at = 0
    while found := _TAG.search(html, at):
        start = found.start()
        if start > at and not skipped:
            out.append(_words(html[at:start], pre))
        at = found.end()
        name = found[2]
        if name is None:
            if found[0] == "<!--" and "-->" not in endless:
                end = html.find("-->", at)
                at = end + 3 if end >= 0 else at
                endless |= {"-->"} if end < 0 else set()
            continue
        name, closing = name.lower(), found[1] == "/"
        if skipped:
            if name == skipped:
                depth += -1 if closing else 1
                skipped = "" if depth <= 0 else skipped
            elif skipped == "head" and name == "body":
                skipped = ""
            continue
        if not closing and name in _NAMELESS and not found[3].endswith("/"):
            if name not in endless and lower.find(f"</{name}", at) >= 0:
                skipped, depth = name, 1
                continue
            # Nothing closes it: all that follows would be lost, so only its own text is.
            endless.add(name)
            at = html.find("<", at)
            at = at if at >= 0 else len(html)
            continue
        attributes = found[3]
        if hide and attributes and not closing and name not in _EMPTY and _HIDDEN.search(attributes):
            skipped, depth = name, 1
            continue
        if name == "br":
            out.append(_LINE if not pre else "\n")
        elif name == "a":
            if closing:
                if links:
                    _close_link(out, *links.pop())
            elif len(links) < 100:
                href = _HREF.search(attributes)
                links.append((unescape(href[1].strip("\"'")).strip() if href else "", len(out)))
        elif name == "img":
            alt = _ALT.search(attributes)
            if alt and (words := unescape(alt[1][1:-1]).strip()):
                out.append(words[:200])
        elif name in {"td", "th"}:
            if closing:
                out.append("\t")
        elif name in _BLOCKS:
            if name == "blockquote" and closing:
                out.append(_END_QUOTE)
            out.append(_PARAGRAPH if name in _SPACED else "\n")
            if name == "li" and not closing:
                out.append("- ")
            elif name == "blockquote" and not closing:
                out.append(_BEGIN_QUOTE)
            elif name == "pre":
                pre = max(0, pre + (-1 if closing else 1))
    if at < len(html) and not skipped:
        out.append(_words(html[at:], pre))
    return _laid_out("".join(out))


def _words(raw: str, pre: int) -> str:
    if "&" in raw:
        raw = unescape(raw).translate(_CONTROLS)
    return raw.replace("\n", _LINE) if pre else _SPACES.sub(" ", raw)


def _close_link(out: list[str], href: str, begin: int) -> None:
    """Add a link's address to its words, where they do not say it already."""
    if not href.lower().startswith(("http://", "https://", "mailto:", "tel:")):
        return
    shown = "".join(out[begin:][-50:]).strip()
    address = href.split(":", 1)[1] if href.lower().startswith(("mailto:", "tel:")) else href
    bare = re.sub(r"\A(?:https?://)?(?:www\.)?|/\Z", "", address.lower())
    if not shown or bare in re.sub(r"\A(?:https?://)?(?:www\.)?|/\Z", "", shown.lower()) or address in shown:
        return
    out.append(f" ({address[:2000]})")


def _laid_out(text: str) -> str:
    """Return text with the marks of its blocks turned into lines: at most one empty line, quotes begin with `>`."""
    lines: list[str] = []
    depth = 0
    pieces = re.split("([\x01-\x04\n])", text)
    current: list[str] = []

    def end_line(*, forced: bool) -> None:
        words = "".join(current).replace("\xa0", " ").rstrip()
        words = re.sub(r"[ \t]*\t[ \t]*", "\t", words).lstrip("\t")
        words = words.removeprefix(" ") if words[1:2] != " " else words
        current.clear()
        if words.strip():
            lines.append("> " * min(depth, QUOTE_DEPTH) + words)
        elif forced and lines and not (len(lines) > 1 and _bare(lines[-1]) and _bare(lines[-2])):
            lines.append((">" * min(depth, QUOTE_DEPTH)) if depth else "")

    for piece in pieces:
        if piece == _LINE:
            end_line(forced=True)
        elif piece == _PARAGRAPH:
            end_line(forced=False)
            if lines and not _bare(lines[-1]):
                lines.append((">" * min(depth, QUOTE_DEPTH)) if depth else "")
        elif piece == "\n":
            end_line(forced=False)
        elif piece == _BEGIN_QUOTE:
            end_line(forced=False)
            depth += 1
        elif piece == _END_QUOTE:
            end_line(forced=False)
            depth = max(0, depth - 1)
            while lines and _bare(lines[-1]):
                lines.pop()
        elif piece:
            current.append(piece)
    end_line(forced=False)
    return clean_text("\n".join(lines).strip("\n"))


def _bare(shown: str) -> bool:
    return not shown.strip("> ")


# --- A form that can be shown ---

_TAGS = set(
    "a abbr address article aside b bdi bdo blockquote br caption center cite code col colgroup dd del details dfn div dl dt em"
    " figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark ol p pre q s samp section small span"
    " strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var wbr".split()
)
_GONE = {"script", "style", "title", "head", "template", "noscript", "object", "applet", "iframe", "frame", "frameset", "svg",
         "math", "audio", "video", "textarea", "select"}  # fmt: skip
_ANYWHERE = {"align", "valign", "dir", "lang", "title", "style", "bgcolor", "color", "width", "height", "data-quote"}
_ATTRIBUTES = {
    "*": _ANYWHERE,
    "a": {"href", "name"},
    "img": {"src", "alt", "data-remote-src"},
    "font": {"face", "size"},
    "table": {"border", "cellpadding", "cellspacing", "summary"},
    "td": {"colspan", "rowspan", "nowrap"},
    "th": {"colspan", "rowspan", "nowrap"},
    "ol": {"start", "type"},
    "col": {"span"},
    "colgroup": {"span"},
}
_STYLES = {
    "color", "background-color", "font-family", "font-size", "font-style", "font-weight", "font-variant", "line-height",
    "letter-spacing", "text-align", "text-decoration", "text-indent", "text-transform", "vertical-align", "white-space",
    "margin", "margin-top", "margin-right", "margin-bottom", "margin-left", "padding", "padding-top", "padding-right",
    "padding-bottom", "padding-left", "border", "border-top", "border-right", "border-bottom", "border-left", "border-color",
    "border-style", "border-width", "border-collapse", "border-spacing", "border-radius", "width", "max-width", "min-width",
    "height", "max-height", "list-style-type", "direction", "word-break", "word-wrap", "overflow-wrap", "display",
}  # fmt: skip
_NESTING = re.compile("<(/?)([A-Za-z][A-Za-z0-9]{0,20})")
_ALONE = frozenset("p li td th tr dt dd option tbody thead tfoot".split())  # the next of their kind closes them
_QUOTE = re.compile(
    r"gmail_quote|gmail_extra|yahoo_quoted|moz-cite-prefix|protonmail_quote|zmail_extra|tutanota_quote|"
    r"type\s*=\s*[\"']?cite|mail-quote|wmQuote|js-helper",
    re.IGNORECASE,
)
_REST = re.compile(
    r"\bid\s*=\s*[\"']?(?:divRplyFwdMsg|appendonsend|mail-editor-reference-message-container|OLK_SRC_BODY_SECTION)", re.IGNORECASE
)
_MARKED = re.compile(r"<(div|blockquote|table|span|section)\b([^<>]{1,2000}+)>", re.IGNORECASE)
_IMAGE = re.compile(r"<img\b[^<>]{1,20000}+>", re.IGNORECASE)
_SOURCE = re.compile(r"""(?<=[\s"'])src(?=\s*=\s*["']?\s*(?:https?:)?//)""", re.IGNORECASE)
_LINKED = re.compile(r"(?:https?|mailto|tel):", re.IGNORECASE)
# Of functions only colours are harmless; an escape or a comment may hide the name of another.
_ACTS = re.compile(r"(?<!rgb)(?<!rgba)(?<!hsl)(?<!hsla)\(|[\\@]|/\*", re.IGNORECASE)
_REMOTE = re.compile(r"(?:https?:)?//", re.IGNORECASE)


def safe(html: str, cids: Mapping[str, str]) -> str:
    """Return *html* with nothing in it that acts, asks or loads.

    Pictures of the letter itself (`cid:`) get the address that *cids* has for their content id, others have theirs in
    `data-remote-src`, so that a click may load them. Links open elsewhere and tell nothing of us. A quote is an element with
    `data-quote="block"`; `data-quote="rest"` begins one that goes to the end of the letter.
    """
    import nh3

    def kept(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "src":
            return cids.get(_content_id(value)) if value[:4].lower() == "cid:" else None
        if attribute == "href":
            return value if _LINKED.match(value) else None
        if attribute == "data-remote-src":
            return value if tag == "img" and _REMOTE.match(value) else None
        if attribute == "data-quote":
            return value if value in {"block", "rest"} else None
        if attribute == "style" and _ACTS.search(value):
            return None
        return value

    # What is marked here is only asked for: what may stay is decided by the cleaner, which reads HTML as browsers do.
    if _too_much(html):
        return f"<pre>{escape(to_text(html))}</pre>"
    html = _MARKED.sub(_marked, _IMAGE.sub(_postponed, html[:CAP].replace("\x00", "")))
    return nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags=_GONE,
        attributes=_ATTRIBUTES,
        attribute_filter=kept,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        filter_style_properties=_STYLES,
    )


def _too_much(html: str) -> bool:
    html = html[:CAP]
    if html.count("<") > 2 * TAGS or html.count("&") > 2 * TAGS:
        return True
    depth = deepest = 0
    for closing, name in _NESTING.findall(html):
        if name.lower() not in _EMPTY and name.lower() not in _ALONE:
            depth = max(0, depth + (-1 if closing else 1))
            deepest = max(deepest, depth)
    return deepest > DEPTH


def _content_id(value: str) -> str:
    from urllib.parse import unquote

    return unquote(value[4:].strip()).strip("<>")


def _postponed(found: re.Match[str]) -> str:
    return _SOURCE.sub("data-remote-src", found[0])


def _marked(found: re.Match[str]) -> str:
    if _REST.search(found[2]):
        return f'<{found[1]} data-quote="rest"{found[2]}>'
    if _QUOTE.search(found[2]):
        return f'<{found[1]} data-quote="block"{found[2]}>'
    return found[0]
