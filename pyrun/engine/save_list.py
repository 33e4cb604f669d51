"""A manifest list that was made here, for `save`: the index, and all that it names, out of the store.

It must not know what is written of it. Only an OCI layout holds an index, and only one of OCI manifests: skopeo and
umoci refuse docker's media types there.
"""

from __future__ import annotations

from pyrun.engine.manifest_list import document_of
from pyrun.engine.push_content import Content, Document, content_of
from pyrun.errors import InvalidInputError
from pyrun.oci import media_types
from pyrun.store import blobs, manifest_lists

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout
    from pyrun.store.leases import Lease


def whole(layout: Layout, name: str, lease: Lease) -> Content:
    """Return a list by its whole name, and all that it names.

    Raises: NotFoundError; InvalidInputError where an image of it is only at a registry, or of docker's media types.
    """
    held = manifest_lists.load(layout, name)
    lease.add([entry["digest"] for entry in held.entries])
    content = Content([], [])
    for entry in held.entries:
        digest, source = entry["digest"], held.sources.get(entry["digest"], "")
        if entry["mediaType"] != media_types.OCI_MANIFEST:
            raise _cannot(name, f"{digest} is docker's schema 2, which an OCI layout cannot hold")
        if not blobs.exists(layout, digest):
            platform = entry.get("platform") or {}
            wanted = f"{platform.get('os', '')}/{platform.get('architecture', '')}"
            raise _cannot(
                name, f"{digest} is at {source or 'a registry'}, not here",
                hint=f"`pyrun pull --platform {wanted} {source.rpartition(':')[0]}@{digest}`" if source else "",
            )  # fmt: skip
        part = content_of(layout, {"digest": digest}, digest, platform=None, kind="", anew=False)
        content.documents += part.documents
        content.blobs += part.blobs
    lease.add(content.digests)
    content.documents.append(Document(media_types.OCI_INDEX, document_of(held, media_types.OCI_INDEX)))
    return content


def _cannot(name: str, reason: str, *, hint: str = "") -> InvalidInputError:
    return InvalidInputError(f"cannot save manifest list: {name}: {reason}", hint=hint)
