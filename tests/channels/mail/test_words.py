"""Header fields: encoded words, parameters, addresses, ids and dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from channels.mail.letters import Address
from channels.mail.words import addresses, file_name, first_address, first_id, ids, line, moment, parameters, plain


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"=?koi8-r?B?8NLJ18XU?=", "Привет"),
        (b"=?utf-8?B?0J/RgNC40LLQ?= =?utf-8?B?tdGC?=", "Привет"),  # a letter torn between two words
        (b"=?utf-8?Q?=D0=9F?==?utf-8?Q?=D1=80?=", "Пр"),  # nothing between them
        (b"=?UTF-8?B?0J/RgNC40LLQtdGC", "Привет"),  # cut
        (b"a =?UTF-8?Q?How are you??= b", "a How are you? b"),
        (b"=?cp-1251?Q?=CF=F0=E8=E2=E5=F2?=", "Привет"),
        (b"=?us-ascii?Q?=CF=F0=E8=E2=E5=F2?=", "Привет"),
        (b"=??B?0J/RgNC40LLQtdGC?=", "Привет"),
        (b"=?utf-8*ru?Q?=D0=9F?=", "П"),
        (b"=?utf-8?q?a=0D=0ABcc:_evil?=", "a Bcc: evil"),
        (b"=?utf-8?Q?=E2=80=AEabc?=", "abc"),
        ("Тема".encode("cp1251"), "Тема"),
        ("Re: Тема".encode("koi8-r"), "Re: Тема"),
        ("Тема".encode(), "Тема"),
        (b"1 + 1 =? 2", "1 + 1 =? 2"),
    ],
)
def test_a_subject_is_read_as_its_writer_saw_it(raw, text):
    """However his program encoded it, or did not."""
    assert line(raw) == text


def test_a_subject_of_few_letters_takes_the_charset_of_the_text():
    """Two letters fit every charset; the letter names one elsewhere."""
    assert plain("да".encode("koi8-r"), "koi8-r") == "да"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"Ivanov, Ivan" <i@x.ru>, b@y.ru (Boris)', [("Ivanov, Ivan", "i@x.ru"), ("Boris", "b@y.ru")]),
        ("=?utf-8?Q?Ivanov, Ivan?= <a@b.ru>", [("Ivanov, Ivan", "a@b.ru")]),
        ("undisclosed-recipients:;", []),
        ('Friends: a@b, "C" <c@d>; e@f', [("", "a@b"), ("C", "c@d"), ("", "e@f")]),
        ("a@b; c@d", [("", "a@b"), ("", "c@d")]),
        ("'Ivan' <i@x.ru>", [("Ivan", "i@x.ru")]),
        ("=?utf-8?B?0JjQstCw0L0gPGlAeC5ydT4=?=", [("Иван", "i@x.ru")]),  # all of it in one encoded word
        ("Иван <иван@пример.рф>", [("Иван", "иван@пример.рф")]),
        ("Ivan <i@x.ru", [("Ivan", "i@x.ru")]),
        ("Ivan i@x.ru", [("Ivan", "i@x.ru")]),
        ("i @ x.ru", [("", "i@x.ru")]),
        ("<@relay:a@b>", [("", "a@b")]),
        ("<mailto:a@b>", [("", "a@b")]),
        ("alice@x.ru <bob@y.ru>", [("alice@x.ru", "bob@y.ru")]),
        ('"a \\"b\\" c" <a@b>', [('a "b" c', "a@b")]),
        ('"quoted local"@x.ru', [("", '"quoted local"@x.ru')]),
        ("a (one (two) three) <a@b>", [("a", "a@b")]),
        ("", []),
    ],
)
def test_addresses_are_found(text, found):
    """With the names that belong to them."""
    assert [(one.name, one.address) for one in addresses(text)] == found


@pytest.mark.parametrize(
    "text", ["(" * 5_000 + "a@b.ru", '"' * 5_001 + "a@b.ru", "<" * 5_000 + "a@b.ru", '"\\' * 40_000, "()" * 40_000]
)
def test_marks_that_nothing_closes_hurt_nobody(text):
    """They take no time, and the parser's stack is not theirs."""
    first_address(text)


