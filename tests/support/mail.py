"""Real mail servers for tests, in a temporary folder, on ports of their own: Dovecot for IMAP, Exim for SMTP.

    with mail_servers() as mail:
        mail.add_user("ann@example.test", "secret")
        mail.deliver(raw, "ann@example.test")       # straight into the mailbox, by LMTP
        mail.contents("ann@example.test")           # what an IMAP client sees there

What is submitted to Exim is handed to Dovecot by LMTP and seen by IMAP at once. Some recipients have a fate of their own, by the
beginning of their address:

    tempfail…      451 at RCPT                  latefail…      554 after the mail has been sent
    permfail…      550 at RCPT                  datatemp…      452 after the mail has been sent
    latebounce…    accepted; a report of the failure comes back by mail
    slow…          accepted SLOW_SECONDS after the mail has been sent

Programs come from tests/tools/mail.sh. Nothing of it needs root (which neither server likes: as root both run as nobody); all of it
listens on the loopback only. The certificate is for HOST and localhost, signed by an authority of the test's own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import imaplib
import json
import os
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import IO, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.asterisk import free_port

ROOT = Path(__file__).parents[2]
HOST = "mail.example.test"
START_SECONDS = 20.0
STOP_SECONDS = 5.0
SLOW_SECONDS = 30
REREAD_SECONDS = 1.1
"""Dovecot looks at a file of passwords at most once a second."""
NEEDS_SERVERS = [
    pytest.mark.mail,
    pytest.mark.xdist_group("mail"),
    pytest.mark.skipif(
        os.environ.get("OMNILINE_TEST_MAIL") == "",
        reason="OMNILINE_TEST_MAIL is empty: tests/tools/mail.sh found no mail servers and could bring none, and told why",
    ),
]
"""The marks of a module whose tests need them."""
_KEY = b"a key of the test's own, which signs tokens"
_NAMES = ("root", "Debian-exim")
"""Names that the servers look up, whoever runs them."""

_DOVECOT = """
base_dir = @/run
state_dir = @/run
log_path = @/log/dovecot
libexec_dir = %(programs)s/libexec
mail_plugin_dir = %(programs)s/modules
login_plugin_dir = %(programs)s/modules/login
import_environment = OMNILINE_MAIL_USERS=@
protocols = imap lmtp
listen = 127.0.0.1
default_internal_user = %(user)s
default_internal_group = %(group)s
default_login_user = %(user)s
first_valid_uid = 1
service anvil {
  chroot =
}
service stats {
  chroot =
}
# Who comes from an address from which wrong passwords came waits for up to 15 seconds otherwise.
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  chroot =
  inet_listener imap {
    port = %(imap)s
  }
  inet_listener imaps {
    port = %(imaps)s
    ssl = yes
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = %(lmtp)s
  }
}
mail_location = maildir:@/mail/%%u
mailbox_list_index = no
mail_max_userip_connections = 100
recipient_delimiter = +
lmtp_save_to_detail_mailbox = no
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2
auth_failure_delay = 0
passdb {
  driver = oauth2
  mechanisms = xoauth2
  args = @/etc/oauth2.conf
}
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%%u @/passwords/%%u
}
userdb {
  driver = static
  args = uid=%(user)s gid=%(group)s home=@/mail/%%u
}
ssl = yes
ssl_cert = <@/certificate.pem
ssl_key = <@/key.pem
"""
_OAUTH2 = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix=@/keys/
username_attribute = sub
"""
_EXIM = r"""
exim_path = %(programs)s/exim
exim_user = %(user)s
exim_group = %(group)s
keep_environment = OMNILINE_MAIL_USERS
spool_directory = @/spool
log_file_path = @/log/exim-%%slog
pid_file_path = @/run-exim.pid
primary_hostname = %(host)s
local_interfaces = 127.0.0.1
disable_ipv6
daemon_smtp_ports = %(smtp)s : %(smtps)s : %(plain)s
tls_on_connect_ports = %(smtps)s
tls_advertise_hosts = ${if eq{$received_port}{%(plain)s}{}{*}}
tls_certificate = @/certificate.pem
tls_privatekey = @/key.pem
smtputf8_advertise_hosts = ${if eq{$received_port}{%(smtps)s}{*}{}}
auth_advertise_hosts = ${if def:tls_in_cipher{*}{}}
acl_smtp_rcpt = rcpt
acl_smtp_data = data
never_users =
deliver_drop_privilege
message_size_limit = 50M
smtp_accept_max = 200
smtp_accept_queue = 0
smtp_accept_queue_per_connection = 0
queue_run_in_order
hosts_treat_as_local =
host_lookup =
rfc1413_query_timeout = 0s
bounce_return_size_limit = 10K

begin acl
rcpt:
  deny  message = 530 5.7.0 log in first
        !authenticated = *
  defer message = 451 4.3.0 come back later
        local_parts = ^tempfail
  deny  message = 550 5.1.1 there is no such address
        local_parts = ^permfail
  accept
data:
  deny  message = 554 5.7.1 this content is not wanted
        condition = ${if match{$recipients}{\N^latefail\N}}
  defer message = 452 4.2.2 the mailbox is full
        condition = ${if match{$recipients}{\N^datatemp\N}}
  warn  condition = ${if match{$recipients}{\N^slow\N}}
        delay = %(slow)ss
  accept

begin routers
bounced:
  driver = redirect
  local_parts = ^latebounce
  allow_fail
  data = :fail: the mailbox is gone
everybody:
  driver = accept
  transport = mailbox

begin transports
mailbox:
  driver = smtp
  protocol = lmtp
  hosts = 127.0.0.1
  port = %(lmtp)s
  allow_localhost
  hosts_override
  rcpt_include_affixes

begin retry
* * F,1h,1s

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if eq{$auth3}{${lookup{$auth2}lsearch{@/users}{$value}{}}}}
  server_set_id = $auth2
xoauth2:
  driver = plaintext
  public_name = XOAUTH2
  server_prompts = :
  server_condition = ${if match{$auth1}{\N^user=([^\x01]+)\x01auth=Bearer ([^\x01]+)\x01\x01$\N}\
    {${if eq{$1}{${lookup{$2}lsearch{@/tokens}{$value}{}}}}}{false}}
  server_set_id = xoauth2
"""


