"""Volumes on disk: made, found, listed, removed, filled from an image once.

It must not know mounts or images. Hot: used by run and rm. ``volumes/NAME/`` holds ``_data`` (the content, whose files
belong to the containers' ids), ``volume.json`` and ``lock``; while it is being filled also ``copying``.
A volume appears by one rename of a directory built in tmp/. Nothing is fsynced: without its record it is still whole.
"""

from __future__ import annotations

import builtins
import os

from pyrun.errors import ConflictError, ContainerNotFoundError, StoreCorruptError, StoreError, VolumeNotFoundError
from pyrun.store import containers, fsio, owner, sealed, trees
from pyrun.volumes.spec import check_volume_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any, Self

    from pyrun.store.layout import Layout


def data_path(layout: Layout, name: str) -> str:
    """Return where a volume's content is."""
    return layout.volume(name) + "/_data"


def ensure(layout: Layout, name: str = "", *, labels: dict[str, str] | None = None, container_id: str = "") -> str:
    """Return the name of a volume that exists now; "" makes an anonymous one, named by 64 hexadecimal digits.

    Idempotent: an existing volume is left as it is, as by `docker volume create`. An anonymous one for a container is
    that container's (`own`), until somebody else asks for it by its name.

    Raises: InvalidInputError for a bad name.
    """
    anonymous = not name
    if anonymous:
        name = os.urandom(32).hex()
    else:
        check_volume_name(name)
        if os.path.isdir(data_path(layout, name)):
            disown(layout, name)
            return name
    record = {"name": name, "created": _now(), "anonymous": anonymous, "labels": labels or {}}
    building = f"{layout.tmp}/{owner.token()}"
    try:
        os.mkdir(building, 0o700)
        # Docker makes it 0755 for everybody; who may look inside is decided by the store's own 0700.
        os.mkdir(building + "/_data")
        os.chmod(building + "/_data", 0o755)  # noqa: S103  whatever the umask is: containers have many users
        fsio.write_new(building + "/volume.json", sealed.seal(record))
        fsio.write_new(building + "/lock", b"")
        if anonymous and container_id:
            os.symlink(f"{container_id}/{owner.token()}", building + "/owner")
        os.rename(building, layout.volume(name))
    except (OSError, StoreError) as error:
        trees.remove_tree(building)
        if isinstance(error, StoreError):
            raise
        # Another process was faster: rename(2) replaces only an empty directory.
        if os.path.isdir(data_path(layout, name)):
            return name
        raise fsio.full_or(error, layout.volume(name)) from error
    return name


def get(layout: Layout, name: str) -> dict[str, Any]:
    """Return a volume's record, with ``mountpoint``.

    Raises: VolumeNotFoundError.
    """
    if not exists(layout, name):
        raise VolumeNotFoundError(name, hint="`pyrun run -v NAME:/path` makes one")
    record: dict[str, Any] = {"name": name, "created": "", "anonymous": _looks_anonymous(name), "labels": {}}
    try:
        found = sealed.unseal(fsio.read_bytes(layout.volume(name) + "/volume.json"))
    except (OSError, ValueError):
        found = None  # lost in a crash: the content is what counts
    if isinstance(found, dict):
        record.update(found)
    record["mountpoint"] = data_path(layout, name)
    return record


def list(layout: Layout) -> builtins.list[dict[str, Any]]:
    """Return the records of all volumes, by name as docker sorts: v2 before v10."""
    try:
        names = sorted(os.listdir(layout.volumes), key=_natural)
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        try:
            found.append(get(layout, name))
        except VolumeNotFoundError:
            continue  # removed meanwhile
    return found


def _natural(name: str) -> builtins.list[tuple[bool, int, str]]:
    """Numbers in a name by their value, before all letters."""
    from itertools import groupby

    parts = ["".join(letters) for _, letters in groupby(name, str.isdigit)]
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def users(layout: Layout, name: str) -> builtins.list[str]:
    """Return the ids of the containers, running or not, that mount a volume."""
    return all_users(layout).get(name, [])


def all_users(layout: Layout) -> dict[str, builtins.list[str]]:
    """Return the ids of the containers, running or not, that mount each volume that is mounted."""
    found: dict[str, builtins.list[str]] = {}
    for container_id, path in containers.list(layout):
        try:
            mounts = containers.load_listed(path).get("mounts") or []
        except (ContainerNotFoundError, StoreCorruptError):
            continue  # removed meanwhile, or unreadable: then `pyrun rm` is what it waits for
        for mount in mounts:
            if mount.get("type") == "volume" and container_id not in found.setdefault(mount.get("name"), []):
                found[mount.get("name")].append(container_id)
    return found


