"""The application's front: sockets by path, health, numbers, and who may see them."""

from __future__ import annotations

import asyncio

from sqlalchemy import func, select

from broker.domain import Role
from broker.metrics import REGISTRY
from broker.store.sql import sql
from broker.store.tables import counters

_COUNT = sql(select(func.count()).select_from(counters))


def _open(app, path):
    """Open a websocket at *path* and return what was sent to it."""
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": "websocket", "path": path, "headers": [], "scheme": "ws", "client": None}, receive, send))
    return sent


def test_a_socket_reaches_its_endpoint_untouched(make_site):
    """The very scope, receive and send that the server gave: nothing stands in between on the busiest way."""
    came = []

    async def endpoint(scope, receive, send):
        came.append(scope)
        await send({"type": "websocket.accept"})

    site = make_site(sockets={"/ws/visitor": endpoint})

    assert _open(site.app, "/ws/visitor") == [{"type": "websocket.accept"}]
    assert "app" not in came[0]
    assert _open(site.app, "/ws/nothing") == [{"type": "websocket.close", "code": 4404}]


def test_the_process_is_healthy_and_ready(site):
    """Both 200 when the store answers."""
    assert site.ask("GET", "/healthz").json() == {"status": "ok"}
    assert (site.ask("GET", "/readyz").status_code, site.ask("GET", "/readyz").json()) == (200, {"status": "ready"})


def test_a_store_that_does_not_answer_is_not_ready(site):
    """503 with the reason; the process itself is well."""
    site.do(site.store.close())

    answer = site.ask("GET", "/readyz")

    assert (answer.status_code, answer.json()["reasons"]) == (503, ["the store has been closed"])
    assert site.ask("GET", "/healthz").status_code == 200


def test_a_full_disk_becomes_ready_again_by_itself(site):
    """Who heeds 503 sends no writes any more, so being asked must itself try one."""
    site.full = True

    assert site.ask("GET", "/readyz").status_code == 200
    assert site.write(lambda tx: tx.one(_COUNT))[0] == 1


def test_numbers_are_for_this_machine_and_administrators(site):
    """A stranger learns nothing of how busy the house is; nor does an operator."""
    far = ("https://chat.example.com", "203.0.113.5")
    site.person("boss", Role.ADMINISTRATOR)

    assert "omniline_accepted_inputs_total" in site.ask("GET", "/metrics").text
    assert site.ask("GET", "/metrics", by=site.browser(*far)).status_code == 401
    assert site.ask("GET", "/metrics", headers={"x-forwarded-for": "203.0.113.5"}).status_code == 401
    token, _ = site.do(site.parts.logins.log_in("boss", "correct horse battery", address="a"))
    cookie = {"cookie": f"__Host-omniline={token}"}
    assert site.ask("GET", "/metrics", by=site.browser(*far), headers=cookie).status_code == 200


def test_a_plain_cookie_from_elsewhere_is_nobodys(site):
    """Over plain http a login counts on this machine alone, even with a right token."""
    site.person("boss", Role.ADMINISTRATOR)
    token, _ = site.do(site.parts.logins.log_in("boss", "correct horse battery", address="a"))
    cookie = {"cookie": f"omniline={token}"}

    assert (
        site.ask("GET", "/metrics", by=site.browser("http://chat.example.com", "203.0.113.5"), headers=cookie).status_code == 401
    )


def test_every_number_has_a_meaning():
    """Each is written out with what it counts."""
    assert all(len(family.documentation) > 20 for family in REGISTRY.collect())
