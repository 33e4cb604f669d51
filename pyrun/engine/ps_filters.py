"""docker's `ps --filter`, also for `start --all`: words of one key are alternatives, keys are conditions.

Labels are all conditions. The keys about restarts are podman's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyrun.engine import restart_policy
from pyrun.errors import ContainerNotFoundError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.engine.ps import Container
    from pyrun.store.layout import Layout

KEYS = (
    "ancestor", "before", "exited", "id", "label", "name", "network", "restart-policy", "should-start-on-boot", "since",
    "status", "volume",
)  # fmt: skip
STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")


class Filters:
    """Compiled conditions. `wants_all`: they speak of containers that do not run."""

    __slots__ = ("_wanted", "wants_all")

    def __init__(self, wanted: dict[str, list[str]]) -> None:
        self._wanted = wanted
        self.wants_all = any(key in wanted for key in ("status", "exited", "should-start-on-boot"))

    def select(self, found: Sequence[Container], layout: Layout) -> list[Container]:
        """Keep what meets the conditions. Raises: ContainerNotFoundError for an unknown `before` or `since`."""
        pivots = {key: [_pivot(layout, text) for text in self._wanted.get(key, ())] for key in ("before", "since")}
        return [
            container
            for container in found
            if all(_matches(container, key, words) for key, words in self._wanted.items())
            and all(container.created < created for created in pivots["before"])
            and all(container.created > created for created in pivots["since"])
        ]


def compile_filters(filters: Sequence[str]) -> Filters:
    """Read `key=value` words. Raises: InvalidInputError."""
    wanted: dict[str, list[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        key = key.strip().lower()
        if not equals:
            raise InvalidInputError(f"invalid filter: {text!r}: expected key=value")
        if key not in KEYS:
            raise InvalidInputError(f"invalid filter: {key!r}", hint=f"known filters: {', '.join(KEYS)}")
        if key == "status" and value not in STATUSES:
            raise InvalidInputError(f"invalid filter: status={value}", hint=f"known statuses: {', '.join(STATUSES)}")
        if key == "exited" and not value.lstrip("-").isdigit():
            raise InvalidInputError(f"invalid filter: exited={value}: not a number")
        if key == "restart-policy":
            restart_policy.parse(value)
        if key == "should-start-on-boot" and value not in ("true", "false"):
            raise InvalidInputError(f"invalid filter: should-start-on-boot={value}: expected true or false")
        wanted.setdefault(key, []).append(value.strip())
    return Filters(wanted)


def _pivot(layout: Layout, text: str) -> int:
    from pyrun.engine.ps import load
    from pyrun.store import containers

    container_id, directory = containers.resolve(layout, text)
    container = load(container_id, directory)
    if container is None:
        raise ContainerNotFoundError(text)
    return container.created


def _matches(container: Container, key: str, words: Sequence[str]) -> bool:
    record, state = container.record, container.state
    if key == "id":
        return any(container.id.startswith(word) for word in words)
    if key == "name":
        return any(_name_matches(word, record["name"]) for word in words)
    if key == "status":
        return state.word in words
    if key == "exited":
        return state.status == "exited" and any(state.exit_code == int(word) for word in words)
    if key == "label":
        return all(_has_label(record["labels"], word) for word in words)
    if key == "ancestor":
        return any(_is_image(record, word) for word in words)
    if key == "network":
        return any(word == (record["network"] or "private") for word in words)
    if key == "restart-policy":
        return restart_policy.read(container.directory).name in words
    if key == "should-start-on-boot":
        return str(restart_policy.starts_on_boot(container.directory, state)).lower() in words
    if key == "volume":
        places = {mount[side] for mount in record["mounts"] for side in ("name", "source", "destination")}
        return any(word in places for word in words)
    return True  # before, since: decided by the caller


def _name_matches(word: str, name: str) -> bool:
    """docker: a regular expression that may match anywhere, with or without the leading slash."""
    try:
        return bool(re.search(word, name) or re.search(word, "/" + name))
    except re.error:
        return word in name


def _has_label(labels: dict[str, str], word: str) -> bool:
    key, equals, value = word.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _is_image(record: dict[str, object], word: str) -> bool:
    """Return whether the container was made from the image `word`: reference, id or prefix of the id."""
    reference, image_id = str(record["image_ref"]), str(record["image_id"])
    bare = image_id.partition(":")[2]
    if word in (reference, image_id) or (len(word) >= 12 and bare.startswith(word.removeprefix("sha256:"))):
        return True
    return reference in (f"{word}:latest", f"{word.removeprefix('docker.io/').removeprefix('library/')}")
