"""What every measure needs: a server in its own process, the numbers of that process, and a way to print the result.

::

    BenchError          a measure could not be taken; the text says why and what to do
    └── ServerFailed    the measured server did not start, or ended by itself; carries the end of its log
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.005
STOP_SECONDS = 15.0
LOG_TAIL_BYTES = 3000
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A measure could not be taken."""


class ServerFailed(BenchError):
    """The measured server did not start in time, or ended by itself."""


class Report(Protocol):
    """Takes one finished measure; the command line prints it."""

    def __call__(self, name: str, value: float, unit: str) -> None: ...


def measure_line(name: str, value: float, unit: str) -> str:
    """Return ``name value unit``: three decimals below 100, one above."""
    decimals = 3 if abs(value) < 100 else 1
    return f"{name} {value:.{decimals}f} {unit}"


def progress(text: str) -> None:
    """Tell the person who waits, on standard error."""
    print(text, file=sys.stderr, flush=True)


def median(values: Sequence[float]) -> float:
    """Return the median; BenchError when there is nothing to take it of."""
    if not values:
        raise BenchError("nothing was measured, so there is no median")
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of *values* that at least *percent* per cent of them do not exceed (nearest rank, no interpolation)."""
    if not values:
        raise BenchError("nothing was measured, so there is no percentile")
    if not 0 < percent <= 100:
        raise ValueError(f"percent is {percent}; it must be above 0 and at most 100")
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def process_tree(pid: int) -> list[int]:
    """Return *pid* and all its living descendants. Linux only: reads /proc."""
    parents: dict[int, list[int]] = {}
    for entry in proc().iterdir():
        if entry.name.isdigit() and (fields := stat_fields(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    tree = [pid]
    for member in tree:
        tree += parents.get(member, [])
    return tree


def rss_kib(pid: int) -> int:
    """Return the resident memory of *pid* and its descendants, in KiB; shared pages count once a process."""
    total = 0
    for member in process_tree(pid):
        try:
            status = (proc() / str(member) / "status").read_text()
        except OSError:  # it ended meanwhile
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return total


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, that *pid* with all its threads and its living descendants has used; 10 ms steps."""
    ticks = 0
    for member in process_tree(pid):
        if fields := stat_fields(member):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / CLOCK_TICKS


def cpu_seconds_each(pids: Mapping[str, int]) -> dict[str, float]:
    """Return `cpu_seconds` of each of the named processes."""
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def stolen_seconds() -> float:
    """Return the CPU time, of all cores, that the host has given to others while we wanted it (proc(5): steal); 10 ms steps."""
    return int((proc() / "stat").read_text().split(maxsplit=9)[8]) / CLOCK_TICKS


def proc() -> Path:
    """Return /proc, or raise BenchError where there is none."""
    path = Path("/proc")
    if not (path / "self" / "stat").exists():
        raise BenchError("this measure reads /proc, which this system does not have; run it on Linux")
    return path


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on (proc(5) counts it as the third); empty when the process is gone."""
    try:
        return (proc() / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def bench_folder() -> Path:
    """Return the folder for what servers keep: beside the code, for a system's temporary folder may be memory."""
    folder = ROOT / ".cache" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fsync_ms(count: int = 200) -> list[float]:
    """Return how long *count* writes of 4 KiB, each with its fsync, took one by one, on the disk the servers are given."""
    taken: list[float] = []
    with tempfile.TemporaryFile(prefix="omniline-bench-", dir=bench_folder(), buffering=0) as file:
        for _ in range(count):
            file.write(bytes(4096))
            begun = time.perf_counter()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - begun) * 1000)
    return taken


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A server in its own process group and its own temporary folder; a context manager that starts and stops it.

    *command* and the values of *environment* may hold ``{port}``, ``{host}`` and ``{data}``.
    *data* uses that folder, which stays, instead of a temporary one.
    The environment is added to this process's own.
    What the server writes is kept aside, and its end is part of ServerFailed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        ready_path: str = "/readyz",
        seconds: float = 30.0,
        data: Path | None = None,
    ) -> None:
        self._command = command
        self._environment = environment or {}
        self._ready_path = ready_path
        self._seconds = seconds
        self._folder = tempfile.TemporaryDirectory(prefix="server-", dir=bench_folder(), ignore_cleanup_errors=True)
        self._log = Path(self._folder.name) / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.data = data or Path(self._folder.name) / "data"
        self.data.mkdir(exist_ok=True)
        self.port = free_port()
        self.start_seconds = 0.0
        """From the start of the process to its first 200, once started."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process's id; ServerFailed when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise ServerFailed(f"{self._command[0]} is not running\n{self.log_tail()}")
        return self._process.pid

    def start(self) -> None:
        """Start the process and return at its first 200; ServerFailed when it ends first or *seconds* pass."""
        values = {"host": HOST, "port": str(self.port), "data": str(self.data)}
        environment = os.environ | {name: value.format_map(values) for name, value in self._environment.items()}
        url = f"http://{HOST}:{self.port}{self._ready_path}"
        with self._log.open("ab") as log:
            begun = time.perf_counter()
            self._process = subprocess.Popen(
                [part.format_map(values) for part in self._command],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not answers_200(url):
            if time.perf_counter() - begun > self._seconds:
                self.stop()
                raise ServerFailed(f"{url} did not answer 200 in {self._seconds:g} s\n{self.log_tail()}")
            try:
                # Another process's readiness has no event here: its end has, so wait for that between two looks.
                status = self._process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            raise ServerFailed(f"the server ended with status {status} before it was ready\n{self.log_tail()}")
        self.start_seconds = time.perf_counter() - begun

    def stop(self) -> None:
        """Ask the process to end, kill its group if it does not, and remove the temporary folder."""
        process, self._process = self._process, None
        if process is not None:
            stop_group(process)
        self._folder.cleanup()

    def log_tail(self) -> str:
        """Return the end of what the server wrote."""
        try:
            return self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End *process*, which leads a group of its own: SIGTERM, then SIGKILL for the group."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            progress(f"process {process.pid} did not end in {STOP_SECONDS:g} s; killing it")
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def answers_200(url: str) -> bool:
    """Tell whether *url*, on this machine, answers 200 now; proxies are not asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
