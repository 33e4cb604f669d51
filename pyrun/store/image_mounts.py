"""Which images are mounted for the host's own tools: a directory each, below mounts/.

It must not know how an image is mounted. A view that a helper serves lives exactly as long as the lock that the helper
holds: nothing that is killed, and no reboot, leaves one that seems alive. A copied one lives until it is unmounted, or
until the next boot.
"""

from __future__ import annotations

import os

from pyrun.errors import StoreCorruptError, is_no_answer
from pyrun.store import fsio, owner, sealed, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrun.store.layout import Layout

RECORD, LOCK, TREE = "mount.json", "lock", "tree"
SERVED, COPIED = "fuse", "copy"


class ImageMount:
    """``path`` is what the user reads; ``directory`` holds the record; ``kind`` is SERVED or COPIED."""

    __slots__ = ("directory", "id", "kind", "made", "manifest", "path")

    def __init__(self, directory: str, record: dict[str, Any]) -> None:
        self.directory = directory
        self.path: str = record["path"]
        self.kind: str = record["kind"]
        self.manifest: str = record["manifest"]
        self.id: str = record["image_id"]
        self.made: str = record["made"]

    @property
    def is_alive(self) -> bool:
        """Whether the view is there. Another machine's copy is never judged."""
        if self.kind == COPIED:
            return owner.is_of_this_boot(self.made) or not self.made.startswith(owner.machine() + "-")
        try:
            return fsio.is_locked(f"{self.directory}/{LOCK}")
        except FileNotFoundError:
            return False

    @property
    def made_at(self) -> int:
        """When it got its name, in nanoseconds; 0: it is just being removed."""
        try:
            return os.stat(self.directory).st_mtime_ns
        except FileNotFoundError:
            return 0


def alive(layout: Layout) -> list[ImageMount]:
    """Return the mounts that are there, oldest first."""
    found = [(mount.made_at, mount) for mount in _all(layout) if mount.is_alive]
    return [mount for _, mount in sorted(found, key=lambda pair: pair[0])]


def begin(layout: Layout, record: dict[str, Any]) -> tuple[str, int]:
    """Build a mount's directory below tmp/; return it and a descriptor of its lock, which is held.

    Whoever has the descriptor keeps the mount alive once it is published.
    """
    building = f"{layout.tmp}/{owner.token()}"
    fsio.make_directory(building)
    fsio.write_new(f"{building}/{RECORD}", sealed.seal({**record, "made": owner.token()}))
    fd = os.open(f"{building}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fsio.lock(fd, exclusive=True)
    return building, fd


def publish(layout: Layout, building: str, name: str) -> str:
    """Give it its name and return where it is."""
    fsio.make_directory(layout.mounts)
    os.rename(building, layout.mount(name))
    return layout.mount(name)


def forget(layout: Layout, mount: ImageMount) -> None:
    """Remove a mount that is unmounted, or whose helper is dead: at once, as half a copy would be taken for a mount."""
    if mount.kind == SERVED:
        _leave_mount_point(mount.path)
    trees.discard(layout, mount.directory)


def sweep(layout: Layout) -> None:
    """Forget the mounts that are not alive."""
    for mount in _all(layout):
        if not mount.is_alive:
            forget(layout, mount)


def _all(layout: Layout) -> Iterator[ImageMount]:
    try:
        names = os.listdir(layout.mounts)
    except FileNotFoundError:  # made with the first mount
        return
    for name in names:
        try:
            yield ImageMount(layout.mount(name), sealed.unseal(fsio.read_bytes(f"{layout.mount(name)}/{RECORD}")))
        except (ValueError, KeyError, TypeError) as error:
            # Passed over, its image would be taken for unused.
            raise StoreCorruptError(
                f"cannot read the record of a mount: {layout.mount(name)}: {error}",
                path=layout.mount(name),
                hint="`pyrun fsck --repair` mends it, or puts it aside",
            ) from error
        except OSError as error:
            if is_no_answer(error):
                raise  # as above
            continue  # it is just being removed


def _leave_mount_point(path: str) -> None:
    """Remove the directory; fusermount3 has unmounted it when the helper ended, unless that was killed as well."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError:  # ENOTCONN, EBUSY: still a mount, that nobody serves
        program = fusermount()
        if program:
            os.waitpid(os.posix_spawn(program, [program, "-uqz", "--", path], os.environ), 0)
        try:
            os.rmdir(path)
        except OSError:
            return


def fusermount() -> str:
    """Return the path of fusermount3, the setuid program that may mount for users, or ""."""
    for directory in f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin:/bin".split(":"):
        for name in ("fusermount3", "fusermount"):
            if directory.startswith("/") and os.access(f"{directory}/{name}", os.X_OK):
                return f"{directory}/{name}"
    return ""