@cache
def programs() -> Path:
    """Return the folder of the servers' programs: $OMNILINE_TEST_MAIL, or where tests/tools/mail.sh finds or brings them."""
    found = os.environ.get("OMNILINE_TEST_MAIL")
    if not found:
        asked = subprocess.run(["sh", str(ROOT / "tests/tools/mail.sh")], stdout=subprocess.PIPE, text=True, check=True)
        found = asked.stdout.strip()
        if not found:
            raise RuntimeError(
                "there are no mail servers here, for the reason given above: leave their tests out with -m 'not mail'"
            )
    return Path(found).resolve()


@contextmanager
def mail_servers(folder: Path | None = None) -> Iterator[MailServers]:
    """Start both servers, in *folder* or a temporary one; stop them at the end. A temporary folder stays when the test failed."""
    made = folder or Path(tempfile.mkdtemp(prefix="omniline-mail-", dir="/tmp"))
    servers = MailServers(made)
    try:
        servers.start()
        yield servers
    except BaseException:
        print(f"the mail servers' folder is {made}", file=sys.stderr)
        raise
    else:
        if folder is None:
            shutil.rmtree(made, ignore_errors=True)
    finally:
        servers.stop()


class MailServers:
    """Dovecot and Exim; what they keep is in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = HOST
        self.imap = free_port(socket.SOCK_STREAM)
        """IMAP without TLS, for looking on."""
        self.imaps = free_port(socket.SOCK_STREAM)
        self.lmtp = free_port(socket.SOCK_STREAM)
        self.smtp = free_port(socket.SOCK_STREAM)
        """Submission with STARTTLS."""
        self.smtps = free_port(socket.SOCK_STREAM)
        """Submission with TLS from the first byte; the only one that takes addresses in letters of any kind."""
        self.plain = free_port(socket.SOCK_STREAM)
        """Submission that offers no STARTTLS."""
        self.ca_file = folder / "authority.pem"
        self._passwords: dict[str, str] = {}
        self._dovecot: _Guarded | None = None
        self._exim: _Guarded | None = None
        account = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        self._uid, self._gid = (account.pw_uid, account.pw_gid) if account else (os.getuid(), os.getgid())
        self._as: dict[str, Any] = {"user": self._uid, "group": self._gid, "extra_groups": []} if account else {}
        self._write()

    # --- the servers

    def start(self) -> None:
        """Start both, and wait until they answer."""
        self.start_dovecot()
        self.start_exim()

    def stop(self) -> None:
        """Stop both at once."""
        self.stop_exim()
        self.stop_dovecot()

    def start_dovecot(self) -> None:
        """Start Dovecot, and wait until it answers."""
        shutil.rmtree(self.folder / "run", ignore_errors=True)  # what it left there, it does not take for its own
        (self.folder / "run").mkdir()
        (self.folder / "run/modules").symlink_to(self._programs / "modules")
        self._own(self.folder / "run")
        self._dovecot = self._started("dovecot", "-c", str(self.folder / "etc/dovecot.conf"), "-F")
        self._await(self._dovecot, self.imap, b"* OK")
        self._await(self._dovecot, self.lmtp, b"220")

    def stop_dovecot(self) -> None:
        """Stop Dovecot; what it keeps stays."""
        if self._dovecot is not None:
            self._dovecot.end()
            self._dovecot = None

    def start_exim(self) -> None:
        """Start Exim, and wait until it answers."""
        self._exim = self._started("exim", "-C", str(self.folder / "etc/exim.conf"), "-bdf", "-q1s")
        self._await(self._exim, self.smtp, b"220")

    def stop_exim(self) -> None:
        """Stop Exim; its queue stays."""
        if self._exim is not None:
            self._exim.end()
            self._exim = None

    def log(self) -> str:
        """Return what both have logged."""
        return "".join(path.read_text(errors="replace") for path in sorted((self.folder / "log").iterdir()) if path.is_file())

    # --- who has a mailbox

    def add_user(self, user: str, password: str) -> None:
        """Let *user*, an e-mail address, have a mailbox; from now on, or with another password than before."""
        changed = user in self._passwords
        self._passwords[user] = password
        self._replace("users", "".join(f"{name}:{secret}\n" for name, secret in self._passwords.items()))
        self._replace(f"passwords/{user}", f"{user}:{password}\n")
        if changed:
            time.sleep(REREAD_SECONDS)

    def token(self, user: str, *, seconds: float = 3_600) -> str:
        """Return a token with which *user* may log in by XOAUTH2 for so long."""
        now = time.time()
        said = {"sub": user, "iat": int(now) - 60, "exp": int(now + seconds)}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, said))
        token = (signed + b"." + _base64url(hmac.digest(_KEY, signed, hashlib.sha256))).decode()
        with (self.folder / "tokens").open("a") as file:
            file.write(f"{token}: {user}\n")
        return token

    # --- what is in a mailbox

    def deliver(self, raw: bytes, to: str, *, sender: str = "someone@elsewhere.test") -> None:
        """Put *raw* into the INBOX of *to*, past Exim."""
        with smtplib.LMTP("127.0.0.1", self.lmtp) as lmtp:
            lmtp.sendmail(sender, [to], raw)

    def contents(self, user: str, folder: str = "INBOX") -> list[bytes]:
        """Return every mail of *folder* as it is kept, the oldest first."""
        return [raw for raw, _ in self.seen(user, folder)]

    def seen(self, user: str, folder: str = "INBOX") -> list[tuple[bytes, str]]:
        """Return every mail of *folder* with its flags, as IMAP writes them."""
        with imaplib.IMAP4("127.0.0.1", self.imap) as imap:
            secret = f"\0{user}\0{self._passwords[user]}".encode()
            _ok(imap.authenticate("PLAIN", lambda _: secret))
            _ok(imap.select(_named(folder), readonly=True))
            found = _ok(imap.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])"))
        return [(part[1], _flags(part[0])) for part in found if isinstance(part, tuple)]

    def await_contents(self, user: str, count: int, folder: str = "INBOX", *, seconds: float = START_SECONDS) -> list[bytes]:
        """Return the mails of *folder* as soon as there are *count* of them."""
        until = time.monotonic() + seconds
        while len(found := self.contents(user, folder)) < count:
            if time.monotonic() > until:
                raise RuntimeError(f"{len(found)} of {count} mails came to {folder} of {user}:\n{self.log()[-4_000:]}")
            time.sleep(0.02)
        return found

    def create_folder(self, user: str, folder: str) -> None:
        """Make *folder*, in letters of any kind."""
        self.doveadm("mailbox", "create", "-u", user, folder)

    def remove(self, user: str, folder: str, *query: str) -> None:
        """Remove the mails of *folder* that *query*, in doveadm's words, finds: all of them without one."""
        self.doveadm("expunge", "-u", user, "mailbox", folder, *(query or ("all",)))

    def reset_uidvalidity(self, user: str, folder: str = "INBOX") -> int:
        """Let every UID of *folder* mean nothing any more, and return the new UIDVALIDITY."""
        before = int(self.doveadm("-f", "flow", "mailbox", "status", "-u", user, "uidvalidity", folder).rpartition("=")[2])
        self.doveadm("mailbox", "update", "-u", user, "--uid-validity", str(before + 1), folder)
        return before + 1

    def kick(self, user: str) -> None:
        """End every IMAP connection of *user*."""
        self.doveadm("kick", user)

    def doveadm(self, *arguments: str) -> str:
        """Return what Dovecot's administrator is told."""
        command = [str(self._programs / "doveadm"), "-c", str(self.folder / "etc/dovecot.conf"), *arguments]
        done = subprocess.run(
            command, cwd=self.folder / "run", env=self._environment(), capture_output=True, text=True, check=False, **self._as
        )
        if done.returncode:
            raise RuntimeError(f"doveadm {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return str(done.stdout).strip()

    # --- processes and files

    def _started(self, program: str, *arguments: str) -> _Guarded:
        with (self.folder / f"log/{program}-console").open("ab") as output:
            return _Guarded(
                [str(self._programs / program), *arguments], output, cwd=self.folder, env=self._environment(), **self._as
            )

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC", "OMNILINE_MAIL_USERS": str(self.folder)}

    def _await(self, process: _Guarded, port: int, greeting: bytes) -> None:
        until = time.monotonic() + START_SECONDS
        while not _greets(port, greeting):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{process.args!r} did not start:\n{self.log()[-4_000:]}")
            time.sleep(0.02)

    def _write(self) -> None:
        self._programs = programs()
        self.folder.chmod(0o755)
        if self._as and not _is_open(self._programs):
            # Nobody may not go where root's programs lie.
            shutil.copytree(self._programs.parent, self.folder / "programs", symlinks=True)
            self._programs = self.folder / "programs" / self._programs.name
        for name in ("etc", "log", "mail", "spool", "passwords", "keys/default/HS256"):
            (self.folder / name).mkdir(parents=True)
        for name in ("users", "tokens"):
            (self.folder / name).touch()
        user = _name_of(self._uid)
        names = dict.fromkeys((user, *_NAMES))
        ids = {name: (0, 0) if name == "root" and self._uid else (self._uid, self._gid) for name in names}
        (self.folder / "passwd").write_text("".join(f"{name}:x:{uid}:{gid}::/:/bin/false\n" for name, (uid, gid) in ids.items()))
        (self.folder / "group").write_text("".join(f"{name}:x:{gid}:\n" for name, (_, gid) in ids.items()))
        (self.folder / "keys/default/HS256/default").write_bytes(base64.b64encode(_KEY))
        _write_certificates(self.folder)
        filled = {"programs": self._programs, "user": user, "group": user, "host": HOST, "slow": SLOW_SECONDS}
        ports = {name: getattr(self, name) for name in ("imap", "imaps", "lmtp", "smtp", "smtps", "plain")}
        for name, text in {"dovecot": _DOVECOT, "oauth2": _OAUTH2, "exim": _EXIM}.items():
            path = self.folder / "etc" / f"{name}.conf"
            path.write_text(
                (text % (filled | ports) if "%(" in text else text)
                .replace("@/", f"{self.folder}/")
                .replace("=@", f"={self.folder}")
            )
        self._own(self.folder, *self.folder.rglob("*"))

    def _own(self, *paths: Path) -> None:
        for path in paths if self._as else ():
            os.chown(path, self._uid, self._gid, follow_symlinks=False)

    def _replace(self, name: str, text: str) -> None:
        """Write a file that a server may be reading."""
        new = self.folder / f"{name}.new"
        new.write_text(text)
        self._own(new)
        new.replace(self.folder / name)


class _Guarded(subprocess.Popen[bytes]):
    """A server and what it starts, in a group of its own, which ends with this process, in whatever way that does."""

    def __init__(self, command: list[str], output: IO[bytes], **how: Any) -> None:
        super().__init__(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, **how)
        # Its input ends when this process does: a killed test leaves nothing behind.
        guard = ["sh", "-c", 'cat; kill -s KILL -- "-$0"', str(self.pid)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)

    def end(self) -> None:
        """End it and whatever it has started, and wait until it has."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        self._guard.kill()
        self._guard.communicate()


def _greets(port: int, greeting: bytes) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as connection:
        return connection.recv(1_024).startswith(greeting)
    return False


def _is_open(path: Path) -> bool:
    """Return whether anybody may go to *path*."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _name_of(uid: int) -> str:
    """Return a name that the servers may be told for *uid*: where it has none they take the one of their own list."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return _NAMES[-1]


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _named(folder: str) -> str:
    """Return the name of a folder as a command of IMAP has it: as UTF-7, with & for + and without a slash."""
    name = re.sub(
        r"[^ -~]+", lambda found: "&" + found[0].encode("utf-7")[1:-1].decode().replace("/", ",") + "-", folder.replace("&", "&-")
    )
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ok(answer: tuple[str, Any]) -> Any:
    if answer[0] != "OK":
        raise RuntimeError(f"the IMAP server refused: {answer}")
    return answer[1]


def _flags(line: bytes) -> str:
    return line.partition(b"FLAGS (")[2].partition(b")")[0].decode()


def _write_certificates(folder: Path) -> None:
    """Write an authority and a certificate of its for HOST and localhost, with its key."""
    now = datetime.now(UTC)

    def made(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=7))
        )

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = (
        made("Authority of a test", authority_key)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of a test")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(True, False, False, False, False, True, True, False, False),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        made(HOST, key)
        .issuer_name(authority.subject)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST), x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    (folder / "authority.pem").write_bytes(authority.public_bytes(encoding))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(encoding))
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
