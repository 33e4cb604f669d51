"""The signatures that a registry has beside a manifest: cosign's tag, then the referrers.

It must not know keys: what it gives is not verified beyond its digest. A registry that does not answer is an error,
never "there is none". Sources: cosign SIGNATURE_SPEC.md; distribution-spec 1.1 "Listing Referrers", "Referrers Tag
Schema".
"""

from __future__ import annotations

from pyrun.errors import InvalidConfigError, ManifestUnknownError
from pyrun.oci import json
from pyrun.oci.index import Index, decode_index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.reference import Reference
from pyrun.oci.signature import (
    ANNOTATION,
    MAX_PAYLOAD_BYTES,
    MAX_SIGNATURES,
    SIGNATURE_ARTIFACT,
    SIMPLE_SIGNING,
    Signature,
    fallback_tag_of,
    tag_of,
)
from pyrun.registry import listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.oci.descriptor import Descriptor
    from pyrun.registry.client import RegistryClient


def of(client: RegistryClient, repository: str, digest: str) -> Iterator[Signature]:
    """Give the signatures of a manifest one by one; each is fetched when it is asked for.

    Raises: RegistryError and its kinds, but for "not found"; InvalidConfigError where there are too many.
    """
    count = 0
    for manifest in _manifests(client, repository, digest):
        for signature in of_manifest(client, repository, manifest, digest):
            count += 1
            if count > MAX_SIGNATURES:
                what = f"signatures of {client.domain}/{repository}@{digest}"
                raise InvalidConfigError(what, "", f"there are more than the limit of {MAX_SIGNATURES}")
            yield signature


def of_manifest(client: RegistryClient, repository: str, manifest: Manifest, digest: str) -> Iterator[Signature]:
    """Give the signatures that are layers of one manifest. Raises: as `of`."""
    for layer in manifest.layers:
        encoded = (layer.annotations or {}).get(ANNOTATION)
        if layer.media_type == SIMPLE_SIGNING and encoded:  # else an attestation, or somebody else's
            yield Signature(client.blob_bytes(repository, layer, MAX_PAYLOAD_BYTES), encoded, digest)


def attached(client: RegistryClient, repository: str, digest: str) -> tuple[bytes, Manifest] | None:
    """Return the manifest at cosign's tag, and its bytes; None if there is none. Raises: RegistryError's kinds."""
    found = _at_tag(client, repository, tag_of(digest))
    if found is None:
        return None
    descriptor, data = found
    document = decode_manifest(data, descriptor.media_type)
    if isinstance(document, Index):
        raise InvalidConfigError(f"signatures of {client.domain}/{repository}@{digest}", "", "it is an index")
    return data, document


def _manifests(client: RegistryClient, repository: str, digest: str) -> Iterator[Manifest]:
    found = attached(client, repository, digest)
    if found is not None:
        yield found[1]
    count = 0
    for entry in _referrers(client, repository, digest):
        if (entry.artifact_type or SIGNATURE_ARTIFACT) != SIGNATURE_ARTIFACT:
            continue
        count += 1
        what = f"signature {entry.digest} of {client.domain}/{repository}@{digest}"
        if count > MAX_SIGNATURES:
            raise InvalidConfigError(what, "", f"there are more referrers than the limit of {MAX_SIGNATURES}")
        document = decode_manifest(client.manifest(repository, entry.digest, entry.size)[1], entry.media_type)
        if isinstance(document, Index) or document.subject is None or document.subject.digest != digest:
            continue  # it refers to something else, whatever the list says
        yield document


def _referrers(client: RegistryClient, repository: str, digest: str) -> Iterator[Descriptor]:
    what = f"referrers of {client.domain}/{repository}@{digest}"
    try:
        pages = listing.documents(client, f"/v2/{repository}/referrers/{digest}", repository, what)
        for page in pages:
            yield from decode_index(json.dumps(page).encode("ascii")).manifests
    except ManifestUnknownError:
        found = _at_tag(client, repository, fallback_tag_of(digest))
        if found is not None:
            yield from decode_index(found[1]).manifests


def _at_tag(client: RegistryClient, repository: str, tag: str) -> tuple[Descriptor, bytes] | None:
    try:
        return client.resolve(Reference(client.domain, repository, tag))
    except ManifestUnknownError:
        return None
