"""Flips one bit at every STEPth byte of a store's files, asks fsck each time: python -m tests.support.flips ROOT STEP.

It prints a line of JSON for each file: its path, how many bits were flipped, and the places that fsck did not report.
A process of its own, as fsck in one process is fifty times faster than by the command line. STEP 0: one place a file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from pyrun.engine import findings, fsck
from pyrun.store.layout import Layout

# What containers and volumes hold, or a process has to itself, has no digest; half-fetched blobs are verified when they
# are fetched on, as nobody knows before how long one will be.
_NO_DIGEST = ("logs", "upper", "work", "_data", "hosts", "hostname", "resolv.conf", "partial", "tree")
_MANY = 10_000  # bytes: of larger files some hundred places are tried


def files(root: Path) -> list[Path]:
    """Return the files of a store that fsck can judge, but for those in layers."""
    found = []
    for parent, directories, names in os.walk(root):
        directories[:] = sorted(name for name in directories if name not in _NO_DIGEST)
        found += [Path(parent, name) for name in sorted(names) if name not in _NO_DIGEST]
    return [path for path in found if path.is_file() and not path.is_symlink() and path.stat().st_size]


def flip(path: Path, at: int) -> None:
    """Flip one bit of the byte at a place; again: as it was."""
    mode = path.stat().st_mode & 0o7777
    path.chmod(0o600)
    with path.open("r+b", buffering=0) as file:
        (byte,) = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes([byte ^ 1 << at * 5 % 8]), at)
    path.chmod(mode)


def place(path: Path) -> int:
    """Return one place of a file, by its name another in each."""
    return sum(path.name.encode()) % path.stat().st_size


def is_told(layout: Layout) -> bool:
    """Whether fsck tells of damage; without hashing blobs first, which is enough for most files."""
    for quick in (True, False):
        fsck.open_damaged(layout, write=False)
        if any(one.is_damage for one in fsck.fsck(layout, findings.Options(quick=quick)).findings):
            return True
    return False


def main(root: str, step: int) -> None:
    """Try all files."""
    layout = Layout.default(root)
    assert not is_told(layout)
    for path in files(Path(root)):
        size = path.stat().st_size
        places = range(0, size, step if size < _MANY else max(step, size // 100)) if step else [place(path)]
        silent = []
        for at in places:
            flip(path, at)
            if not is_told(layout):
                silent.append(at)
            flip(path, at)
        print(json.dumps([str(path.relative_to(root)), len(places), silent]), flush=True)
    assert not is_told(layout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
