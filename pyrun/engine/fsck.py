"""The verb fsck: is everything in the store what its digest, its archive and the other files say?

It must not print. Each part is a module: fsck_documents (index.json, manifests, configs), fsck_layers (blobs and
files), fsck_records (what is derived from them), fsck_containers, fsck_beside (small files), fsck_orphans. Safe beside
everything else: what is checked is leased, and what has disappeared meanwhile is no finding. Cold.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from pyrun.engine import (
    fsck_beside,
    fsck_containers,
    fsck_documents,
    fsck_layers,
    fsck_orphans,
    fsck_records,
    namespace,
)
from pyrun.engine.findings import Findings
from pyrun.engine.mending import Mender
from pyrun.errors import InvalidInputError, StoreVersionError
from pyrun.store import fsio, leases, quarantine, version

if TYPE_CHECKING:
    from pyrun.engine.findings import Finding, Hear, Options
    from pyrun.engine.fsck_documents import Image
    from pyrun.layers.pyrun_tree import Spawn
    from pyrun.store.layout import Layout


class Checked(NamedTuple):
    """``blobs``, ``layers`` (each form counts), ``images``: how many were looked at; ``bytes``: of the blobs."""

    findings: list[Finding]
    images: int
    blobs: int
    layers: int
    bytes: int

    @property
    def is_clean(self) -> bool:
        """Whether no damage is left."""
        return not any(finding.is_damage and not finding.mended for finding in self.findings)


class Check:
    """One run: what all its parts share. ``sizes``: unpacked bytes of the layers that were read, by diff_id."""

    def __init__(self, layout: Layout, options: Options, hear: Hear, spawn: Spawn) -> None:
        self.layout = layout
        self.options = options
        self.hear = hear
        self.spawn = spawn
        self.findings = Findings(repair=options.repair)
        self.mender = Mender(layout, spawn, force=options.force, tls_verify=options.tls_verify)
        self.images: list[Image] = []
        self.sizes: dict[str, int] = {}
        self.blobs = self.layers = self.bytes = 0
        self.is_writable = os.access(layout.root, os.W_OK)  # EROFS too: access(2)


def fsck(layout: Layout, options: Options, hear: Hear | None = None) -> Checked:
    """Check the whole store. ``hear(event, what, number)`` is called from several threads.

    Events: ``total`` (bytes that will be read), ``bytes`` (more of them).
    Raises: InvalidInputError to repair a store that cannot be written; StoreVersionError.
    """
    namespace.register(layout)
    check = Check(layout, options, hear or _deaf, namespace.spawner(layout))
    if options.repair and not check.is_writable:
        raise InvalidInputError(f"cannot repair store: {layout.root}: it is read-only", hint="fsck alone works there")
    with ExitStack() as stack:
        if options.repair:
            fsio.make_directory(layout.quarantine)
            stack.enter_context(fsio.FileLock(layout.repair_lock, exclusive=True))
        listed = fsck_orphans.Listed(layout)  # before the images: what a pull brings meanwhile is not in it
        lease = stack.enter_context(leases.Lease(layout)) if check.is_writable else None
        _check_skeleton(check)
        fsck_documents.check(check, lease)
        fsck_layers.check(check)
        fsck_records.check(check)
        fsck_containers.check(check)
        fsck_beside.check(check)
        if lease is not None:
            lease.release()  # it would keep alive what nobody needs
        fsck_orphans.check(check, listed)
    return Checked(check.findings.all, len(check.images), check.blobs, check.layers, check.bytes)


def open_damaged(layout: Layout, *, write: bool) -> None:
    """Open a store for `fsck`: also one whose version file says nothing that could be meant.

    Raises: as `version.open_store`.
    """
    try:
        version.open_store(layout, write=write)
    except StoreVersionError:
        if not version.is_nonsense(layout):
            raise


def drop_quarantine(layout: Layout) -> list[str]:
    """Remove what `--repair` has kept; return the names."""
    namespace.register(layout)
    return quarantine.remove_all(layout)


def _check_skeleton(check: Check) -> None:
    for path, content in version.damaged(check.layout):
        name = path[len(check.layout.root) + 1 :]

        def mend(path: str = path, content: bytes = content, name: str = name) -> str:
            return check.mender.file(path, content, name)

        check.findings.add("store", name, "is not as it was written", mend)


def _deaf(event: str, what: str, number: int) -> None:
    """Hear no progress."""
