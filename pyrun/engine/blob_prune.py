"""The verb system prune --blobs: compressed layers go that are unpacked here and that a registry has byte for byte.

It must not print or fetch. A container needs none of them; a push or a save does, and fetches what it needs
(engine/refetch.py). What no registry is known to have stays: nothing could make the same bytes again.
"""

from __future__ import annotations

import os

from pyrun.engine import events
from pyrun.engine.disk_usage import measure
from pyrun.engine.prune import Pruned
from pyrun.engine.sources import EMBEDDED_DOMAIN
from pyrun.errors import ImageNotFoundError, StoreCorruptError
from pyrun.images import resolve
from pyrun.runtime.engine_ns import FORM_FLAT, FORM_FULL
from pyrun.store import blobs, gc, index, trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout


def prune_blobs(layout: Layout) -> Pruned:
    """Drop them; ``removed``: a line for each. Raises: StorageFullError."""
    collected = gc.drop_blobs(layout, lambda: _droppable(layout))
    reclaimed = sum(usage.disk for usage in measure(layout, collected.graves))
    trees.remove_all(collected.graves)
    events.emit(layout, "image", "prune", "", {"reclaimed": str(reclaimed)})
    return Pruned([f"dropped: {digest}" for digest in collected.blobs], reclaimed)


def _droppable(layout: Layout) -> dict[str, list[str]]:
    """Return the blobs that can go, each with the repositories that have it."""
    found: dict[str, list[str]] = {}
    for entry in index.entries(layout, verified=True):  # where they can be had again
        repositories = _repositories(entry)
        try:
            layers = resolve.load_record(layout, entry["digest"])["layers"] if repositories else []
        except (ImageNotFoundError, StoreCorruptError):
            continue  # another tool's, or damaged: fsck needs the blobs
        for layer in layers:
            if blobs.exists(layout, layer["digest"]) and _is_unpacked(layout, layer["diff_id"]):
                known = found.setdefault(layer["digest"], [])
                known += [name for name in repositories if name not in known]
    return found


def _repositories(entry: Entry) -> list[str]:
    """Return where these very bytes are: a push that compressed anew has left others there, under another digest."""
    own = resolve.digests_of(entry)
    notes = index.notes_of(entry)
    places = [
        place.partition("@") for key in (index.REPO_DIGESTS, index.PUSHED) for place in notes.get(key, "").split()
    ]
    return [name for name, _, digest in places if digest in own and not name.startswith(f"{EMBEDDED_DOMAIN}/")]


def _is_unpacked(layout: Layout, diff_id: str) -> bool:
    return any(os.path.isdir(layout.layer(diff_id, form)) for form in (FORM_FULL, FORM_FLAT))
