"""`pyrun version`: what this pyrun is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, text

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "version", execute, usage="", summary="Show the pyrun version information",
        params=[
            text("-f --format", "Format output using a custom template: json or TEMPLATE"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Print the version, as docker's client section does."""
    import os
    import platform

    from pyrun import __version__

    client = {
        "Version": __version__, "PythonVersion": platform.python_version(), "Os": "linux",
        "Arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "KernelVersion": os.uname().release,
    }  # fmt: skip
    if params["format"]:
        from pyrun.cli.formatting import show_document

        # There is no daemon: what serves is this very program.
        return show_document(params["format"], {"Client": client, "Server": client})
    print("Client: pyrun")
    rows = {
        "Version": client["Version"], "Python version": client["PythonVersion"],
        "OS/Arch": f"linux/{client['Arch']}", "Kernel": client["KernelVersion"],
    }  # fmt: skip
    for name, value in rows.items():
        print(f" {name + ':':<18}{value}")
    return 0
