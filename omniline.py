"""Omniline's front door: the command line, and the composition root that joins every part into one process.

    omniline serve [--demo]          serve until stopped; --role divides the work of a house among processes
    omniline migrate                 bring the database to this version's schema
    omniline user add LOGIN          add a person; user password LOGIN gives a new password
    omniline apply FILE.toml         make lines, channels, queues and operators as the file says
    omniline reconcile               prove that nothing was lost
    omniline replay                  decide the journal again: the same must come out
    omniline what-if                 play a line's traffic again under other settings, hours or people
    omniline move --to URL           carry a house from its data folder to PostgreSQL; --back gives that up
    omniline asterisk --write DIR    write the dialplan by which Asterisk asks what to do with calls

Commands that write speak to the running process over its control socket, or take the data folder's lock when none runs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.metadata
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import structlog

if TYPE_CHECKING:
    from broker.config import Settings
    from broker.control import Asker
    from broker.domain import Capabilities, ChannelId, ChannelRow, ConversationId, Directory, LineId, LineSettings
    from broker.errors import AccessLost, StoreBroken
    from broker.leases import Fence, Run
    from broker.outbound import SenderLoop
    from broker.ports import Calendars, Channel, ChannelKind, Transport, Tx
    from broker.rates import Rates
    from broker.sealing import Sealer
    from broker.store import moving, processes
    from broker.store.folder import DataFolder
    from broker.store.journal import Position
    from broker.store.postgres import Link, PostgresStore
    from broker.store.sqlite import SqliteStore
    from broker.transport.redis import RedisTransport
    from broker.web.server import Server
    from broker.web.wiring import CallsOut
    from channels.widget.callbacks import Callbacks
    from routing.replaying import Read, Written

T = TypeVar("T")

log = structlog.get_logger(__name__)

OWN_PACKAGES = ("broker", "channels", "routing", "operators", "crm_bridge")
SEND_DRAIN_SECONDS = 25.0
LEAVE_SECONDS = 5.0
"""How long the end of a process waits for the database to hear of it."""
CONTACT_TYPES = b'{"who":"contact"}'
"""What consoles are told when a customer is writing (operators.typists)."""
TYPING_SECONDS = 4.0
"""How often a customer is shown that somebody writes: providers show it for five seconds."""
RING_SECONDS = 2.0
"""How long a command waits to tell the processes that run what it has changed; they find out by themselves, if later."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status (0 done, 1 refused or failed, 2 wrong usage; of replay 1 is a difference)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    from broker.errors import OmnilineError

    try:
        _refuse_foreign_packages()
        return int(options.run(options) or 0)
    except OmnilineError as error:
        print(f"omniline: {error}", file=sys.stderr)
        return int(options.refused)
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="omniline", description="A self-hosted contact centre in one program.")
    parser.add_argument(
        "--config", type=Path, default=None, metavar="FILE", help="settings (default: omniline.toml, if there is one)"
    )
    parser.add_argument("--version", action="version", version=f"omniline {_version()}")
    parser.set_defaults(refused=1)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve the console, the chat and the API until stopped")
    serve.add_argument("--demo", action="store_true", help="on an empty database make a demo line; serve the demo shop page")
    serve.add_argument(
        "--role",
        type=_roles,
        default=frozenset(ROLES),
        metavar="ROLE[,ROLE]",
        help=f"what this process does of the whole, of {', '.join(ROLES)} (default: all); needs database_url and redis_url",
    )
    serve.set_defaults(run=_serve)

    migrate = commands.add_parser(
        "migrate",
        help="bring the database to this version's schema; a new one gets its first administrator",
        description="Creates or upgrades the database of database_url, or the one in the data folder. Processes of the release before "
        "may go on meanwhile. A database without people gets an administrator; the password is shown once.",
    )
    migrate.add_argument("--demo", action="store_true", help="make a demo line in a database without people")
    migrate.set_defaults(run=_migrate)

    user = commands.add_parser("user", help="people of the house").add_subparsers(required=True, metavar="ACTION")
    add = user.add_parser("add", help="add a person; prints their first password unless one is given")
    add.add_argument("login")
    add.add_argument("--name", default="")
    add.add_argument("--role", default="operator", choices=["administrator", "supervisor", "operator"])
    add.add_argument("--password-file", type=Path, default=None, help="a file with the password (default: one is generated)")
    add.set_defaults(run=_user_add)
    password = user.add_parser("password", help="give a person a new password and end their logins")
    password.add_argument("login")
    password.add_argument("--password-file", type=Path, default=None)
    password.set_defaults(run=_user_password)

    apply = commands.add_parser("apply", help="make lines, channels, queues and operators as a file says")
    apply.add_argument("file", type=Path)
    apply.set_defaults(run=_apply)

    asterisk = commands.add_parser(
        "asterisk",
        help="write the dialplan by which Asterisk asks what to do with calls",
        description="Writes omniline.conf, and omniline-local.conf unless it is there: that one is yours. Where the brokers listen and "
        "what their secret is comes from the settings (telephone.listen, telephone.secret).",
    )
    asterisk.add_argument("--write", type=Path, required=True, metavar="DIR", help="Asterisk's folder of configuration")
    asterisk.add_argument(
        "--broker",
        action="append",
        metavar="HOST:PORT",
        help="where Asterisk finds Omniline (default: telephone.listen); several times",
    )
    asterisk.set_defaults(run=_asterisk)

    processes = commands.add_parser(
        "processes",
        help="show which processes of a house on PostgreSQL run, and what each holds",
        description="The exit status is 0 when every role is done by somebody, 1 when not.",
    )
    processes.set_defaults(run=_processes)

    reconcile = commands.add_parser("reconcile", help="prove that every accepted message is stored, routed, answered or waiting")
    reconcile.set_defaults(run=_reconcile)

    replay = commands.add_parser(
        "replay",
        help="decide again what the journal says was decided; every byte that differs is shown",
        description="Decides every routing decision of the journal again, each from its own row alone. "
        "TIME is a moment with its zone (2026-11-01T09:30+03:00) or a day of UTC (2026-11-01; with --to, the whole of it). "
        "The exit status is 0 when all came out the same, 1 when not, 2 when nothing could be decided.",
    )
    replay.add_argument("--session", metavar="ID", help="only this session, with the distributions that offered or held it")
    replay.add_argument("--from", dest="since", type=_moment, metavar="TIME", help="only what was decided at TIME or later")
    replay.add_argument("--to", dest="until", type=_end, metavar="TIME", help="only what was decided before TIME")
    replay.add_argument("--json", action="store_true", help="a line of JSON for each difference, and one for the counts")
    # Differences have the status 1 for themselves.
    replay.set_defaults(run=_replay, refused=2)

    what_if = commands.add_parser(
        "what-if",
        help="play a line's traffic again under other settings, hours or people",
        description="Plays what customers wrote to a line again, as its settings are and as FILE would change them, and shows both "
        "beside what happened, with a staffing table. It only reads. TIME is as for replay. The exit status is 0, or 2 when "
        "nothing could be played.",
    )
    _what_if_options(what_if)

    move = commands.add_parser(
        "move",
        help="carry a house from its data folder to PostgreSQL",
        description="Carries every row to a new, empty database and compares both. The process that serves refuses meanwhile, and stays "
        "so; when anything fails it goes on. What lies in the data folder is only read.",
    )
    where = move.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", type=_postgres, metavar="URL", help="postgresql://USER@HOST/DATABASE, which nobody uses yet")
    where.add_argument("--back", action="store_true", help="give the copy up, and go on with what lies in the data folder")
    move.add_argument("--password-file", type=Path, default=None, help="a file with the password, when it is not in the address")
    move.set_defaults(run=_move)
    return parser