def remove(layout: Layout, name: str, *, force: bool = False) -> None:
    """Remove a volume and its content; with ``force`` a missing one is fine.

    Whoever makes a container that mounts volumes holds gc.lock shared from `ensure` until the container is in place:
    so none can begin to use the volume between our look and the rename.

    Raises: VolumeNotFoundError; ConflictError while a container uses it.
    """
    if not exists(layout, name):
        if force:
            return
        raise VolumeNotFoundError(name)
    with fsio.FileLock(layout.gc_lock, exclusive=True):
        holders = users(layout, name)
        if holders:
            raise ConflictError(
                f"remove {name}: volume is in use - [{', '.join(holders)}]",
                hint=f"remove the container first: `pyrun rm {holders[0][:12]}`",
            )
        grave = f"{layout.trash}/{owner.token()}"
        try:
            os.rename(layout.volume(name), grave)
        except FileNotFoundError:
            return
    trees.remove_tree(grave)


def remove_unused(layout: Layout, names: Sequence[str]) -> builtins.list[str]:
    """Remove those of these volumes that no container uses, with one look at the containers; return which went."""
    with fsio.FileLock(layout.gc_lock, exclusive=True):
        used = all_users(layout)
        graves = {name: trees.bury(layout, layout.volume(name)) for name in names if name not in used}
    for grave in graves.values():
        if grave:
            trees.remove_tree(grave)
    return [name for name, grave in graves.items() if grave]


def own(layout: Layout, name: str, container_id: str) -> None:
    """Let a volume go with its container: with this process dead and the container gone, the sweep removes it."""
    disown(layout, name)
    try:
        os.symlink(f"{container_id}/{owner.token()}", layout.volume(name) + "/owner")
    except OSError:
        # Removed meanwhile; or somebody else is just removing the container; or the disk is full: that must not keep
        # anything from being removed, and the mark is only for the case that we are killed.
        return


def disown(layout: Layout, name: str) -> None:
    """Let a volume stay whatever becomes of its container."""
    fsio.unlink_quietly(layout.volume(name) + "/owner")


def discard(layout: Layout, name: str) -> None:
    """Remove a volume that nobody else knows of: an anonymous one whose container is gone or was never made."""
    trees.discard(layout, layout.volume(name))


class CopyUp:
    """The right to fill a volume, held in a ``with`` block: ``needed`` says whether it is empty (docker: then only).

    A filling that was cut short is undone at the next try, so nobody ever uses half of one: the marker ``copying``
    outlives its maker, and the lock does not.
    """

    __slots__ = ("_layout", "_lock", "_name", "needed")

    def __init__(self, layout: Layout, name: str) -> None:
        self._layout = layout
        self._name = name
        self._lock = fsio.FileLock(layout.volume(name) + "/lock", exclusive=True)
        self.needed = False

    def __enter__(self) -> Self:
        self._lock.__enter__()
        try:
            data = data_path(self._layout, self._name)
            if os.path.lexists(self._marker):
                for entry in os.listdir(data):
                    trees.remove_tree(f"{data}/{entry}")
            self.needed = _is_empty(data)
            if self.needed and not os.path.lexists(self._marker):
                fsio.write_new(self._marker, b"")
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                fsio.unlink_quietly(self._marker)
        finally:
            self._lock.__exit__(kind, error, traceback)

    @property
    def _marker(self) -> str:
        return self._layout.volume(self._name) + "/copying"


def needs_copy_up(layout: Layout, name: str) -> bool:
    """Say, without a lock, whether it is worth taking `CopyUp`: the volume is empty, or a filling was cut short."""
    return _is_empty(data_path(layout, name)) or was_cut_short(layout, name)


def was_cut_short(layout: Layout, name: str) -> bool:
    """Say whether a filling is under way, or its maker was killed; entering `CopyUp` waits, and undoes it."""
    return os.path.lexists(layout.volume(name) + "/copying")


def exists(layout: Layout, name: str) -> bool:
    """Say whether there is such a volume."""
    # A name is checked before it becomes a path: "" would be the directory of all volumes.
    return bool(name) and "/" not in name and not name.startswith(".") and os.path.isdir(data_path(layout, name))


def _is_empty(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except PermissionError:
        return False  # a container's user closed it: so it was in use


def _looks_anonymous(name: str) -> bool:
    return len(name) == 64 and not name.strip("0123456789abcdef")


def _now() -> str:
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
