"""docker's `ps --filter`, also for `start --all`: words of one key are alternatives, keys are conditions.

Labels are all conditions. The keys about restarts are podman's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyrun.engine import health, restart_policy
from pyrun.errors import ContainerNotFoundError, FlagValueError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.engine.ps import Container
    from pyrun.store.layout import Layout

KEYS = (
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network",
    "publish", "restart-policy", "should-start-on-boot", "since", "status", "volume",
)  # fmt: skip
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")


class Filters:
    """Compiled conditions. `wants_all`: they speak of containers that do not run."""

    __slots__ = ("_wanted", "wants_all")

    def __init__(self, wanted: dict[str, list[str]]) -> None:
        self._wanted = wanted
        self.wants_all = any(key in wanted for key in ("status", "should-start-on-boot"))

    def select(self, found: Sequence[Container], layout: Layout) -> list[Container]:
        """Keep what meets the conditions. Raises: ContainerNotFoundError for an unknown `before` or `since`."""
        pivots = {key: [_pivot(layout, text) for text in self._wanted.get(key, ())] for key in ("before", "since")}
        return [
            container
            for container in found
            if all(_matches(container, key, words) for key, words in self._wanted.items())
            and self._has_port(container)
            and all(container.created < created for created in pivots["before"])
            and all(container.created > created for created in pivots["since"])
        ]

    def _has_port(self, container: Container) -> bool:
        """Tell whether one port is published or exposed as wanted; moby: one of the two suffices."""
        published, exposed = (port_ranges(key, self._wanted.get(key, ())) for key in ("publish", "expose"))
        if not (published or exposed):
            return True
        if not container.state.is_up:
            return False
        ports = container.record["ports"]
        inside = {(port["container_port"], port["protocol"]) for port in ports}
        for text in container.record.get("exposed", ()):
            number, _, protocol = text.partition("/")
            if number.isdecimal():
                inside.add((int(number), protocol))
        outside = {(port["host_port"], port["protocol"]) for port in ports if port["host_port"]}
        return any(
            first <= number <= last and protocol == wanted
            for ranges, found in ((published, outside), (exposed, inside))
            for first, last, wanted in ranges
            for number, protocol in found
        )


def port_ranges(key: str, texts: Sequence[str]) -> list[tuple[int, int, str]]:
    """Read `80`, `80/udp`, `8000-8080/tcp` into (first, last, protocol). Raises: InvalidInputError."""
    found = []
    for text in texts:
        if ":" in text:
            raise InvalidInputError(f"filter for '{key}' should not contain ':': {text}")
        ports, _, protocol = text.partition("/")
        first, _, last = ports.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal() and int(first) <= int(last or first) < 1 << 16):
            raise InvalidInputError(f"invalid filter '{key}={text}': no port and no range of ports")
        found.append((int(first), int(last or first), protocol or "tcp"))
    return found


def compile_filters(filters: Sequence[str]) -> Filters:
    """Read `key=value` words. Raises: InvalidInputError."""
    wanted: dict[str, list[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        key = key.strip().lower()
        if not equals:
            raise FlagValueError("-f, --filter", text, "bad format of filter (expected name=value)")
        if key not in KEYS:
            raise InvalidInputError(f"invalid filter '{key}'", hint=f"known filters: {', '.join(KEYS)}")
        if key == "status" and value not in STATUSES:
            raise InvalidInputError(f"invalid filter 'status={value}'", hint=f"known statuses: {', '.join(STATUSES)}")
        if key == "exited" and not value.lstrip("-").isdecimal():
            raise InvalidInputError(f"invalid filter 'exited={value}': not a number")
        if key == "is-task" and value not in _BOOLEANS:
            raise InvalidInputError(f"invalid filter 'is-task={value}'", hint="it is true or false")
        if key in ("publish", "expose"):
            port_ranges(key, [value.strip()])
        if key == "restart-policy":
            restart_policy.parse(value)
        if key == "health" and value not in health.STATUSES:
            raise InvalidInputError(
                f"invalid filter 'health={value}'", hint=f"it is one of {', '.join(health.STATUSES)}"
            )
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
        return any(_found_in(word, container.id) for word in words)
    if key == "name":
        return any(_found_in(word, record["name"]) or _found_in(word, "/" + record["name"]) for word in words)
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
    if key == "health":
        return container.health in words
    if key == "restart-policy":
        return restart_policy.read(container.directory).name in words
    if key == "should-start-on-boot":
        return str(restart_policy.starts_on_boot(container.directory, state)).lower() in words
    if key == "volume":
        places = {mount[side] for mount in record["mounts"] for side in ("name", "source", "destination")}
        return any(word in places for word in words)
    if key == "is-task":
        return not any(_BOOLEANS[word] for word in words)  # nothing here is a task of a swarm
    return True  # before, since and ports: decided by the caller; isolation: Windows has several


def _found_in(word: str, text: str) -> bool:
    """docker: a regular expression that may match anywhere."""
    try:
        return bool(re.search(word, text))
    except re.error:
        return word in text


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
