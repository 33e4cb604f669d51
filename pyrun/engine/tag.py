"""The verb tag: one more name for an image.

It must not know registries: a tag is local until it is pushed. Cold.
"""

from __future__ import annotations

from pyrun.engine import events
from pyrun.errors import InvalidReferenceError
from pyrun.images import resolve
from pyrun.oci import reference as references
from pyrun.store import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout


def tag(layout: Layout, source: str, target: str) -> str:
    """Let ``target`` (``latest`` if it has no tag) name the image that ``source`` names; return it whole.

    The image that had this name keeps existing, without it. Raises: ImageNotFoundError; InvalidReferenceError.
    """
    wanted = references.parse_normalized(target)
    if wanted.digest:
        raise InvalidReferenceError(target, "refusing to create a tag with a digest reference")
    name = wanted.with_default_tag().string

    image_id = ""

    def change(found: list[index.Entry]) -> list[index.Entry]:
        nonlocal image_id
        entry = resolve.find_in(found, source)
        image_id = index.notes_of(entry).get(index.CONFIG) or entry["digest"]
        return index.put(found, entry, name)

    index.update(layout, change)
    events.image(layout, "tag", image_id, references.parse_normalized(name).familiar)
    return name
