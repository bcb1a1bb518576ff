"""Bytes to letters, whatever the label says.

People's programs send Cyrillic under every label there is, and under none. A label is believed when it names a charset that
the bytes fit and that nobody uses as a default; ASCII, Latin-1 and their kin are defaults, so there the bytes are asked first.
Cyrillic charsets are told apart by how often Russian letters occur, by capitals inside words, and by letters that begin no word.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from functools import lru_cache
from math import log

SAMPLE_BYTES = 4_096
"""So many of the bytes around the first one that is not ASCII are looked at for a guess."""

# What labels are called -> what Python calls the charset that is meant. gb2312 means gb18030 and iso-8859-1 windows-1252 in
# the WHATWG's encoding standard, because programs mean them so.
_ALIASES = {
    "ascii": "cp1252", "usascii": "cp1252", "ansix341968": "cp1252", "iso646us": "cp1252", "us": "cp1252",
    "iso88591": "cp1252", "latin1": "cp1252", "l1": "cp1252", "cp819": "cp1252", "ansi": "cp1252", "iso885911": "cp874",
    "iso88599": "cp1254", "latin5": "cp1254", "tis620": "cp874",
    "utf8": "utf-8", "utf8mb4": "utf-8", "utf8mb3": "utf-8", "unicode11utf8": "utf-8", "cp65001": "utf-8", "utf": "utf-8",
    "utf8bom": "utf-8", "unicode": "utf-16", "ucs2": "utf-16", "unicode11utf7": "utf-7", "xunicode20utf7": "utf-7",
    "gb2312": "gb18030", "gbk": "gb18030", "cp936": "gb18030", "gb": "gb18030", "chinese": "gb18030", "euccn": "gb18030",
    "csgb2312": "gb18030", "gb231280": "gb18030", "xgbk": "gb18030", "hzgb2312": "hz", "hz": "hz",
    "shiftjis": "cp932", "sjis": "cp932", "xsjis": "cp932", "mskanji": "cp932", "csshiftjis": "cp932", "windows31j": "cp932",
    "ksc56011987": "cp949", "ksc5601": "cp949", "euckr": "cp949", "korean": "cp949", "cseuckr": "cp949", "uhc": "cp949",
    "big5": "big5hkscs", "cnbig5": "big5hkscs", "xxbig5": "big5hkscs", "cp950": "big5hkscs", "csbig5": "big5hkscs",
    "eucjp": "euc_jp", "xeucjp": "euc_jp", "iso2022jp": "iso2022_jp_ext", "csiso2022jp": "iso2022_jp_ext",
    "xmaccyrillic": "mac_cyrillic", "maccyrillic": "mac_cyrillic", "xmacukrainian": "mac_cyrillic",
    "xmaccentraleurope": "mac_latin2", "xmacce": "mac_latin2", "macintosh": "mac_roman", "xmacroman": "mac_roman", "mac": "mac_roman",
    "xmacgreek": "mac_greek", "xmacturkish": "mac_turkish",
    "koi8": "koi8_r", "koi": "koi8_r", "koi8ru": "koi8_u", "cskoi8r": "koi8_r", "alt": "cp866", "ibm866": "cp866", "dos": "cp866",
    "iso88598i": "iso8859_8", "iso88598e": "iso8859_8", "latin2": "iso8859_2", "cyrillic": "iso8859_5", "greek": "iso8859_7",
    "hebrew": "iso8859_8", "arabic": "iso8859_6", "latin9": "iso8859_15", "win": "cp1251",
}  # fmt: skip
# The charsets that may be chosen by a label. Python has codecs besides (idna, punycode, unicode_escape) that are no charsets, and
# some of them are slow on hostile input.
_KNOWN = frozenset(
    "big5hkscs cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp866 cp869 cp874 cp932"
    " cp949 cp1125 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 euc_jp euc_jis_2004 euc_jisx0213 gb18030 hz"
    " iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext iso2022_kr iso8859-2 iso8859-3 iso8859-4"
    " iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-10 iso8859-13 iso8859-14 iso8859-15 iso8859-16 johab koi8-r koi8-t koi8-u"
    " kz1048 mac-cyrillic mac-greek mac-iceland mac-latin2 mac-roman mac-turkish ptcp154 utf-7 utf-8 utf-16 utf-16-be utf-16-le"
    " utf-32 utf-32-be utf-32-le".split()
)
_CYRILLIC = ("cp1251", "koi8-u", "cp866", "iso8859-5", "mac-cyrillic")
# How much more a letter must fit for the rarer charsets: a short word fits several.
_PRIOR = {"cp1251": 0.0, "koi8-u": -0.3, "cp866": -1.0, "iso8859-5": -1.0, "mac-cyrillic": -2.0}
_DEFAULTS = frozenset(["cp1252", "iso8859-15", "mac-roman", "cp1254", "cp437", "cp850"])
_MANY_BYTES = frozenset("big5hkscs cp932 cp949 euc_jp euc_jis_2004 euc_jisx0213 gb18030 johab".split())

# Shares of the letters in Russian prose, in tenths of a per mille; Ukrainian's and Bulgarian's own letters among them.
_SHARES = {
    "о": 1097, "е": 845, "а": 801, "и": 735, "н": 670, "т": 626, "с": 547, "р": 473, "в": 454, "л": 440, "к": 349, "м": 321,
    "д": 298, "п": 281, "у": 262, "я": 201, "ы": 190, "ь": 174, "г": 170, "з": 165, "б": 159, "ч": 144, "й": 121, "х": 97,
    "ж": 94, "ш": 73, "ю": 64, "ц": 48, "щ": 36, "э": 32, "ф": 26, "ъ": 15, "ё": 60, "і": 60, "ї": 10, "є": 10, "ґ": 1, "ў": 1,
}  # fmt: skip
_FITS = {letter: log(share / 10_000) for letter, share in _SHARES.items()}
_FITS |= {letter.upper(): fit - 1.0 for letter, fit in list(_FITS.items())}
_FITS |= dict.fromkeys("«»—–№…“”„’\xa0•", -4.0)
_ALIEN = -9.0
_GOOD = -4.9
"""The mean fit of a letter, from which on bytes are taken for Cyrillic. Prose has -3.1, and in capitals -4.1."""

_HIGH = re.compile(rb"[\x80-\xff]")
_CAPITAL_INSIDE = re.compile("[а-яёіїєґў][А-ЯЁІЇЄҐЎ]")
_BEGINS_NO_WORD = re.compile("(?<![а-яёіїєґўА-ЯЁІЇЄҐЎ])[ьъыЬЪЫ]")
_MIXED_WORD = re.compile(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]")
_PURE_RUN = re.compile(rb"(?<![A-Za-z\x80-\xff])[\x80-\xff]{2,}(?![A-Za-z])")
_LATIN_RUN = re.compile(
    "(?<![A-Za-z\u0080-\u00ff])[\u0080-\u00ff\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2010-\u203a\u20ac\u2122]{3,}"
)
_DOUBLE_UTF8 = re.compile("[ÐÑÂÃ][\u0080-\u00bf\u0152-\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]|[РС][\u0090\u00a0-\u00bf\u0401-\u040f\u0451-\u045f\u0490\u0491\u2013-\u203a\u20ac\u2116\u2122]")  # fmt: skip  # noqa: E501
_POLISH_1250 = re.compile(rb"[A-Za-z\xf3\xea\xe6\xf1][\xb9\xb3\x9c\x9f\xbf](?![\x80-\xff])[a-z \n,.]")
_POLISH_8859 = re.compile(rb"[A-Za-z\xf3\xea\xe6\xf1][\xb1\xb6\xbc](?![\x80-\xff])[a-z \n,.]")
_CONTROLS = {code: None for code in [*range(0x09), *range(0x0B, 0x20), 0x7F, *range(0x80, 0xA0), 0xFEFF] if code != 0x0D}
# U+202A..E and U+2066..9 turn the direction of what follows: "exe.gpj" would be shown as "jpg.exe" is read, and the other way.
_BIDI = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_LINE_CONTROLS = _CONTROLS | _BIDI | {0x09: " ", 0x0A: " ", 0x0D: " ", 0x2028: " ", 0x2029: " ", 0x85: " "}
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
_NOT_PLAIN = re.compile("[^ -~\xa1-\u061b\u0620-\u200d\u2010-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\uffff]")


def text_of(raw: bytes, label: str = "", hint: str = "") -> str:
    """Return the letters of *raw*, a text of several lines that end with a line feed.

    *label* is the charset that it claims; *hint* another that the same letter names. No NUL and no lone surrogate comes out.
    """
    return clean_text(decode(raw, label, hint))


def clean_text(text: str) -> str:
    """Return *text* with line feeds for line ends and without control characters, NUL and lone surrogates."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _CONTROL.search(text):
        text = text.translate(_CONTROLS)
    return _SURROGATE.sub("\ufffd", text)


