"""The verbs of volumes: make, list, inspect, remove.

It must not print. Where and how they are kept: volumes/store.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.engine import events, namespace
from pyrun.errors import InvalidInputError
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
    wanted: dict[str, list[str]] = {}
    for text in filters:
        key, _, value = text.partition("=")
        if key not in _KEYS:
            raise InvalidInputError(f"invalid filter '{key}'", hint=f"known filters: {', '.join(_KEYS)}")
        if key == "dangling" and value not in ("true", "1", "false", "0"):
            raise InvalidInputError(f"invalid filter 'dangling={value}'", hint="it is true or false")
        wanted.setdefault(key, []).append(value)
    used = store.all_users(layout) if "dangling" in wanted else {}
    return [volume for volume in store.list(layout) if _is_wanted(volume, wanted, used)]


def _is_wanted(volume: dict[str, Any], wanted: dict[str, list[str]], used: dict[str, list[str]]) -> bool:
    import re

    labels = volume["labels"]
    for key, values in wanted.items():
        if key == "dangling":
            holds = any((volume["name"] not in used) == (value in ("true", "1")) for value in values)
        elif key == "driver":
            holds = "local" in values
        elif key == "name":
            holds = any(re.search(value, volume["name"]) for value in values)
        else:
            pairs = [value.partition("=") for value in values]
            holds = all(name in labels and (not equals or labels[name] == value) for name, equals, value in pairs)
        if not holds:
            return False
    return True
