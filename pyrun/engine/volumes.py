"""The verbs of volumes: make, list, inspect, remove.

It must not print. Where and how they are kept: volumes/store.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.engine import events, filter_words, namespace
from pyrun.volumes import store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.store.layout import Layout

_KEYS = ("dangling", "driver", "label", "name")


def create_volume(layout: Layout, name: str, labels: dict[str, str]) -> str:
    """Make a volume, "" an anonymous one; return its name. One that is there stays. Raises: InvalidInputError."""
    is_new = not (name and store.exists(layout, name))
    made = store.ensure(layout, name, labels=labels)
    if is_new:
        events.volume(layout, "create", made)
    return made


def remove_volume(layout: Layout, name: str, *, force: bool) -> None:
    """Remove a volume. Raises: VolumeNotFoundError, ConflictError while a container mounts it."""
    namespace.register(layout)
    existed = store.exists(layout, name)
    store.remove(layout, name, force=force)
    if existed:
        events.volume(layout, "destroy", name)


def inspect_volume(layout: Layout, name: str) -> dict[str, Any]:
    """Return docker's JSON of one volume. Raises: VolumeNotFoundError."""
    volume = store.get(layout, name)
    return {
        "CreatedAt": volume["created"],
        "Driver": "local",
        "Labels": volume["labels"] or None,
        "Mountpoint": volume["mountpoint"],
        "Name": volume["name"],
        "Options": None,
        "Scope": "local",
    }


def list_volumes(layout: Layout, filters: Sequence[str]) -> list[dict[str, Any]]:
    """Return the volumes' records by name. Raises: InvalidInputError for a filter that docker does not know."""
    wanted = filter_words.parse(filters, _KEYS)
    dangling = [filter_words.boolean("dangling", value) for value in wanted.get("dangling", ())]
    used = store.all_users(layout) if dangling else {}
    return [
        volume
        for volume in store.list(layout)
        if (not dangling or (volume["name"] not in used) in dangling)
        and ("local" in wanted.get("driver", ["local"]))
        and all(filter_words.has_label(volume["labels"], word) for word in wanted.get("label", ()))
        and any(filter_words.is_in(word, volume["name"]) for word in wanted.get("name", [""]))
    ]
