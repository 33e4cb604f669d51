"""docker's `images --filter`: which lines of the list are meant. Imported only where a filter is given.

Values of one key: references are alternatives, all others must all hold. Source: moby daemon/images/images.go; Go's
path.Match as reference.FamiliarMatch uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.engine import filter_words
from pyrun.engine.filter_words import has_label
from pyrun.errors import ImageNotFoundError, InvalidInputError
from pyrun.images import resolve
from pyrun.store import index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.engine.images import ImageSummary
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout

KEYS = ("before", "dangling", "label", "label!", "reference", "since", "until")


class ImageFilters:
    """What `-f` says. ``until``: made before, nanoseconds since 1970, one each."""

    __slots__ = ("_before", "_dangling", "_labels", "_layout", "_no_labels", "_references", "_since")

    def __init__(
        self, layout: Layout, entries: list[Entry], wanted: dict[str, list[str]], until: Sequence[int]
    ) -> None:
        """Raises: InvalidInputError; ImageNotFoundError for `before` and `since`."""
        self._layout = layout
        answers = {filter_words.boolean("dangling", value) for value in wanted.get("dangling", ())}
        if len(answers) > 1:
            raise InvalidInputError("invalid filter 'dangling': it cannot be both true and false")
        self._dangling = answers.pop() if answers else None
        self._references = wanted.get("reference", [])
        self._labels = wanted.get("label", [])
        self._no_labels = wanted.get("label!", [])
        self._before = [*(_made(entries, name) for name in wanted.get("before", ())), *until]
        self._since = [_made(entries, name) for name in wanted.get("since", ())]

    def accept(self, image: ImageSummary) -> bool:
        """Tell whether a line stays."""
        # As docker: an image that only a digest names is listed under both answers.
        if self._dangling is not None and (image.tag if self._dangling else image.is_dangling):
            return False
        if any(image.moment >= moment for moment in self._before):
            return False
        if any(image.moment <= moment for moment in self._since):
            return False
        if self._references and not any(is_named(image, pattern) for pattern in self._references):
            return False
        return self._has_labels(image)

    def _has_labels(self, image: ImageSummary) -> bool:
        if not self._labels and not self._no_labels:
            return True
        try:
            labels = resolve.load_record(self._layout, image.manifest)["labels"]
        except ImageNotFoundError:
            return False  # it is just being removed
        return all(has_label(labels, word) for word in self._labels) and not any(
            has_label(labels, word) for word in self._no_labels
        )


def is_named(image: ImageSummary, pattern: str) -> bool:
    """Tell whether a pattern matches NAME, NAME:TAG or NAME@DIGEST; `*` and `?` stop at a slash."""
    if not image.repository:
        return False
    names = [image.repository]
    if image.tag:
        names.append(f"{image.repository}:{image.tag}")
    names += [f"{image.repository}@{digest}" for digest in image.digests]
    if pattern in names:
        return True
    if not any(character in pattern for character in "*?["):
        return False
    from fnmatch import fnmatchcase

    # As many slashes on both sides: then none of them is matched by a wildcard.
    python_pattern = pattern.replace("[^", "[!")
    return any(name.count("/") == pattern.count("/") and fnmatchcase(name, python_pattern) for name in names)


def _made(entries: list[Entry], name: str) -> int:
    from pyrun.engine.images import moment_of

    return moment_of(index.notes_of(resolve.find_in(entries, name)).get(index.CREATED, ""))
