"""`pyrun volume prune`: remove the volumes that no container mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli import pruning
from pyrun.cli.definitions import Verb, flag

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "prune", execute, usage="", summary="Remove unused local volumes",
        params=[
            flag("-a --all", "Remove all unused volumes, not just anonymous ones"),
            *pruning.options(until=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Ask, remove, tell."""
    from pyrun.engine.prune import prune_volumes

    conditions = pruning.conditions(params["filter"], until=False)
    which = "all" if params["all"] else "anonymous"
    if pruning.confirmed(params, f"This will remove {which} local volumes not used by at least one container."):
        pruned = prune_volumes(session.layout, conditions, all=params["all"])
        pruning.show([("Volumes", pruned.removed)], pruned.reclaimed)
    return 0