def clean_line(text: str) -> str:
    """Return *text*, a name or a subject, as one line: no line ends, control characters or marks that turn its direction."""
    if _NOT_PLAIN.search(text):
        text = _SURROGATE.sub("\ufffd", text.translate(_LINE_CONTROLS))
    return " ".join(text.split(" ")).strip()


def decode(raw: bytes, label: str = "", hint: str = "") -> str:
    """Return the letters of *raw*; controls and line ends are left as they are. Bytes that fit nothing become U+FFFD."""
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) and (marked := _by_mark(raw)) is not None:
        return marked
    codec = codec_of(label)
    if raw.isascii() and not _wide(codec):
        if b"\x1b$" in raw or b"\x1b(" in raw:  # JIS without a label, or with that of ASCII
            return raw.decode("iso2022_jp_ext", "replace")
        return raw.decode("ascii")
    if codec and _wide(codec):
        return _wide_text(raw, codec)
    utf8 = _as_utf8(raw, sure=codec in {"", "utf-8"})
    if utf8 is not None and not (codec in _MANY_BYTES and len(utf8) > 0 and _fits(raw, codec) and len(raw) < 12):
        return unspoilt(utf8)
    if codec in _MANY_BYTES or (codec and codec not in _DEFAULTS and codec not in _CYRILLIC and codec not in {"utf-8", "koi8-r"}):
        return _believed(raw, codec)
    return _guessed(raw, codec, codec_of(hint))


