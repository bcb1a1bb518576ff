"""What the owner of the machine sets: `omniline.toml`, and above it the variables `OMNILINE_*`.

    OMNILINE_LISTEN=0.0.0.0:8080         listen = "0.0.0.0:8080"
    OMNILINE_VISITOR__BURST=40           [visitor]
                                         burst = 40

The file is the one named on the command line, else ./omniline.toml, else the one in the data folder. An unknown key is refused:
a setting that is misspelt and silently ignored is found out on the worst of days.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from broker.complaints import complaints, keys_of, unknown
from broker.errors import ConfigError

__all__ = [
    "FOR_TESTS",
    "PREFIX",
    "LogSettings",
    "LoginLimits",
    "OperatorLimits",
    "Settings",
    "TelephoneSettings",
    "TracingSettings",
    "VisitorLimits",
    "host_of",
    "read_settings",
]

PREFIX = "OMNILINE_"
FILE = "omniline.toml"
FOR_TESTS = ("OMNILINE_SCHEMAS", "OMNILINE_TEST_")
"""Variables of the test suite, which a server started by it inherits."""

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not (colon and bare and port.isascii() and port.isdigit() and int(port) <= 65_535) or (":" in bare and bare == host):
        raise ValueError("write HOST:PORT, for example 127.0.0.1:8080 or [::1]:8080")
    return value


def _origin(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and parts.hostname and not (parts.username or parts.query or parts.fragment)
        port = parts.port
    except ValueError:
        sound, port = False, None
    if not sound or parts.path not in ("", "/"):
        raise ValueError("write the address without a path, for example https://chat.example.com")
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")


def _collector(value: SecretStr | None) -> SecretStr | None:
    """Check the address of a collector. What is wrong is not repeated: there may be a password in it."""
    parts = urlsplit(value.get_secret_value()) if value is not None else None
    if parts is not None and (
        parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment
    ):
        raise ValueError("write where the collector takes OTLP over HTTP, without a user, for example http://localhost:4318")
    return value


def _secret_address(*schemes: str, example: str) -> AfterValidator:
    """Return the check of a server's address. What is wrong is not repeated: there may be a password in it."""

    def check(value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        scheme, _, rest = value.get_secret_value().partition("://")
        if scheme not in schemes:
            raise ValueError(f"write it as {example}")
        place = re.split("[/?#]", rest, maxsplit=1)[0]
        # What ends the place for one reader and belongs to the password for another is shown by one and not by the other.
        if "#" in rest or "@" in rest[len(place) :] or re.search("%(?![0-9A-Fa-f]{2})", rest):
            raise ValueError(f"write it as {example}, and percent-encode what a password has of / ? # @ %")
        return value

    return AfterValidator(check)


def _words(value: object) -> object:
    return [word for word in value.replace(",", " ").split() if word] if isinstance(value, str) else value


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VisitorLimits(_Group):
    """How much visitors may ask of us: the settings of `/ws/visitor`."""

    frame_bytes: Annotated[int, Field(ge=1_024, le=1_048_576)] = 65_536
    messages_per_second: Annotated[float, Field(gt=0, le=10_000)] = 10.0
    burst: Count = 40
    frames_per_second: Annotated[float, Field(gt=0, le=100_000)] = 20.0
    frames_burst: Count = 100
    conversations_per_hour: Count = 30
    """New ones from one address."""
    callbacks_per_hour: Count = 5
    """Calls asked for from one address."""
    sockets_per_address: Count = 20
    sockets: Count = 5_000
    hello_seconds: Seconds = 5.0
    queue_bytes: Annotated[int, Field(ge=4_096)] = 262_144
    """Unsent bytes to one socket before it is cut."""
    stall_seconds: Seconds = 10.0
    """How long one write may wait for the visitor's side."""


class OperatorLimits(_Group):
    """How much one console may ask of us: the settings of `/ws/operator`."""

    frame_bytes: Annotated[int, Field(ge=1_024, le=1_048_576)] = 65_536
    frames_per_second: Annotated[float, Field(gt=0, le=100_000)] = 50.0
    frames_burst: Count = 200
    sockets: Count = 2_000
    sockets_per_operator: Count = 20
    hello_seconds: Seconds = 5.0
    queue_bytes: Annotated[int, Field(ge=4_096)] = 1_048_576
    stall_seconds: Seconds = 10.0


class ConnectionLimits(_Group):
    """How many connections we hold, and how long for a request that does not come."""

    total: Annotated[int, Field(ge=16)] = 10_000
    """Of everybody, sockets among them; fewer when the system gives this process fewer files."""
    per_network: Annotated[int, Field(ge=4)] = 256
    """Of one address (IPv6: one /64), without its sockets, which their gates count."""
    request_seconds: Seconds = 15.0
    """For a request to come whole, and one second more for every `bytes_per_second` of it."""
    bytes_per_second: Count = 500
    stall_seconds: Seconds = 30.0
    """How long an answer may wait for the other side to take a byte of it."""
    requests_per_second: Annotated[float, Field(gt=0, le=100_000)] = 200.0
    """HTTP requests of one address; behind a trusted proxy, of each client's."""
    requests_burst: Count = 1_000
    openings_per_second: Annotated[float, Field(gt=0, le=100_000)] = 300.0
    """Sockets that one address opens; how many it may have open is its gate's to say."""
    openings_burst: Count = 3_000


class LoginLimits(_Group):
    """How long a login lasts, and how slow guessing becomes."""

    idle_seconds: Seconds = 28_800.0
    absolute_seconds: Seconds = 86_400.0
    free_per_account: Count = 5
    """Wrong passwords for one account before each further one must wait."""
    free_per_address: Count = 20
    delay_seconds: Seconds = 1.0
    """The first wait; each further failure doubles it."""
    delay_max_seconds: Seconds = 300.0
    forget_seconds: Seconds = 3_600.0
    """Failures are forgotten when none followed for this long."""


class LogSettings(_Group):
    """What is written to standard error, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """auto: console on a terminal, JSON lines elsewhere."""


class TelephoneSettings(_Group):
    """Where Asterisk asks what to do with calls (FastAGI); nothing of it is switched on unless `listen` is set."""

    listen: Annotated[str | None, AfterValidator(lambda value: _listen(value) if value is not None else None)] = None
    """`127.0.0.1:4573`, or an address that the telephone exchange reaches: never the internet."""
    secret: SecretStr | None = None
    """What the dialplan's address must say; without it nobody is served."""
    secret_file: Path | None = None
    networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_words)] = (
        IPv4Network("127.0.0.0/8"),
        IPv6Network("::1/128"),
    )
    """Where the telephone exchange is: whoever else connects is not listened to."""
    recordings: Path | None = None
    """Folder of recordings, which Asterisk writes and we read; without it `recordings` in the data folder."""
    recordings_there: str | None = None
    """The same folder as Asterisk sees it, when that is under another name."""
    sounds: Path | None = None
    """Folder of the sounds that were uploaded to us, which we write and Asterisk reads; without it `sounds` in the data folder."""
    sounds_there: str | None = None
    """The same folder as Asterisk sees it."""
    recordings_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    """How long recordings, and what callers said to the machine, are kept; 0: for ever."""
    manager: Annotated[str | None, AfterValidator(lambda value: _listen(value) if value is not None else None)] = None
    """Asterisk's manager interface (AMI), HOST:PORT: it stops phones that ring for nothing any more."""
    manager_user: str = "omniline"
    manager_secret: SecretStr | None = None
    manager_secret_file: Path | None = None
    connections: Annotated[int, Field(ge=1, le=100_000)] = 2_000


