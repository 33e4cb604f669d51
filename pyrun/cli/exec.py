"""`pyrun exec`: run a command in a running container; its exit code is ours. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, many, text

    return Verb(
        "exec", execute, usage="CONTAINER COMMAND [ARG...]", interspersed=False,
        summary="Execute a command in a running container",
        params=[
            flag("-d --detach", "Detached mode: run command in the background"),
            text("--detach-keys", "Override the key sequence for detaching a container"),
            many("-e --env", "Set environment variables"),
            many("--env-file", "Read in a file of environment variables"),
            flag("-i --interactive", "Keep STDIN open even if not attached"),
            flag("--privileged", "Give extended privileges to the command"),
            flag("-t --tty", "Allocate a pseudo-TTY"),
            text("-u --user", "Username or UID (format: <name|uid>[:<group|gid>])"),
            text("-w --workdir", "Working directory inside the container"),
            argument("container"),
            argument("args", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Run the command and answer its exit code."""
    from pyrun.engine import exec as engine_exec
    from pyrun.engine.options import ExecOptions

    values: Any = {name: list(value) if value.__class__ is tuple else value for name, value in params.items()}
    if session.debug == "plan":
        values["debug"] = "plan"
    return engine_exec.exec_(session.layout, ExecOptions(**values))
