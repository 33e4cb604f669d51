"""`pyrun system prune`: remove what nobody uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.cli import pruning
from pyrun.cli.definitions import Verb, flag
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "prune", execute, usage="", summary="Remove unused data",
        params=[
            flag("-a --all", "Remove all unused images not just dangling ones"),
            *pruning.options(),
            flag("--volumes", "Prune anonymous volumes"),
            flag("--blobs", "Drop compressed layers that a registry has: a push or save fetches them again"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Ask, remove, tell. Networks and build cache: there are none yet."""
    from pyrun.engine import prune

    conditions = pruning.conditions(params["filter"])
    if params["volumes"] and conditions.until:
        raise InvalidInputError('the "until" filter is not supported with "--volumes"')
    if params["blobs"] and params["filter"]:
        raise InvalidInputError('filters are not supported with "--blobs"')
    if not pruning.confirmed(params, _warning(params)):
        return 0
    layout = session.layout
    parts = [("Containers", prune.prune_containers(layout, conditions))]
    if params["volumes"]:
        parts.append(("Volumes", prune.prune_volumes(layout, conditions, all=False)))
    parts.append(("Images", prune.prune_images(layout, conditions, all=params["all"])))
    if params["blobs"]:
        from pyrun.engine.blob_prune import prune_blobs

        parts.append(("Blobs", prune_blobs(layout)))
    pruning.show([(kind, part.removed) for kind, part in parts], sum(part.reclaimed for _, part in parts))
    return 0


def _warning(params: dict[str, Any]) -> str:
    lines = ["all stopped containers"]
    if params["volumes"]:
        lines.append("all anonymous volumes not used by at least one container")
    is_all = "all images without at least one container associated to them"
    lines.append(is_all if params["all"] else "all dangling images")
    if params["blobs"]:
        lines.append("all compressed layers that are unpacked here and that a registry has (for a push or save again)")
    text = "This will remove:\n" + "".join(f"  - {line}\n" for line in lines)
    if params["filter"]:
        words = "".join(f"  - {condition}\n" for condition in sorted(params["filter"]))
        text += f"\n  Items to be pruned will be filtered with:\n{words}"
    return text
