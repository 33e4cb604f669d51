"""`pyrun image prune`: remove images that no container is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli import pruning
from pyrun.cli.definitions import Verb, flag, unsupported

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "prune", execute, usage="", summary="Remove unused images",
        params=[
            flag("-a --all", "Remove all unused images, not just dangling ones"),
            *pruning.options(),
            *unsupported("--external", ""),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Ask, remove, tell."""
    from pyrun.engine.prune import prune_images

    is_all = pruning.all_or_dangling(params)
    conditions = pruning.conditions(params["filter"])
    which = "images without at least one container associated to them" if is_all else "dangling images"
    if pruning.confirmed(params, f"This will remove all {which}."):
        pruned = prune_images(session.layout, conditions, all=is_all)
        pruning.show([("Images", pruned.removed)], pruned.reclaimed)
    return 0
