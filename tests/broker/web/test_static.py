"""What browsers load: the right file, kept as long as it may be, under the right policy."""

from __future__ import annotations

import pytest

from broker.web.static import Assets


@pytest.mark.parametrize("path", ["/console/", "/console/sessions/17", "/console/index.html"])
def test_the_console_is_one_page_under_a_strict_policy(site, path):
    """Any of its addresses is its first page; no foreign script, no frame around it."""
    answer = site.ask("GET", path)

    policy = answer.headers["content-security-policy"]
    assert "<title>console" in answer.text
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert answer.headers["cache-control"] == "no-cache"


def test_what_has_a_hash_is_kept_for_ever(site):
    """Its name changes with its content."""
    answer = site.ask("GET", "/console/assets/index-CCLqAbAE.js")

    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("path", ["/widget.js", "/widget/app-B_FP8TsL.js"])
def test_any_site_may_load_the_widget(site, path):
    """A script tag and a module import from another origin need no more than this."""
    answer = site.ask("GET", path)

    assert (answer.headers["access-control-allow-origin"], answer.headers["cross-origin-resource-policy"]) == (
        "*",
        "cross-origin",
    )


def test_the_loader_is_asked_for_again_after_minutes(site):
    """Its name never changes, so its tag says whether it did; compressed and plain have different tags."""
    first = site.ask("GET", "/widget.js")
    plain = site.ask("GET", "/widget.js", headers={"accept-encoding": "identity"})

    assert first.headers["cache-control"] == "public, max-age=300"
    assert (first.headers["content-encoding"], first.text) == ("gzip", plain.text)
    assert first.headers["etag"] != plain.headers["etag"]
    again = site.ask("GET", "/widget.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_chat_page_is_framed_by_nobody_else(site):
    """It connects as our own origin: in a stranger's frame it would go round the list of allowed origins."""
    answer = site.ask("GET", "/chat/shop")

    assert "<title>chat" in answer.text
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/chat/nowhere", "/chat/Shop", "/chat/", "/chat/shop/more", "/chat/" + "long" * 100])
def test_a_chat_that_is_not_there_is_a_page_that_says_so(site, path):
    """Whoever follows a wrong link is told so in words they can read; a machine is told 404."""
    answer = site.ask("GET", path)

    assert (404, "text/html; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    assert "There is no chat at this address" in answer.text
    assert "По этому адресу чата нет" in answer.text
    assert "script" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/console/../sizes.json",
        "/console/%2e%2e/%2e%2e/app.py",
        "/widget/..%2f..%2fapp.py",
        "/console/assets/none.js",
        "/widget/none.js",
    ],
)
def test_what_was_not_built_is_not_there(site, path):
    """A path is looked up among the files, never opened."""
    assert site.ask("GET", path).status_code == 404


def test_browsers_find_the_icon_that_they_ask_for_unasked(site):
    """On every page of ours, without a complaint in its console."""
    asked = site.ask("GET", "/favicon.ico")
    icon = site.ask("GET", asked.headers["location"])

    assert (308, "/icon.svg") == (asked.status_code, asked.headers["location"])
    assert (200, "image/svg+xml") == (icon.status_code, icon.headers["content-type"])


def test_the_front_door_leads_to_the_console(site):
    """For people who type the bare address."""
    assert site.ask("GET", "/").headers["location"] == "/console/"
    assert site.ask("HEAD", "/console/").status_code == 200


def test_before_the_build_there_is_a_sentence(make_site, tmp_path):
    """Not a 404 that makes a newcomer look in the wrong place; after the build it serves without a restart."""
    folder = tmp_path / "later"
    site = make_site(assets=Assets(folder))

    answer = site.ask("GET", "/console/")
    assert (answer.status_code, "make web" in answer.text) == (503, True)

    (folder / "console").mkdir(parents=True)
    (folder / "console" / "index.html").write_text("built")
    assert site.ask("GET", "/console/").text == "built"
