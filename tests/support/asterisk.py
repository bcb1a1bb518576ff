"""A real Asterisk for tests, in a temporary folder, on ports of its own; and SIPp as phones and callers.

    with Asterisk(dialplan) as pbx:
        pbx.phone("101", "answers.xml")          # an operator's phone that answers
        caller = pbx.call("100", "caller.xml")   # somebody calls 100 over the trunk

Programs come from tests/tools/asterisk.sh. Nothing of it needs root; all of it listens on the loopback only.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import wave
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from channels.phone import sounds

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 10.0

# The least that calls, recordings, transfers and the manager need; autoload would bring 300 more.
MODULES = """
res_timing_timerfd res_sorcery_config res_sorcery_memory res_sorcery_astdb res_pjproject res_pjsip res_pjsip_session res_pjsip_pubsub
res_pjsip_sdp_rtp res_pjsip_caller_id res_pjsip_endpoint_identifier_user res_pjsip_endpoint_identifier_ip res_pjsip_authenticator_digest
res_pjsip_registrar res_pjsip_rfc3326 res_pjsip_refer res_pjsip_dtmf_info res_pjsip_header_funcs res_rtp_asterisk chan_pjsip
bridge_simple bridge_softmix bridge_holding bridge_builtin_features codec_ulaw codec_alaw codec_gsm codec_a_mu codec_resample
format_pcm format_wav format_gsm format_sln res_musiconhold res_speech res_agi pbx_config app_dial app_stack app_userevent app_mixmonitor
func_periodic_hook app_chanspy func_cut func_groupcount func_uri app_playback app_record app_senddtmf app_originate app_verbose app_read
res_clioriginate func_callerid func_channel func_logic func_rand func_timeout func_strings func_hangupcause func_math
pbx_spool app_queue
""".split()
EMPTY = ("features", "cel", "cdr", "acl", "udptl", "pjproject", "ccss", "stasis", "http")
"""Files that Asterisk warns of when they are not there."""
PHONES = tuple(str(number) for number in range(101, 109))


@cache
def programs() -> Path:
    """Return the folder of asterisk and sipp: $OMNILINE_TEST_ASTERISK, or where tests/tools/asterisk.sh finds or brings them."""
    found = os.environ.get("OMNILINE_TEST_ASTERISK")
    if not found:
        asked = subprocess.run(["sh", str(ROOT / "tests/tools/asterisk.sh")], stdout=subprocess.PIPE, text=True, check=True)
        found = asked.stdout.strip()
        if not found:
            raise RuntimeError(
                "there is no Asterisk here, for the reason given above: leave its tests out with -m 'not asterisk'"
            )
    return Path(found).resolve()


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """Return a port of the loopback that nobody uses now."""
    with closing(socket.socket(type=kind)) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def tone(path: Path, hertz: float, seconds: float) -> None:
    """Write a tone as Asterisk plays it: 8,000 samples a second, 16 bits, one channel."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        count = int(8_000 * seconds)
        file.writeframes(b"".join(struct.pack("<h", int(6_000 * math.sin(math.tau * hertz * n / 8_000))) for n in range(count)))


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as the console shows it."""

    name: str
    context: str
    state: str
    """Ring: it has called; Ringing: it is called; Up: it was answered."""
    bridge: str
    """What it is joined to others by; empty: to none."""


class Asterisk:
    """A server with a trunk for callers, phones 101 to 108, and *dialplan* as its extensions.conf."""

    def __init__(self, dialplan: str, *, manager: str = "", queues: str = "") -> None:
        """*manager* is a user's section of manager.conf, *queues* are app_queue's. In *dialplan* @folder@ is the server's folder."""
        self.folder = Path(tempfile.mkdtemp(prefix="omniline-pbx-", dir="/tmp"))
        self.sip = free_port()
        self.ami = free_port(socket.SOCK_STREAM)
        self.ports = {phone: free_port() for phone in PHONES}
        self._process: _Guarded | None = None
        self.peers: list[_Guarded] = []
        """Who calls, and who is called, in the order in which they came."""
        self._queues = queues
        self._write(dialplan, manager)

    def __enter__(self) -> Asterisk:
        """Start it; if that fails nothing of it stays but its folder, for its log."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop it and everybody who calls; its folder stays when the test failed, for its log."""
        for peer in self.peers:
            peer.end()
        self.stop()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- the server

    def start(self) -> None:
        """Start, and wait until it takes calls."""
        with (self.folder / "log/console").open("ab") as output:
            environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}
            self._process = _Guarded([*self._command(), "-f", "-n"], output, env=environment)
        until = time.monotonic() + START_SECONDS
        while "fully booted" not in self.cli("core waitfullybooted"):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Asterisk did not start:\n{self.log()[-4_000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop at once, whatever calls there are."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def kill(self) -> None:
        """Let it die in the midst of whatever it does."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.end()
        self._process = None

    def cli(self, command: str) -> str:
        """Return what the console says to *command*."""
        done = subprocess.run(
            [*self._command(), "-rx", command], capture_output=True, text=True, check=False, timeout=START_SECONDS
        )
        return done.stdout + done.stderr

    def channels(self) -> list[Channel]:
        """Return what channels there are."""
        rows = [line.split("!") for line in self.cli("core show channels concise").splitlines() if "!" in line]
        return [Channel(row[0], row[1], row[4], row[-2]) for row in rows]

    def log(self) -> str:
        """Return what it has logged."""
        return "".join(path.read_text(errors="replace") for path in sorted((self.folder / "log").iterdir()) if path.is_file())

    def _command(self) -> list[str]:
        return [str(programs() / "asterisk"), "-C", str(self.folder / "etc/asterisk.conf")]

    # --- who calls, and who is called

    def phone(self, number: str, scenario: str, *options: str) -> _Guarded:
        """Let a phone of 101 to 108 be there and do as *scenario* says, for as many calls as come."""
        return self._sipp(scenario, "-p", str(self.ports[number]), *options)

    def call(self, number: str, scenario: str, *options: str, calls: int = 1) -> _Guarded:
        """Call *number* over the trunk, *calls* times, as *scenario* says; its exit status 0 says that all went so."""
        return self._sipp(scenario, f"127.0.0.1:{self.sip}", "-s", number, "-m", str(calls), "-p", str(free_port()), *options)

    def _sipp(self, scenario: str, *options: str) -> _Guarded:
        text = (ROOT / "tests/support/sipp" / scenario).read_text().replace("@folder@", str(self.folder))
        number = len(self.peers)
        path = self.folder / "sipp" / f"{number}-{scenario}"
        path.write_text(text)
        command = [str(programs() / "sipp"), *options, "-sf", str(path), "-i", "127.0.0.1", "-mi", "127.0.0.1"]
        command += ["-mp", str(_pair()), "-nostdin", "-trace_err"]
        with (self.folder / "log" / f"sipp-{number}").open("wb") as output:
            peer = _Guarded(command, output, cwd=path.parent)
        self.peers.append(peer)
        return peer

    # --- its files

    def _write(self, dialplan: str, manager: str) -> None:
        for name in ("etc", "lib", "run", "log", "spool", "moh", "cache", "keys", "agi", "sipp", "recordings", "data/sounds"):
            (self.folder / name).mkdir(parents=True)
        share = (programs() / "share").resolve()
        for name in ("documentation", "rest-api"):
            if (share / name).exists():
                (self.folder / "data" / name).symlink_to(share / name)
        sounds = share / "sounds"
        english = next(path for path in (sounds / "en_US_f_Allison", sounds / "en") if path.is_dir())
        (self.folder / "data/sounds/en").symlink_to(english)
        tone(self.folder / "moh/music.wav", 440, 6)
        tone(self.folder / "tone.wav", 700, 1)
        for name, hertz in (("caller", 500), ("operator", 900)):
            (self.folder / f"sipp/{name}.ul").write_bytes(_ulaw(hertz))
        for name, text in self._files(dialplan, manager).items():
            (self.folder / "etc" / f"{name}.conf").write_text(text.replace("@folder@", str(self.folder)))

    def _files(self, dialplan: str, manager: str) -> dict[str, str]:
        folders = {
            "astcachedir": "cache",
            "astetcdir": "etc",
            "astvarlibdir": "lib",
            "astdbdir": "lib",
            "astkeydir": "keys",
            "astdatadir": "data",
            "astagidir": "agi",
            "astspooldir": "spool",
            "astrundir": "run",
            "astlogdir": "log",
        }
        where = "\n".join(f"{name} => {self.folder / place}" for name, place in folders.items())
        return dict.fromkeys(EMPTY, "") | {
            "asterisk": f"[directories]\n{where}\nastmoddir => {programs() / 'modules'}\n"
            "[options]\nverbose = 3\nhideconnect = yes\nlive_dangerously = no\n",
            "logger": "[general]\ndateformat=%F %T.%3q\n[logfiles]\nfull => notice,warning,error,verbose\n",
            "modules": "[modules]\nautoload=no\n" + "".join(f"load={name}.so\n" for name in MODULES),
            "manager": f"[general]\nenabled = yes\nport = {self.ami}\nbindaddr = 127.0.0.1\ntimestampevents = yes\n{manager}\n",
            "pjsip": self._pjsip(),
            "rtp": "[general]\nrtpstart=20000\nrtpend=29999\n",
            "musiconhold": "[default]\nmode=files\ndirectory=@folder@/moh\n" + sounds.classes("@folder@/our-sounds"),
            "indications": "[general]\ncountry=us\n[us]\ndescription = United States\nringcadence = 2000,4000\ndial = 350+440\n"
            "busy = 480+620/500,0/500\nring = 440+480/2000,0/4000\ncongestion = 480+620/250,0/250\n",
            "extensions": dialplan,
            "queues": f"[general]\npersistentmembers = no\n{self._queues}\n",
        }

    def _pjsip(self) -> str:
        # The trunk is known by a header: known by its address it would be every phone of this machine too.
        parts = [
            "[global]\ntype=global\nuser_agent=Asterisk",
            f"[udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:{self.sip}",
            "[trunk]\ntype=endpoint\ncontext=from-trunk\ndisallow=all\nallow=ulaw,alaw\ndirect_media=no\nidentify_by=header\naors=trunk\n"
            "dtmf_mode=rfc4733",
            "[trunk]\ntype=aor\nmax_contacts=5",
            "[trunk-calls]\ntype=identify\nendpoint=trunk\nmatch_header=X-Trunk: test",
        ]
        for phone, port in self.ports.items():
            parts += [
                f"[{phone}]\ntype=endpoint\ncontext=from-phone\ndisallow=all\nallow=ulaw,alaw\ndirect_media=no\naors={phone}\n"
                f'callerid="Phone {phone}" <{phone}>',
                f"[{phone}]\ntype=aor\nmax_contacts=2\ncontact=sip:{phone}@127.0.0.1:{port}",
            ]
        return "\n\n".join(parts) + "\n"


class _Guarded(subprocess.Popen[bytes]):
    """A program in a group of its own, which ends with this process, in whatever way that does."""

    def __init__(self, command: list[str], output: IO[bytes], **how: Any) -> None:
        super().__init__(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, **how)
        # Its input ends when this process does: a killed test leaves nothing behind.
        guard = ["sh", "-c", 'cat; kill -s KILL -- "-$0"', str(self.pid)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)

    def end(self) -> None:
        """End it and whatever it has started, and wait until it has."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            if self.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, how)
                with suppress(subprocess.TimeoutExpired):
                    self.wait(STOP_SECONDS)
        self._guard.kill()
        self._guard.communicate()


def _pair() -> int:
    """Return an even port, the next to which is likely free too: RTP and its reports."""
    return free_port() & ~1


def _ulaw(hertz: float, seconds: float = 1.0) -> bytes:
    """Return a tone as G.711 mu-law."""
    return bytes(_compressed(int(8_000 * math.sin(math.tau * hertz * n / 8_000))) for n in range(int(8_000 * seconds)))


def _compressed(sample: int) -> int:
    # ITU-T G.711: sign, exponent, mantissa, all inverted; 132 is the bias, 32,635 the loudest.
    sign = 0x80 if sample < 0 else 0
    loud = min(abs(sample), 32_635) + 132
    exponent = loud.bit_length() - 8
    return ~(sign | exponent << 4 | (loud >> exponent + 3) & 0x0F) & 0xFF


__all__ = ["PHONES", "Asterisk", "Channel", "free_port", "programs", "tone"]
