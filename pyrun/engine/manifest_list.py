"""The verbs manifest create, add, annotate, remove and inspect: an index put together of images here and at registries.

They must not print. Names of lists are references: `manifest push` sends a list where its name says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pyrun.engine.remote import Repository, require_one_registry
from pyrun.engine.remote_inspect import choose
from pyrun.errors import (
    ConflictError,
    ImageNotFoundError,
    InvalidConfigError,
    InvalidInputError,
    InvalidReferenceError,
    NotFoundError,
    StoreCorruptError,
)
from pyrun.images import resolve
from pyrun.oci import digest as digests
from pyrun.oci import json, media_types
from pyrun.oci import reference as references
from pyrun.oci.config import decode_config
from pyrun.oci.index import Index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.platform import Platform, host
from pyrun.store import blobs, index, leases, manifest_lists
from pyrun.store.manifest_lists import ManifestList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyrun.engine.remote import Access
    from pyrun.oci.descriptor import Descriptor
    from pyrun.store.layout import Layout

    Entry = dict[str, Any]

_LOCAL = "containers-storage:"  # podman's words for here
_REMOTE = "docker://"


class Marks(NamedTuple):
    """What an entry is to say of its image instead of what that says itself; empty: as it is."""

    os: str = ""
    architecture: str = ""
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()  # key=value

    def put_on(self, entry: Entry) -> Entry:
        """Return the entry with them. Raises: InvalidInputError."""
        platform = dict(entry.get("platform") or {})
        given = {
            "os": self.os, "architecture": self.architecture, "variant": self.variant, "os.version": self.os_version,
            "os.features": list(self.os_features), "features": list(self.features),
        }  # fmt: skip
        platform.update({key: value for key, value in given.items() if value})
        notes = dict(entry.get("annotations") or {})
        for word in self.annotations:
            key, equals, value = word.partition("=")
            if not key or not equals:
                raise InvalidInputError(f"invalid annotation: {word!r}: not of the form KEY=VALUE")
            notes[key] = value
        return {**entry, "platform": platform, **({"annotations": notes} if notes else {})}


def name_of(text: str) -> str:
    """Return the whole name of a list. Raises: InvalidReferenceError; InvalidInputError for one with a digest."""
    reference = references.parse_normalized(text)
    if reference.digest:
        raise InvalidInputError(f"invalid name of a manifest list: {text}: it has a digest")
    return reference.with_default_tag().string


def document_of(held: ManifestList, kind: str = "") -> bytes:
    """Return a list as the index that is pushed. ``kind``: its media type; docker's where all images are docker's."""
    if not kind:
        types = {entry["mediaType"] for entry in held.entries}
        kind = media_types.DOCKER_LIST if types == {media_types.DOCKER_MANIFEST} else media_types.OCI_INDEX
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": held.entries}).encode("ascii")


def create(
    layout: Layout, text: str, images: Sequence[str], access: Access, *, amend: bool, all_platforms: bool
) -> str:
    """Begin a list, or with ``amend`` go on with it; return its whole name.

    Raises: ConflictError where there is one; as `add`.
    """
    name = name_of(text)
    require_one_registry(_asked(layout, images), access)
    found = [entry for image in images for entry in _entries(layout, image, access, all_platforms)]

    def change(before: ManifestList | None) -> ManifestList:
        if before is not None and not amend:
            raise ConflictError(
                f"cannot create manifest list: {name}: there is one", hint="--amend adds to it; `pyrun manifest rm`"
            )
        return _with(before or ManifestList([], {}), found)

    _update(layout, name, found, change)
    return name


def add(layout: Layout, text: str, images: Sequence[str], access: Access, marks: Marks, *, all_platforms: bool) -> str:
    """Add images to a list: of this store, else of a registry; return the list's digest now.

    Raises: NotFoundError; RegistryError and its kinds; InvalidConfigError for what is no image.
    """
    name = name_of(text)
    manifest_lists.load(layout, name)
    require_one_registry(_asked(layout, images), access)
    found = [
        (marks.put_on(entry), source)
        for image in images
        for entry, source in _entries(layout, image, access, all_platforms)
    ]
    held = _update(layout, name, found, lambda before: _with(_there(before, name), found))
    return digests.of(document_of(held))


def annotate(layout: Layout, text: str, which: str, marks: Marks) -> str:
    """Let an entry, named by digest or by the image that it was added from, say something else; return the digest.

    Raises: NotFoundError; InvalidInputError.
    """
    name = name_of(text)

    def change(before: ManifestList | None) -> ManifestList:
        held = _there(before, name)
        wanted = _find(layout, held, which)
        held.entries = [marks.put_on(item) if item["digest"] == wanted else item for item in held.entries]
        return held

    return digests.of(document_of(manifest_lists.update(layout, name, change)))


def remove(layout: Layout, text: str, which: str) -> str:
    """Take an entry out of a list; return the list's digest now. Raises: NotFoundError."""
    name = name_of(text)

    def change(before: ManifestList | None) -> ManifestList:
        held = _there(before, name)
        wanted = _find(layout, held, which)
        held.entries = [item for item in held.entries if item["digest"] != wanted]
        held.sources.pop(wanted, None)
        return held

    return digests.of(document_of(manifest_lists.update(layout, name, change)))


def inspect(layout: Layout, text: str, access: Access) -> bytes:
    """Return the document of a list that is here, else what a registry has under the name.

    Raises: RegistryError and its kinds; InvalidReferenceError.
    """
    try:
        return document_of(manifest_lists.load(layout, name_of(text)))
    except (NotFoundError, InvalidInputError):
        with Repository(text, access) as repository:
            return repository.resolve()[1]


