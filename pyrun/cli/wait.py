"""`pyrun wait`: wait for containers to end, print their exit codes. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, many, text

    return Verb(
        "wait", execute, usage="CONTAINER [CONTAINER...]",
        summary="Block until one or more containers stop, then print their exit codes",
        params=[
            many("--condition", "What to wait for: running, paused, exited, healthy, removed, next-exit, …"),
            text("-i --interval", "Accepted for podman's sake: nothing is polled"),
            argument("containers", rest=True),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Wait for each container in turn."""
    from pyrun.cli.each import for_each

    names = params["containers"]
    if params["condition"]:
        from pyrun.engine import wait_condition

        conditions = [word for text in params["condition"] for word in text.split(",")]
        return for_each(names, lambda name: wait_condition.wait(session.layout, name, conditions), prints_result=True)
    from pyrun.engine import wait

    return for_each(names, lambda name: wait.wait(session.layout, name), prints_result=True)
