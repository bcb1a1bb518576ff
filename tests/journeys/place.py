"""A real `omniline serve --demo` in a folder of its own: started, read, stopped, killed, started again on its port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 30.0


class Place:
    """One server and its data folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.address = ""
        """Origin of the server: `http://127.0.0.1:40123`."""
        self.password = ""
        """The administrator's, as the first start printed it."""

    @property
    def database(self) -> Path:
        """The file that the server owns while it runs."""
        return self._folder / "var" / "omniline.db"

    @property
    def port(self) -> int:
        """Where it listens, 0 before the first start."""
        return int(self.address.rpartition(":")[2] or 0)

    def start(self) -> None:
        """Start, and return when the address is printed: from then on it answers."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "omniline", "serve", "--demo"],
                cwd=self._folder,
                env=self._environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        banner = ""
        # The demo shop is the last line of what is printed; a process that ends earlier closes its output.
        while "demo shop" not in banner:
            line = self._process.stdout.readline()
            if not line:
                raise AssertionError(f"the server ended before it served:\n{banner}{self.log()}")
            banner += line
        self.address = banner.splitlines()[0].rpartition(" on ")[2]
        if shown := re.search(r"password: (\S+)", banner):
            self.password = shown[1]

    def stop(self) -> int:
        """Stop it as an administrator would; return the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Stop it as the kernel would: no word is said, nothing is finished."""
        return self._end(signal.SIGKILL)

    def close(self) -> None:
        """Leave no process behind; one that ended unasked is a failure of its own."""
        if self._process is None:
            return
        ended = self._process.poll()
        self.kill()
        assert ended is None, f"the server ended by itself with status {ended}:\n{self.log()}"

    def command(self, *arguments: str) -> str:
        """Return what `omniline ARGUMENTS` prints beside the running server."""
        done = subprocess.run(
            [sys.executable, "-m", "omniline", *arguments],
            cwd=self._folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=STOP_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write(self, name: str, text: str) -> Path:
        """Write a file beside the data folder."""
        path = self._folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def log(self) -> str:
        """Return the end of what the server wrote to standard error."""
        return self._log.read_text(encoding="utf-8")[-4_000:] if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        finally:
            process.kill()
            assert process.stdout is not None
            process.stdout.close()

    def _environment(self) -> dict[str, str]:
        """Nothing of whoever runs the tests: their settings would be ours."""
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("OMNILINE_")}
        return inherited | {
            "PYTHONPATH": str(ROOT),
            "OMNILINE_DATA": str(self._folder / "var"),
            # Port 0 takes a free one; after that it is ours to come back to.
            "OMNILINE_LISTEN": f"127.0.0.1:{self.port}",
            "OMNILINE_ALLOW_UNSAFE_DISK": "true",  # temporary folders may lie in memory
        }
