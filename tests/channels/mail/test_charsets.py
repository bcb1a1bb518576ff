"""Letters out of bytes, under labels that are right, wrong, unknown or missing."""

from __future__ import annotations

import pytest

from channels.mail.charsets import clean_line, clean_text, codec_of, text_of, unspoilt

RUSSIAN = "Добрый день! Не работает касса, помогите, пожалуйста."
CYRILLIC = ("cp1251", "koi8-r", "cp866", "iso8859-5", "utf-8")
FALSE_LABELS = ("", "us-ascii", "utf-8", "iso-8859-1", "windows-1252", "x-unknown", "unknown-8bit", "default")


@pytest.mark.parametrize("charset", CYRILLIC)
@pytest.mark.parametrize("label", FALSE_LABELS)
def test_russian_is_read_under_every_label_that_says_nothing(charset, label):
    """The label of a program's default does not outweigh what the bytes spell."""
    assert text_of(RUSSIAN.encode(charset), label) == RUSSIAN


@pytest.mark.parametrize(
    "label",
    ["windows-1251", "cp-1251", "win-1251", "CP1251", "x-cp1251", "windows1251", '"windows-1251"', "koi8-r"],
)
def test_names_that_people_give_to_windows_1251_mean_it(label):
    """Also another Cyrillic charset's, when the bytes plainly are windows-1251."""
    assert text_of(RUSSIAN.encode("cp1251"), label) == RUSSIAN


@pytest.mark.parametrize(
    ("text", "charset", "label"),
    [
        ("Größe über Straße", "cp1252", "iso-8859-1"),
        ("Größe über Straße", "cp1252", ""),
        ("Zażółć gęślą jaźń", "cp1250", "windows-1250"),
        ("Zażółć gęślą jaźń", "iso8859-2", "iso-8859-2"),
        ("Γειά σου κόσμε", "cp1253", "windows-1253"),
        ("שלום עולם", "cp1255", "windows-1255"),
        ("你好，我是客户", "gb18030", "gb2312"),
        ("您好請問這個產品多少錢", "big5", "big5"),
        ("こんにちは", "iso2022_jp", "iso-2022-jp"),
        ("こんにちは", "iso2022_jp", "us-ascii"),
        ("こんにちは", "cp932", "shift_jis"),
        ("안녕하세요", "cp949", "ks_c_5601-1987"),
        ("Привет", "utf-7", "utf-7"),
        ("Привет", "utf-16", "utf-16"),
        ("Привет", "mac-cyrillic", "x-mac-cyrillic"),
        ("Привет", "utf-8", "utf8mb4"),
    ],
)
def test_a_true_label_is_believed(text, charset, label):
    """Whatever the letters are."""
    assert text_of(text.encode(charset), label) == text


@pytest.mark.parametrize(
    ("sent", "read"),
    [("cp1251", "latin-1"), ("cp1251", "cp1252"), ("utf-8", "cp1252"), ("utf-8", "latin-1"), ("utf-8", "cp1251")],
)
def test_cyrillic_that_was_misread_before_it_was_sent_is_repaired(sent, read):
    """The letters that came are Latin ones with accents, or pairs that begin with Р and С."""
    text = "Привет, как дела"

    assert unspoilt(text.encode(sent).decode(read)) == text


@pytest.mark.parametrize("text", ["Café crème à Noël", "Ærø på ø", "Çà et là", "ÀÉÎ", "Раз, два", "Señor niño", ""])
def test_what_was_read_rightly_is_left_alone(text):
    """Accents alone make no Cyrillic."""
    assert unspoilt(text) == text


def test_a_broken_letter_of_utf8_costs_only_itself():
    """The rest is still UTF-8."""
    raw = RUSSIAN.encode()[:-3] + b"\xd0 ." + RUSSIAN.encode()

    assert text_of(raw, "utf-8").replace("\ufffd", "").startswith(RUSSIAN[:40])


def test_no_nul_no_lone_surrogate_and_no_carriage_return_comes_out():
    """A database would refuse the first two."""
    assert clean_text("a\x00b\r\nc\rd\udc80\x1be") == "ab\nc\nd\ufffde"


def test_a_line_keeps_its_direction():
    """A name cannot make what follows it run from right to left."""
    assert clean_line("abc\u202egpj.exe\u2066\r\nBcc: x\x00") == "abcgpj.exe  Bcc: x"


@pytest.mark.parametrize("label", ["idna", "punycode", "unicode_escape", "base64", "rot13", "../x", "\x00", "x" * 10_000])
def test_a_codec_that_is_no_charset_is_no_charset(label):
    """Python knows codecs that a letter may not choose."""
    assert codec_of(label) == ""