def test_a_sender_without_an_address_is_still_named():
    """The operator sees who it says it is."""
    assert first_address("Почтовая служба нашего сервера") == Address("Почтовая служба нашего сервера", "")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('attachment; filename="=?utf-8?B?0KHRh9GR0YIucGRm?="', "Счёт.pdf"),
        ('attachment; filename="=?utf-8?B?0KHRh9GR?= =?utf-8?B?0YIucGRm?="', "Счёт.pdf"),
        ("attachment; filename*=utf-8''%D0%A1%D1%87.pdf", "Сч.pdf"),
        ("attachment; filename*=windows-1251''%D1%F7%B8%F2.pdf", "Счёт.pdf"),
        ("attachment; filename*0*=utf-8''%D0%A1; filename*1*=%D1%87; filename*2=.pdf", "Сч.pdf"),
        ('attachment; filename*1="c.pdf"; filename*0="ab"', "abc.pdf"),
        ('attachment; filename="%D0%A1%D1%87.pdf"', "Сч.pdf"),
        ("attachment; filename=my file.pdf; size=3", "my file.pdf"),
        ('attachment; filename="a;b.pdf"', "a;b.pdf"),
        ('attachment;filename="abc.pdf', "abc.pdf"),
        (r'attachment; filename="C:\dir\x.txt"', "x.txt"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="Счёт 5/10.pdf"', "Счёт 5_10.pdf"),
        ('attachment; filename=".ht\u200baccess"', ".htaccess"),
    ],
)
def test_the_name_of_a_file_is_read(text, name):
    """By RFC 2231, by RFC 2047 where that is forbidden, and by no rule at all; folders are left out."""
    assert file_name(parameters(text)[1]["filename"]) == name


def test_twenty_thousand_parameters_are_not_all_read():
    """The first hundred are."""
    assert len(parameters("a/b; " + "; ".join(f"p{n}=v" for n in range(20_000)))[1]) <= 100


def test_ids_are_read_with_and_without_brackets():
    """Spaces that a fold has left in them go."""
    assert ids("<a@b> junk <c @d>\t<a@b>") == ("a@b", "c@d")
    assert ids("a@b c@d") == ("a@b", "c@d")
    assert first_id("not an id") == "not an id"


MOSCOW = timezone(timedelta(hours=3))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("Fri, 3 May 2024 12:00:00 +0300 (MSK)", datetime(2024, 5, 3, 12, tzinfo=MOSCOW)),
        ("Пт, 3 мая 2024 12:00:00 +0300", datetime(2024, 5, 3, 12, tzinfo=MOSCOW)),
        ("3 May 24 12:00 MSK", datetime(2024, 5, 3, 12, tzinfo=MOSCOW)),
        ("2024-05-03T12:00:00Z", datetime(2024, 5, 3, 12, tzinfo=UTC)),
        ("Fri May  3 12:00:00 2024", datetime(2024, 5, 3, 12, tzinfo=UTC)),
        ("03.05.2024 12:00:00", datetime(2024, 5, 3, 12, tzinfo=UTC)),
        ("Thu, 1 Jan 100 10:00:00 GMT", datetime(2000, 1, 1, 10, tzinfo=UTC)),
        ("Fri, 3 May 2024 12:00:00 +9999", datetime(2024, 5, 3, 12, tzinfo=UTC)),
        ("Fri, 31 Jun 2024 12:00:00", None),
        ("yesterday", None),
        ("9" * 5_000, None),
    ],
)
def test_a_date_is_read_or_is_none(text, at):
    """Never a wrong one, and always with a zone."""
    assert moment(text) == at