class TracingSettings(_Group):
    """Spans of messages for OpenTelemetry; needs the extra `tracing`."""

    endpoint: Annotated[SecretStr | None, AfterValidator(_collector)] = None
    """Where a collector takes OTLP over HTTP: `http://localhost:4318`; nothing: no spans."""
    ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Of all messages, how many are traced."""


class Settings(BaseSettings):
    """Everything that the owner of the machine may set, with the defaults."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, validate_default=False
    )

    data: Path = Path("var")
    """Folder of the database, the files and the keys."""
    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:8080"
    public_url: Annotated[str | None, AfterValidator(_origin)] = None
    """The address people use, when a proxy stands in front: `https://chat.example.com`."""
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_words)] = ()
    """Networks whose X-Forwarded-* are believed."""
    metrics_from: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_words)] = ()
    """Networks that may read /metrics without a login, beside this machine itself: where Prometheus runs."""
    database_url: Annotated[
        SecretStr | None, _secret_address("postgresql", "postgres", example="postgresql://omniline@db.example.com/omniline")
    ] = None
    """PostgreSQL, for several processes or hosts; without it everything is in SQLite in the data folder."""
    database_password_file: Path | None = None
    """A file with the password, when it is not in the address."""
    redis_url: Annotated[
        SecretStr | None, _secret_address("redis", "rediss", "unix", example="redis://redis.example.com:6379/0")
    ] = None
    """What wakes the processes of one house; without it there may be one process."""
    redis_password_file: Path | None = None
    allow_unsafe_disk: bool = False
    """Accept a data folder on a disk that forgets (tmpfs) or cannot lock (network)."""
    files: Path | None = None
    """Folder of the files that messages bring, the same for all processes; without it `files` in the data folder."""
    body_bytes: Annotated[int, Field(ge=1_024)] = 1_048_576
    """Largest body of a request."""
    presence_grace_seconds: Seconds = 30.0
    """How long an operator whose connection broke still counts as present."""
    log: LogSettings = LogSettings()
    connections: ConnectionLimits = ConnectionLimits()
    visitor: VisitorLimits = VisitorLimits()
    operator: OperatorLimits = OperatorLimits()
    login: LoginLimits = LoginLimits()
    tracing: TracingSettings = TracingSettings()
    telephone: TelephoneSettings = TelephoneSettings()

    @model_validator(mode="after")
    def _no_password_of_nobody(self) -> Settings:
        for file, address in (("database_password_file", "database_url"), ("redis_password_file", "redis_url")):
            if getattr(self, file) is not None and getattr(self, address) is None:
                raise ValueError(f"{file}: whose password that is, {address} must say; it is not set")
        return self

    @property
    def database(self) -> str | None:
        """The address of PostgreSQL, with its password. Raises ConfigError when the password's file cannot be read."""
        return _whole("database_password_file", self.database_url, self.database_password_file)

    @property
    def redis(self) -> str | None:
        """The address of Redis, with its password. Raises ConfigError when the password's file cannot be read."""
        return _whole("redis_password_file", self.redis_url, self.redis_password_file)

    @property
    def recordings(self) -> Path:
        """The folder of recordings as this process sees it."""
        return self.telephone.recordings or self.data / "recordings"

    @property
    def sounds(self) -> Path:
        """The folder of uploaded sounds as this process sees it."""
        return self.telephone.sounds or self.data / "sounds"

    @property
    def sounds_there(self) -> str:
        """The folder of uploaded sounds as Asterisk sees it."""
        return self.telephone.sounds_there or str(self.sounds.resolve())

    @property
    def telephone_secret(self) -> str:
        """What the dialplan's address must say. Raises ConfigError when it is not set, or its file cannot be read."""
        return _secret("telephone.secret", self.telephone.secret, self.telephone.secret_file)

    @property
    def manager_secret(self) -> str:
        """What Asterisk's manager interface asks for. Raises ConfigError, as `telephone_secret`."""
        return _secret("telephone.manager_secret", self.telephone.manager_secret, self.telephone.manager_secret_file)

    @property
    def host(self) -> str:
        """Where to listen."""
        return host_of(self.listen)

    @property
    def port(self) -> int:
        """Where to listen; 0 takes a free one."""
        return int(self.listen.rpartition(":")[2])

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment above the file, which comes in as arguments."""
        return env_settings, init_settings


def _secret(key: str, secret: SecretStr | None, file: Path | None) -> str:
    if secret is not None and secret.get_secret_value():
        return secret.get_secret_value()
    if file is None:
        raise ConfigError(f"{key}: set it, or {key}_file: without a secret anybody could play the telephone exchange")
    try:
        found = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}_file: {file} cannot be read ({error})") from error
    if not found:
        raise ConfigError(f"{key}_file: {file} is empty; write the secret into it")
    return found


def host_of(listen: str) -> str:
    """Return the host of HOST:PORT."""
    return listen.rpartition(":")[0].removeprefix("[").removesuffix("]")


def _whole(key: str, address: SecretStr | None, file: Path | None) -> str | None:
    return with_password(key, address.get_secret_value(), file) if address is not None else None


def with_password(key: str, address: str, file: Path | None) -> str:
    """Return *address* with the password that stands in *file*, if one is named; *key* names it. Raises ConfigError."""
    if file is None:
        return address
    try:
        password = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: {file} cannot be read ({error})") from error
    parts = urlsplit(address)
    user, at, place = parts.netloc.rpartition("@")
    if at and ":" in user:
        raise ConfigError(f"{key}: the address has a password too; leave one of them out")
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}").geturl()


def read_settings(file: Path | None = None) -> Settings:
    """Return the settings of *file* (or of the one that is found) and of the environment. Raises ConfigError."""
    _refuse_unknown(os.environ)
    path = _find(file)
    written = _read(path) if path else {}
    _refuse_unknown_written(written, path)
    try:
        return Settings(**written)
    except SettingsError as error:
        raise ConfigError(
            f"the variables {PREFIX}* cannot be read: {error}; name one setting each, as OMNILINE_LOG__LEVEL"
        ) from None
    except ValidationError as error:
        raise ConfigError(
            "; ".join(f"{_named(place)}: {wrong}" for place, wrong in complaints(error.errors(), Settings))
        ) from None


def _find(file: Path | None) -> Path | None:
    if file is not None:
        if not file.is_file():
            raise ConfigError(f"{file} does not exist; leave --config out to go without a file")
        return file
    places = (Path(FILE), Path(os.environ.get(f"{PREFIX}DATA") or "var") / FILE)
    return next((place for place in places if _is_there(place)), None)


def _is_there(place: Path) -> bool:
    try:
        return place.is_file()
    except OSError:  # where one may not even look: a command as the service's user, in somebody's home
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


def _refuse_unknown(variables: Iterable[str]) -> None:
    known = {PREFIX + place.replace(".", "__").upper() for place in _places(Settings)}
    for name in sorted(variables):
        upper = name.upper()
        if upper.startswith(PREFIX) and upper not in known and not upper.startswith(FOR_TESTS):
            raise ConfigError(f"the variable {unknown(upper, known)}")


def _refuse_unknown_written(written: dict[str, Any], path: Path | None, model: object = Settings, above: str = "") -> None:
    known = keys_of(model)
    for key, value in written.items():
        if key not in known:
            raise ConfigError(f"{path}: {unknown(above + key, [above + one for one in known])}")
        if isinstance(value, dict):
            _refuse_unknown_written(value, path, known[key], f"{above}{key}.")


def _places(model: object, above: str = "") -> Iterator[str]:
    for key, hint in keys_of(model).items():
        yield above + key
        yield from _places(hint, f"{above}{key}.")


def _named(place: str) -> str:
    return f"{place} ({PREFIX}{place.replace('.', '__').upper()})"
