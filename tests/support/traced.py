"""The `pyrun` command with its monitor, or its unpack helper, under strace: recorded, or killed at a system call.

``traced.py WHICH OPTIONS -- ARGUMENTS…``: WHICH is `monitor` or `tree`, OPTIONS are strace's, in one word. The tracer
is a grandchild (-D), so that the program keeps its own pid: the monitor must be pid 1 of its namespace.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from pyrun.layers import pyrun_tree
from pyrun.runtime import launch


def wrap(program: str, options: str) -> str:
    """Return the path of a script that executes `program` under strace."""
    directory = Path(tempfile.mkdtemp(prefix="pyrun-traced-", dir=os.environ["XDG_RUNTIME_DIR"]))
    script = directory / os.path.basename(program)
    script.write_text(f'#!/bin/sh\nexec strace -D -qqq -e signal=none {options} {program} "$@"\n')
    script.chmod(0o755)
    return str(script)


def main() -> int:
    which, options, _, *arguments = sys.argv[1:]
    if which == "monitor":
        launch.LIBEXEC = os.path.dirname(wrap(launch.LIBEXEC + "/pyrun-monitor", options))
    else:
        traced = wrap(pyrun_tree.program(), options)
        pyrun_tree.program = lambda: traced
    from pyrun.cli import main as command

    sys.argv = ["pyrun", *arguments]
    return command.main()


if __name__ == "__main__":
    sys.exit(main())
