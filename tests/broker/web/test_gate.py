"""What every request passes: headers, the limit on bodies, and whose pages may change something."""

from __future__ import annotations

import pytest

from broker.config import ConnectionLimits, Settings

BODY = {"count": 1}


def test_answers_carry_what_browsers_obey(site):
    """Also a problem and a refusal of the gate itself; an API's answer is not kept."""
    for answer in (site.ask("GET", "/api/v1/fail/found"), site.ask("GET", "/api/v1/fail/bug"), site.ask("GET", "/healthz")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "strict-transport-security" not in answer.headers
    assert site.ask("GET", "/api/v1/fail/found").headers["cache-control"] == "no-store"
    foreign = site.ask("POST", "/api/v1/body", json=BODY, headers={"origin": "https://evil.example"})
    assert foreign.headers["x-content-type-options"] == "nosniff"


def test_over_https_the_browser_is_told_to_stay_there(site):
    """HSTS, and only there."""
    assert "strict-transport-security" in site.ask("GET", "/healthz", by=site.browser("https://chat.example.com")).headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://localhost"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "https://behind-a-proxy.example"}, 200),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "https://localhost"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_only_our_own_pages_change_something(site, headers, status):
    """A page of another origin cannot act for whoever visits it; a program that is no browser sends neither header."""
    assert site.ask("POST", "/api/v1/body", json=BODY, headers=headers).status_code == status


def test_reading_is_not_asked_where_from(site):
    """A GET changes nothing; what it answers, other origins cannot read."""
    answer = site.ask("GET", "/api/v1/openapi.json", headers={"origin": "https://evil.example"})

    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None])
def test_a_form_is_no_json(site, kind):
    """What a plain HTML form can send is refused."""
    headers = {"content-type": kind} if kind else {}

    assert site.ask("POST", "/api/v1/body", content=b'{"count": 1}', headers=headers).status_code == 415


@pytest.mark.parametrize("path", ["/api/v1/a%00b", "/api/v1/openapi.json?cursor=a%00"])
def test_a_nul_in_an_address_is_refused(site, path):
    """Before anything asks a database with it."""
    answer = site.ask("GET", path)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")


def test_a_body_over_the_limit_is_refused(make_site):
    """By its announced length, or while it comes without one."""
    site = make_site(settings=Settings(body_bytes=1_024))
    headers = {"content-type": "application/json"}

    async def drop_by_drop(count):
        for _ in range(count):
            yield b"x" * 100

    def send(content):
        return site.ask("POST", "/api/v1/bytes", content=content, headers=headers)

    assert (send(b"x" * 1_024).status_code, send(b"x" * 1_025).status_code) == (200, 413)
    assert (send(drop_by_drop(10)).status_code, send(drop_by_drop(11)).status_code) == (200, 413)
    assert send(drop_by_drop(11)).json()["code"] == send(b"x" * 1_025).json()["code"] == "too_large"


def _asked(site, address="192.0.2.1"):
    """Ask from *address*, and return the answer's status and headers."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/healthz", "query_string": b""}
    site.do(site.app({**scope, "headers": [(b"host", b"here")], "client": (address, 1), "server": None}, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"])


def test_one_address_asks_so_often(make_site):
    """The next is told when to come back, and its connection ends; others are served, and so is this one when it has waited."""
    site = make_site(settings=Settings(connections=ConnectionLimits(requests_burst=3, requests_per_second=0.5)))

    assert [200, 200, 200] == [_asked(site)[0] for _ in range(3)]
    status, headers = _asked(site)
    assert (status, headers[b"retry-after"], headers[b"connection"]) == (429, b"2", b"close")
    assert _asked(site, "192.0.2.2")[0] == 200
    site.clock.move(2.0)
    assert _asked(site)[0] == 200


def test_one_address_opens_so_many_sockets(make_site):
    """Refused before the endpoint hears of it, with the status and the time that a request would get."""

    async def endpoint(scope, receive, send):
        await send({"type": "websocket.accept"})

    limits = ConnectionLimits(openings_burst=1, openings_per_second=0.5)
    site = make_site(settings=Settings(connections=limits), sockets={"/ws/visitor": endpoint})
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": "/ws/visitor",
        "query_string": b"",
        "headers": [],
        "client": ("192.0.2.1", 1),
    }
    for _ in range(2):
        site.do(site.app(dict(scope), receive, send))
    assert [message["type"] for message in sent[:2]] == ["websocket.accept", "websocket.http.response.start"]
    assert (sent[1]["status"], dict(sent[1]["headers"])[b"retry-after"]) == (429, b"2")
