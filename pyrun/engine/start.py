"""``start`` of containers that exist."""

from __future__ import annotations

import os

from pyrun.engine import events, launch
from pyrun.errors import ContainerNotFoundError, PyrunError, SyscallError, WrongStatusError
from pyrun.runtime import state
from pyrun.store import containers
from pyrun.store.containers import Created

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.store.layout import Layout

_ENOENT, _EAGAIN = 2, 11


def selected(layout: Layout, filters: Sequence[str]) -> list[str]:
    """Return the ids of the containers that ``start --all`` with these filters starts, oldest first.

    ``restart-policy=unless-stopped`` leaves out what a user has stopped: it is asked at boot, as docker's daemon does.
    Raises: InvalidInputError for a filter.
    """
    from pyrun.engine import ps, restart_policy

    by_policy = any(text.partition("=")[0].strip().lower() == "restart-policy" for text in filters)
    found = [item for item in ps.list_containers(layout, all=True, filters=filters) if not item.state.is_up]
    if by_policy:
        found = [item for item in found if not restart_policy.stays_stopped(item.directory)]
    return [item.id for item in reversed(found)]


def start(
    layout: Layout, name: str, *, attached: bool = False, interactive: bool = False, detach_keys: str | None = None
) -> int | None:
    """Start one container; one that runs already is only attached to. Returns the exit code if ``attached`` saw it end.

    Raises: ContainerNotFoundError; as `launch.start`.
    """
    keys = b""
    if attached or detach_keys is not None:
        from pyrun.engine import detach_keys as keys_of

        keys = keys_of.parse(detach_keys)
    container_id, directory = containers.resolve(layout, name)
    created = Created(container_id, directory, containers.load(directory))
    if attached:
        events.container(layout, "attach", created.record)
    started = None
    while started is None:
        now = state.status(directory)
        if now.paused:
            # docker: "cannot start a paused container, try unpause instead"; `start -a` neither: nothing would come.
            raise WrongStatusError("start", name, "paused", hint=f"try unpause instead: `pyrun unpause {name}`")
        if now.is_up and not attached:
            return None
        if now.is_up:
            from pyrun.engine.attach import join

            code = join(layout, created.record, directory, now.pid, stdin=interactive, keys=keys, proxy=True)
            return _told(layout, created, code)
        try:
            started = _start(layout, created, attached)
        except PyrunError as error:
            from pyrun.engine import failed_start

            failed_start.keep(layout, created, error)
            raise
    if not attached:
        started.monitor.close()
        return None
    from pyrun.engine.attach import stay

    return _told(layout, created, stay(layout, started, interactive and created.record["stdin_open"], keys, proxy=True))


def _start(layout: Layout, created: Created, attached: bool) -> launch.Launch | None:
    """Start it; None: somebody else has done so meanwhile."""
    tty, window = bool(created.record["tty"]), (0, 0)
    if tty:
        from pyrun.engine.terminal import window_size

        window = window_size(0)
    try:
        return _start_alone(layout, created, attached, window)
    except FileNotFoundError:
        _check_is_there(created)
        raise
    except WrongStatusError:
        if not state.status(created.directory).is_up:
            raise
    except SyscallError as error:
        if error.errno == _ENOENT:
            _check_is_there(created)  # the monitor found it gone
        # Two starts at once: the other's monitor holds the container's lock. Or for a moment only: engine/obituary.py.
        if error.errno != _EAGAIN or "SETLK" not in error.syscall:
            raise
        from pyrun.engine import lifecycle

        lifecycle.wait_start(created.directory)
    return None


def _check_is_there(created: Created) -> None:
    """Raises: ContainerNotFoundError if it was removed meanwhile: that is what to say, not which file was missing."""
    if not os.path.isdir(created.directory):
        raise ContainerNotFoundError(created.record["name"]) from None


def _start_alone(layout: Layout, created: Created, attached: bool, window: tuple[int, int]) -> launch.Launch | None:
    if not created.record.get("published"):
        return launch.run_to_exec(layout, created, attached=attached, window=window)
    from pyrun.engine import networking
    from pyrun.store import fsio

    # One at a time: the ports in the record are those of the start that comes to pass.
    with fsio.FileLock(f"{created.directory}/config.json", exclusive=True):
        if state.status(created.directory).is_up:
            return None
        networking.choose_ports(layout, created)
        return launch.run_to_exec(layout, created, attached=attached, window=window)


def _told(layout: Layout, created: Created, code: int | None) -> int | None:
    if code is None:
        events.container(layout, "detach", created.record)
    return code