def _what_if_options(what_if: argparse.ArgumentParser) -> None:
    what_if.add_argument("--line", required=True, metavar="NAME", help="the line's short name")
    what_if.add_argument(
        "--from", dest="since", type=_moment, required=True, metavar="TIME", help="what was written at TIME or later"
    )
    what_if.add_argument("--to", dest="until", type=_end, required=True, metavar="TIME", help="what was written before TIME")
    what_if.add_argument(
        "--change", type=Path, required=True, metavar="FILE", help="lines and operators as for apply, and [what_if] add_operators"
    )
    what_if.add_argument("--seed", type=int, default=1, metavar="N", help="the same seed is the same play (default: 1)")
    what_if.add_argument(
        "--patience",
        type=float,
        default=None,
        metavar="SECONDS",
        help="after how long a customer goes, on average (for the staffing)",
    )
    what_if.add_argument("--json", action="store_true", help="a line of JSON with all of it")
    what_if.set_defaults(run=_what_if, refused=2)


def _postgres(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise argparse.ArgumentTypeError("write the address as postgresql://omniline@db.example.com/omniline")
    return text


def _roles(text: str) -> frozenset[str]:
    named = {role.strip() for role in text.split(",")}
    if unknown := sorted(named - {*ROLES, "all"}):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is no role; there are {', '.join(ROLES)}, and all")
    return frozenset(ROLES) if "all" in named else frozenset(named)


def _moment(text: str, *, day_over: bool = False) -> datetime:
    """Return the moment that *text* names; of a day its beginning in UTC, or its end when it is to be over."""
    try:
        try:
            day = datetime.combine(date.fromisoformat(text), time(), UTC)
        except ValueError:
            at = datetime.fromisoformat(text)
        else:
            # The last of all days has no day after it.
            return day + timedelta(days=1) if day_over and day.date() < date.max else day
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text} is no time; write a moment with its zone (2026-11-01T09:30+03:00) or a day (2026-11-01)"
        ) from None
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no zone; write {text}Z for UTC, or its offset ({text}+03:00)")
    return at


def _end(text: str) -> datetime:
    return _moment(text, day_over=True)


def _version() -> str:
    try:
        return importlib.metadata.version("omniline")
    except importlib.metadata.PackageNotFoundError:
        return "from source"


def foreign_packages() -> dict[str, list[str]]:
    """Return which other installed distributions claim one of our package names."""
    found = importlib.metadata.packages_distributions()
    claimed = {name: [d for d in found.get(name, []) if d != "omniline"] for name in (*OWN_PACKAGES, "omniline")}
    return {name: owners for name, owners in claimed.items() if owners}


def _refuse_foreign_packages() -> None:
    from broker.errors import ConfigError

    for name, owners in foreign_packages().items():
        raise ConfigError(
            f"the installed package {', '.join(owners)} also has a module named {name}; "
            f"give Omniline a virtual environment of its own, or: pip uninstall {' '.join(owners)}"
        )


# --- serving


def _serve(options: argparse.Namespace) -> int:
    from broker import config, log

    settings = config.read_settings(options.config)
    log.set_up(settings.log.level, settings.log.format)
    serving = _to_the_end(serve(settings, demo=options.demo, roles=options.role))
    try:
        import uvloop
    except ImportError:
        return asyncio.run(serving)
    return uvloop.run(serving)


async def _to_the_end(serving: Coroutine[Any, Any, int]) -> int:
    """Return the status of *serving*; whoever asks to stop after that asks for what is happening."""
    try:
        return await serving
    finally:
        # The interpreter takes a tenth of a second more, and gives handlers up in it.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def kinds(sealer: Sealer) -> dict[str, ChannelKind]:
    """Return every kind of channel there is, with secrets sealed by *sealer*: a new one is one line here."""
    from broker.sealing import sealing
    from channels import widget
    from channels.phone import adapter as phone
    from channels.telegram.adapter import TELEGRAM
    from channels.vk.adapter import VK

    return {kind.kind: sealing(kind, sealer) for kind in (widget.KIND, phone.KIND, TELEGRAM, VK)}


def calendars() -> Calendars:
    """Return what knows the world's zones and public holidays."""
    from routing.public_holidays import WorldCalendars

    return WorldCalendars()


ROLES = ("web", "router", "sender", "channels", "crm")
"""What a process may do of the whole: `all` is every one of them."""


@dataclass
class Ground:
    """What a process stands on: its database, how it wakes the others, and who it is among them."""

    process: processes.Process
    transport: Transport
    open_store: Callable[[Callable[[StoreBroken], None]], SqliteStore | PostgresStore]
    """Open the store; what is given is called when its disk has failed."""
    visitors_key: bytes
    sealer: Sealer
    """Seals the secrets of channels."""
    files: Path
    """Where files are kept: of several processes the same folder for all of them."""
    stands_on: str
    """What to tell people that it is."""
    folder: DataFolder | None = None
    """The folder that is this process's own, with its database in it; commands reach it by a socket there."""
    redis: RedisTransport | None = None
    """The transport, when it is that: it must run."""


@contextmanager
def embedded(settings: Settings, make_store: Callable[..., SqliteStore] | None = None) -> Iterator[Ground]:
    """Own the data folder and a database in it. *make_store* makes the store (default: SqliteStore)."""
    from broker import sealing
    from broker.clock import SystemClock, SystemIds
    from broker.sealing import Sealer
    from broker.store.folder import DataFolder
    from broker.store.migrate import migrate_sqlite
    from broker.store.sqlite import SqliteStore
    from broker.transport.memory import MemoryTransport
    from channels.widget.tokens import load_key

    folder = DataFolder(settings.data)
    folder.lock()
    try:
        folder.refuse_moved()
        folder.refuse_unsafe_disk(forced=settings.allow_unsafe_disk)
        migrate_sqlite(folder.database)
        transport = MemoryTransport()
        yield Ground(
            process=_this_process(ROLES),
            transport=transport,
            open_store=lambda on_broken: (make_store or SqliteStore)(
                folder.database, clock=SystemClock(), ids=SystemIds(), ring=transport.ring, on_broken=on_broken
            ),
            visitors_key=load_key(folder.keys / VISITORS_KEY),
            sealer=Sealer(lambda: load_key(folder.keys / SECRETS_KEY, sealing.KEY_BYTES)),
            files=settings.files or folder.files,
            stands_on=str(folder.path.resolve()),
            folder=folder,
        )
    finally:
        folder.unlock()


@contextmanager
def shared(settings: Settings, roles: Collection[str], make_link: Callable[..., Link] | None = None) -> Iterator[Ground]:
    """Be one of several processes on the database of the settings. Raises ConfigError when its schema is not this version's.

    *make_link* makes a connection (default: broker.store.postgres.Link).
    """
    _need_cluster()
    from broker import sealing
    from broker.clock import SystemIds
    from broker.sealing import Sealer
    from broker.store.migrate import check_postgres
    from broker.store.postgres import Link, PostgresStore, run_once
    from broker.store.secret_keys import key_of
    from broker.transport.memory import MemoryTransport
    from channels.widget.tokens import KEY_BYTES

    url, redis_url = settings.database, settings.redis
    assert url is not None
    check_postgres(url, forced=settings.allow_unsafe_disk)
    process = _this_process(roles)
    redis: RedisTransport | None = None
    if redis_url is not None:
        from broker.transport.redis import RedisTransport

        redis = RedisTransport(redis_url, process=process.id)
    transport: Transport = redis if redis is not None else MemoryTransport()
    yield Ground(
        process=process,
        transport=transport,
        open_store=lambda on_broken: PostgresStore(url, ids=SystemIds(), ring=transport.ring, make_link=make_link or Link),
        visitors_key=run_once(url, lambda tx: key_of(tx, VISITORS, KEY_BYTES)),
        sealer=Sealer(lambda: run_once(url, lambda tx: key_of(tx, CHANNELS, sealing.KEY_BYTES))),
        files=settings.files or settings.data / "files",
        stands_on=_without_password(url),
        redis=redis,
    )


