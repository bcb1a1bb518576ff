"""REST of files: who may see one, what is taken, and how it is given out so that no browser runs it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from PIL import Image

from broker.domain import FILE_BYTES_MAX, FileId, Role
from broker.events import Wrote
from broker.extras import FileKind
from broker.fetching import Kept, add_file
from operators.files_rest import file_name
from tests.operators.shelf import Shelf, open_shelf
from tests.operators.shop import NOBODY


@pytest.fixture
def shelf(tmp_path: Path) -> Any:
    """Return a shop that keeps files."""
    with open_shelf(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def open_session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a shop that keeps files and a session in it: for tests that leave nothing but files of their own."""
    with open_shelf(tmp_path_factory.mktemp("shelf")) as made:
        yield made, taken(made)


def picture() -> bytes:
    """Return a picture."""
    out = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(out, "PNG")
    return out.getvalue()


def taken(shelf: Shelf, line: int = 0, key: str = "v1") -> str:
    """Return a session that whoever sits in the line has taken."""
    shelf.bring(Wrote("hello"), key, line)
    session = shelf.session()
    shelf.do(("ann", "bob")[line], session, "take")
    return session


# --- who may


def test_a_file_is_uploaded_and_got(shelf: Shelf):
    """By who holds the session; what it is to a person is told by its name and its bytes."""
    session = taken(shelf)

    answer = shelf.upload("ann", session, "price list.txt", b"hello")

    told = answer.json()
    assert (201, "price list.txt", "text/plain", "document", 5) == (
        answer.status_code,
        *(told[key] for key in ("name", "media_type", "kind", "size")),
    )
    assert (False, 0, 0) == (told["preview"], told["width"], told["height"])
    assert b"hello" == shelf.ask("ann", "GET", f"/files/{told['id']}").content
    ((conversation, operator),) = shelf.rows("SELECT conversation_id, operator_id FROM files")
    assert (shelf.rows("SELECT id FROM conversations")[0][0], shelf.ids["ann"]) == (conversation, operator)


@pytest.mark.parametrize("what", ["", "/preview"])
def test_a_file_of_a_foreign_line_does_not_exist(shelf: Shelf, what: str):
    """Nor does its picture, nor one that never was; who supervises sees it."""
    file = shelf.uploaded(taken(shelf), "a.png", picture())

    answers = [
        shelf.ask("bob", "GET", f"/files/{file}{what}"),
        shelf.ask("bob", "GET", f"/files/{NOBODY}{what}"),
        shelf.ask("sue", "GET", f"/files/{file}{what}"),
    ]

    assert [404, 404, 200] == [answer.status_code for answer in answers]
    assert answers[0].json() == answers[1].json()


def test_who_was_invited_has_the_files_too(shelf: Shelf):
    """Whoever may read the session may have what was sent in it."""
    session = taken(shelf)
    file = shelf.uploaded(session)
    before = shelf.ask("bob", "GET", f"/files/{file}").status_code
    shelf.do("ann", session, "invite", operator_id=shelf.ids["bob"])

    assert (404, 200) == (before, shelf.ask("bob", "GET", f"/files/{file}").status_code)


def test_a_file_of_no_conversation_is_nobodys(shelf: Shelf):
    """What belongs to nothing that one may see is not given out by its id."""
    shelf.uploaded(taken(shelf))
    shelf.rows("UPDATE files SET conversation_id = NULL")
    ((file,),) = shelf.rows("SELECT id FROM files")

    assert 404 == shelf.ask("sue", "GET", f"/files/{file}").status_code


def test_a_stranger_has_nothing(shelf: Shelf):
    """Without a login neither up nor down."""
    session = taken(shelf)
    file = shelf.uploaded(session)
    stranger = shelf.site.browser()

    paths = [("GET", f"/files/{file}"), ("GET", f"/files/{file}/preview"), ("GET", f"/contacts/{NOBODY}/avatar")]
    answers = [shelf.site.ask(method, f"/api/v1{path}", by=stranger) for method, path in paths]
    kind = {"content-type": "application/octet-stream"}
    answers.append(shelf.site.ask("POST", f"/api/v1/sessions/{session}/files/b", by=stranger, content=b"x", headers=kind))
    assert [401] * 4 == [answer.status_code for answer in answers]


