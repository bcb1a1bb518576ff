"""The data folder: one process owns it at a time, and it lies on a real disk."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from broker.errors import ConfigError, StoreInUse

_VOLATILE = {"tmpfs", "ramfs", "devtmpfs"}
_MOVED = "moved.json"
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"}


@dataclass(frozen=True, slots=True)
class Moved:
    """Where a house has gone; what lies in its folder is the copy that was left."""

    to: str
    """The address of its database, without the password."""
    at: str
    """When, for people."""


class DataFolder:
    """The folder with database, files and keys; `lock` makes it ours until `unlock` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "omniline.db"

    @property
    def files(self) -> Path:
        """Where files are kept by content."""
        return self.path / "files"

    @property
    def keys(self) -> Path:
        """Where keys are kept, for the owner alone."""
        return self.path / "keys"

    @property
    def control(self) -> Path:
        """The socket by which commands reach the running process."""
        return self.path / "control.sock"

    @property
    def moved(self) -> Moved | None:
        """Where the house has gone; None while it is here."""
        try:
            said = json.loads((self.path / _MOVED).read_text(encoding="utf-8"))
            return Moved(str(said["to"]), str(said["at"]))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError, KeyError):
            # Whatever is in it: somebody was told that this copy is not to be gone on with.
            return Moved("another database", "a day that cannot be read")

    def refuse_moved(self) -> None:
        """Raise ConfigError when the house has moved: what is here must not be gone on with."""
        moved = self.moved
        if moved is not None:
            raise ConfigError(
                f"data: this house has moved to {moved.to} on {moved.at}, and {self.path} holds the copy that was left; set "
                "OMNILINE_DATABASE_URL to where it is, or, to give that up and go on with this copy, run: omniline move --back"
            )

    def prepare_moved(self, moved: Moved) -> None:
        """Write down where the house goes, so that `set_moved` needs no more room on the disk."""
        with (self.path / f"{_MOVED}.part").open("w", encoding="utf-8") as file:
            file.write(json.dumps({"to": moved.to, "at": moved.at}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def set_moved(self) -> None:
        """Let what was prepared be true, whatever happens from here on."""
        (self.path / f"{_MOVED}.part").replace(self.path / _MOVED)
        self._sync()

    def unset_moved(self) -> None:
        """Let the house be here again."""
        (self.path / _MOVED).unlink(missing_ok=True)
        self._sync()

    def _sync(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self) -> None:
        """Make the folder if need be, and own it. Raises StoreInUse with the owner's pid, ConfigError when it cannot be used."""
        try:
            self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self.files.mkdir(mode=0o700, exist_ok=True)
            self.keys.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(self.path / "omniline.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"data: {self.path} cannot be used ({error.strerror}); set OMNILINE_DATA to a folder that may be written"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreInUse(
                f"{self.path} is in use by process {owner}; stop it first, or give this one another OMNILINE_DATA"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def unlock(self) -> None:
        """Give the folder back."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def refuse_unsafe_disk(self, *, forced: bool) -> None:
        """Refuse a disk that forgets (tmpfs) or cannot lock (network). Raises ConfigError; *forced* accepts it."""
        kind = _file_system(self.path)
        if forced or kind is None:
            return
        if kind in _VOLATILE:
            raise ConfigError(
                f"data: {self.path} is on {kind}, which is lost at power-off; "
                "set OMNILINE_DATA to a disk, or allow_unsafe_disk to accept that"
            )
        if kind in _NETWORK:
            raise ConfigError(
                f"data: {self.path} is on {kind}; SQLite needs a local disk; set OMNILINE_DATA to one, or allow_unsafe_disk to accept that"
            )


def _file_system(path: Path) -> str | None:
    """Return the kind of file system that holds *path*, where the system tells (Linux)."""
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return None
    real = str(path.resolve())
    best, kind = "", None
    for mount in mounts:
        _, point, type_, *_ = mount.split(" ")
        point = point.replace("\\040", " ")
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, type_
    return kind
