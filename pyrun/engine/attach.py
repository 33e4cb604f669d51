"""``attach``, and to stay with a container that has just been started: what `run` and `start -a` share with it.

It must not know how it was made. Hot: not imported by what goes on in the background.
"""

from __future__ import annotations

import os

from pyrun.engine import events
from pyrun.engine.terminal import Attachment, SignalProxy
from pyrun.errors import ConflictError, InvalidInputError, RefusedError
from pyrun.runtime import state
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.launch import Launch
    from pyrun.runtime.launch import Monitor
    from pyrun.runtime.state import State
    from pyrun.store.layout import Layout


STREAMS = ("stdin", "stdout", "stderr")


def chosen_streams(words: list[str]) -> tuple[str, ...]:
    """Return what ``--attach`` names; nothing named is all. Raises: InvalidInputError with docker's words."""
    for word in words:
        if word.lower() not in STREAMS:
            raise InvalidInputError(
                f'invalid argument "{word}" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR'
            )
    return tuple(word.lower() for word in words) or STREAMS


def attach(
    layout: Layout, name: str, *, stdin: bool = True, detach_keys: str | None = None, proxy: bool = True
) -> int | None:
    """Attach to a running container, beside others who may be; return its exit code, None after the detach keys.

    Raises: ContainerNotFoundError; ConflictError where it cannot be attached to; InvalidInputError.
    """
    from pyrun.engine import detach_keys as keys_of

    keys = keys_of.parse(detach_keys)
    _, directory = containers.resolve(layout, name)
    record, now = containers.load(directory), state.status(directory)
    _refuse(now, name)
    if stdin and record["stdin_open"] and record["tty"] and not os.isatty(0):
        raise RefusedError("the input device is not a TTY", hint="--no-stdin only watches")
    events.container(layout, "attach", record)
    # As docker, not where keys do: a terminal that is closed sends SIGHUP, and may be one of several.
    code = join(layout, record, directory, now.pid, stdin=stdin, keys=keys, proxy=proxy and not record["tty"])
    if code is None:
        events.container(layout, "detach", record)
    return code


def _refuse(now: State, name: str) -> None:
    if now.paused:
        hint = f"`pyrun unpause {name}` lets it go on"
        raise ConflictError("cannot attach to a paused container, unpause it first", hint=hint)
    if now.status == "restarting":
        raise ConflictError("cannot attach to a restarting container, wait until it is running")
    if now.status != "running":
        raise _stopped(name)


def _stopped(name: str) -> ConflictError:
    return ConflictError("cannot attach to a stopped container, start it first", hint=f"`pyrun start {name}` starts it")


def join(
    layout: Layout, record: dict[str, Any], directory: str, pid: int, *, stdin: bool, keys: bytes, proxy: bool
) -> int | None:
    """Attach to what runs already; as `stay`."""
    from pyrun.engine import lifecycle, log_files

    if log_files.settings(record)["driver"] == "passthrough":
        raise ConflictError("this container is using the 'passthrough' log driver, cannot attach")
    try:
        monitor = lifecycle.connect(layout, record["id"], directory)
    except OSError:
        raise _stopped(record["name"]) from None
    monitor.pid = pid
    if monitor.receive()[0] == "" and state.is_locked(directory):
        monitor.close()
        raise ConflictError(f"cannot attach to container: {record['name']}: too many terminals are attached to it")
    return _pump(
        layout, monitor, record, directory, stdin=stdin and record["stdin_open"], keys=keys, proxy=proxy, redraws=True
    )


def stay(
    layout: Layout, started: Launch, stdin: bool, keys: bytes, proxy: bool, streams: tuple[str, ...] = STREAMS
) -> int | None:
    """Pump until exit (the code) or detach (None); 137 where the monitor died and took the container with it.

    ``streams``: with neither stdout nor stderr among them it ends with the input, and the container goes on.
    """
    record, directory, process = started.created.record, started.created.directory, started.monitor.process
    code = _pump(layout, started.monitor, record, directory, stdin=stdin, keys=keys, proxy=proxy, streams=streams)
    if code is not None and process is not None:
        # The container is gone; what is left is the kernel taking the network program and its tap device apart (20 ms).
        # That is worth waiting for only where a published port must be free again.
        if record["ports"] and not state.status(directory).is_up:
            process.wait()
        else:
            process.leave()
    return code


def _pump(
    layout: Layout,
    monitor: Monitor,
    record: dict[str, Any],
    directory: str,
    *,
    stdin: bool,
    keys: bytes,
    proxy: bool,
    streams: tuple[str, ...] = STREAMS,
    redraws: bool = False,
) -> int | None:
    try:
        # With a terminal too: keys are the container's then, but not SIGTERM, nor Ctrl-C where there is no -i.
        pidfd = os.pidfd_open(monitor.pid) if proxy else -1
    except OSError:
        pidfd = -1
    attachment = Attachment(monitor, stdin=stdin, tty=record["tty"], detach_keys=keys, streams=streams, redraws=redraws)
    try:
        with SignalProxy(pidfd):
            code = attachment.run()
    finally:
        if pidfd >= 0:
            os.close(pidfd)
        monitor.close()
    if code is not None or attachment.is_detached:
        return code
    if state.is_locked(directory):
        # Its monitor has let us go: native/monitor/clients.c PATIENCE_MS.
        raise ConflictError(
            f"detached from container: {record['name']}: its output was not read for 10 s",
            hint="it goes on; `pyrun logs` shows what was written since",
        )
    from pyrun.engine import lifecycle, obituary

    lifecycle.wait_end(state.status(directory))
    obituary.write(layout, directory)
    return 137
