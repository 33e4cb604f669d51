"""``run``: create, start, attach. Returns what a front end shows; prints nothing."""

from __future__ import annotations

import os

from pyrun.engine import events, launch
from pyrun.engine.create import create, make
from pyrun.errors import PyrunError, RefusedError
from pyrun.runtime import state
from pyrun.store import containers
from pyrun.store.containers import Created

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.engine.options import RunOptions
    from pyrun.store.layout import Layout

__all__ = ["Created", "RunResult", "create", "run"]


class RunResult:
    """``exit_code``: None while the container goes on (-d, or detached). ``is_shown``: its output was the caller's."""

    __slots__ = ("exit_code", "id", "is_shown")

    def __init__(self, container_id: str, exit_code: int | None, *, is_shown: bool) -> None:
        self.id = container_id
        self.exit_code = exit_code
        self.is_shown = is_shown


def run(layout: Layout, options: RunOptions, show_plan: Callable[[str], None] | None = None,
        warn: Callable[[str], None] | None = None) -> RunResult:  # fmt: skip
    """Run a container to its end, or, detached, until its program has been executed.

    ``warn`` is told what the container will lack.

    Raises: CommandNotFoundError, CommandNotExecutableError and all that create raises; a --rm container that could
    not be started is gone, another one stays as created.
    """
    if options.attach and options.detach:
        raise RefusedError("Conflicting options: -a and -d")
    keys, window = _terminal(options)
    made = [make(layout, options, stays=False)]
    attached = not options.detach
    if warn is not None and made[0].record["uplink"]["warning"]:
        warn(made[0].record["uplink"]["warning"])

    if attached:
        events.container(layout, "attach", made[0].record)

    def again() -> Created:
        made.append(_make_again(layout, options))
        return made[-1]

    try:
        started = launch.run_to_exec(
            layout, made[0], attached=attached, window=window, again=again if options.rm else None, show_plan=show_plan
        )
    except BaseException as error:
        if options.rm:
            _remove(layout, made[-1])
        elif isinstance(error, PyrunError):
            from pyrun.engine import failed_start

            failed_start.keep(layout, made[-1], error)
        raise
    if not attached:
        started.monitor.close()
        return RunResult(started.created.id, None, is_shown=False)
    from pyrun.engine.attach import chosen_streams, stay

    # With passthrough it reads its own input: ours are the same descriptors.
    stdin = options.interactive and options.log_driver != "passthrough"
    streams = chosen_streams(options.attach)
    code = stay(layout, started, stdin, keys, options.sig_proxy, streams)
    if code is None:
        events.container(layout, "detach", started.created.record)
    return RunResult(started.created.id, code, is_shown="stdout" in streams or "stderr" in streams)


def _terminal(options: RunOptions) -> tuple[bytes, tuple[int, int]]:
    """Return the detach keys and the window's size, of no interest where nobody stays or there is no terminal."""
    if not options.tty and options.detach_keys is None:
        return b"", (0, 0)
    from pyrun.engine import detach_keys
    from pyrun.engine.terminal import window_size

    if options.tty and options.interactive and not options.detach and not os.isatty(0):
        raise RefusedError("the input device is not a TTY", hint="leave out -t, or -i")
    return detach_keys.parse(options.detach_keys), window_size(0) if options.tty else (0, 0)


def _make_again(layout: Layout, options: RunOptions) -> Created:
    """Make a container in the place of one that could not be started; its id file is ours already."""
    cidfile, options.cidfile = options.cidfile, None
    try:
        created = make(layout, options, stays=False)
    finally:
        options.cidfile = cidfile
    if cidfile:
        from pyrun.engine.cidfile import rewrite

        rewrite(cidfile, created.id)
    return created


def _remove(layout: Layout, created: Created) -> None:
    """What a failed --rm leaves: the monitor removes it, unless it never came so far."""
    if os.path.isdir(created.directory) and not state.status(created.directory).is_up:
        from pyrun.engine import namespace, rm

        namespace.register(layout)
        containers.delete(layout, created.id, created.directory)
        events.container(layout, "destroy", created.record)
        rm.remove_volumes(layout, created.record)
