"""``update``: a container's configuration changed while it lives. So far its restart policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.engine import events, restart_policy
from pyrun.runtime import state
from pyrun.store import containers

if TYPE_CHECKING:
    from pyrun.engine.restart_policy import Policy
    from pyrun.store.layout import Layout


def update(layout: Layout, name: str, policy: Policy) -> str:
    """Give a container another restart policy; return a warning, or "".

    Raises: ContainerNotFoundError; ConflictError for a --rm container.
    """
    _, directory = containers.resolve(layout, name)
    record = containers.load(directory)
    restart_policy.change(directory, policy, ephemeral=record["ephemeral"])
    events.container(layout, "update", record)
    now = state.status(directory)
    if now.is_up and not restart_policy.is_obeyed(now):
        return f"{name}: it was started by an older pyrun; its restart policy holds from its next start on"
    return ""
