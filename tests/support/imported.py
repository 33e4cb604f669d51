"""Which modules a command line imports, beyond what the interpreter has when it starts as the launcher starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.features import ROOT

# Modules beyond the interpreter's own, with empty packages and built-in ones. The design's goal is 25 for each verb;
# this is what was reached (0.1 ms per module, measured): lower it when a verb gets lighter, never raise it.
# A third of each are packages' own files and built-in modules, which cost next to nothing. `run` is without a network,
# the others include what shows an error. Raised once, by three: the lease that keeps an image while a container is made
# of it (without one it could be collected in between), and the checksum of its record; `exec` and `rm` by one,
# which is built in: binascii, for the checksum of an event's line.
ALLOWED = {"run": 69, "create": 57, "start": 47, "exec": 43, "rm": 36, "pause": 32, "restart": 32, "unpause": 32}
ALLOWED_OTHERS = 31
# Each was measured to cost from 1 to 50 ms; a start of a container takes 20.
TOO_DEAR = frozenset(
    [
        "asyncio",
        "click",
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "enum",
        "functools",
        "hashlib",
        "importlib.metadata",
        "inspect",
        "json",
        "logging",
        "msgspec",
        "pathlib",
        "pyroute2",
        "random",
        "re",
        "rich",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "subprocess",
        "tempfile",
        "textwrap",
        "threading",
        "typing",
        "urllib",
        "urllib3",
        "uuid",
    ]
)

_CODE = """
import sys, os
before = set(sys.modules)
sys.path += {paths!r}
def tell():
    names = sorted(set(sys.modules) - before)
    with open({out!r}, "w") as file:
        file.write("\\n".join(names))
leave = os._exit
def leave_and_tell(code):
    tell()
    leave(code)
os._exit = leave_and_tell
from pyrun.cli.finder import install
install()
from pyrun.cli.main import main
try:
    code = main(sys.argv[1:])
finally:
    tell()
sys.exit(code)
"""


def imported(
    directory: Path, environment: dict[str, str], *arguments: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the command in a fresh interpreter; return how it ended and what it had imported by then."""
    out = directory / "imported"
    paths = [str(ROOT), *(entry for entry in sys.path if entry.endswith("-packages"))]
    code = _CODE.format(paths=paths, out=str(out))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", code, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=environment,
        timeout=120,
    )
    return done, out.read_text().split("\n")


def complaint(verb: str, modules: list[str]) -> str:
    """Return what is wrong with the modules that a hot verb has imported, or ""."""
    allowed = ALLOWED.get(verb, ALLOWED_OTHERS)
    dear = sorted(TOO_DEAR & set(modules))
    if dear:
        return f"imports what is too dear: {', '.join(dear)}"
    if len(modules) > allowed:
        return f"imports {len(modules)} modules, {allowed} allowed: {' '.join(modules)}"
    return ""
