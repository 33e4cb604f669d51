"""docker's `ps --filter`, also for `start --all`: words of one key are alternatives, keys are conditions.

Labels are all conditions. The keys about restarts are podman's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.engine import filter_words, health, restart_policy
from pyrun.engine.ancestors import descendants
from pyrun.errors import ContainerNotFoundError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pyrun.engine.ps import Container
    from pyrun.store.layout import Layout

KEYS = (
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network",
    "publish", "restart-policy", "should-start-on-boot", "since", "status", "volume",
)  # fmt: skip
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
        bases = self._wanted.get("ancestor", [])
        made = descendants(layout, (container.record["manifest"] for container in found), bases) if bases else set()
        return [
            container
            for container in found
            if all(_matches(container, key, words) for key, words in self._wanted.items())
            and (not bases or container.record["manifest"] in made or _is_of_lost_image(container.record, bases))
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
        is_number = all(number.isdecimal() and len(number) < 6 for number in (first, last or first))
        if not (is_number and int(first) <= int(last or first) < 1 << 16):
            raise InvalidInputError(f"invalid filter '{key}={text}': no port and no range of ports")
        found.append((int(first), int(last or first), protocol or "tcp"))
    return found


def compile_filters(filters: Sequence[str]) -> Filters:
    """Read `key=value` words. Raises: InvalidInputError."""
    wanted = filter_words.parse(filters, KEYS)
    for key, values in wanted.items():
        for value in values:
            _check(key, value)
    return Filters(wanted)


def _check(key: str, value: str) -> None:
    if key == "status" and value not in STATUSES:
        raise InvalidInputError(f"invalid filter 'status={value}'", hint=f"known statuses: {', '.join(STATUSES)}")
    if key == "exited" and not value.removeprefix("-").isdecimal():
        raise InvalidInputError(f"invalid filter 'exited={value}': not a number")
    if key in ("is-task", "should-start-on-boot"):
        filter_words.boolean(key, value)
    if key in ("publish", "expose"):
        port_ranges(key, [value])
    if key == "restart-policy":
        restart_policy.parse(value)
    if key == "health" and value not in health.STATUSES:
        raise InvalidInputError(f"invalid filter 'health={value}'", hint=f"it is one of {', '.join(health.STATUSES)}")


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
        return any(filter_words.is_in(word, container.id) for word in words)
    if key == "name":
        return any(filter_words.is_in(word, name) for word in words for name in (record["name"], f"/{record['name']}"))
    if key == "status":
        return state.word in words
    if key == "exited":
        return state.status == "exited" and any(state.exit_code == int(word) for word in words)
    if key == "label":
        return all(filter_words.has_label(record["labels"], word) for word in words)
    if key == "network":
        return any(word == (record["network"] or "private") for word in words)
    if key == "health":
        return container.health in words
    if key == "restart-policy":
        return restart_policy.read(container.directory).name in words
    if key == "should-start-on-boot":
        wanted = {filter_words.BOOLEANS[word] for word in words}
        return restart_policy.starts_on_boot(container.directory, state) in wanted
    if key == "volume":
        places = {mount[side] for mount in record["mounts"] for side in ("name", "source", "destination")}
        return any(word in places for word in words)
    if key == "is-task":
        return not any(filter_words.BOOLEANS[word] for word in words)  # nothing here is a task of a swarm
    return True  # ancestor, before, since and ports: decided by the caller; isolation: Windows has several


def _is_of_lost_image(record: dict[str, Any], words: Sequence[str]) -> bool:
    """Tell whether a container calls its image so, by reference or beginning of the id, whatever has become of that."""
    reference, image_id = record["image_ref"], record["image_id"]
    bare = image_id.partition(":")[2]
    for word in words:
        if word in (reference, image_id) or (len(word) >= 12 and bare.startswith(word.removeprefix("sha256:"))):
            return True
        if reference in (f"{word}:latest", word.removeprefix("docker.io/").removeprefix("library/")):
            return True
    return False
