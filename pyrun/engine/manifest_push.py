"""The verb manifest push: a list to a registry, after the images that it names; those of this store or of registries.

It must not print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.engine import namespace
from pyrun.engine.manifest_list import document_of, name_of
from pyrun.engine.mount_sources import MountSources
from pyrun.engine.push_blobs import BlobPush
from pyrun.engine.push_content import content_of
from pyrun.engine.remote import Repository
from pyrun.engine.remote_copy import Copy, deaf
from pyrun.errors import InvalidInputError, NotFoundError
from pyrun.oci import media_types
from pyrun.oci import reference as references
from pyrun.oci.manifest import decode_manifest
from pyrun.oci.reference import Reference
from pyrun.store import gc, index, leases, manifest_lists

if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.remote import Access
    from pyrun.engine.remote_copy import Hear
    from pyrun.store.layout import Layout

_ENDS = {"exists": "existed", "mounted": "mounted", "pushed": "pushed"}  # of push_blobs.py, in the words of a copy
KINDS = {"": "", "oci": media_types.OCI_INDEX, "v2s2": media_types.DOCKER_LIST}


def push(
    layout: Layout,
    text: str,
    destination: str,
    access: Access,
    *,
    kind: str = "",
    with_images: bool = True,
    purge: bool = False,
    hear: Hear | None = None,
) -> str:
    """Push a list to where ``destination`` (default: its own name) says; return the digest that it has there.

    ``with_images``: also the images that it names, which else must be there. ``purge``: forget the list then.
    Raises: NotFoundError; InvalidInputError; RegistryError and its kinds; StoreCorruptError.
    """
    if kind not in KINDS:
        raise InvalidInputError(f"unknown format: {kind!r}", hint="it is one of oci, v2s2")
    name = name_of(text)
    held = manifest_lists.load(layout, name)
    if not held.entries:
        raise InvalidInputError(f"cannot push manifest list: {name}: it is empty", hint="`pyrun manifest add`")
    data = document_of(held, KINDS[kind])
    local = [digest for digest, source in held.sources.items() if not source]
    # The list keeps them, and may be removed meanwhile.
    with leases.acquire(layout, local), Repository(destination or name, access, is_changed=True) as there:
        for entry in held.entries if with_images else []:
            source = held.sources.get(entry["digest"], "")
            if source:
                _from_registry(entry, source, there, access, hear or deaf)
            else:
                _from_store(layout, entry["digest"], there, hear or deaf)
        media_type = decode_manifest(data).media_type or media_types.OCI_INDEX
        tag = there.reference.digest or there.reference.tag
        digest = there.client.put_manifest(there.path, tag, media_type, data)
    if purge:
        _forget(layout, name)
    return digest


def _from_registry(entry: dict[str, Any], source: str, there: Repository, access: Access, hear: Hear) -> None:
    place = references.parse(source)
    if place.domain != there.reference.domain:
        access = access.elsewhere()  # what was typed is for where it goes
    with Repository(f"{place.name}@{entry['digest']}", access) as here:
        descriptor, data = here.resolve()
        Copy(here, there, hear).place(descriptor, data, entry["digest"])


def _from_store(layout: Layout, digest: str, there: Repository, hear: Hear) -> None:
    def tell(event: str, label: str, number: int = 0, source: str = "") -> None:
        if event in _ENDS:
            hear(_ENDS[event], label)

    entry = {"digest": digest}  # no more: neither the index that it came by nor what it was before is asked for
    content = content_of(layout, entry, digest, platform=None, kind="", anew=False)
    sources = MountSources(layout, index.entries(layout), entry, Reference(there.client.domain, there.path))
    BlobPush(layout, there.client, there.path, sources, tell).push(content.blobs)
    (document,) = content.documents
    there.client.put_manifest(there.path, digest, document.media_type, document.data)


def rm(layout: Layout, text: str) -> str:
    """Forget a list; return its whole name. Raises: NotFoundError."""
    name = name_of(text)
    _forget(layout, name)
    return name


def _forget(layout: Layout, name: str) -> None:
    manifest_lists.remove(layout, name)
    namespace.register(layout)
    gc.collect(layout)  # what the list alone had kept


def exists(layout: Layout, text: str) -> bool:
    """Say whether there is such a list here."""
    try:
        manifest_lists.load(layout, name_of(text))
    except NotFoundError:
        return False
    return True
