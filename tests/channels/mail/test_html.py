"""Strangers' HTML: its words, and a form that acts, asks and loads nothing."""

from __future__ import annotations

from time import perf_counter

import pytest

from channels.mail.html import safe, to_text

pytest.importorskip("nh3", reason="the mail extra is not installed")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Привет,</p><p>мир</p>", "Привет,\n\nмир"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("a&nbsp;&amp;&#1046;", "a &Ж"),
        ("<ul><li>one<li>two</ul>", "- one\n- two"),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1\t2\n3"),
        ("x<blockquote>q<blockquote>r</blockquote></blockquote>y", "x\n\n> q\n>\n> > r\n\ny"),
        ('<a href="http://x.ru/">сайт</a>', "сайт (http://x.ru/)"),
        ('<a href="http://x.ru/">x.ru</a>', "x.ru"),
        ('<a href="mailto:a@b.ru">a@b.ru</a>', "a@b.ru"),
        ('<a href="javascript:x">y</a>', "y"),
        ("<title>t</title><style>s{}</style><script>j</script>a<!-- c -->b", "ab"),
        ('<div style="display:none">hidden</div>seen', "seen"),
        ('<div style="display:none">all that there is</div>', "all that there is"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ('<img alt="Счёт" src=x>', "Счёт"),
        ("a < b and <b>c", "a < b and c"),
        ("<style>never closed <p>a", "a"),
        ("", ""),
    ],
)
def test_the_words_are_told_as_they_look(html, text):
    """Lines where there are blocks; links where their address is not to be seen."""
    assert to_text(html) == text


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg onload=alert(1)>",
        "<a href='java\tscript:alert(1)'>x</a>",
        "<form action=http://x><input name=alert></form>",
        "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
        "<object data=alert></object><embed src=alert>",
        "<meta http-equiv=refresh content='0;url=http://alert'>",
        "<base href=http://alert>",
        "<link rel=stylesheet href=http://alert>",
        "<style>@import 'http://alert'</style>",
        "<p style='background:url(http://alert)'>",
        "<p style='width:expression(alert(1))'>",
        "<p style='color:u\\72l(http://alert)'>",
        "<body background=http://alert>",
        "<td background=http://alert>",
        "<video poster=http://alert><source src=http://alert></video>",
        "<img srcset='http://alert 2x'>",
        "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>",
        "<a href='vbscript:alert(1)'>x</a><a href='data:text/html,alert'>x</a>",
    ],
)
def test_what_acts_or_loads_is_gone(html):
    """Nothing of it is left."""
    assert "alert" not in safe(html, {})


def test_pictures_of_the_letter_are_shown_and_others_wait_for_a_click():
    """The address of a remote one is kept where a browser does not look for it."""
    shown = safe(
        '<img src="cid:a@b"><img src=cid:none><img src="http://x/y.gif" alt="t"><img src=//z/q><img src=/rel>',
        {"a@b": "/f/1?x=1"},
    )

    assert shown == ('<img src="/f/1?x=1"><img><img data-remote-src="http://x/y.gif" alt="t"><img data-remote-src="//z/q"><img>')


def test_links_open_elsewhere_and_tell_nothing():
    """Only to sites, addresses and telephones."""
    assert safe('<a href="https://x">1</a>', {}) == '<a href="https://x" target="_blank" rel="noopener noreferrer nofollow">1</a>'
    assert "href" not in safe('<a href="ftp://x">1</a><a href="/y">2</a><a href="cid:z">3</a>', {"z": "/f"})


@pytest.mark.parametrize(
    ("html", "mark"),
    [
        ('<div class="gmail_quote gmail_x">q</div>', "block"),
        ("<blockquote type=cite>q</blockquote>", "block"),
        ('<div class="yahoo_quoted">q</div>', "block"),
        ('<div class="moz-cite-prefix">q</div>', "block"),
        ('<div id="divRplyFwdMsg" dir=ltr>q</div>', "rest"),
        ('<div id="appendonsend"></div>', "rest"),
    ],
)
def test_quotes_are_marked(html, mark):
    """So that they can be folded."""
    assert f'data-quote="{mark}"' in safe(html, {})


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "<a ",
        '<a b="',
        "<!--",
        "<script>",
        "<blockquote>x",
        "<div>",
        "<div style=display:none>",
        "&",
        "<a href=http://x>y",
        "<td></td>",
        "<br>",
        "<li>",
        "<img ",
        "<pre>\n",
        "\t",
    ],
)
def test_hostile_html_takes_no_time(piece):
    """Two megabytes of anything."""
    html = piece * (2_000_000 // len(piece))
    begun = perf_counter()
    to_text(html)
    safe(html, {})

    assert perf_counter() - begun < 8