def _need_cluster() -> None:
    """Raise ConfigError when the drivers of PostgreSQL and Redis are not installed."""
    from broker.errors import ConfigError

    missing = [name for name in ("psycopg", "redis") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"database_url: {' and '.join(missing)} must be installed for several processes: "
            f"{sys.executable} -m pip install 'omniline[cluster]'"
        )


def _count(alive: Iterable[processes.Process]) -> None:
    """Show how many processes do what."""
    from broker import metrics

    known = list(alive)
    for role in ROLES:
        metrics.processes_alive.labels(role).set(sum(process.does(role) for process in known))


def _this_process(roles: Collection[str]) -> processes.Process:
    from broker.clock import SystemIds
    from broker.store import processes

    named = processes.ALL if set(roles) == set(ROLES) else " ".join(role for role in ROLES if role in roles)
    return processes.Process(SystemIds().new(), named, socket.gethostname(), os.getpid(), _version(), 0, 0)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    asked = "&".join(one for one in parts.query.split("&") if one and "pass" not in one.partition("=")[0])
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{place}{parts.path}" + (f"?{asked}" if asked else "")


async def serve(
    settings: Settings,
    *,
    demo: bool = False,
    roles: Collection[str] = ROLES,
    make_store: Callable[..., SqliteStore] | None = None,
) -> int:
    """Serve until a signal says stop; return the exit status. *make_store* makes the embedded store (default: SqliteStore)."""
    from broker.errors import ConfigError

    if settings.database_url is None:
        if set(roles) != set(ROLES):
            raise ConfigError("--role: one process alone does everything; set database_url and redis_url to divide the work")
        if settings.redis_url is not None:
            raise ConfigError("redis_url: several processes need one database; set database_url too, or leave redis_url out")
        with embedded(settings, make_store) as ground, _traced(settings, ground):
            return await Process(settings, ground, demo=demo).live()
    if set(roles) != set(ROLES) and settings.redis_url is None:
        raise ConfigError("redis_url: processes with roles wake each other by it; set it, or leave --role out")
    with shared(settings, roles) as ground, _traced(settings, ground):
        return await Process(settings, ground, roles, demo=demo).live()


@contextmanager
def _traced(settings: Settings, ground: Ground) -> Iterator[None]:
    """Tell of the hops of messages where the settings say so; at the end nobody is served any more. Raises ConfigError."""
    from broker import tracing

    tracing.set_up(
        endpoint=settings.tracing.endpoint.get_secret_value() if settings.tracing.endpoint is not None else None,
        ratio=settings.tracing.ratio,
        logged=settings.log.level == "debug",
        resource={
            "service.instance.id": ground.process.id,
            "service.version": ground.process.version,
            "omniline.roles": ground.process.roles,
        },
    )
    try:
        yield
    finally:
        tracing.shut_down()


def _telephone(settings: Settings) -> tuple[list[socket.socket], str]:
    """Return where Asterisk asks, opened, and the secret that it must know; nothing where no telephone is set. Raises ConfigError."""
    from broker.config import host_of
    from broker.errors import ConfigError
    from broker.web.listening import open_port

    listen = settings.telephone.listen
    if listen is None:
        return [], ""
    if importlib.util.find_spec("pystrix") is None:
        raise ConfigError("telephone.listen: calls need the extra phone: pip install 'omniline[phone]'; or leave it unset")
    secret = settings.telephone_secret
    if settings.telephone.manager is not None:
        _ = settings.manager_secret
    return open_port(host_of(listen), int(listen.rpartition(":")[2]), "telephone.listen"), secret


