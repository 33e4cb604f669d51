"""Why a container could not be started the last time: docker's State.Error, with the exit code that goes with it.

Written where a start fails, and never cleared: it holds while nothing has run since. Cold.
"""

from __future__ import annotations

import os

from pyrun.errors import CommandNotExecutableError, CommandNotFoundError, WrongStatusError
from pyrun.store import containers, fsio, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.errors import PyrunError
    from pyrun.runtime.state import State
    from pyrun.store.containers import Created
    from pyrun.store.layout import Layout

_OTHERWISE = 128  # moby daemon/start.go: what is not the command's fault


def keep(layout: Layout, created: Created, error: PyrunError) -> None:
    """Remember why a start failed; not that it runs already. What cannot be written (a full disk) is not kept."""
    if isinstance(error, WrongStatusError) or created.record["ephemeral"]:
        return
    code = 127 if isinstance(error, CommandNotFoundError) else _OTHERWISE
    code = 126 if isinstance(error, CommandNotExecutableError) else code
    text = os.fsencode(f"{code}\n{error}")
    temporary = f"{layout.tmp}/{owner.token()}"
    try:
        fsio.write_atomic(containers.start_error(created.directory), text, temporary=temporary, sync=False)
    except OSError:
        return


def read(directory: str, state: State) -> tuple[int, str] | None:
    """Return the exit code and the sentence of the last start, if it failed."""
    path = containers.start_error(directory)
    if state.is_up or _changed(path) <= _changed(f"{directory}/state"):
        return None
    code, _, sentence = os.fsdecode(fsio.read_bytes(path)).partition("\n")
    return (int(code), sentence) if code.isdigit() else None  # empty: the machine went down


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return 0
