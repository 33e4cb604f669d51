"""Sweep what crashes left: unfinished work of dead owners, trash, stale leases, dead names, dead --rm containers.

It must not judge the living: only names whose owner is dead for sure (`owner.is_dead`) go. Called by pull, rm and
prune, never by run or ps. Every step may run in many processes at once.
"""

from __future__ import annotations

import os

from pyrun.errors import PyrunError, StoreError, is_no_answer
from pyrun.store import containers, fsio, id_ranges, owner, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout


def sweep(layout: Layout) -> list[PyrunError]:
    """Remove leftovers; return what could not be removed (files of subordinate ids without a remover).

    That is no reason for the verb at hand to fail: the leftovers stay, unseen, for the next sweep.
    """
    failures: list[PyrunError] = []
    _sweep_dead_ephemeral(layout, failures)
    for name in _names_in(layout.tmp):
        if owner.is_dead(name):
            _remove(f"{layout.tmp}/{name}", failures)
    for name in _names_in(layout.trash):
        _remove(f"{layout.trash}/{name}", failures)
    for name in _names_in(layout.leases):
        if owner.is_dead(name):
            fsio.unlink_quietly(f"{layout.leases}/{name}")
    if _names_in(layout.partials):
        from pyrun.store import partials

        partials.sweep(layout)
    if _names_in(layout.mounts):
        from pyrun.store import image_mounts

        image_mounts.sweep(layout)
    _sweep_volumes(layout, failures)
    _sweep_names(layout)
    id_ranges.sweep(layout)
    _sweep_live(layout)
    _sweep_sockets(layout)
    return failures


def leftovers(layout: Layout) -> list[str]:
    """Return the files and trees that `sweep` removes now, other than containers and volumes: trash, dead work."""
    found = [f"{layout.trash}/{name}" for name in _names_in(layout.trash)]
    for parent in (layout.tmp, layout.leases):
        found += [f"{parent}/{name}" for name in _names_in(parent) if owner.is_dead(name)]
    return found


def _remove(path: str, failures: list[PyrunError]) -> None:
    try:
        trees.remove_tree(path)
    except PyrunError as error:  # also the remover's: user namespaces may be forbidden meanwhile
        failures.append(error)
    except OSError as error:
        failures.append(StoreError(f"cannot remove: {path}: {error.strerror}", path=path))


def _sweep_dead_ephemeral(layout: Layout, failures: list[PyrunError]) -> None:
    """Remove --rm containers that nobody will: a reboot ended them, their monitor or their maker was killed."""
    for container_id in _names_in(layout.ephemeral):
        path = layout.ephemeral_container(container_id)
        try:
            token = os.readlink(f"{path}/owner")
            if not owner.is_dead(token) or fsio.is_locked(f"{path}/lock") or containers.awaits_start(path):
                continue
            if _is_kept(path):
                continue
            containers.delete(layout, container_id, path)
        except PyrunError as error:
            failures.append(error)
        except OSError:
            continue  # it is just being removed


def _is_kept(path: str) -> bool:
    """Whether `restart` has ended the container and is about to start it again."""
    try:
        return not owner.is_dead(fsio.read_bytes(f"{path}/{containers.KEPT}").decode("ascii", "replace"))
    except OSError as error:
        return is_no_answer(error)


def _sweep_volumes(layout: Layout, failures: list[PyrunError]) -> None:
    """Remove the volumes of containers that were not made, or that are gone, as who made or removed them was killed."""
    dead = [name for name in _names_in(layout.volumes) if _is_abandoned(layout, name)]
    if not dead:
        return
    graves = []
    # Who makes a container with volumes holds it shared until the container is in place.
    with fsio.FileLock(layout.gc_lock, exclusive=True):
        for name in dead:
            if _is_abandoned(layout, name):
                graves.append(f"{layout.trash}/{owner.token()}")
                os.rename(layout.volume(name), graves[-1])
    for grave in graves:
        _remove(grave, failures)


def _is_abandoned(layout: Layout, volume: str) -> bool:
    try:
        container_id, _, token = os.readlink(f"{layout.volume(volume)}/owner").partition("/")
    except OSError:
        return False
    places = (layout.container(container_id), layout.ephemeral_container(container_id))
    return owner.is_dead(token) and not any(os.path.isdir(path) for path in places)


def _sweep_names(layout: Layout) -> None:
    dead = [name for name in _names_in(layout.names) if not os.path.isdir(containers.holder(layout, name))]
    if not dead:
        return
    with fsio.FileLock(layout.names_lock, exclusive=True):
        for name in dead:
            # Again under the lock: the name may have been given to a new container since.
            if not os.path.isdir(containers.holder(layout, name)):
                fsio.unlink_quietly(layout.name(name))


def _sweep_live(layout: Layout) -> None:
    for name in _names_in(layout.live):
        if not os.path.isdir(layout.live_entry(name)):
            fsio.unlink_quietly(layout.live_entry(name))


def _sweep_sockets(layout: Layout) -> None:
    """Remove sockets of containers that are gone; a socket appears after its container's record."""
    sockets = _names_in(layout.sockets)
    if not sockets:
        return
    known = {name[:32] for root in (layout.containers, layout.ephemeral) for name in _names_in(root)}
    for name in sockets:
        if name[:32] not in known:
            fsio.unlink_quietly(f"{layout.sockets}/{name}")


def _names_in(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []
