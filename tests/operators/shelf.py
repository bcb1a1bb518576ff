"""A shop that keeps files: open_shop's people and lines, with the routes of files and messengers instead of pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from broker import inbound
from broker.config import Settings
from broker.domain import Role
from broker.files import LocalFiles
from broker.store import directory as directories
from broker.web.app import make_app
from operators.deeds_rest import routes as deed_routes
from operators.files_rest import routes as file_routes
from operators.rest import routes as people_routes
from operators.sessions_rest import routes as session_routes
from routing.public_holidays import WorldCalendars
from tests.operators.shop import Shop, _open_line
from tests.support.messenger import Messenger, What
from tests.support.site import Site


class Shelf(Shop):
    """See the module; *files* is the folder of files."""

    files: Path

    def bring(self, what: What, key: str = "v1", line: int = 0) -> None:
        """Have a customer say *what*, and everything that follows from it."""
        channel = self.channels[line]
        assert isinstance(channel, Messenger)
        settings = self.site.write(directories.load).lines[channel.line_id].settings
        prepared = inbound.prepare(channel, [channel.brings(what, key, external_id=f"h{len(channel.means)}")], settings)
        self.site.write(lambda tx: inbound.accept(tx, channel.id, prepared))
        self.go_on()

    def upload(self, who: str, session: str, name: str = "a.txt", content: Any = b"hello", **headers: str) -> httpx.Response:
        """Upload a file for the customer of *session*."""
        kind = {"content-type": "application/octet-stream"} | {key.replace("_", "-"): value for key, value in headers.items()}
        return self.ask(who, "POST", f"/sessions/{session}/files/{quote(name, safe='')}", content=content, headers=kind)

    def uploaded(self, session: str, name: str = "a.txt", content: bytes = b"hello", who: str = "ann") -> str:
        """Return the id of a file that was uploaded."""
        answer = self.upload(who, session, name, content)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def messages(self, session: str, who: str = "sue") -> list[dict[str, Any]]:
        """Return the session's messages."""
        return list(self.get(who, f"/sessions/{session}/messages")["items"])

    def kept(self) -> list[Path]:
        """Return what lies in the folder of files."""
        return [path for path in self.files.rglob("*") if path.is_file()]


@contextmanager
def open_shelf(folder: Path, *, keeps_files: bool = True) -> Iterator[Shelf]:
    """Yield a shelf: ann sits in its first line, bob in its second, sue supervises; it is closed at the end."""
    site = Site(folder, settings=Settings(data=folder))
    site.parts = replace(site.parts, files=LocalFiles(folder / "files") if keeps_files else None)
    site.app = make_app(site.parts, routes=[session_routes, deed_routes, file_routes, *people_routes(WorldCalendars())])
    site.client = site.browser()
    made = Shelf(site)
    made.files = folder / "files"
    for slug in ("shop", "bar"):
        line, channel = site.write(partial(_open_line, slug=slug))
        made.lines.append(line)
        made.channels.append(Messenger(channel, line))
    made.person("ann", Role.OPERATOR, 0)
    made.person("bob", Role.OPERATOR, 1)
    made.person("sue", Role.SUPERVISOR)
    yield made
    site.close()