def test_a_file_is_uploaded_by_who_may_answer(shelf: Shelf):
    """Not by a colleague of the line who looks on; for a foreign line there is no session. Nothing of theirs is kept."""
    shelf.person("eve", Role.OPERATOR, 0)
    session = taken(shelf)

    assert [403, 404, 404] == [
        shelf.upload("eve", session).status_code,
        shelf.upload("bob", session).status_code,
        shelf.upload("ann", NOBODY).status_code,
    ]
    assert [] == shelf.kept()


def test_what_waits_may_be_answered_with_a_file(shelf: Shelf):
    """By anybody of the line: a reply takes it."""
    shelf.bring(Wrote("hello"))

    assert 201 == shelf.upload("ann", shelf.session()).status_code


# --- what is taken


def test_an_empty_file_is_refused(shelf: Shelf):
    """There is nothing to be sent."""
    answer = shelf.upload("ann", taken(shelf), content=b"")

    assert (409, "empty_file") == (answer.status_code, answer.json()["code"])
    assert [] == shelf.rows("SELECT id FROM files")


def test_a_file_that_says_it_is_too_large_is_not_read(shelf: Shelf):
    """By its announced length."""
    answer = shelf.upload("ann", taken(shelf), content=b"x", content_length=str(FILE_BYTES_MAX + 1))

    assert (413, []) == (answer.status_code, shelf.kept())


def test_a_file_that_turns_out_too_large_is_not_kept(shelf: Shelf):
    """Without an announced length it is read up to the limit, and then thrown away."""

    async def too_much() -> Any:
        for _ in range(FILE_BYTES_MAX // 2**22 + 1):
            yield bytes(2**22)

    answer = shelf.upload("ann", taken(shelf), content=too_much())

    assert (413, [], []) == (answer.status_code, shelf.kept(), shelf.rows("SELECT id FROM files"))


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_a_form_uploads_nothing(shelf: Shelf, kind: str):
    """What a page of another site can send without asking is refused."""
    answer = shelf.ask("ann", "POST", f"/sessions/{taken(shelf)}/files/a", content=b"x", headers={"content-type": kind})

    assert 415 == answer.status_code


def test_a_foreign_page_uploads_nothing(shelf: Shelf):
    """With the operator's own cookie."""
    answer = shelf.upload("ann", taken(shelf), origin="https://evil.example")

    assert (403, []) == (answer.status_code, shelf.kept())


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("price list.txt", "price list.txt"),
        ("Отчёт №1.pdf", "Отчёт №1.pdf"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..\\..\\x.exe", "_.._x.exe"),
        (".htaccess", "htaccess"),
        ("a\r\nSet-Cookie: b", "a_Set-Cookie: b"),
        ("a\x00b\x7fc", "a_b_c"),
        ("invoice\u202efdp.exe", "invoice_fdp.exe"),
        ("a\u200bb\ufeffc\u2066d", "a_b_c_d"),
        ("..", "file"),
        ("   ", "file"),
        ("x" * 500, "x" * 200),
    ],
)
def test_a_files_name_is_one_that_harms_nobody(written: str, name: str):
    """One line, no way to another folder, nothing that reads otherwise than it is."""
    assert name == file_name(written)


@pytest.mark.parametrize("sign", ["\x85", "\u061c", "\u2028", "\u2029", "\u00ad", "\u2060", "\U000e0041"])
def test_no_sign_that_is_not_seen_is_in_a_name(sign: str):
    """Every control, every mark of direction, every separator of lines."""
    assert "a_b.txt" == file_name(f"a{sign}b.txt")


