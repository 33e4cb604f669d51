"""To stay with a container that has been started: what `run` and `start -a` share.

It must not know how it was made. Hot: not imported by what goes on in the background.
"""

from __future__ import annotations

import os

from pyrun.engine.terminal import Attachment, SignalProxy
from pyrun.errors import InvalidInputError
from pyrun.runtime import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.engine.launch import Launch


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
    started: Launch, stdin: bool, tty: bool, keys: bytes, proxy: bool, streams: tuple[str, ...] = STREAMS
) -> int | None:
    """Pump until exit (the code) or detach (None); 137 where the monitor died and took the container with it.

    ``streams``: with neither stdout nor stderr among them it ends with the input, and the container goes on.
    """
    monitor = started.monitor
    try:
        # With a terminal too: keys are the container's then, but not SIGTERM, nor Ctrl-C where there is no -i.
        pidfd = os.pidfd_open(monitor.pid) if proxy else -1
    except OSError:
        pidfd = -1
    try:
        with SignalProxy(pidfd):
            attachment = Attachment(monitor, stdin=stdin, tty=tty, detach_keys=keys, streams=streams)
            code = attachment.run()
    finally:
        if pidfd >= 0:
            os.close(pidfd)
        monitor.close()
    if code is None and not attachment.is_detached:
        return 137
    if code is not None and monitor.process is not None:
        # The container is gone; what is left is the kernel taking the network program and its tap device apart (20 ms).
        # That is worth waiting for only where a published port must be free again.
        if started.created.record["ports"] and not state.status(started.created.directory).is_up:
            monitor.process.wait()
        else:
            monitor.process.leave()
    return code