def _there(held: ManifestList | None, name: str) -> ManifestList:
    if held is None:
        raise NotFoundError(f"no such manifest list: {name}", hint=f"`pyrun manifest create {name}` makes it")
    return held


def _with(held: ManifestList, found: list[tuple[Entry, str]]) -> ManifestList:
    """Put entries into a list; one of the same digest is replaced, where it stands."""
    for entry, source in found:
        places = [number for number, item in enumerate(held.entries) if item["digest"] == entry["digest"]]
        if places:
            held.entries[places[0]] = entry
        else:
            held.entries.append(entry)
        held.sources[entry["digest"]] = source
    return held


def _update(
    layout: Layout, name: str, found: list[tuple[Entry, str]], change: Callable[[ManifestList | None], ManifestList]
) -> ManifestList:
    local = [entry["digest"] for entry, source in found if not source]
    # From here on the list is a root; before, an image that goes meanwhile would leave it with what is not there.
    with leases.acquire(layout, local):
        for digest in local:
            if not blobs.exists(layout, digest):
                raise ImageNotFoundError(digest, hint="it was just removed")
        return manifest_lists.update(layout, name, change)


def _find(layout: Layout, held: ManifestList, which: str) -> str:
    """Return the digest of the entry that is meant. Raises: NotFoundError; InvalidInputError if it could be several."""
    there = {item["digest"] for item in held.entries}
    meant = {which, f"sha256:{which}"} & there
    if not meant:
        meant = {digest for digest, source in held.sources.items() if source and source == _reference(which)}
    if not meant:
        try:
            meant = {_digest_here(resolve.find_entry(layout, which))} & there
        except (ImageNotFoundError, InvalidInputError):
            pass  # nor is it here
    if len(meant) > 1:
        raise InvalidInputError(f"{which} is {len(meant)} entries of the manifest list", hint="name one by its digest")
    if not meant:
        hint = "`pyrun manifest inspect` shows the digests"
        raise NotFoundError(f"no such entry in the manifest list: {which}", hint=hint)
    return meant.pop()


def _reference(text: str) -> str:
    try:
        return references.parse_normalized(text.removeprefix(_REMOTE)).with_default_tag().string
    except InvalidReferenceError:
        return ""


def _entries(layout: Layout, image: str, access: Access, all_platforms: bool) -> list[tuple[Entry, str]]:
    """Return the entries for an image and where each one's manifest is."""
    if not image.startswith(_REMOTE):
        try:
            return [(_local(layout, image.removeprefix(_LOCAL)), "")]
        except ImageNotFoundError:
            if image.startswith(_LOCAL):
                raise
    with Repository(image, access) as repository:
        top, data = repository.resolve()
        document = decode_manifest(data, top.media_type)
        source = repository.reference.string
        if isinstance(document, Manifest):
            return [(_remote(repository, top, document), source)]
        chosen = document.manifests
        if not all_platforms:
            chosen = [choose(document, host(with_variant=True), repository.reference.familiar)]
        return [(_plain(item), source) for item in chosen]


def _asked(layout: Layout, images: Sequence[str]) -> list[str]:
    """Return those of several names that a registry will be asked for."""
    found = index.entries(layout)

    def is_here(image: str) -> bool:
        if image.startswith((_REMOTE, _LOCAL)):
            return image.startswith(_LOCAL)
        try:
            return bool(resolve.find_in(found, image))
        except ImageNotFoundError:
            return False

    return [image for image in images if not is_here(image)]


def _digest_here(entry: dict[str, Any]) -> str:
    """Return the digest that an image of the store is pushed with: of its own bytes, not of our conversion."""
    return index.notes_of(entry).get(index.ORIGINAL) or str(entry["digest"])


def _local(layout: Layout, image: str) -> Entry:
    found = resolve.find_entry(layout, image)
    digest = _digest_here(found)
    try:
        data = blobs.read(layout, digest)
        manifest = decode_manifest(data)
        if isinstance(manifest, Index):
            raise InvalidConfigError("image manifest", "/manifests", "this is an index")
        config = decode_config(blobs.read(layout, manifest.config.digest))
    except StoreCorruptError:
        resolve.require_still(layout, image, found["digest"])
        raise
    platform = Platform(config.os, config.architecture, config.variant or "")
    kind = manifest.media_type or media_types.OCI_MANIFEST
    return {"mediaType": kind, "digest": digest, "size": len(data), "platform": _fields(platform)}


def _remote(repository: Repository, descriptor: Descriptor, manifest: Manifest) -> Entry:
    platform: dict[str, Any] = {}
    if manifest.is_image:
        config = decode_config(repository.client.blob_bytes(repository.path, manifest.config))
        platform = _fields(Platform(config.os, config.architecture, config.variant or ""))
    return {
        "mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size, "platform": platform,
    }  # fmt: skip


def _plain(entry: Descriptor) -> Entry:
    found: Entry = {"mediaType": entry.media_type, "digest": entry.digest, "size": entry.size}
    if entry.platform is not None:
        fields = entry.platform
        named = {"os.version": fields.os_version, "os.features": fields.os_features}
        found["platform"] = {**_fields(Platform.of(fields)), **{key: value for key, value in named.items() if value}}
    if entry.annotations:
        found["annotations"] = entry.annotations
    return found


def _fields(platform: Platform) -> dict[str, Any]:
    found = {"architecture": platform.architecture, "os": platform.os}
    return {**found, "variant": platform.variant} if platform.variant else found
