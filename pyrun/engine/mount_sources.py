"""Where a registry may have a blob already: the repositories that the store's images came from.

It must not know requests. Asked only for what a repository lacks; then every image of that registry is looked at, once.
"""

from __future__ import annotations

import threading

from pyrun.errors import PyrunError
from pyrun.images import resolve
from pyrun.oci import reference as references
from pyrun.store import dropped, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.oci.reference import Reference
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout

_MOST = 3  # repositories that are asked for one blob: each costs a request


class MountSources:
    """The repositories of ``target``'s registry, by blob; those of ``entry``, the image that is pushed, come first."""

    def __init__(self, layout: Layout, entries: list[Entry], entry: Entry, target: Reference) -> None:
        self._layout = layout
        self._entries = entries
        self._target = target
        self._own = self._repositories(entry)
        self._others: dict[str, list[str]] | None = None
        self._lock = threading.Lock()

    def of(self, digest: str) -> Iterator[str]:
        """Give the repositories that may have a blob, likelier ones first."""
        yield from self._own[:_MOST]
        known = [*self._known().get(digest, []), *self._paths(dropped.repositories(self._layout, digest))]
        others = [path for path in dict.fromkeys(known) if path not in self._own]
        yield from others[: max(0, _MOST - len(self._own))]

    def _known(self) -> dict[str, list[str]]:
        with self._lock:
            if self._others is None:
                self._others = {}
                for entry in self._entries:
                    self._add(self._others, entry)
            return self._others

    def _add(self, known: dict[str, list[str]], entry: Entry) -> None:
        paths = self._repositories(entry)
        if not paths:
            return
        try:
            record = resolve.load_record(self._layout, entry["digest"])
        except PyrunError:
            return  # it is only about a request less
        for digest in (record["image_id"], *(layer["digest"] for layer in record["layers"])):
            known.setdefault(digest, []).extend(paths)

    def _repositories(self, entry: Entry) -> list[str]:
        return self._paths(index.notes_of(entry).get(index.REPO_DIGESTS, "").split())

    def _paths(self, names: list[str]) -> list[str]:
        found = []
        for name in names:
            reference = references.parse(name)
            if reference.domain == self._target.domain and reference.path != self._target.path:
                found.append(reference.path)
        return found
