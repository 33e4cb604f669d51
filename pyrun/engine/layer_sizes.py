"""How many bytes the files of the store's layers have, as the records of its images say: what `images` adds up.

It must not know how a layer comes in. A layer may be there and its size not: the pull that brought it was killed before
the record, or has not come so far yet, or the record is damaged. Then it is unpacked once more, only to be measured.
"""

from __future__ import annotations

import os

from pyrun.errors import ImageNotFoundError, StoreCorruptError
from pyrun.images import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout


class LayerSizes:
    """``known``: by diff_id, what was looked up or added so far. Usable from several threads at once."""

    __slots__ = ("_layout", "known")

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.known: dict[str, int] = {}

    def has(self, diff_id: str) -> bool:
        """Say whether a layer's size is known, now: another pull may just have brought it."""
        if diff_id not in self.known:
            self._look()
        return diff_id in self.known

    def _look(self) -> None:
        for name in os.listdir(self._layout.images):
            try:
                record = resolve.load_record(self._layout, name)
            except (ImageNotFoundError, StoreCorruptError):
                continue  # just removed; or damaged, and `fsck` says so
            self.known.update((layer["diff_id"], layer.get("unpacked", 0)) for layer in record["layers"])