def unspoilt(text: str) -> str:
    """Return *text*, with Cyrillic that was read as Latin-1 before it was sent (`Ïðèâåò`, `ÐŸÑ€`, `РџСЂ`) read anew."""
    sample = text[:SAMPLE_BYTES]
    if sample.isascii():
        return text
    if len(_DOUBLE_UTF8.findall(sample)) * 3 >= _strange(sample):
        for codec in ("cp1252", "latin-1", "cp1251"):
            again = _reread(text, codec, "utf-8")
            if again is not None:
                return again
    runs = _LATIN_RUN.findall(sample)
    if sum(map(len, runs)) < 4 or sum(map(len, runs)) * 5 < _strange(sample) * 3:
        return text
    for codec in ("cp1252", "latin-1"):
        try:
            raw = text.encode(codec)
        except UnicodeEncodeError:
            continue
        guess, fit = cyrillic(raw)
        if fit >= _GOOD:
            return raw.decode(guess, "replace")
    return text


@lru_cache(maxsize=512)
def codec_of(label: str) -> str:
    """Return Python's name of the charset that *label* means, "" for a label that means none."""
    name = re.sub("[^a-z0-9]", "", label[:60].lower().split("*", 1)[0])
    for prefix in ("xwindows", "windows", "win", "xcp", "cswindows", "ibm", "cp", "ms"):
        if name.startswith(prefix) and name[len(prefix) :].isdigit():
            name = "cp" + name[len(prefix) :]
            break
    name = _ALIASES.get(name, name)
    if name.startswith("iso8859") and name[7:].isdigit():
        name = "iso8859-" + name[7:]
    try:
        found = codecs.lookup(name).name if name else ""
    except (LookupError, ValueError):
        return ""
    return found if found in _KNOWN else ""


