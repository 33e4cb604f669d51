"""``wait``: until a container has ended."""

from __future__ import annotations

from pyrun.engine import lifecycle, restart_policy
from pyrun.runtime import state
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout


def wait(layout: Layout, name: str) -> int:
    """Return the exit code of a container once it has ended; of one that never ran, 0, as docker does.

    Of one that is started again after each end it is the next end that counts.

    A --rm container takes its record with it: its code comes from its monitor's socket.
    """
    _, directory = containers.resolve(layout, name)
    record = containers.load(directory)
    now = state.status(directory)
    # With a restart policy the end of a run is not that of the monitor.
    if record["ephemeral"] or now.status == "restarting" or (now.is_up and restart_policy.read(directory).name != "no"):
        return _through_socket(layout, record["id"], directory)
    while now.status == "running" or (now.status == "created" and state.is_locked(directory)):
        if now.status == "running":
            lifecycle.wait_end(now)
        else:
            lifecycle.wait_start(directory)
        now = state.status(directory)
    if not now.is_recorded:
        _record(layout, directory)
    return now.exit_code


def _through_socket(layout: Layout, container_id: str, directory: str) -> int:
    try:
        monitor = lifecycle.connect(layout, container_id, directory)
    except OSError:
        _record(layout, directory)
        return state.status(directory).exit_code
    try:
        while True:
            kind, content = monitor.receive()
            if kind == "X":
                return int.from_bytes(content, "little")
            if kind == "":
                _record(layout, directory)
                return 137
    finally:
        monitor.close()


def _record(layout: Layout, directory: str) -> None:
    """Wait for the end of what a monitor led, and write it down if that was killed."""
    from pyrun.engine import obituary

    lifecycle.wait_end(state.status(directory))
    obituary.write(layout, directory)
