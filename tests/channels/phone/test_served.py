"""A real `omniline serve` with the manager interface, worked with over REST as a console or a program of somebody else's does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.store.reconcile import reconcile
from channels.phone import dialplan
from tests.channels.phone.exchange import MANAGER, OURS, OUTWARD, SECRET, TO_A_PHONE
from tests.support.asterisk import Asterisk, free_port
from tests.support.broker import WAIT_SECONDS, Broker, come_online

pytestmark = [pytest.mark.asterisk, pytest.mark.xdist_group("asterisk"), pytest.mark.timeout(180)]
HOUSE = """
[operators.ann]
name = "Ann"
password_env = "PHONE_PASSWORD"
phone = "PJSIP/101"
[operators.bob]
name = "Bob"
password_env = "PHONE_PASSWORD"
phone = "PJSIP/103"
[operators.adm]
name = "Adm"
role = "administrator"
password_env = "PHONE_PASSWORD"
[lines.shop]
operators = ["ann", "bob"]
settings = { distribution = "strictly" }
[channels.number]
kind = "phone"
line = "shop"
"""
STATE = "SELECT status, state FROM sessions ORDER BY opened_us DESC LIMIT 1"


async def _serve(folder: Path, secret: str, story: Callable[[Asterisk, Broker], Awaitable[None]]) -> Broker:
    agi = free_port(socket.SOCK_STREAM)
    local = dialplan.local([f"127.0.0.1:{agi}"], SECRET).replace(OUTWARD, TO_A_PHONE)
    with Asterisk(OURS + dialplan.ours() + local, manager=MANAGER) as pbx:
        for number in ("101", "103", "107"):
            pbx.phone(number, "phone-answers.xml", "-d", "100")
        broker = Broker(folder, pbx.folder, agi, manager=pbx.ami, managed_by=secret)
        (folder / "house.toml").write_text(HOUSE)
        await asyncio.to_thread(broker.command, "apply", "house.toml")
        await asyncio.to_thread(broker.start)
        try:
            await story(pbx, broker)
        finally:
            broker.end(15)  # type: ignore[arg-type]
    return broker


def test_a_call_is_made_and_worked_with_over_rest(tmp_path: Path):
    """A click, on hold, spoken with again, passed on to a colleague, closed; and another promised for later."""

    async def story(pbx: Asterisk, broker: Broker) -> None:
        async with AsyncExitStack() as stack:
            ann = await come_online(broker, "ann", stack)
            await come_online(broker, "bob", stack)
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{broker.port}/api/v1",
                headers={"Cookie": ann, "Origin": f"http://127.0.0.1:{broker.port}"},
                trust_env=False,
            ) as http:
                await _logged(broker, "ami_connected")
                made = await http.post("/calls", json={"number": "+7 900 000-01-07", "id": "click-number-1"})
                assert made.status_code == 202, made.text
                await broker.until(STATE, lambda found: bool(found) and '"reached":true' in found[0][1])
                await _joined(pbx, 4)
                ((session,),) = broker.find("SELECT id FROM sessions")
                assert (await http.post(f"/sessions/{session}/hold", json={"id": "hold-it-now"})).status_code == 202
                await broker.until("SELECT parked FROM calls", lambda found: found[0][0] > 0)
                assert (await http.post(f"/sessions/{session}/resume", json={"id": "resume-it-now"})).status_code == 202
                await broker.until("SELECT parked FROM calls", lambda found: found == [(0,)])
                ((bob,),) = broker.find("SELECT id FROM operators WHERE login = 'bob'")
                passed = await http.post(f"/sessions/{session}/transfer", json={"id": "transfer-it", "operator_id": bob})
                assert passed.status_code == 202, passed.text
                await broker.until("SELECT operator_id FROM sessions WHERE status = 'active'", lambda found: found == [(bob,)])
                call = (await http.get(f"/sessions/{session}/call")).json()
                assert (call["number"], call["outgoing"]) == ("+79000000107", True)
                later = await http.post("/callbacks", json={"number": "+79000000107", "id": "later-number-1"})
                assert later.status_code == 202, later.text
            await asyncio.to_thread(pbx.cli, "channel request hangup all")
            await broker.until("SELECT count(*) FROM sessions WHERE status = 'closed'", lambda found: found[0][0] >= 1)

    broker = asyncio.run(_serve(tmp_path, "of the manager", story))
    report = broker.read(reconcile)
    assert report.ok, report.text()


def test_a_sound_that_is_uploaded_is_heard(tmp_path: Path):
    """Without a restart of anything."""

    async def story(pbx: Asterisk, broker: Broker) -> None:
        async with AsyncExitStack() as stack:
            cookie = await come_online(broker, "adm", stack)
            headers = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{broker.port}"}
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{broker.port}/api/v1", headers=headers, trust_env=False
            ) as http:
                wav = (pbx.folder / "tone.wav").read_bytes()
                put = await http.put("/sounds/welcome", content=wav, headers={"Content-Type": "audio/wav"})
                assert put.status_code == 201, put.text
                ((line,),) = broker.find("SELECT id FROM lines")
                calls = {"calls": {"greeting": "our/welcome", "no_answer_does": "wait"}}
                changed = await http.patch(f"/lines/{line}", json={"settings": calls})
                assert changed.status_code == 200, changed.text
            await _logged(broker, "sound_written")
            await asyncio.to_thread(pbx.cli, "channel originate Local/100@from-trunk/n extension hears@presses-keys")
            async with asyncio.timeout(WAIT_SECONDS):
                while "/sounds/welcome-" not in pbx.log():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await broker.until(STATE, lambda found: bool(found) and '"held_why":"greeting"' not in found[0][1])
            await asyncio.to_thread(pbx.cli, "channel request hangup all")
            await broker.until(STATE, lambda found: found[0][0] == "closed")
            assert "sound_not_played" not in (broker.folder / "log").read_text()

    asyncio.run(_serve(tmp_path, "of the manager", story))


def test_a_refused_manager_interface_costs_no_call(tmp_path: Path):
    """The log says why; calls come and are answered, and what needs the interface says that it cannot be done."""

    async def story(pbx: Asterisk, broker: Broker) -> None:
        async with AsyncExitStack() as stack:
            ann = await come_online(broker, "ann", stack)
            await _logged(broker, "ami_lost")
            caller = pbx.call("100", "caller.xml")
            await broker.until(STATE, lambda found: bool(found) and found[0][0] == "active")
            ((session,),) = broker.find("SELECT id FROM sessions")
            headers = {"Cookie": ann, "Origin": f"http://127.0.0.1:{broker.port}"}
            async with httpx.AsyncClient(headers=headers, trust_env=False) as http:
                url = f"http://127.0.0.1:{broker.port}/api/v1/sessions/{session}"
                assert (await http.post(f"{url}/hold", json={"id": "hold-it-now"})).status_code == 202
                await broker.until("SELECT problem FROM calls", lambda found: "could not be put on hold" in found[0][0])
                call: dict[str, Any] = (await http.get(f"{url}/call")).json()
                assert (call["held"], "could not be put on hold" in call["problem"]) == (False, True)
            await _joined(pbx, 2)
            await asyncio.to_thread(pbx.cli, "channel request hangup all")
            assert await asyncio.to_thread(caller.wait, WAIT_SECONDS) == 0
            await broker.until(STATE, lambda found: found[0][0] == "closed")

    broker = asyncio.run(_serve(tmp_path, "a wrong secret", story))
    report = broker.read(reconcile)
    assert report.ok, report.text()


async def _joined(pbx: Asterisk, count: int) -> None:
    """Wait until so many channels, all that there are, are joined to others."""
    async with asyncio.timeout(WAIT_SECONDS):
        while [bool(one.bridge) for one in await asyncio.to_thread(pbx.channels)] != [True] * count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _logged(broker: Broker, event: str) -> None:
    """Wait until the *event* is in the log."""
    async with asyncio.timeout(WAIT_SECONDS):
        while event not in (broker.folder / "log").read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
