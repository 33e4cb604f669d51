"""Part of fsck: what nothing needs any more, and what it weighs. `prune` removes it, not `--repair`.

It must not know how garbage is found (store/gc.py).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pyrun.engine.disk_usage import measure
from pyrun.errors import PyrunError
from pyrun.store import fsio, gc, owner, quarantine

if TYPE_CHECKING:
    from pyrun.engine.fsck import Check
    from pyrun.store.layout import Layout


class Listed:
    """What was in the store at a moment: digest to path, for each kind."""

    __slots__ = ("blobs", "images", "layers")

    def __init__(self, layout: Layout) -> None:
        self.images = {name: layout.image(name) for name in _names(layout.images)}
        self.layers = {f"sha256:{name}": f"{layout.layers}/sha256/{name}" for name in _names(f"{layout.layers}/sha256")}
        self.blobs = {f"sha256:{name}": f"{layout.blobs}/sha256/{name}" for name in _names(f"{layout.blobs}/sha256")}


def check(check: Check, listed: Listed) -> None:
    """List what was there before everything was checked and is needed by nothing now."""
    layout = check.layout
    try:
        alive = gc.needed(layout)
    except (PyrunError, OSError):
        return  # index.json cannot be read, which is told: everything would look like an orphan
    found: list[tuple[str, str, str]] = []
    for what, names in (("record", listed.images), ("layer", listed.layers), ("blob", listed.blobs)):
        found += [(path, digest, f"{what} that no image has") for digest, path in names.items() if digest not in alive]
    found += [(f"{layout.tmp}/{name}", name, "unfinished work of a dead process") for name in _dead(layout.tmp)]
    found += [(f"{layout.trash}/{name}", name, "removed but for its files") for name in _names(layout.trash)]
    found += [(f"{layout.leases}/{name}", name, "lease of a dead process") for name in _dead(layout.leases)]
    found += [(f"{layout.partials}/{name}", f"sha256:{name}", "half-fetched blob") for name in _idle(layout.partials)]
    found = [item for item in found if _is_old(item[0], check.options.max_age)]
    _tell(check, "orphan", found)
    kept = [(f"{layout.quarantine}/{name}", name, "taken away by --repair") for name in quarantine.names(layout)]
    _tell(check, "quarantined", kept)


def _tell(check: Check, kind: str, found: list[tuple[str, str, str]]) -> None:
    sizes = measure(check.layout, [path for path, _, _ in found])
    for (path, name, problem), usage in zip(found, sizes, strict=True):
        if os.path.lexists(path):
            check.findings.add(kind, name, problem, size=usage.disk)


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []


def _dead(path: str) -> list[str]:
    return [name for name in _names(path) if owner.is_dead(name)]


def _idle(path: str) -> list[str]:
    """Half-fetched blobs that no pull is at work on."""
    found = []
    for name in _names(path):
        try:
            if not fsio.is_locked(f"{path}/{name}"):
                found.append(name)
        except FileNotFoundError:
            continue
    return found


def _is_old(path: str, max_age: int) -> bool:
    try:
        return time.time_ns() - os.lstat(path).st_mtime_ns >= max_age
    except FileNotFoundError:
        return False
