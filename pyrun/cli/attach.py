"""`pyrun attach`: a running container's terminal, or its streams, beside whoever else is attached. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, flag, text

    return Verb(
        "attach", execute, usage="CONTAINER",
        summary="Attach local standard input, output, and error streams to a running container",
        params=[
            text("--detach-keys", "Override the key sequence for detaching a container"),
            flag("--no-stdin", "Do not attach STDIN"),
            flag("--sig-proxy", "Proxy all received signals to the process", default=True),
            argument("container"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Stay until the container ends, and answer its exit code; 0 if the user detached."""
    from pyrun.engine.attach import attach

    code = attach(
        session.layout, params["container"], stdin=not params["no_stdin"], detach_keys=params["detach_keys"],
        proxy=params["sig_proxy"],
    )  # fmt: skip
    return code or 0
