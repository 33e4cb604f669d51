"""Leases: digests that a process at work needs, so that no garbage collection takes them away.

It must not know what the digests name. A lease lives as long as its owner (`owner.py`); the collector in `gc.py`
ignores those of dead owners. Hot: `run` takes one from the look-up of the image until its container exists.
"""

from __future__ import annotations

import os

from pyrun.store import fsio, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from pyrun.store.layout import Layout


class Lease:
    """Digests kept alive until `release` or the end of a ``with`` block; more can be added."""

    __slots__ = ("_layout", "_path")

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._path = f"{layout.leases}/{owner.token()}"

    def add(self, digests: Iterable[str]) -> None:
        """Protect more digests from now on. What they name may have been collected before: look again *after* this.

        The shared gc.lock makes sure that a collector either sees the line or has finished its renames.
        """
        data = "".join(f"{digest}\n" for digest in digests).encode("ascii")
        with fsio.FileLock(self._layout.gc_lock, exclusive=False):
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                fsio.write_all(fd, data)
            except OSError as error:
                raise fsio.full_or(error, self._path) from error
            finally:
                os.close(fd)

    def release(self) -> None:
        """End the lease; may be called twice."""
        fsio.unlink_quietly(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def acquire(layout: Layout, digests: Iterable[str]) -> Lease:
    """Take a lease on some digests; see `Lease.add` for what the caller must check afterwards."""
    lease = Lease(layout)
    try:
        lease.add(digests)
    except BaseException:  # a full disk: the file may be there
        lease.release()
        raise
    return lease


def held(layout: Layout) -> set[str]:
    """Return the digests of all leases whose owner may be alive."""
    found: set[str] = set()
    for name in os.listdir(layout.leases):
        if owner.is_dead(name):
            continue
        try:
            found.update(fsio.read_bytes(f"{layout.leases}/{name}").decode("ascii", "replace").split())
        except FileNotFoundError:
            continue
    return found