def cyrillic(raw: bytes) -> tuple[str, float]:
    """Return the Cyrillic charset that fits *raw* best, and the mean fit of its letters that are not ASCII."""
    sample = _sample(raw)
    counts = [(byte, count) for byte, count in Counter(sample).items() if byte >= 0x80]
    total = sum(count for _, count in counts)
    best, best_fit = "cp1251", float("-inf")
    if not total:
        return best, best_fit
    for codec in _CYRILLIC:
        fit = _PRIOR[codec] + sum(_fit_of(codec, byte) * count for byte, count in counts)
        text = sample.decode(codec, "replace")
        fit -= 4.0 * len(_CAPITAL_INSIDE.findall(text)) + 4.0 * len(_BEGINS_NO_WORD.findall(text))
        if fit > best_fit:
            best, best_fit = codec, fit
    return best, best_fit / total


@lru_cache(maxsize=1024)
def _fit_of(codec: str, byte: int) -> float:
    return _FITS.get(bytes([byte]).decode(codec, "replace"), _ALIEN)


def _sample(raw: bytes) -> bytes:
    """Return the neighbourhood of the first byte that is not ASCII."""
    first = _HIGH.search(raw)
    start = max(0, first.start() - 16) if first else 0
    return raw[start : start + SAMPLE_BYTES]


def _guessed(raw: bytes, codec: str, hint: str) -> str:
    """Return the letters of bytes of one byte a letter, under a label that says little (*codec*)."""
    sample = _sample(raw)
    guess, fit = cyrillic(sample)
    if codec in _CYRILLIC or codec == "koi8-r":
        # Believed unless the bytes plainly say otherwise.
        named = _mean_fit(sample, codec)
        return raw.decode(guess if fit - named > 1.2 and fit >= _GOOD else codec, "replace")
    high = len(_HIGH.findall(sample))
    pure = sum(map(len, _PURE_RUN.findall(sample)))
    mixed = len(_MIXED_WORD.findall(sample))
    # Three umlauts in a row are a word in Cyrillic too: a label is outweighed by more than that.
    enough = codec not in _DEFAULTS or high >= 4
    if enough and fit >= _GOOD and mixed * 5 <= high and (pure * 2 >= high or (codec not in _DEFAULTS and mixed == 0)):
        if hint in _CYRILLIC and fit - _mean_fit(sample, hint) < 0.8:
            guess = hint
        return raw.decode(guess, "replace")
    if not codec or codec == "utf-8":
        if hint and hint not in _DEFAULTS and hint != "utf-8" and not _wide(hint) and _fits(sample[: len(sample) & ~1], hint):
            return raw.decode(hint, "replace")
        eastern = _eastern(sample) if pure * 2 >= high else ""
        if eastern:
            return raw.decode(eastern, "replace")
    if codec in {"", "cp1252", "utf-8"}:
        if len(_POLISH_1250.findall(sample)) * 6 > high:
            return raw.decode("cp1250", "replace")
        if len(_POLISH_8859.findall(sample)) * 6 > high:
            return raw.decode("iso8859-2", "replace")
    return _believed(raw, codec if codec in _DEFAULTS else "cp1252")


