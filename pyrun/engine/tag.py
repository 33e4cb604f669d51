"""The verb tag: one more name for an image.

It must not know registries: a tag is local until it is pushed. Cold.
"""

from __future__ import annotations

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

    def change(found: list[index.Entry]) -> list[index.Entry]:
        return index.put(found, resolve.find_in(found, source), name)

    index.update(layout, change)
    return name
