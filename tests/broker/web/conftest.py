"""A site with a few routes that go wrong in every way, and built browser files."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from broker import errors
from broker.web.static import Assets, chat_routes
from broker.web.wiring import Anybody
from tests.support.site import Site

ERRORS = {
    "input": errors.BadInput("the name is empty", field="name", code="empty"),
    "login": errors.NotAuthenticated("log in"),
    "forbidden": errors.Forbidden("not you"),
    "found": errors.NotFound("no such thing"),
    "conflict": errors.Conflict("taken"),
    "many": errors.TooMany("too many", retry_after=2.2),
    "full": errors.StoreFull("the disk is full"),
    "moving": errors.StoreMoving("on the move", retry_after=9.5),
    "closed": errors.StoreClosed("secret path"),
    "config": errors.ConfigError("secret setting"),
    "bug": RuntimeError("secret inside"),
}


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    colour: str = "red"


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: Annotated[int, Field(ge=1)]
    inner: Inner = Inner()


def _routes():
    router = APIRouter(prefix="/api/v1", dependencies=[Anybody("a test")])

    @router.get("/fail/{how}")
    async def fail(how: str) -> None:
        raise ERRORS[how]

    @router.post("/body")
    async def body(wanted: Body) -> Body:
        return wanted

    @router.post("/bytes")
    async def count(request: Request) -> int:
        return len(await request.body())

    return router


@pytest.fixture
def built(tmp_path):
    """Return browser files as `make web` leaves them."""
    folder = tmp_path / "static"
    for name, text in {
        "console/index.html": "<!doctype html><title>console</title>",
        "console/assets/index-CCLqAbAE.js": "console();" * 200,
        "icon.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
        "widget/widget.js": "loader();" * 200,
        "widget/app-B_FP8TsL.js": "app();",
        "widget/page.html": "<!doctype html><title>chat</title>",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def make_site(tmp_path, built):
    """Return how to make a site; it is closed at the end."""
    made: list[Site] = []

    def make(**more):
        folder = tmp_path / f"data{len(made)}"
        folder.mkdir()
        assets = more.pop("assets", None) or Assets(built)
        routes = [_routes(), chat_routes(assets, {"shop"}.__contains__)]
        made.append(Site(folder, **{"routes": routes, "assets": assets, **more}))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site):
    """Return a site with the defaults."""
    return make_site()
