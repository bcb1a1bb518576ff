"""``python -m tests.tools.repo_check``: what no linter looks at, read from every file that git has or would add.

No path of somebody's machine, no address of a package registry, no binary but a picture in docs/, nothing over 600 KiB.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LARGEST_BYTES = 600 * 1024

# Each pattern is spelled so that it does not find itself.
FORBIDDEN = {
    re.compile(r"(?<![\w.}-])/(?:work|root)/"): "a path of one machine",
    re.compile(r"https?://[^\s\"'<>]*(?:registry|pypi|npmjs|pythonhosted)"): "the address of a package registry",
}
LOCKS = {
    "constraints.txt": re.compile(r"://|@|--"),
    "web/package-lock.json": re.compile(r'"resol(?:ved)":\s*"http'),
}


def tracked_files() -> Iterator[Path]:
    """Yield the files that git tracks or, being neither tracked nor ignored, would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file():  # deleted but not yet committed: nothing to read
            yield path


def faults_in(path: Path) -> Iterator[str]:
    """Yield what is wrong with the file, one sentence each, beginning with its name and line."""
    name = path.relative_to(ROOT).as_posix()
    content = path.read_bytes()
    if len(content) > LARGEST_BYTES:
        yield f"{name}: {len(content) // 1024} KiB; nothing over {LARGEST_BYTES // 1024} KiB belongs into git"
    if b"\0" in content[:8192]:
        if not (name.startswith("docs/") and path.suffix in {".png", ".webp"}):
            yield f"{name}: a binary; only pictures in docs/ may be"
        return
    lock = LOCKS.get(name)
    for number, line in enumerate(content.decode(errors="replace").splitlines(), start=1):
        if lock is not None and lock.search(line):
            yield f"{name}:{number}: a lock names versions and hashes, never a place"
        for pattern, what in FORBIDDEN.items():
            if pattern.search(line):
                yield f"{name}:{number}: {what}: {line.strip()[:100]}"


def main() -> int:
    """Print every fault; return the exit status."""
    count = 0
    faults = 0
    for path in tracked_files():
        count += 1
        for fault in faults_in(path):
            faults += 1
            print(fault)
    print(f"repository check: {count} files, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
