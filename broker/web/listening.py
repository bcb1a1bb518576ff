"""Opening the port that the house listens on, or saying in a sentence why it cannot be opened and what to do; and room for who comes."""

from __future__ import annotations

import errno
import os
import resource
import socket
from contextlib import suppress
from pathlib import Path

from broker.errors import ConfigError

FILES_KEPT = 200
"""Files of this process that are no connections: the database, its readers, libraries, what the system opens for a moment."""


def room_for(connections: int) -> int:
    """Ask the system for so many files that *connections* fit, and return how many of them do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + FILES_KEPT
    if soft != resource.RLIM_INFINITY and soft < wanted:
        more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        # macOS has a limit below what it says.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, soft - FILES_KEPT))


def open_port(host: str, port: int, key: str = "listen") -> list[socket.socket]:
    """Return what listens on *port* (0: a free one) at every address that *host* has here; *key* is the setting. Raises ConfigError."""
    opened: list[socket.socket] = []
    problem: OSError | UnicodeError | None = None
    try:
        found = dict.fromkeys(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
        for family, _, _, _, place in found:
            # The addresses of one name share the port, also when any free one was asked for.
            chosen = opened[0].getsockname()[1] if opened else port
            try:
                opened.append(socket.create_server((place[0], chosen, *place[2:]), family=family))
            except OSError as error:
                # localhost means ::1 too, also where there is no IPv6.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                problem = error
    except (OSError, UnicodeError) as error:
        for door in opened:
            door.close()
        opened, problem = [], error
    if not opened:
        raise ConfigError(f"{key}: {_why_closed(host, port, problem, key)}") from problem
    return opened


def _why_closed(host: str, port: int, problem: OSError | UnicodeError | None, key: str) -> str:
    here = host_port(host, port)
    if key != "listen":
        return f"{here} cannot be opened ({getattr(problem, 'strerror', None) or problem}); name a free port of an address of this machine"
    match getattr(problem, "errno", None):
        case errno.EADDRINUSE:
            another = f"OMNILINE_LISTEN={host_port(host, port + 1 if port < 65_535 else 8_080)}"
            return (
                f"{here} is taken by {_listener(port)}; stop that one, or take another port: "
                f"{another} make run (or: {another} omniline serve)"
            )
        case errno.EACCES:
            another = f"OMNILINE_LISTEN={host_port(host, 8_080)}"
            return f"{here} may not be opened by this user, ports below 1024 are the system's; take another: {another} omniline serve"
        case _:
            # What could not be resolved has no number of the system's (a positive one), but words of its own.
            number = getattr(problem, "errno", None) or 0
            why = os.strerror(number) if number > 0 else getattr(problem, "strerror", None) or problem
            return (
                f"{here} cannot be opened ({why}); name an address of this machine: OMNILINE_LISTEN=127.0.0.1:8080 omniline serve"
            )


def _listener(port: int) -> str:
    """Say which process listens on *port*, as far as the system (Linux) and its owner let us see."""
    sockets = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for row in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
                columns = row.split()
                if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{columns[9]}]")
    # Processes end while we look, and other people's are closed to us.
    with suppress(OSError):
        for descriptor in Path("/proc").glob("[0-9]*/fd/*") if sockets else ():
            with suppress(OSError):
                if str(descriptor.readlink()) in sockets:
                    name = descriptor.parents[1].joinpath("comm").read_text(encoding="utf-8", errors="replace").strip()
                    return f"process {descriptor.parts[2]} ({name})"
    return "another program"


def host_port(host: str, port: int) -> str:
    """Return host and port as they are written in an address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