def test_an_uploaded_name_is_cleaned(shelf: Shelf):
    """Whatever the browser calls it."""
    answer = shelf.upload("ann", taken(shelf), "invoice\u202efdp.exe\n")

    assert "invoice_fdp.exe" == answer.json()["name"]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.png", picture(), "photo"),
        ("a.png", b"no picture", "document"),
        ("a.gif", b"GIF", "animation"),
        ("a.mp4", b"film", "video"),
        ("a.mp3", b"song", "audio"),
        ("a.svg", b"<svg/>", "document"),
        ("a", b"bytes", "document"),
    ],
)
def test_what_a_file_is_to_a_person(open_session: tuple[Shelf, str], name: str, content: bytes, kind: str):
    """A photo is what can be shown as one; a program that draws is a document."""
    shelf, session = open_session

    assert kind == shelf.upload("ann", session, name, content).json()["kind"]


# --- how it is given out


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.html", "application/octet-stream"),
        ("a.svg", "application/octet-stream"),
        ("a.js", "application/octet-stream"),
        ("a.pdf", "application/octet-stream"),
        ("a.png", "application/octet-stream"),
        ("a.mp3", "audio/mpeg"),
        ("a.mp4", "video/mp4"),
    ],
)
def test_no_browser_runs_what_somebody_sent(open_session: tuple[Shelf, str], name: str, media_type: str):
    """A download of nothing in particular; what is played is sound and film. Kept by the browser alone."""
    shelf, session = open_session
    file = shelf.uploaded(session, name, b"<script>alert(1)</script>")

    headers = shelf.ask("ann", "GET", f"/files/{file}").headers
    assert (media_type, "nosniff") == (headers["content-type"], headers["x-content-type-options"])
    assert f"attachment; filename*=UTF-8''{name}" == headers["content-disposition"]
    assert "default-src 'none'; sandbox" == headers["content-security-policy"]
    assert "private" in headers["cache-control"]


@pytest.mark.parametrize(
    ("wanted", "status", "body", "part"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=0-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=9-9", 206, b"9", "bytes 9-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=0-1", 200, b"0123456789", None),
        ("bytes=a-b", 200, b"0123456789", None),
    ],
)
def test_a_part_of_a_file_is_given(open_session: tuple[Shelf, str], wanted: str, status: int, body: bytes, part: str | None):
    """As players ask for it; what is asked in another way is answered with all of it."""
    shelf, session = open_session
    file = shelf.uploaded(session, "a.mp3", b"0123456789")

    answer = shelf.ask("ann", "GET", f"/files/{file}", headers={"Range": wanted})

    assert (status, body, part) == (answer.status_code, answer.content, answer.headers.get("content-range"))
    assert str(len(body)) == answer.headers["content-length"]


def from_outside(shelf: Shelf, session: str, name: str, media_type: str = "text/plain") -> str:
    """Return the id of a file that a customer has sent."""
    file = shelf.uploaded(session, "a.txt")
    shelf.rows("UPDATE files SET name = ?, media_type = ?, operator_id = NULL WHERE id = ?", name, media_type, file)
    return file


@pytest.mark.parametrize("name", ['a"b; x=1.txt', "a\r\nX-Evil: 1.txt", "Отчёт.txt"])
def test_a_name_breaks_no_header(open_session: tuple[Shelf, str], name: str):
    """Customers name their files as they like."""
    shelf, session = open_session

    headers = shelf.ask("ann", "GET", f"/files/{from_outside(shelf, session, name)}").headers

    written = headers["content-disposition"].removeprefix("attachment; filename*=UTF-8''")
    assert ("x-evil" in headers, written) == (False, quote(unquote(written)))
    assert unquote(written).endswith(".txt")


@pytest.mark.parametrize("name", ["invoice\u202efdp.exe", "../../.bashrc", "a\nb.txt"])
def test_the_name_of_a_customers_file_harms_nobody(open_session: tuple[Shelf, str], name: str):
    """An operator saves it under that name, and opens what reads like a document."""
    shelf, session = open_session

    headers = shelf.ask("ann", "GET", f"/files/{from_outside(shelf, session, name)}").headers

    assert file_name(name) == unquote(headers["content-disposition"].partition("''")[2])


