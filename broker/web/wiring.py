"""How a route gets what it needs: the parts that the composition root made, and who is asking.

    @routes.get("/lines")
    async def list_lines(store: StoreOf, actor: Annotated[Actor, May(Action.READ_LINES)]) -> LinePage: ...

Every route names its `May(action)`, its `current_actor`, or `Anybody(why)`; `unlisted` finds those that name none, for a test. `May` admits
the actor to the action as such (a list is bounded by its query); what is done to one thing asks `authorize` again with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request
from fastapi.routing import APIRoute

from broker.access.authorize import Action, Actor, authorize
from broker.access.cookies import token_in
from broker.access.logins import Logins
from broker.access.passwords import Passwords
from broker.config import Settings
from broker.domain import Capabilities, ConversationId, LineId, OperatorId, Source
from broker.errors import NotAuthenticated
from broker.ports import Clock, Files, Store, Tx
from broker.store.journal import Position
from broker.web.addresses import Addresses
from broker.web.asgi import Scope, cookies


class CallsOut(Protocol):
    """What has a customer called: an operator's phone first, then theirs."""

    def lines(self) -> frozenset[LineId]:
        """Return the lines from which can be called."""

    def ask(
        self,
        tx: Tx,
        line_id: LineId,
        name: str,
        number: str,
        due: datetime,
        *,
        customer: str = "",
        by: OperatorId | None = None,
        now: bool = False,
        source: Source | None = None,
    ) -> ConversationId | None:
        """Enter a call to *number* at *due*, once under the same *name*; return its conversation, None: it could not be read.

        *by*: by whom if they can; *now*: by them alone; *source*: where the customer asked for it. Raises BadInput for a line without a
        number, or what is none.
        """

    def asked(self, tx: Tx, number: str, since: datetime) -> tuple[int, int]:
        """Return how many calls to *number*, E.164, are to be made or are under way, and how many were asked for *since*."""

    def entered(self, tx: Tx, name: str) -> tuple[str, datetime, datetime] | None:
        """Return of the call that was entered under *name*: its number, when it was asked for, and for when; None: there is none."""

    def is_ours(self, number: str) -> bool:
        """Return whether *number*, E.164, is one of the house's own."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What routes work with; stands in `app.state.parts`."""

    store: Store
    clock: Clock
    settings: Settings
    passwords: Passwords
    logins: Logins
    addresses: Addresses
    is_full: Callable[[], bool] = lambda: False
    """Whether the store last found the disk full."""
    is_leaving: Callable[[], bool] = lambda: False
    """Whether the house is being carried to another database, or has been: this one takes nothing more."""
    process_id: str = "alone"
    """Which process of the house this is."""
    reading: Callable[[], Mapping[str, Position]] = dict
    """Return how far the readers of the journal have read that keep their place in this process alone."""
    calls_out: CallsOut | None = None
    """None: there is no telephone."""
    kinds: Mapping[str, Capabilities] = field(default_factory=dict)
    """What channels can, by their kind."""
    files: Files | None = None
    """Where files are kept; None: nowhere, in a test."""
    show_typing: Callable[[ConversationId, str], None] = lambda *_: None
    """Show the customer of a conversation, in a channel of the kind named, that somebody is writing to them."""
    late: Callable[[], list[str]] = list
    """Return what makes news late and keeps nobody from work, in words."""

    async def actor_of(self, scope: Scope) -> Actor | None:
        """Return whose cookie a request or a socket brings; None when it brings none that is valid."""
        return await self.logins.actor_of(self.token_of(scope))

    def token_of(self, scope: Scope) -> str | None:
        """Return the login's token that a request or a socket brings; over plain http it counts on this machine alone."""
        secure = self.addresses.is_https(scope)
        if not secure and not self.addresses.is_loopback(scope):
            return None
        return token_in(cookies(scope), secure=secure)


def parts_of(request: Request) -> Parts:
    """Return the parts of the application that serves *request*."""
    parts: Parts = request.app.state.parts
    return parts


def _store(request: Request) -> Store:
    return parts_of(request).store


async def current_actor(request: Request) -> Actor:
    """Return who is asking. Raises NotAuthenticated."""
    actor = await parts_of(request).actor_of(request.scope)
    if actor is None:
        raise NotAuthenticated("log in at /console/ first; your login may have ended")
    return actor


PartsOf = Annotated[Parts, Depends(parts_of)]
StoreOf = Annotated[Store, Depends(_store)]


@dataclass(frozen=True, slots=True)
class _May:
    """A dependency: whoever asks is logged in and may do *action* somewhere; gives the Actor."""

    action: Action

    async def __call__(self, request: Request) -> Actor:
        actor = await current_actor(request)
        authorize(actor, self.action)
        return actor


@dataclass(frozen=True, slots=True)
class _Anybody:
    """A dependency that asks nothing and says why."""

    why: str

    async def __call__(self) -> None:
        return None


def May(action: Action) -> Any:  # noqa: N802 -- reads as the permission it is, beside Depends
    """Return the dependency that admits whoever may do *action* and gives the Actor."""
    return Depends(_May(action))


def Anybody(why: str) -> Any:  # noqa: N802 -- the same
    """Return the dependency of a route that is open to strangers, with the reason."""
    return Depends(_Anybody(why))


def listed(route: APIRoute) -> list[Action | str]:
    """Return the actions that *route* asks for, or the reasons why it asks for none."""
    found: list[Action | str] = []
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, _May):
            found.append(dependency.call.action)
        elif isinstance(dependency.call, _Anybody):
            found.append(dependency.call.why)
        elif dependency.call is current_actor:
            found.append("asks authorize itself, with the actor")
    return found


def unlisted(routes: Iterable[object]) -> list[str]:
    """Return the routes that name neither an action nor a reason to be open."""
    return [
        f"{sorted(route.methods or ())} {route.path}" for route in routes if isinstance(route, APIRoute) and not listed(route)
    ]
