"""The verb untag: take names from an image, which stays. podman's; docker has only rmi.

It must not know the store's other files: only index.json changes. Cold.
"""

from __future__ import annotations

from pyrun.engine import events
from pyrun.errors import NotFoundError
from pyrun.images import resolve
from pyrun.store import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.store.layout import Layout


def untag(layout: Layout, text: str, names: Sequence[str]) -> list[str]:
    """Take ``names``, or all that it has, from the image that ``text`` names; return them whole.

    All or none. Raises: ImageNotFoundError; InvalidReferenceError; NotFoundError for a name that is not the image's.
    """
    removed: list[str] = []
    image_id = ""

    def change(found: list[index.Entry]) -> list[index.Entry]:
        nonlocal image_id
        entry = resolve.find_in(found, text)
        image_id = index.notes_of(entry).get(index.CONFIG) or entry["digest"]
        own = [index.ref_name(other) for other in found if other["digest"] == entry["digest"] and index.ref_name(other)]
        removed.extend(_meant(name, own, text) for name in names)
        if not names:
            removed.extend(own)
        for name in removed:
            found = index.remove_tag(found, name)
        return found

    index.update(layout, change)
    for _ in removed:
        events.image(layout, "untag", image_id, image_id)
    return removed


def _meant(name: str, own: Sequence[str], text: str) -> str:
    for tag in own:
        if resolve.is_named(name, tag):
            return tag
    raise NotFoundError(f"cannot untag image: {text}: it has no tag {name}", hint="`pyrun images` lists its tags")