def test_a_file_without_a_name_has_one(open_session: tuple[Shelf, str]):
    """Of what it is."""
    shelf, session = open_session

    headers = shelf.ask("ann", "GET", f"/files/{from_outside(shelf, session, '', 'application/pdf')}").headers

    assert headers["content-disposition"].endswith("''document.pdf")


def test_a_file_that_the_disk_has_no_more_is_not_found(shelf: Shelf):
    """And not an answer that breaks off."""
    file = shelf.uploaded(taken(shelf))
    for path in shelf.kept():
        path.unlink()

    assert 404 == shelf.ask("ann", "GET", f"/files/{file}").status_code


def test_an_empty_file_of_a_customer_is_given(shelf: Shelf):
    """As empty as it is."""
    file = from_outside(shelf, taken(shelf), "a.txt")
    empty = shelf.site.do(shelf.site.parts.files.put(b""))  # type: ignore[union-attr]
    shelf.rows("UPDATE files SET sha256 = ?, size = 0", empty)

    answer = shelf.ask("ann", "GET", f"/files/{file}")

    assert (200, b"", "0") == (answer.status_code, answer.content, answer.headers["content-length"])


# --- pictures


def test_a_preview_is_shown(shelf: Shelf):
    """Made anew, and locked as the file is."""
    file = shelf.uploaded(taken(shelf), "a.png", picture())

    answer = shelf.ask("ann", "GET", f"/files/{file}/preview")

    assert ("image/webp", b"WEBP") == (answer.headers["content-type"], answer.content[8:12])
    assert "default-src 'none'; sandbox" == answer.headers["content-security-policy"]


def test_what_has_no_preview_says_so(shelf: Shelf):
    """A document is no picture."""
    assert 404 == shelf.ask("ann", "GET", f"/files/{shelf.uploaded(taken(shelf))}/preview").status_code


def with_avatar(shelf: Shelf) -> str:
    """Return the contact of a session in the first line, who has a picture."""
    taken(shelf)
    sha256 = shelf.site.do(shelf.site.parts.files.put(b"webp"))  # type: ignore[union-attr]
    shelf.rows("UPDATE contacts SET avatar = ?", sha256)
    return str(shelf.rows("SELECT id FROM contacts")[0][0])


def test_a_contacts_picture_is_shown_to_who_may_see_them(shelf: Shelf):
    """To nobody of another line."""
    contact = with_avatar(shelf)

    mine, foreign = (shelf.ask(who, "GET", f"/contacts/{contact}/avatar") for who in ("ann", "bob"))

    assert (200, b"webp", "image/webp") == (mine.status_code, mine.content, mine.headers["content-type"])
    assert (404, True) == (foreign.status_code, "private" in mine.headers["cache-control"])


def test_a_contact_without_a_picture_has_none(shelf: Shelf):
    """Nor has one that is not there."""
    taken(shelf)
    ((contact,),) = shelf.rows("SELECT id FROM contacts")

    assert [404, 404] == [shelf.ask("ann", "GET", f"/contacts/{one}/avatar").status_code for one in (contact, NOBODY)]


def test_a_process_that_keeps_no_files_says_so(tmp_path: Path):
    """It neither takes nor gives any."""
    with open_shelf(tmp_path, keeps_files=False) as shelf:
        session = taken(shelf)
        ((conversation,),) = shelf.rows("SELECT id FROM conversations")
        id_, kept = FileId(NOBODY), Kept("0" * 64, 1)
        shelf.site.write(lambda tx: add_file(tx, id_, kept, FileKind.DOCUMENT, "a", "text/plain", conversation, "ann"))

        assert [404, 404] == [
            shelf.upload("ann", session).status_code,
            shelf.ask("ann", "GET", f"/files/{id_}").status_code,
        ]
