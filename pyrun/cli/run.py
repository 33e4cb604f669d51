"""`pyrun run` and what it shares with `create`: options to a RunOptions object, engine call, id or exit code. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session
    from pyrun.engine.options import RunOptions

    Result = TypeVar("Result")


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
    """Run a container; print its id if it is detached, else answer its exit code (0 if the user detached)."""
    from pyrun.engine import run

    show_plan = _show_plan if session.debug == "plan" else None
    result = with_image(session, params, lambda options: run.run(session.layout, options, show_plan, warn))
    # What --log-driver passthrough has is the container's to write to.
    is_shown = result.is_shown or params["log_driver"] == "passthrough"
    if not is_shown and (params["detach"] or params["attach"]):
        print(result.id)
    return result.exit_code or 0


def with_image(session: Session, params: dict[str, Any], act: Callable[[RunOptions], Result]) -> Result:
    """Call the engine, and show the pull where one is needed: the image is looked for first, pulled if missing."""
    from pyrun.engine.options import RunOptions
    from pyrun.errors import ImageNotFoundError

    values: Any = {name: list(value) if value.__class__ is tuple else value for name, value in params.items()}
    if session.debug == "plan":
        values["debug"] = "plan"
    if not values.pop("disable_content_trust"):
        from pyrun.errors import UnsupportedFlagError

        raise UnsupportedFlagError("--disable-content-trust=false")
    isolation = values.pop("isolation")
    if isolation and isolation.lower() != "default":
        from pyrun.errors import UnsupportedFlagError

        raise UnsupportedFlagError(f"--isolation {isolation}")
    policy = params["pull"]
    if policy in ("missing", "always", "newer"):
        values["pull"] = "never"  # in the engine's hands nobody would see the bytes come
    options = RunOptions(**values)
    if policy == "missing":
        try:
            return act(options)
        except ImageNotFoundError:
            pass
    if policy in ("missing", "always", "newer"):
        from pyrun.cli.pull import fetch_for_run

        fetch_for_run(
            session, params["image"], params["platform"], policy, quiet=params["quiet"],
            signature_policy=params["signature_policy"],
        )  # fmt: skip
    elif policy != "never":
        from pyrun.errors import InvalidInputError

        raise InvalidInputError(f"invalid pull option: {policy!r}", hint="it is one of always, missing, newer, never")
    return act(options)


def warn(text: str) -> None:
    """Tell what a container will lack."""
    import sys

    print(f"pyrun: warning: {text}", file=sys.stderr, flush=True)


def _show_plan(text: str) -> None:
    import sys

    print(text, file=sys.stderr, flush=True)
