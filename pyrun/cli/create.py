"""`pyrun create`: make a container, print its id. HOT."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.container_options import container_options
    from pyrun.cli.definitions import Verb, argument

    return Verb(
        "create", execute, usage="IMAGE [COMMAND] [ARG...]", summary="Create a new container", interspersed=False,
        params=[*container_options(), argument("image"), argument("args", required=False, rest=True)],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Create a container and print its id."""
    from pyrun.cli.run import warn, with_image
    from pyrun.engine.create import create

    created = with_image(session, params, lambda options: create(session.layout, options))
    if created.record["uplink"]["warning"]:
        warn(created.record["uplink"]["warning"])
    print(created.id)
    return 0
