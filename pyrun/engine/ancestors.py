"""Which images stem from which, by their layers: what `ps --filter ancestor=` asks.

Source: docker/cli ps reference "ancestor": "an image that have this layer in its layer stack".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.errors import InvalidInputError, NotFoundError, StoreCorruptError
from pyrun.images import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyrun.store.layout import Layout


def descendants(layout: Layout, manifests: Iterable[str], words: Sequence[str]) -> set[str]:
    """Return which of these images are one that `words` name, or were made on top of it."""
    wanted = [record for record in (_named(layout, word) for word in words) if record]
    records = {manifest: _loaded(layout, manifest) for manifest in set(manifests)}
    return {manifest for manifest, record in records.items() if record and any(_stems(record, base) for base in wanted)}


def _named(layout: Layout, word: str) -> dict[str, Any] | None:
    try:
        return resolve.resolve_image(layout, word)
    except (NotFoundError, InvalidInputError, StoreCorruptError):
        return None


def _loaded(layout: Layout, manifest: str) -> dict[str, Any] | None:
    try:
        return resolve.load_record(layout, manifest)
    except (NotFoundError, StoreCorruptError):
        return None


def _stems(record: dict[str, Any], base: dict[str, Any]) -> bool:
    if record["manifest"] == base["manifest"]:
        return True
    own, below = ([layer["diff_id"] for layer in one["layers"]] for one in (record, base))
    if own[: len(below)] != below:
        return False
    # A change of the configuration alone adds no layer: then the later one stems from the other.
    return len(own) > len(below) or bool(record["created"] > base["created"])
