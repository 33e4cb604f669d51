"""`pyrun container prune`: remove the containers that do not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli import pruning
from pyrun.cli.definitions import Verb

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb("prune", execute, usage="", summary="Remove all stopped containers", params=pruning.options())


def execute(session: Session, params: dict[str, Any]) -> int:
    """Ask, remove, tell."""
    from pyrun.engine.prune import prune_containers

    conditions = pruning.conditions(params["filter"])
    if pruning.confirmed(params, "This will remove all stopped containers."):
        pruned = prune_containers(session.layout, conditions)
        pruning.show([("Containers", pruned.removed)], pruned.reclaimed)
    return 0
