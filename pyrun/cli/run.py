"""`pyrun run` and what it shares with `create`: options to a RunOptions object, engine call, id or exit code. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session
    from pyrun.engine.options import RunOptions


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.container_options import container_options
    from pyrun.cli.definitions import Verb, argument, flag, text

    return Verb(
        "run", execute, usage="IMAGE [COMMAND] [ARG...]", interspersed=False,
        summary="Create and run a new container from an image",
        params=[
            *container_options(),
            flag("-d --detach", "Run container in background and print container ID"),
            text("--detach-keys", "Override the key sequence for detaching a container"),
            flag("--sig-proxy", "Proxy received signals to the process", default=True),
            argument("image"),
            argument("args", required=False, rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Run a container; print its id if it is detached, else answer its exit code."""
    from pyrun.engine import run

    result = run.run(session.layout, options(session, params))
    if params["detach"]:
        print(result)
        return 0
    return int(result)


def options(session: Session, params: dict[str, Any]) -> RunOptions:
    """Make the engine's options object."""
    from pyrun.engine.options import RunOptions

    values = {name: list(value) if value.__class__ is tuple else value for name, value in params.items()}
    if session.debug == "plan":
        values["debug"] = "plan"
    return RunOptions(**values)
