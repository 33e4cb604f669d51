"""``rm``: remove containers, and the trees that hold files of subordinate owners."""

from __future__ import annotations

import os

from pyrun.engine import events, lifecycle, namespace
from pyrun.engine.together import End, alone, end_of_monitor, together
from pyrun.errors import (
    ContainerNotFoundError,
    InvalidInputError,
    StoreBusyError,
    StoreCorruptError,
    WrongStatusError,
    is_no_answer,
)
from pyrun.runtime import state
from pyrun.store import containers, fsio, trees
from pyrun.store.sweep import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from typing import Any

    from pyrun.engine.together import Outcome, Work
    from pyrun.runtime.state import State
    from pyrun.store.layout import Layout

_PAUSE_SECONDS = 0.005
_SHARING = ("network", "pid", "ipc", "uts", "userns")  # options that may say container:ID
_PATIENCE = 4000  # pauses: a start takes milliseconds, its network perhaps seconds


def remove(layout: Layout, name: str, force: bool = False, volumes: bool = False) -> None:
    """Remove a container; ``force`` ends a running one first, ``volumes`` takes its anonymous volumes along.

    Raises: ContainerNotFoundError; WrongStatusError if it runs.
    """
    graves: list[str] = []
    alone(_steps(layout, name, force, volumes, None, graves))
    _remove_files(layout, graves)


def remove_namesake(layout: Layout, name: str | None) -> None:
    """Remove who has the name of a container to be made: podman's --replace. Raises: InvalidInputError; as `remove`."""
    if not name:
        raise InvalidInputError("cannot replace container without --name being set")
    from pyrun.store import new_container

    holder = containers.holder(layout, new_container.check_name(name))
    if os.path.isdir(holder):
        remove(layout, holder.rpartition("/")[2], force=True)


def remove_all(
    layout: Layout, names: Sequence[str], force: bool = False, volumes: bool = False, timeout: int | None = None
) -> Iterator[Outcome]:
    """Remove containers as `remove` does, all at once; ``timeout``: stopped first, killed after these seconds."""
    graves: list[str] = []
    yield from together(names, lambda name: _steps(layout, name, force, volumes, timeout, graves))
    _remove_files(layout, graves)


def _remove_files(layout: Layout, graves: list[str]) -> None:
    trees.remove_trees(graves)
    from pyrun.engine import obituary

    obituary.write_all(layout)
    # What others left unfinished (design: swept by pull, prune, rm); a failure there is not this removal's.
    sweep(layout)


def all_names(layout: Layout) -> list[str]:
    """Return the ids of all containers."""
    return [container_id for container_id, _ in containers.list(layout)]


def with_dependents(layout: Layout, names: Sequence[str]) -> list[str]:
    """Return the containers that share a namespace of these, however remotely, by their ids, then these as they are.

    Raises: ContainerNotFoundError for one of these.
    """
    sharers: dict[str, list[str]] = {}
    for container_id, directory in containers.list(layout):
        try:
            options = containers.load(directory)["options"]
        except (ContainerNotFoundError, StoreCorruptError):
            continue
        for option in _SHARING:
            kind, _, peer = (options.get(option) or "").partition(":")
            if kind == "container":
                sharers.setdefault(peer, []).append(container_id)
    given = [containers.resolve(layout, name)[0] for name in names]
    found = [*given]
    for container_id in found:  # grows while it is walked
        found += [sharer for sharer in sharers.get(container_id, ()) if sharer not in found]
    return [*reversed(found[len(given) :]), *names]


def _steps(layout: Layout, name: str, force: bool, volumes: bool, timeout: int | None, graves: list[str]) -> Work:
    namespace.register(layout)
    container_id, directory = containers.resolve(layout, name)
    group = lifecycle.pause_group(directory)
    if force and timeout is not None:
        from pyrun.engine import stop

        yield from stop.steps(layout, container_id, timeout, None)
    lock = yield from _end(layout, name, directory, force)
    lifecycle.remove_group(group)
    try:
        record = _record(directory, force)
        _mark_volumes(layout, record, volumes)
        grave = containers.bury(layout, container_id, directory)
        if grave:
            graves.append(grave)
    except ContainerNotFoundError:
        if force:
            return  # it was --rm and has removed itself
        raise
    finally:
        if lock >= 0:
            os.close(lock)
    events.container(layout, "destroy", record)
    if volumes or record.get("ephemeral"):
        remove_volumes(layout, record)


def _record(directory: str, force: bool) -> dict[str, Any]:
    try:
        return containers.load(directory)
    except StoreCorruptError:
        if not force:
            raise
        return {"anonymous_volumes": []}  # nobody knows them any more


def _end(layout: Layout, name: str, directory: str, force: bool) -> Generator[End, bool, int]:
    """Return the container's lock, held so that nobody starts it any more; -1 where there is none (left).

    Raises: WrongStatusError if it runs and may not be ended; StoreBusyError.
    """
    for _ in range(_PATIENCE):
        now = state.status(directory)
        if now.is_up:
            if not force:
                first = f"pyrun unpause {name}` and `pyrun stop {name}" if now.paused else f"pyrun stop {name}"
                hint = f"stop it first: `{first}`, or use `pyrun rm -f {name}`"
                raise WrongStatusError("remove", name, now.word, hint=hint)
            yield from _kill(layout, directory, now)
        if not now.is_recorded:
            from pyrun.engine import obituary

            obituary.write(layout, directory)
        try:
            lock = fsio.try_lock(f"{directory}/lock")
        except OSError as error:
            if is_no_answer(error):
                raise
            return -1  # removed by its monitor, or damaged
        if lock >= 0:
            return lock
        # A monitor is just starting it, or about to end.
        if not force and now.status == "created":
            raise WrongStatusError("remove", name, "being started", hint="try again, or use `pyrun rm -f`")
        # Before its state file there is nothing to wait on: nobody is told that an OFD lock was let go, its holder has
        # no name (fcntl(2): l_pid is -1), and to block for it is to wait for the end of what has been started by now.
        _pause()
    raise StoreBusyError(f"{directory}/lock")


def _kill(layout: Layout, directory: str, now: State) -> Work:
    events.container(layout, "kill", _record(directory, force=True), signal=str(lifecycle.SIGKILL))
    lifecycle.end_restarts(now)
    again = state.status(directory)  # it may have been started again before the monitor was told
    if again.status == "running":
        lifecycle.send_signal(again, lifecycle.SIGKILL)
    yield end_of_monitor(now)


def _pause() -> None:
    import time

    time.sleep(_PAUSE_SECONDS)


def _mark_volumes(layout: Layout, record: dict[str, Any], volumes: bool) -> None:
    """Say, while the container still names its volumes, what a sweep is to do with them if we are killed."""
    if not record["anonymous_volumes"]:
        return
    from pyrun.volumes import store

    users = store.all_users(layout) if volumes or record["ephemeral"] else {}
    for name in record["anonymous_volumes"]:
        # One that another container mounts by its name stays, also when that container goes.
        if users.get(name) == [record["id"]]:
            store.own(layout, name, record["id"])
        else:
            store.disown(layout, name)


def remove_volumes(layout: Layout, record: dict[str, Any]) -> None:
    """Remove the anonymous volumes that a container was given; one that another container mounts by its name stays."""
    if not record["anonymous_volumes"]:
        return
    from pyrun.volumes import store

    for name in store.remove_unused(layout, record["anonymous_volumes"]):
        events.volume(layout, "destroy", name)