def _mean_fit(sample: bytes, codec: str) -> float:
    high = _HIGH.findall(sample)
    if not high or codec not in {*_CYRILLIC, "koi8-r"}:
        return _ALIEN
    text = sample.decode(codec, "replace")
    fit = sum(_fit_of(codec, byte[0]) for byte in high)
    return (fit - 4.0 * len(_CAPITAL_INSIDE.findall(text)) - 4.0 * len(_BEGINS_NO_WORD.findall(text))) / len(high)


def _eastern(sample: bytes) -> str:
    """Return the East Asian charset of *sample*, "" if it is none: by kana, Hangul, and the commoner half of Chinese characters."""
    best, most = "", 0.5
    for codec, common in (
        ("euc_jp", "[\u3041-\u30ff]"),
        ("cp932", "[\u3041-\u30ff]"),
        ("gb18030", ""),
        ("cp949", "[\uac00-\ud7a3]"),
        ("big5hkscs", ""),
    ):
        text = ""
        for end in range(len(sample), max(len(sample) - 4, 0), -1):  # the sample may end inside a letter
            try:
                text = sample[:end].decode(codec)
                break
            except UnicodeDecodeError:
                continue
        letters = [letter for letter in text if letter > "\x7f"]
        if len(letters) < 2:
            continue
        if common:
            share = len(re.findall(common, text)) / len(letters) * (1.5 if "[\u3041" in common else 1.1)
        else:
            lead = range(0xB0, 0xD8) if codec == "gb18030" else range(0xA4, 0xC7)
            share = sum(1 for letter in letters if letter.encode(codec)[0] in lead or letter in "，。！？：、（）") / len(letters)
        if share > most:
            best, most = codec, share
    return best


def _as_utf8(raw: bytes, *, sure: bool) -> str | None:
    """Return *raw* read as UTF-8; with a few broken letters if that is what it is meant to be (*sure*); None if it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start >= len(raw) - 3 and len(raw) > 8:  # cut inside its last letter
            sure = True
    text = raw.decode("utf-8", "replace")
    sound = sum(1 for letter in text[:SAMPLE_BYTES] if letter > "\x7f" and letter != "\ufffd")
    broken = text.count("\ufffd", 0, SAMPLE_BYTES)
    return text if sound >= broken * (4 if sure else 20) and sound else None


def _believed(raw: bytes, codec: str) -> str:
    text = raw.decode(codec, "replace")
    if codec == "cp1252" and "\ufffd" in text:  # five of its places are empty; there Latin-1 has controls
        return raw.decode("latin-1")
    return text


def _by_mark(raw: bytes) -> str | None:
    if raw.startswith(b"\xef\xbb\xbf"):
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            return None
    # Two bytes of a mark are also two letters of KOI8 or windows-1251: UTF-16 shows itself by its zeroes or by what it spells.
    if b"\x00" in raw[:200] or b"\x04" in raw[2:200]:
        return raw.decode("utf-16", "replace")
    return None


def _wide(codec: str) -> bool:
    return codec.startswith(("utf-16", "utf-32", "utf-7", "iso2022", "hz"))


def _wide_text(raw: bytes, codec: str) -> str:
    if codec.startswith(("utf-16", "utf-32")) and b"\x00" not in raw and b"\x04" not in raw:
        return decode(raw)  # the label lies: these are single bytes
    if codec == "utf-16":
        codec = "utf-16-be" if raw[:1] == b"\x00" or raw[:1] == b"\x04" else "utf-16-le"
    if codec == "utf-7" and not raw.isascii():
        return decode(raw)
    return raw.decode(codec, "replace")


def _fits(raw: bytes, codec: str) -> bool:
    try:
        raw.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _strange(text: str) -> int:
    return sum(1 for letter in text if letter > "\x7f" and not letter.isspace())


def _reread(text: str, codec: str, charset: str) -> str | None:
    try:
        again = text.encode(codec).decode(charset)
    except (UnicodeEncodeError, UnicodeDecodeError):
        return None
    return again if len(again) < len(text) else None
