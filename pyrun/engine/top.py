"""``top``: what the host's ps(1) says of a container's processes.

It must not know how it is shown. Rules: moby daemon/top_unix.go.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from pyrun.engine import events
from pyrun.errors import FeatureMissingError, InvalidInputError, KernelError, WrongStatusError
from pyrun.runtime import members, state
from pyrun.store import containers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.store.layout import Layout

_RENAMED_PID = re.compile(r"\s+(\S*)=\s*(PID\S*)", re.ASCII)


def top(layout: Layout, name: str, options: Sequence[str] = ()) -> list[list[str]]:
    """Return ps's headings and its lines of the container's processes; ``options``: ps's, ``-ef`` without any.

    Raises: ContainerNotFoundError; WrongStatusError if it does not run; InvalidInputError; FeatureMissingError.
    """
    words = " ".join(options).split() or ["-ef"]
    for key, value in _RENAMED_PID.findall(" " + " ".join(words)):
        if key != "pid":
            raise InvalidInputError(f'specifying "{key}={value}" is not allowed')
    _, directory = containers.resolve(layout, name)
    now = state.status(directory)
    if now.status != "running":
        raise WrongStatusError("list processes of", name, "not running")
    pids = [process.pid for process in members.members(directory, now.pid)]
    rows = parse(_ps(words, pids), frozenset(pids))
    events.container(layout, "top", containers.load(directory))
    return rows


def _ps(words: list[str], pids: list[int]) -> str:
    # Some options (f, for one) cannot be used together with -q: then all that runs is listed.
    for selection in (["-q", ",".join(map(str, pids))], []):
        try:
            done = subprocess.run(
                ["ps", *words, *selection], check=False, capture_output=True, text=True, errors="replace"
            )
        except FileNotFoundError:
            raise FeatureMissingError("ps", "the program is not installed", hint="sudo apt install procps") from None
        if done.returncode == 0:
            return done.stdout
    raise KernelError(f"cannot list processes: ps: {(done.stderr.strip().splitlines() or ['it failed'])[0]}")


def parse(output: str, pids: frozenset[int]) -> list[list[str]]:
    """Return the headings and the lines of these processes and, after each, of its threads."""
    headings, *lines = [_fields(line) for line in output.split("\n") if line]
    if "PID" not in headings:
        raise InvalidInputError("couldn't find PID field in ps output")
    place, last = headings.index("PID"), len(headings) - 1
    rows = [headings]
    is_ours = False
    for fields in lines:
        pid = fields[place]
        if pid != "-":  # else a line of a thread: it belongs to the process above
            if not pid.isdigit():
                raise InvalidInputError(f"unexpected pid {pid!r} in ps output")
            is_ours = int(pid) in pids
        if is_ours:
            rows.append([*fields[:last], " ".join(fields[last:])])
    return rows


def _fields(line: str) -> list[str]:
    # A name may hold Unicode's spaces, at which str.split would part it.
    return re.split(r"[ \t\n\v\f\r]+", line.strip(" \t\n\v\f\r"))