class Process:
    """Every part of a process, made and joined; `live` runs them from the opening to the end."""

    def __init__(self, settings: Settings, ground: Ground, roles: Collection[str] = ROLES, *, demo: bool = False) -> None:
        from broker.access.logins import Logins
        from broker.access.passwords import Passwords
        from broker.clock import SystemClock
        from broker.files import LocalFiles
        from broker.leases import Leases
        from broker.store.directory import LiveDirectory
        from broker.web.addresses import Addresses
        from broker.web.listening import open_port
        from broker.web.wiring import Parts
        from channels.widget.gate import VisitorGate
        from channels.widget.limits import Limits
        from channels.widget.tokens import VisitorTokens
        from operators.gateway import Gateway
        from routing.applying import House

        self.settings = settings
        self.ground = ground
        self.roles = frozenset(roles)
        self.demo = demo
        # Before anything is written: a port that is taken must not cost the house its first password.
        self.doors = open_port(settings.host, settings.port)
        self._phone_doors, self._phone_secret = _telephone(settings) if "channels" in self.roles else ([], "")
        self.kinds = kinds(ground.sealer)
        self.files = LocalFiles(ground.files)
        self._strange: set[str] = set()
        """Kinds of channels that this version does not know."""
        self.clock = SystemClock()
        self.transport = ground.transport
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.store = ground.open_store(self._broken)
        self.leases = Leases(self.store, self.clock, ground.process.id)
        self.others = 0
        """How many other processes the house has."""
        self.leaving: str | None = None
        """Where the house is being carried, or has been: this process takes nothing any more."""
        self._move_lock = asyncio.Lock()
        self._make_outgoing: Callable[[], SenderLoop]
        self._outgoing: SenderLoop
        self._workers: list[asyncio.Task[None]] = []
        self._asides: set[asyncio.Task[None]] = set()
        self.directory = LiveDirectory(self.store, self.transport, shared=self.shared)
        self.directory.on_change(self._know)
        self.house = House(self.directory())
        self.channels: dict[ChannelId, Channel] = {}
        self._rows: dict[ChannelId, ChannelRow] = {}
        self.capabilities: dict[ChannelId, Capabilities] = {}
        addresses = Addresses(settings.trusted_proxies, settings.public_url)
        passwords = Passwords()
        self.parts = Parts(
            store=self.store,
            clock=self.clock,
            settings=settings,
            passwords=passwords,
            logins=Logins(self.store, passwords, settings.login),
            addresses=addresses,
            is_full=lambda: self.store.full_since is not None,
            is_leaving=lambda: self.leaving is not None,
            process_id=ground.process.id,
            reading=self._reading,
            late=self._late,
            calls_out=self._calls_out(),
            kinds={kind: one.capabilities for kind, one in self.kinds.items()},
            files=self.files,
            show_typing=self._show_typing,
        )
        self.gate = VisitorGate(
            self.store,
            self.transport,
            self.clock,
            self.directory,
            VisitorTokens(ground.visitors_key),
            limits=Limits(**settings.visitor.model_dump()),
            address_of=addresses.client,
            own_origin=addresses.own_origin,
            callbacks=self._callbacks(),
        )
        self.gateway = Gateway(self.parts, self.transport, self.directory)
        self.directory.on_change(self.gateway.settings_changed)

    @property
    def shared(self) -> bool:
        """Whether the database is not this process's own."""
        return self.ground.folder is None

    def _reading(self) -> dict[str, Position]:
        return self.gateway.reading()  # made after the parts it is one of

    def _late(self) -> list[str]:
        """Return what makes news late, in words for an administrator."""
        late = [f"redis: {self.transport.lost}"] if self.transport.lost is not None else []
        if self.others and self.transport.alone:
            late.append(f"{self.others} more processes use this database and cannot wake this one: set redis_url for all of them")
        return late

    def _broken(self, error: Exception) -> None:
        print(f"omniline: {error}", file=sys.stderr)
        self._end(1)

    def _end(self, status: int) -> None:
        if not self.ended.done():
            self.ended.set_result(status)

    def _know(self, directory: Directory) -> None:
        """Make the channels of a new directory, and what the other parts must know of each."""
        from channels import unknown
        from routing.applying import House

        strange = {row.kind for row in directory.channels.values()} - self.kinds.keys()
        for kind in sorted(strange - self._strange):
            log.warning(
                "channel_kind_unknown", kind=kind, remedy="a newer version has made it: bring this process to that version"
            )
        self._strange = strange
        known = {kind: one.capabilities for kind, one in self.kinds.items()}
        # Put in place at once: the store's threads look things up in it.
        self.capabilities = {row.id: known.get(row.kind, unknown.CAPABILITIES) for row in directory.channels.values()}
        rows = {row.id: row for row in directory.channels.values() if row.active}
        # What has not changed stays the same: a receiver need not begin anew.
        self.channels = {
            id_: self.channels[id_] if self._rows.get(id_) == row else self._make_channel(row) for id_, row in rows.items()
        }
        self._rows = rows
        self.house = House(
            directory,
            {id_: one.load for id_, one in self.capabilities.items()},
            frozenset(id_ for id_, one in self.capabilities.items() if one.buttons),
        )

    def _is_idempotent(self, id_: ChannelId) -> bool:
        known = self.capabilities.get(id_)
        return known is not None and known.idempotent

    def _make_channel(self, row: ChannelRow) -> Channel:
        from channels import widget
        from channels.phone import adapter as phone
        from channels.telegram.adapter import TelegramChannel
        from channels.unknown import UnknownChannel
        from channels.vk.adapter import VkChannel

        match row.kind:
            case widget.KIND.kind:
                return self.gate.channel(row)
            case phone.KIND.kind:
                return phone.PhoneChannel(row)
            case "telegram":
                return self._messenger(row, TelegramChannel, "aiogram")
            case "vk":
                return self._messenger(row, VkChannel, "vk_api")
        return UnknownChannel(row)

    def _messenger(self, row: ChannelRow, kind: Callable[..., Channel], library: str) -> Channel:
        """Return a channel whose provider is asked with secrets; one that cannot be served here says why wherever it is used."""
        from broker.errors import BadInput
        from broker.sealing import opened
        from channels.unknown import UnservedChannel

        if importlib.util.find_spec(library) is None:
            sentence = f"the library of this kind of channel is missing: pip install 'omniline[{row.kind}]'"
            return UnservedChannel(row, self.kinds[row.kind].capabilities, sentence, "no_library")
        try:
            plain = replace(row, settings=opened(self.kinds[row.kind], row.settings, self.ground.sealer))
        except BadInput as error:
            return UnservedChannel(row, self.kinds[row.kind].capabilities, str(error), error.code)
        return kind(plain, self.clock, self.files, self.settings.public_url)

    async def live(self) -> int:
        """Open, serve, and close in order: no new work, sends brought to their end, then the store."""
        from broker import control
        from broker.outbound import Sender, SenderLoop
        from operators.demo import first_data

        # First of all: whoever stops us from here on stops us in order, and hears the password of what has been committed.
        self._end_when_asked()
        await self._enter()
        password = None
        if not self.shared:
            await self.directory.refresh()
            password = await first_data(self.store, self.kinds, demo=self.demo)
        if password is not None:
            # At once: nothing that fails later may keep it from the only one who can ever read it.
            self._say_where(password)
        await self.directory.refresh()
        fence = await self.store.write(_next_fence)
        sender = Sender(
            self.store,
            self.clock,
            self._channel,
            self._sender_name,
            owner=self.ground.process.id,
            fence=fence,
            take=self.transport.take,
            on_access_lost=self._access_lost,
        )
        self._make_outgoing = partial(
            SenderLoop,
            sender,
            self.store,
            self.transport,
            fence=fence,
            idempotent=self._is_idempotent,
        )
        server = self._web()
        tasks = self._start(self._loops())
        self._work()
        folder = self.ground.folder
        commands = await control.listen(folder.control, self._command) if folder is not None else None
        serving = asyncio.create_task(server.serve(sockets=self.doors), name="web")
        serving.add_done_callback(self._ended)
        serving.add_done_callback(lambda _: self._end(0))
        self._quiet_collector()
        await self._served(server, serving)
        if server.started:
            if password is None:
                self._say_where()
            if "web" in self.roles:
                self._say_chats()
        try:
            status = await asyncio.shield(self.ended)
        finally:
            server.should_exit = True
            with suppress(Exception):
                await serving
            if commands is not None and folder is not None:
                commands.close()
                control.address(folder.control).unlink(missing_ok=True)
            await self._leave(tasks)
        return status

    async def _leave(self, tasks: list[asyncio.Task[None]]) -> None:
        """End what runs, in order, and the store last."""
        from broker.errors import StoreError
        from broker.store import processes

        async with self._move_lock:  # a move that is under way sees the end, and gives up
            await self._rest()
        await _cancelled([*tasks, *self._asides])
        await _let_go_of_providers()
        # A database that stands still is not waited for: the others find out.
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self.store.write(lambda tx: processes.leave(tx, self.ground.process.id))
        await self.store.close()

    def _end_when_asked(self) -> None:
        # Not by the loop's own handlers: those end with the loop, and from then on a signal would end the process.
        loop = asyncio.get_running_loop()

        def asked(number: int, _: object) -> None:
            with suppress(RuntimeError):  # the loop has ended: that is what was asked for
                loop.call_soon_threadsafe(self._end, 0)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, asked)

    async def _enter(self) -> None:
        from broker.store import processes

        process = self.ground.process
        await self.store.write(lambda tx: (processes.enter if self.shared else processes.enter_alone)(tx, process))
        _count([process])  # those beside it are counted in _stay_known

    async def _stay_known(self) -> None:
        """Say every few seconds that this process is there, and see who else is."""
        from broker.errors import StoreError
        from broker.store import processes

        alone, is_buried = True, False
        while True:
            try:
                known, dead = await self.store.write(lambda tx: processes.seen(tx, self.ground.process))
                if not known:
                    log.warning("process_was_taken_for_dead", process=self.ground.process.id)
                    is_buried = True
                if is_buried:
                    await self.gateway.enter_again()
                    is_buried = False
                for process in dead:
                    log.warning("process_found_dead", process=process)
                alive = await self.store.read(processes.alive)
                _count(alive)
                self.others = len(alive) - 1
                if self.others and self.transport.alone and alone:
                    alone = False
                    log.error("processes_cannot_wake_each_other", others=self.others, remedy="set redis_url for all of them")
            except StoreError as error:
                log.warning("process_not_seen", problem=str(error))
                is_buried = True  # what was not answered may have been said all the same: that we were unknown
            await asyncio.sleep(processes.SEEN_SECONDS)

    def _start(self, loops: dict[str, Coroutine[Any, Any, None]]) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(one, name=name) for name, one in loops.items()]
        for task in tasks:
            task.add_done_callback(self._ended)
        return tasks

    def _work(self) -> None:
        """Begin what this process does by itself."""
        self._outgoing = self._make_outgoing()
        self._workers = self._start(self._working(self._outgoing))

    async def _rest(self) -> bool:
        """End what this process does by itself; return whether every send under way has come to its end."""
        drained = await self._outgoing.drain(SEND_DRAIN_SECONDS)
        await _cancelled(self._workers)
        return drained

    def _loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what serves people and keeps this process known."""
        from broker import watchdog

        loops: dict[str, Coroutine[Any, Any, None]] = {"directory": self.directory.run(), "watchdog": watchdog.feed()}
        if self.ground.redis is not None:
            loops["transport"] = self.ground.redis.run()
        if self.shared:
            loops["known"] = self._stay_known()
        if "web" in self.roles:
            loops["gateway"] = self.gateway.run()
            if not self.transport.alone:
                loops["visitors"] = self.gate.run()
        return loops

    def _working(self, outgoing: SenderLoop) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what is done without anybody's asking."""
        from routing.worker import Worker

        loops: dict[str, Coroutine[Any, Any, None]] = {}
        if "router" in self.roles:
            loops |= {
                "worker": Worker(self.store, self.transport, lambda: self.house).run(),
                "distributor": self._distribute(),
                "timers": self._once("timers", self._keep_time),
            }
        if "sender" in self.roles:
            loops["sender"] = outgoing.run()
        if "channels" in self.roles:
            loops["receivers"] = self._receive()
            loops["fetcher"] = self._once("files", self._fetch)
            if self._phone_doors:
                loops["telephone"] = self._answer_calls()
        if "crm" in self.roles:
            loops["crm"] = self._once("crm", self._write_crm)
        return loops

    def _once(self, name: str, run: Run) -> Coroutine[Any, Any, None]:
        """Return *run*, which may run in one process of the house at a time."""
        from broker.leases import free

        return self.leases.run(name, run) if self.shared else run(free)

    async def _keep_time(self, fence: Fence) -> None:
        from broker.tasks import until_one_fails
        from broker.timers import TimerLoop
        from operators.presence import grace_over
        from routing import clockwork
        from routing.applying import timer_fired

        timekeeper = clockwork.Timekeeper(self.store, lambda: self.house, fence)
        stop = self.directory.on_change(timekeeper.settings_changed)
        timers = {
            "conversation": timer_fired,
            "operator": grace_over,
            clockwork.LINE: lambda tx, owner, *_: clockwork.line_due(tx, owner, self.house),
            clockwork.SHIFT: lambda tx, owner, *_: clockwork.shift_due(tx, owner, self.house),
        }
        try:
            await until_one_fails(timekeeper.run(), TimerLoop(self.store, self.transport, timers, fence).run())
        finally:
            stop()

    async def _distribute(self) -> None:
        from routing.distributor import Distributor

        distributor = Distributor(self.store, self.transport, lambda: self.house)
        # Alone the timekeeper does it for the one distributor there is.
        stop = self.directory.on_change(distributor.settings_changed) if self.shared else None
        try:
            await distributor.run()
        finally:
            if stop is not None:
                stop()

    async def _receive(self) -> None:
        from broker.receiving import Receivers

        receivers = Receivers(
            self.store,
            self._once,
            lambda: self.channels,
            self._line_settings,
            self.clock,
            on_typing=lambda conversation: self.transport.tell(f"typing:{conversation}", CONTACT_TYPES),
        )
        stop = self.directory.on_change(receivers.settings_changed)
        try:
            await receivers.run()
        finally:
            stop()

    async def _fetch(self, fence: Fence) -> None:
        from broker.fetching import Fetcher

        await Fetcher(self.store, self.transport, self.files, self._channel, fence).run()

    def _access_lost(self, channel_id: ChannelId, error: AccessLost) -> None:
        """Write down that a provider shut us out while we sent to it: where nothing is received it is learnt by this alone."""
        from broker.store import health

        self._aside(self.store.write(lambda tx: health.note(tx, channel_id, "refused", error.code, str(error))))

    def _show_typing(self, conversation_id: ConversationId, kind: str) -> None:
        """Show a customer that somebody writes to them, where their channel can; now and then is enough."""
        from broker.ports import ShowsTyping

        can = any(channel.kind == kind and isinstance(channel, ShowsTyping) for channel in self.channels.values())
        if can and not self._typing.take(conversation_id, self.clock.monotonic()):
            self._aside(self._show_typing_in(conversation_id))

    async def _show_typing_in(self, conversation_id: ConversationId) -> None:
        from broker.inbound import where_of
        from broker.ports import ShowsTyping

        channel_id, key = await self.store.read(lambda tx: where_of(tx, conversation_id))
        channel = self.channels.get(channel_id)
        if isinstance(channel, ShowsTyping):
            await channel.show_typing(key, "")

    @cached_property
    def _typing(self) -> Rates:
        from broker.rates import Rates

        return Rates(1 / TYPING_SECONDS, 1)

    def _aside(self, work: Awaitable[object]) -> None:
        """Do what nobody waits for; that it failed is told to the log."""
        from broker.errors import OmnilineError

        async def do() -> None:
            try:
                await work
            except OmnilineError as error:
                log.info("done_aside_in_vain", problem=str(error))

        task = asyncio.get_running_loop().create_task(do())
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def _answer_calls(self) -> None:
        """Serve the telephone exchange until cancelled."""
        from broker.tasks import until_one_fails
        from broker.web.listening import room_for
        from channels.phone.ami import Ami
        from channels.phone.census import Census
        from channels.phone.fastagi import Server
        from channels.phone.keeping import Keeping
        from channels.phone.sounds import Shelf
        from channels.phone.switchboard import Folders, Switchboard

        telephone = self.settings.telephone
        room_for(self.settings.connections.total + telephone.connections)
        here = self.settings.recordings
        here.mkdir(parents=True, exist_ok=True)
        folders = Folders(here, telephone.recordings_there or str(here.resolve()), self.settings.sounds_there)
        shelf = Shelf(self.store, self.clock, self.directory, self.settings.sounds)
        stop = self.directory.on_change(shelf.settings_changed)
        board = Switchboard(self.store, self.transport, self.directory, self._channel, folders, process_id=self.ground.process.id)
        server = Server(
            board.handle, secret=self._phone_secret, networks=telephone.networks, connections_max=telephone.connections
        )
        try:
            for door in self._phone_doors:
                await server.start(sock=door.dup())  # the door stays open for when we go on after a move that failed
            keeps: list[Coroutine[Any, Any, None]] = [shelf.run()]
            if telephone.recordings_days:
                keeps.append(Keeping(self.store, self.clock, here, telephone.recordings_days).run())
            if telephone.manager is None:
                await until_one_fails(board.run(), *keeps)
            else:
                host, _, port = telephone.manager.rpartition(":")
                user, secret = telephone.manager_user, self.settings.manager_secret
                manager = Ami(host.strip("[]"), int(port), user, secret, hear=board.hear, ready=board.ready)
                board.manager = manager
                census = Census(self.store, manager, board.numbers, board.interrupted, board.follows)
                await until_one_fails(manager.run(), census.run(), board.run(), *keeps)
        finally:
            stop()
            await server.close()
            await board.close()

    async def _write_crm(self, fence: Fence) -> None:
        from crm_bridge.builtin import BuiltInCrm
        from crm_bridge.loop import Loop
        from crm_bridge.reader import Reader

        reader = Reader(self.store, BuiltInCrm(self.store, fence), lambda: self.capabilities, fence=fence)
        await Loop(reader, self.transport).run()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A loop that ends by itself ends the process: what it left undone is taken up at the next start."""
        if not task.cancelled() and not self.ended.done() and (error := task.exception()) is not None:
            print(f"omniline: the {task.get_name()} loop ended: {error!r}", file=sys.stderr)
            self._end(1)

    def _web(self) -> Server:
        from broker.web.app import make_app
        from broker.web.hooks import hook_routes
        from broker.web.listening import room_for
        from broker.web.server import make_server
        from broker.web.static import Assets, chat_routes
        from channels.widget import demo
        from crm_bridge.routes import routes as crm_routes
        from operators.board_rest import routes as board_routes
        from operators.calls_rest import routes as call_routes
        from operators.channels_rest import routes as channel_routes
        from operators.deeds_rest import routes as deed_routes
        from operators.files_rest import routes as file_routes
        from operators.rest import routes as people_routes
        from operators.sessions_rest import routes as session_routes
        from operators.sounds_rest import routes as sound_routes
        from operators.why_rest import routes as why_routes
        from routing.hours_rest import routes as hours_routes

        if "web" not in self.roles:
            # Whoever watches over processes asks each of them how it is.
            return make_server(
                make_app(self.parts, only_operations=True),
                self.settings.host,
                self.settings.port,
                frame_bytes=self.settings.visitor.frame_bytes,
                limits=self.settings.connections,
                exempt=self.parts.addresses.is_proxy,
            )
        assets = Assets()
        chats = chat_routes(assets, lambda slug: any(row.slug == slug for row in self._chats()))
        routes = [
            *people_routes(calendars()),
            *channel_routes(self.kinds, self.ground.sealer, self._channel, self._line_settings, self.settings.public_url),
            hook_routes(self.store, self._channel, self._line_settings),
            file_routes,
            session_routes,
            call_routes,
            sound_routes,
            deed_routes,
            why_routes(self.directory),
            board_routes(self.directory, lambda operator, now: self.house.openings.of_operator(operator, now).open),
            hours_routes,
            crm_routes,
            chats,
        ]
        if self.demo:
            routes.append(demo.routes)
        app = make_app(self.parts, routes=routes, sockets={"/ws/visitor": self.gate, "/ws/operator": self.gateway}, assets=assets)
        # One server for both sockets: each gate holds its own visitors or operators to the smaller one.
        frame_bytes = max(self.settings.visitor.frame_bytes, self.settings.operator.frame_bytes)
        limits = self.settings.connections
        limits = limits.model_copy(update={"total": room_for(limits.total)})
        return make_server(
            app,
            self.settings.host,
            self.settings.port,
            frame_bytes=frame_bytes,
            limits=limits,
            exempt=self.parts.addresses.is_proxy,
        )

    async def _command(self, command: str, arguments: dict[str, object], asker: Asker) -> str:
        from broker.errors import BadInput
        from operators.commands import commands

        folder = self.ground.folder
        assert folder is not None
        if command == "move back":
            return await self._move_back(folder)
        folder.refuse_moved()
        if command == "move":
            return await self._move(folder, str(arguments["to"]), asker)
        known = commands(self.kinds, calendars())
        if command not in known:
            raise BadInput(f"there is no command {command}")
        return await known[command](self.store, arguments)

    # --- moving out

    async def _move(self, folder: DataFolder, to: str, asker: Asker) -> str:
        """Carry the house to the database *to*, and take nothing from then on; when that fails, go on."""
        from broker.errors import Conflict, OmnilineError

        if self._move_lock.locked():
            raise Conflict("a move is under way already; wait for its end")
        loop = asyncio.get_running_loop()
        watch = _moving().Watch(lambda text: loop.call_soon_threadsafe(asker.tell, text), lambda: asker.gone or self.ended.done())
        async with self._move_lock:
            # Nobody is kept waiting while we only look.
            asker.tell(LOOKING)
            await asyncio.to_thread(_moving().look, to, forced=self.settings.allow_unsafe_disk)
            named = _without_password(to)
            try:
                asker.tell("bringing to an end what is under way …")
                await self._fall_silent(named)
                keys = _keys_of(folder)
                text = await asyncio.to_thread(_carry, folder, to, keys, watch)
            except BaseException as error:
                if folder.moved is None:
                    self._speak_again()
                log.warning("move_failed", to=named, problem=str(error) if isinstance(error, OmnilineError) else repr(error))
                raise
        log.warning("house_moved", to=named)
        return text

    async def _fall_silent(self, to: str) -> None:
        """Bring to an end what is under way, and refuse whatever would write. Raises StoreError."""
        from broker.errors import StoreBusy, StoreMoving
        from broker.store.sqlite import SqliteStore

        self.leaving = to
        if not await self._rest():
            raise StoreBusy(
                "a message is being sent and does not come to its end; look at its channel, then move again; nothing was moved"
            )
        assert isinstance(self.store, SqliteStore)
        await self.store.shut(StoreMoving(MOVING, retry_after=MOVING_RETRY_SECONDS))

    def _speak_again(self) -> None:
        """Go on as before the move."""
        from broker.store.sqlite import SqliteStore

        assert isinstance(self.store, SqliteStore)
        self.leaving = None
        self.store.reopen()
        if not self.ended.done():
            self._work()

    async def _move_back(self, folder: DataFolder) -> str:
        async with self._move_lock:
            text = _give_up_move(folder)
            if self.leaving is not None:
                self._speak_again()
        log.warning("house_moved_back")
        return text

    def _channel(self, channel_id: ChannelId) -> Channel | None:
        # Looked up at each send: a new directory brings new channels.
        return self.channels.get(channel_id)

    def _calls_out(self) -> CallsOut | None:
        if self.settings.telephone.manager is None or importlib.util.find_spec("pystrix") is None:
            return None  # nobody makes them
        from channels.phone.asking import CallsOut

        return CallsOut(self.directory, self._channel)

    def _callbacks(self) -> Callbacks | None:
        from channels.widget.callbacks import Callbacks

        out = self.parts.calls_out
        return Callbacks(out, self._first_open) if out is not None else None

    def _first_open(self, line_id: LineId, at: datetime) -> datetime:
        return self.house.openings.first_open(line_id, at)

    def _line_settings(self, channel: Channel) -> LineSettings:
        return self.directory().lines[channel.line_id].settings

    def _sender_name(self, channel_id: ChannelId, operator_id: str | None) -> str:
        from channels.widget.gate import shown_name

        directory = self.directory()
        line = directory.lines[directory.channels[channel_id].line_id]
        return shown_name(directory, line.name, line.settings.identity, operator_id)

    @staticmethod
    def _quiet_collector() -> None:
        """What stands now stays for good: the collector need not look through it again and again."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)

    @staticmethod
    async def _served(server: Server, serving: asyncio.Task[None]) -> None:
        """Return when the server serves, or has failed to."""
        opened = asyncio.create_task(server.opened.wait())
        await asyncio.wait([opened, serving], return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()

    def _base(self) -> str:
        """Return the address that people type."""
        from broker.web.listening import host_port

        anywhere = self.settings.host in ("0.0.0.0", "::")  # noqa: S104 -- only compared
        host = "127.0.0.1" if anywhere else self.settings.host
        return self.settings.public_url or f"http://{host_port(host, self.doors[0].getsockname()[1])}"

    def _say_where(self, password: str | None = None) -> None:
        base = self._base()
        what = "" if self.roles == set(ROLES) else f" ({self.ground.process.roles})"
        lines = [f"Omniline serves {self.ground.stands_on} on {base}{what}"]
        if "web" in self.roles:
            lines += ["", f"  console      {base}/console/"]
        if password is not None:
            lines.append("               login: admin")
            lines.append(f"               password: {password}   (shown this once; choose your own in the console)")
        print("\n".join(lines), flush=True)

    def _say_chats(self) -> None:
        base = self._base()
        lines = [f"  public chat  {base}/chat/{row.slug}" for row in self._chats()]
        if self.demo:
            lines.append(f"  demo shop    {base}/demo/shop")
        print("\n".join(lines), end="\n" if lines else "", flush=True)

    def _chats(self) -> list[ChannelRow]:
        """Return the channels that have a public page: those whose visitors the gate lets in."""
        from channels import widget

        directory = self.directory()
        rows = directory.channels.values()
        return [row for row in rows if row.kind == widget.KIND.kind and row.active and directory.lines[row.line_id].active]


MOVING = "Omniline is moving to another database and takes nothing here; nothing is lost, come again in a moment"
MOVING_RETRY_SECONDS = 10.0
LOOKING = "looking at the new database …"
VISITORS = "visitors"
CHANNELS = "channels"
VISITORS_KEY = "visitors.key"
SECRETS_KEY = "channels.key"
"""The key that signs visitors' tokens, as several processes share it."""


async def _let_go_of_providers() -> None:
    """Close the connections to providers, of those kinds of channels that were used."""
    for name in ("channels.telegram.api", "channels.vk.api"):
        if (used := sys.modules.get(name)) is not None:
            with suppress(Exception):  # nothing depends on it any more
                await used.close()


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _next_fence(tx: Tx) -> int:
    from broker.store.counters import next_number

    return next_number(tx, "fence")


# --- commands that write: to the running process, or alone under the lock


def _user_add(options: argparse.Namespace) -> int:
    return _do(
        options,
        "user add",
        {"login": options.login, "name": options.name or options.login, "role": options.role, "password": _password(options)},
    )


def _user_password(options: argparse.Namespace) -> int:
    return _do(options, "user password", {"login": options.login, "password": _password(options)})


def _apply(options: argparse.Namespace) -> int:
    from operators.applying import given_passwords

    path: Path = options.file
    text = _settings_text(path)
    given = given_passwords(text, str(path), path.resolve().parent)
    return _do(options, "apply", {"name": str(path), "given": given, "text": text})


def _asterisk(options: argparse.Namespace) -> int:
    from broker.config import read_settings
    from broker.errors import ConfigError
    from channels.phone import dialplan

    settings = read_settings(options.config)
    brokers = options.broker or ([settings.telephone.listen] if settings.telephone.listen is not None else [])
    if not brokers:
        raise ConfigError("telephone.listen: set it, or say --broker HOST:PORT: Asterisk must know whom to ask")
    print("\n".join(dialplan.write(options.write, brokers, settings.telephone_secret, settings.sounds_there)))
    return 0


def _settings_text(path: Path) -> str:
    from broker.errors import ConfigError
    from operators.applying import FILE_MAX, text_of

    try:
        with path.open("rb") as file:
            # One more than may be, and no more: it may be a device that never ends.
            raw = file.read(FILE_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    return text_of(raw, str(path))


def _password(options: argparse.Namespace) -> str | None:
    from broker.errors import ConfigError

    if options.password_file is None:
        return None
    try:
        return str(options.password_file.read_text(encoding="utf-8").rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{options.password_file}: cannot be read ({error})") from error


def _do(options: argparse.Namespace, command: str, arguments: dict[str, object]) -> int:
    from broker import config, control
    from broker.store.folder import DataFolder

    settings = config.read_settings(options.config)
    answer = None
    if settings.database_url is None:
        answer = control.ask(DataFolder(settings.data).control, command, arguments)
    if answer is None:
        answer = asyncio.run(_do_alone(settings, command, arguments))
    print(answer)
    return 0


async def _do_alone(settings: Settings, command: str, arguments: dict[str, object]) -> str:
    from operators.commands import commands

    with embedded(settings) if settings.database_url is None else shared(settings, ROLES) as ground:
        async with _opened(ground) as store:
            return await commands(kinds(ground.sealer), calendars())[command](store, arguments)


@asynccontextmanager
async def _opened(ground: Ground) -> AsyncIterator[SqliteStore | PostgresStore]:
    """Open the store for one command; what it rings reaches the processes that run."""
    rings: asyncio.Task[None] | None = None
    redis = ground.redis
    if redis is not None:
        rings = asyncio.create_task(redis.run())
        with suppress(TimeoutError):
            async with asyncio.timeout(RING_SECONDS):
                while redis.lost is not None:  # noqa: ASYNC110  (nothing tells of the first time)
                    await asyncio.sleep(0.01)
    store = ground.open_store(lambda error: None)
    try:
        yield store
    finally:
        await store.close()
        if rings is not None and redis is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(RING_SECONDS):
                    await redis.take("command", 1_000.0, 1_000.0)  # what was rung before goes out before
            rings.cancel()
            await asyncio.gather(rings, return_exceptions=True)


def _migrate(options: argparse.Namespace) -> int:
    from broker import config
    from broker.store.migrate import migrate_postgres

    settings = config.read_settings(options.config)
    url = settings.database
    if url is not None:
        _need_cluster()
        migrate_postgres(url, forced=settings.allow_unsafe_disk)
    where, password = asyncio.run(_first_data(settings, demo=options.demo))
    print(f"{where} is of this version's schema")
    if password is not None:
        print(f"login: admin\npassword: {password}   (shown this once; choose your own in the console)")
    return 0


async def _first_data(settings: Settings, *, demo: bool) -> tuple[str, str | None]:
    from operators.demo import first_data

    with embedded(settings) if settings.database_url is None else shared(settings, ROLES) as ground:
        async with _opened(ground) as store:
            return ground.stands_on, await first_data(store, kinds(ground.sealer), demo=demo)


def _move(options: argparse.Namespace) -> int:
    from broker import config, control
    from broker.errors import ConfigError
    from broker.store.folder import DataFolder

    settings = config.read_settings(options.config)
    if settings.database_url is not None:
        raise ConfigError("database_url: this house is on PostgreSQL; leave it out to move the one in the data folder")
    folder = DataFolder(settings.data)
    if not folder.database.exists():
        raise ConfigError(f"data: there is no database in {folder.path}; set OMNILINE_DATA to the folder of the house")
    answer: str | None
    if options.back:
        answer = control.ask(folder.control, "move back", {}) or _alone(folder, partial(_give_up_move, folder))
    else:
        to = config.with_password("--password-file", options.to, options.password_file)
        progress = Progress()
        try:
            answer = control.ask(folder.control, "move", {"to": to}, progress.tell)
            if answer is None:
                answer = _alone(folder, partial(_move_alone, settings, folder, to, progress))
        finally:
            progress.end()
    print(answer)
    return 0


def _alone(folder: DataFolder, do: Callable[[], str]) -> str:
    folder.lock()
    try:
        return do()
    finally:
        folder.unlock()


def _move_alone(settings: Settings, folder: DataFolder, to: str, progress: Progress) -> str:
    from broker.store.sqlite import read_once

    folder.refuse_moved()
    read_once(folder.database, lambda tx: _refuse_other_schema(tx, folder.database))
    keys = _keys_of(folder)
    progress.tell(LOOKING)
    _moving().look(to, forced=settings.allow_unsafe_disk)
    return _carry(folder, to, keys, _moving().Watch(progress.tell))


def _keys_of(folder: DataFolder) -> dict[str, bytes]:
    """Return the keys that lie in the folder, by the names under which several processes share them."""
    from channels.widget.tokens import load_key

    kept = {VISITORS: folder.keys / VISITORS_KEY, CHANNELS: folder.keys / SECRETS_KEY}
    return {name: load_key(path) for name, path in kept.items() if path.exists()}


def _carry(folder: DataFolder, to: str, keys: dict[str, bytes], watch: moving.Watch) -> str:
    """Carry the house in *folder* to *to*, mark the folder as left, and return what to tell. Raises OmnilineError."""
    from broker.errors import ConfigError
    from broker.store.folder import Moved

    named = _without_password(to)
    try:
        folder.prepare_moved(Moved(named, f"{datetime.now(UTC):%Y-%m-%d at %H:%M:%S} UTC"))
    except OSError as error:
        raise ConfigError(f"data: {folder.path} cannot be written ({error.strerror}); nothing was moved") from error
    # Before, not after: once it is settled, nothing may fail any more.
    left = sum(1 for path in folder.files.rglob("*") if not path.is_dir())
    carried = _moving().carry(folder.database, to, keys, settled=partial(_leave, folder), watch=watch)
    lines = [
        f"moved {folder.database.resolve()} to {named}",
        "",
        carried.text(),
        "Visitors keep their conversations: the key of their tokens is there too."
        if VISITORS in keys
        else "There was no key of visitors' tokens; the new house makes one.",
    ]
    if left:
        lines.append(f"{left:,} files lie in {folder.files}: copy them into the data folder of every process of the new house.")
    lines += [
        "",
        "What is here was only read, and is not gone on with: a process that serves refuses, and does not start again. Now:",
        "",
        "  stop the process that serves, if one does",
        f"  export OMNILINE_DATABASE_URL='{named}'    # with its password, or OMNILINE_DATABASE_PASSWORD_FILE",
        "  export OMNILINE_REDIS_URL=redis://...    # for more than one process",
        "  omniline serve",
        "  omniline reconcile",
        "",
        "To give that up and go on here: omniline move --back. What the new house has accepted by then is not here.",
    ]
    return "\n".join(lines)


def _leave(folder: DataFolder) -> None:
    from broker.errors import ConfigError

    try:
        folder.set_moved()
    except OSError as error:
        raise ConfigError(
            f"data: everything is in the new database, but {folder.path} cannot be marked as left ({error.strerror}); the house goes on "
            "here: empty the new database before you move again"
        ) from error


def _give_up_move(folder: DataFolder) -> str:
    from broker.errors import Conflict

    moved = folder.moved
    if moved is None:
        raise Conflict(f"{folder.path} is not the copy that a move left; there is nothing to give up")
    folder.unset_moved()
    return (
        f"The house is in {folder.path} again, as it was on {moved.at}; whatever {moved.to} has accepted since is not in it. "
        "Stop what runs there, leave OMNILINE_DATABASE_URL unset, and empty that database before you move again."
    )


def _moving() -> ModuleType:
    """Return what moves a house. Raises ConfigError when the library of PostgreSQL is missing."""
    from broker.errors import ConfigError

    try:
        from broker.store import moving
    except ImportError as error:
        raise ConfigError(
            f"PostgreSQL needs a package more ({error.name}); run: {sys.executable} -m pip install 'omniline[cluster]'"
        ) from error
    return moving


class Progress:
    """A line on standard error that says how far it has come, when somebody sits before it."""

    def __init__(self) -> None:
        self._shown = False

    def tell(self, text: str) -> None:
        """Show *text* in place of what was shown before."""
        if sys.stderr.isatty():
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = True

    def end(self) -> None:
        """Leave the line as it was."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False


# --- commands that only read: beside a running process as well as alone


def _processes(options: argparse.Namespace) -> int:
    from broker import config, leases
    from broker.errors import ConfigError
    from broker.store import processes

    if config.read_settings(options.config).database is None:
        raise ConfigError("a house in a data folder has one process; whether it runs says /readyz, or whoever started it")
    alive, held, now = _snapshots(options)(lambda tx: (processes.alive(tx), leases.held(tx), tx.now))
    print(processes.told(alive, held, now))
    if missing := [role for role in ROLES if not any(one.does(role) for one in alive)]:
        print(f"nobody does: {', '.join(missing)}")
    return 1 if missing else 0


def _reconcile(options: argparse.Namespace) -> int:
    from broker.store.reconcile import reconcile

    report = _snapshots(options)(reconcile)
    print(report.text())
    return report.exit_code


REPLAY_SHOWN = 20


def _replay(options: argparse.Namespace) -> int:
    from broker.errors import BadInput
    from routing.replaying import Tally, between, of_session, replay

    since, until = options.since, options.until
    if options.session is not None and (since or until):
        raise BadInput("--session is replayed whole: leave out --from and --to, or --session")
    _refuse_no_time(since, until)
    read = _snapshots(options)
    rows = of_session(read, options.session) if options.session is not None else between(read, since, until)
    tally = Tally()
    differences = replay(_with_progress(rows), tally)
    if options.json:
        for difference in differences:
            print(difference.json(), flush=True)
        print(tally.json())
    else:
        shown = list(islice(differences, REPLAY_SHOWN))
        more = sum(1 for _ in differences)
        print(tally.text())
        for difference in shown:
            print(f"\n{difference.text()}")
        if more:
            print(f"\nand {more} more; --json shows them all")
    return 1 if tally.different else 0


def _what_if(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from broker.complaints import unknown
    from broker.errors import NotFound
    from operators.supposed import supposed
    from routing.comparison import compare
    from routing.traffic import kept

    _refuse_no_time(options.since, options.until)
    text = _settings_text(options.change)
    read = _snapshots(options)
    house = read(kept)
    by_slug = {line.slug: line.id for line in house.directory.lines.values()}
    line = by_slug.get(options.line)
    if line is None:
        raise NotFound(f"--line: {unknown(options.line, by_slug)}")
    would_be = supposed(text, str(options.change), line, house.directory, house.seats, house.budgets, calendars())
    comparison = compare(
        read,
        house,
        replace(house, directory=would_be.directory, budgets=would_be.budgets),
        line,
        options.since,
        options.until,
        seed=options.seed,
        patience_seconds=options.patience,
    )
    print(comparison.json() if options.json else comparison.text())
    return 0


def _refuse_no_time(since: datetime | None, until: datetime | None) -> None:
    from broker.errors import BadInput

    if since and until and since >= until:
        raise BadInput(f"--from {since.isoformat()} is not before --to {until.isoformat()}: nothing lies between; swap them?")


def _with_progress(rows: Iterable[Written]) -> Iterator[Written]:
    """Pass *rows* on, and tell who sits before a terminal how far a long run has come."""
    progress = Progress()
    for number, row in enumerate(rows, 1):
        yield row
        if number % 10_000 == 0:
            progress.tell(f"{number} rows ...")
    progress.end()


def _snapshots(options: argparse.Namespace) -> Read:
    """Return what runs a function on a snapshot of the database that the settings name.

    Raises ConfigError when there is none; what it returns raises StoreTooNew and ConfigError of a schema that is not ours.
    """
    from broker import config
    from broker.errors import ConfigError
    from broker.store.folder import DataFolder
    from broker.store.sqlite import read_once

    settings = config.read_settings(options.config)
    url = settings.database
    if url is not None:
        _need_cluster()
        from broker.store import postgres
        from broker.store.migrate import check_postgres

        check_postgres(url, forced=True)
        return postgres.reader(url)
    folder = DataFolder(settings.data)
    if not folder.database.exists():
        raise ConfigError(f"data: there is no database in {folder.path}; set OMNILINE_DATA to the folder of the one to check")

    if (moved := folder.moved) is not None:
        print(f"omniline: {folder.path} is the copy that was left when the house moved to {moved.to}", file=sys.stderr)

    def read(work: Callable[[Tx], T]) -> T:
        def checked(tx: Tx) -> T:
            _refuse_other_schema(tx, folder.database)
            return work(tx)

        return read_once(folder.database, checked)

    return read


def _refuse_other_schema(tx: Tx, path: Path) -> None:
    """Raise StoreTooNew or ConfigError: of a schema we do not know we cannot say "clean"."""
    from sqlalchemy import column, select, table, text

    from broker.errors import ConfigError
    from broker.store.migrate import as_ours
    from broker.store.migrations import HEAD
    from broker.store.sql import sql

    named = sql(select(column("name")).select_from(table("sqlite_master")).where(column("name") == "alembic_version"))
    row = tx.one(sql(select(text("*")).select_from(table("alembic_version")))) if tx.one(named) else None
    version = as_ours(row, str(path), "read it with the newer version")
    if version != HEAD:
        raise ConfigError(
            f"data: {path} is not of this version (schema {version or 'none'}, this one reads {HEAD}); "
            "start this version on it once, or set OMNILINE_DATA to the folder of the one to check"
        )


if __name__ == "__main__":
    sys.exit(main())
