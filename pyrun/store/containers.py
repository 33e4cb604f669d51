"""Container directories: found, listed, removed. State is the kernel's business (`runtime/state.py`).

It must not know what a record's fields mean beyond id, name and ephemeral. Hot: no json, re, pathlib, shutil.

A directory appears by one rename; its name is then taken by symlink(2): store/new_container.py.
So a name never dangles while its container is alive, and nobody ever sees half a container. Containers with --rm are
in a directory of their own, and only those of this boot are seen.
"""

from __future__ import annotations

import builtins
import os

from pyrun.errors import ContainerNotFoundError, InvalidInputError, StoreCorruptError, is_no_answer
from pyrun.oci import json
from pyrun.store import fsio, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.store.layout import Layout

STAYS = "stays"  # an empty file in the directory of a --rm container that is not to be started by who made it
KEPT = "kept"  # in the directory of a --rm container that is being restarted: the token of who does that
_HEX = "0123456789abcdef"


class Created:
    """A container that exists and does not run yet.

    ``bundle``: its config.json and rootfs.json, if this process has just written them.
    """

    __slots__ = ("bundle", "directory", "id", "record")

    def __init__(
        self, container_id: str, directory: str, record: dict[str, Any],
        bundle: tuple[dict[str, Any], dict[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        self.id = container_id
        self.directory = directory
        self.record = record
        self.bundle = bundle


def directory(layout: Layout, container_id: str, *, ephemeral: bool) -> str:
    """Return where a container's record is or will be."""
    return layout.ephemeral_container(container_id) if ephemeral else layout.container(container_id)


def is_past(layout: Layout, path: str) -> bool:
    """Whether a container is one with --rm that ran in another boot, or on another machine: nobody sees it any more."""
    if not path.startswith(layout.ephemeral + "/"):
        return False
    try:
        return not owner.is_of_this_boot(os.readlink(f"{path}/owner")) and not awaits_start(path)
    except OSError as error:
        if is_no_answer(error):
            raise
        return True


def awaits_start(path: str) -> bool:
    """Whether `create --rm` made the container and nobody has started it yet."""
    return os.path.exists(f"{path}/{STAYS}") and not os.path.exists(f"{path}/state")


def copying(path: str) -> str:
    """Return the lock of a container's directory that `cp` holds while it has the root of one that does not run."""
    return path + "/copying"


def start_error(path: str) -> str:
    """Return where it is kept why the container could not be started the last time."""
    return path + "/start-error"


def load(path: str) -> dict[str, Any]:
    """Read container.json of a container's directory.

    Raises: ContainerNotFoundError if it was removed meanwhile; StoreCorruptError.
    """
    return load_file(path, "container.json")


def load_listed(path: str) -> dict[str, Any]:
    """Read container.json up to its options and what is for the start alone, which no list shows. Raises: as `load`."""
    try:
        data = fsio.read_head(f"{path}/container.json")
    except (FileNotFoundError, NotADirectoryError):
        raise ContainerNotFoundError(path.rpartition("/")[2][:12]) from None
    # Nothing else in it is an object of this name: a label's value is a text, in which a quote has a backslash.
    head, found, _ = data.partition(b',"options":{')
    if found:
        try:
            record = json.loads(head + b"}")
        except ValueError:
            record = None
        if isinstance(record, dict) and "boot_id" in record:
            return record
    return load(path)  # long, or an older pyrun's with the options in between, or damaged


def load_file(path: str, name: str, *, verified: bool = False) -> dict[str, Any]:
    """Read one JSON file of a container's directory; ``verified``: its checksum is compared. Raises: as `load`."""
    try:
        data = fsio.read_bytes(f"{path}/{name}")
        document = json.loads(data)
        if verified:
            from pyrun.store import sealed

            sealed.unseal(data)
    except (FileNotFoundError, NotADirectoryError):
        raise ContainerNotFoundError(path.rpartition("/")[2][:12]) from None
    except ValueError as error:
        raise StoreCorruptError(
            f"cannot read container: {path}/{name}: {error}",
            path=f"{path}/{name}",
            hint=f"remove the container: `pyrun rm -f {path.rpartition('/')[2][:12]}`",
        ) from error
    if not isinstance(document, dict):
        raise StoreCorruptError(f"cannot read container: {path}/{name}: not an object", path=f"{path}/{name}")
    document.pop("crc32", None)  # store/sealed.py
    return document


def resolve(layout: Layout, text: str) -> tuple[str, str]:
    """Find a container by full id, name, or unique prefix of its id, in this order, as docker does.

    Raises: ContainerNotFoundError; InvalidInputError for a prefix of several ids.
    """
    wanted = text.removeprefix("/")
    if len(wanted) == 64 and not wanted.strip(_HEX):
        for path in (layout.container(wanted), layout.ephemeral_container(wanted)):
            if os.path.isdir(path) and not is_past(layout, path):
                return wanted, path
    if wanted and "/" not in wanted and wanted not in (".", ".."):
        found = holder(layout, wanted)
        if os.path.isdir(found):
            return found.rpartition("/")[2], found
    if wanted and len(wanted) < 64 and not wanted.strip(_HEX):
        matches = [pair for pair in list(layout) if pair[0].startswith(wanted)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise InvalidInputError(
                f"multiple IDs found with provided prefix: {wanted}", hint="give more digits of the id, or the name"
            )
    for pair in list(layout) if wanted else ():
        # Its maker was killed before it could take the name that `ps` shows.
        if is_named(pair[1], wanted, damaged=False):
            return pair
    raise ContainerNotFoundError(text)


def list(layout: Layout, all: bool = True) -> builtins.list[tuple[str, str]]:
    """Return (id, directory) of all containers, or of those that `live/` names; in no order.

    ``live/`` may name one that has just died or is gone: `load` tells, and runtime.state of each.
    """
    if all:
        found = [(name, layout.container(name)) for name in _names_in(layout.containers)]
        ephemeral = [(name, layout.ephemeral_container(name)) for name in _names_in(layout.ephemeral)]
        return found + [pair for pair in ephemeral if not is_past(layout, pair[1])]
    # Where they lead is known: to read a thousand links would take a tenth of `ps`.
    ephemerals = set(_names_in(layout.ephemeral))
    return [
        (name, layout.ephemeral_container(name) if name in ephemerals else layout.container(name))
        for name in _names_in(layout.live)
    ]


def link_running(layout: Layout) -> None:
    """Make the links of `live/` anew that went with the runtime directory: a container runs while its lock is held."""
    for container_id, path in list(layout):
        try:
            if fsio.is_locked(f"{path}/lock"):
                link_live(layout, container_id, path)
        except OSError:
            continue  # just being removed


def link_live(layout: Layout, container_id: str, path: str) -> None:
    """Say that a container runs, to who asks for those only; saying it twice is fine."""
    try:
        os.symlink(path, layout.live_entry(container_id))
    except FileExistsError:
        pass


def delete(layout: Layout, container_id: str, path: str) -> None:
    """Remove a container that does not run: its directory (one rename into trash/), its name, then the files.

    A second deleter, or a crash in between, does no harm: each step may find its work done.
    """
    from pyrun.store import trees

    grave = bury(layout, container_id, path)
    if grave:
        trees.remove_tree(grave)


def bury(layout: Layout, container_id: str, path: str) -> str:
    """Remove a container as `delete` does but for the files; return where they are now, "" if there are none."""
    from pyrun.store import trees

    ephemeral = path.startswith(layout.ephemeral + "/")
    try:
        name = load(path).get("name", "")
    except (ContainerNotFoundError, StoreCorruptError):
        name = _name_of(layout, container_id)
    # The directory first: killed in between, a name that leads nowhere is anybody's to take, and swept; a container
    # without its name would be damage.
    grave = trees.bury(layout, directory(layout, container_id, ephemeral=ephemeral))
    fsio.unlink_quietly(layout.live_entry(container_id))
    if name:
        release_name(layout, name, container_id)
    return grave


def release_name(layout: Layout, name: str, container_id: str) -> None:
    """Remove a name if it is still this container's."""
    # Under the lock: between readlink and unlink another process might give the name to a new container.
    with fsio.FileLock(layout.names_lock, exclusive=True):
        try:
            if os.readlink(layout.name(name)).rpartition("/")[2] == container_id:
                os.unlink(layout.name(name))
        except OSError:
            return


def is_named(path: str, name: str, *, damaged: bool = True) -> bool:
    """Whether a container's record says this name; ``damaged``: what to say of one that cannot be read."""
    try:
        return load(path).get("name") == name
    except ContainerNotFoundError:
        return False
    except StoreCorruptError:
        return damaged


def holder(layout: Layout, name: str) -> str:
    """Return the directory, perhaps gone, of the container that a name leads to; nothing where the name is free."""
    try:
        value = os.readlink(layout.name(name))
    except OSError as error:
        if is_no_answer(error):
            raise
        return ""
    container_id = value.rpartition("/")[2]
    if not value.startswith("../ephemeral/"):
        return layout.container(container_id)
    path = layout.ephemeral_container(container_id)
    return path if not is_past(layout, path) else f"{path}/past"


def _name_of(layout: Layout, container_id: str) -> str:
    for name in _names_in(layout.names):
        try:
            if os.readlink(layout.name(name)).endswith(container_id):
                return name
        except OSError:
            continue
    return ""


def drop(layout: Layout, container_id: str, *, ephemeral: bool) -> None:
    """Remove the directories of a container, wherever it stands in its life; its name is not looked at."""
    from pyrun.store import trees

    trees.discard(layout, directory(layout, container_id, ephemeral=ephemeral))


def _names_in(path: str) -> builtins.list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []
