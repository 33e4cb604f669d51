"""docker's `events --filter`: words of one key are alternatives, keys are conditions; labels are all conditions.

Source: moby daemon/events/filter.go. Cold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.engine import filter_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.engine.event_log import Event

# Keys that ask for an object: the beginning of its id or of its name.
_OBJECTS = ("config", "container", "daemon", "network", "node", "plugin", "secret", "service", "volume")
KEYS = (*_OBJECTS, "event", "image", "label", "scope", "type")
# Their actions go on after a colon (`exec_create: sh -c …`): asked for without it, a beginning is enough.
_WITH_COLON = frozenset(["health_status", "exec_create", "exec_start"])


class EventFilters:
    """Compiled conditions. Raises: FlagValueError, InvalidInputError (docker passes over unknown keys)."""

    def __init__(self, filters: Sequence[str]) -> None:
        self._wanted = filter_words.parse(filters, KEYS)

    def accept(self, event: Event) -> bool:
        """Return whether an event meets all conditions."""
        return all(_matches(event, key, words) for key, words in self._wanted.items())


def _matches(event: Event, key: str, words: Sequence[str]) -> bool:
    if key == "event":
        is_open = not _WITH_COLON.isdisjoint(words)
        return any(event.action == word or (is_open and event.action.startswith(word)) for word in words)
    if key == "type":
        return event.type in words
    if key == "scope":
        return event.scope in words
    if key == "label":
        return all(filter_words.has_label(event.attributes, word) for word in words)
    if key == "image":
        return _is_of_image(event, words)
    name = event.attributes.get("name", "")
    return any(event.id.startswith(word) or name.startswith(word) for word in words)


def _is_of_image(event: Event, words: Sequence[str]) -> bool:
    """An image's own events by id or name, a container's by its image; each also without the tag."""
    name = event.attributes.get("name" if event.type == "image" else "image", "")
    names = {event.id, name, _without_tag(event.id), _without_tag(name)}
    return any(word in names for word in words)


def _without_tag(reference: str) -> str:
    bare = reference.partition("@")[0]
    head, colon, tag = bare.rpartition(":")
    return head if colon and "/" not in tag else bare
