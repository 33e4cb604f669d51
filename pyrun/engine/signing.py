"""The verb image sign: a signature, made here, beside an image in its registry.

It must not know where a passphrase comes from. What is signed is what the registry has: digest and name go into the
payload. Signatures that are there stay. Source: cosign SIGNATURE_SPEC.md.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pyrun
from pyrun.engine.remote import Repository
from pyrun.errors import ConflictError, ImageNotFoundError, InvalidInputError, RegistryError
from pyrun.images import resolve
from pyrun.oci import digest as digests
from pyrun.oci import json, media_types
from pyrun.oci import reference as references
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.index import Index
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.signature import ANNOTATION, MAX_SIGNATURES, SIMPLE_SIGNING, tag_of
from pyrun.registry import signatures
from pyrun.store import index
from pyrun.trust import keys, payload, private_key, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.engine.remote import Access
    from pyrun.oci.reference import Reference
    from pyrun.registry.client import RegistryClient
    from pyrun.store.layout import Layout
    from pyrun.trust.private_key import PrivateKey

_TRIES = 3  # another one may put its signature there at the same instant: a registry cannot compare and exchange
_UNKNOWN_TIME = "0001-01-01T00:00:00Z"


class Signed:
    """One manifest: its digest, where its signatures are, and whether this key's was there already."""

    __slots__ = ("digest", "was_there", "where")

    def __init__(self, digest: str, where: str, *, was_there: bool) -> None:
        self.digest = digest
        self.where = where
        self.was_there = was_there


class SignResult:
    """What was signed; ``unsigned_platforms``: it is an index, and the manifests in it were left alone."""

    __slots__ = ("reference", "signed", "unsigned_platforms")

    def __init__(self, reference: Reference, signed: list[Signed], *, unsigned_platforms: bool) -> None:
        self.reference = reference
        self.signed = signed
        self.unsigned_platforms = unsigned_platforms


def load_key(path: str, ask: Callable[[], bytes]) -> PrivateKey:
    """Read a private key; ``ask`` gives the passphrase.

    Raises: NotFoundError; InvalidInputError; InvalidConfigError.
    """
    data = keys.read_file(path, "private key")
    return private_key.parse(data, path, ask() if private_key.is_encrypted(data) else b"")


def sign(layout: Layout, text: str, key: PrivateKey, access: Access, *, identity: str = "",
         recursive: bool = False) -> SignResult:  # fmt: skip
    """Sign what a reference names in its registry; ``recursive``: every manifest of an index too.

    ``identity``: the name to sign for, if not the reference.
    Raises: InvalidInputError; ConflictError (the registry has another image than the store by that name);
    RegistryError and its kinds.
    """
    reference = references.parse_normalized(text).with_default_tag().pinned()
    name = _identity(identity) if identity else reference.string
    with Repository(text, access, is_changed=True) as repository:
        client, path = repository.client, repository.path
        found, document = repository.resolve()
        _check_local(layout, reference, found.digest)
        manifest = decode_manifest(document, found.media_type)
        wanted = [found.digest]
        if isinstance(manifest, Index) and recursive:
            wanted += [entry.digest for entry in manifest.manifests]
        signed = [_sign(client, path, digest, name, key) for digest in dict.fromkeys(wanted)]
    return SignResult(reference, signed, unsigned_platforms=isinstance(manifest, Index) and not recursive)


def _identity(text: str) -> str:
    reference = references.parse_normalized(text)
    if not (reference.tag or reference.digest):
        reason = "it has neither a tag nor a digest"
        raise InvalidInputError(f"invalid --sign-identity: {text}: {reason}", hint="write it in full, NAME:TAG")
    return reference.string


def _check_local(layout: Layout, reference: Reference, digest: str) -> None:
    """Refuse to sign something else than what the user has here by that name, and may have looked at."""
    if reference.digest:
        return
    try:
        entry = resolve.find_entry(layout, reference.string)
    except ImageNotFoundError:
        return
    notes = index.notes_of(entry)
    known = {entry["digest"], notes.get(index.ORIGINAL), notes.get(index.SOURCE_INDEX)}
    known |= {name.rpartition("@")[2] for name in notes.get(index.REPO_DIGESTS, "").split()}
    if digest not in known:
        raise ConflictError(
            f"cannot sign: {reference.familiar}: its registry has another image ({digest}) than the one here",
            hint=f"pull or push it first, or sign by digest: {reference.familiar_name}@{digest}",
        )


def _sign(client: RegistryClient, repository: str, digest: str, name: str, key: PrivateKey) -> Signed:
    where = f"{client.domain}/{repository}:{tag_of(digest)}"
    creator = f"pyrun {pyrun.__version__}"
    claim = payload.build(digest, name, creator=creator, timestamp=int(time.time()))
    layer = Descriptor(SIMPLE_SIGNING, digests.of(claim), len(claim), annotations={ANNOTATION: key.sign(claim)})
    for attempt in range(_TRIES):
        found = signatures.attached(client, repository, digest)
        if found is not None and len(found[1].layers) >= MAX_SIGNATURES:
            raise ConflictError(
                f"cannot sign: {where}: it has {len(found[1].layers)} signatures already",
                hint="delete that tag in the registry, and sign anew",
            )
        if found is not None and _has(client, repository, found[1], digest, name, key):
            return Signed(digest, where, was_there=attempt == 0)
        _append(client, repository, digest, layer, claim, found)
    raise RegistryError(
        f"registry failed: {where}: the signature is not there after it was pushed", registry=client.domain
    )


def _has(client: RegistryClient, repository: str, manifest: Manifest, digest: str, name: str, key: PrivateKey) -> bool:
    """Say whether the key's owner has signed just that already."""
    for signature in signatures.of_manifest(client, repository, manifest, digest):
        try:
            if verdict.claim_of(signature, [key.public], digest).reference == name:
                return True
        except verdict.UnmetError:
            continue
    return False


def _append(client: RegistryClient, repository: str, digest: str, layer: Descriptor, claim: bytes,
            found: tuple[bytes, Manifest] | None) -> None:  # fmt: skip
    """Put a manifest with one more layer at cosign's tag; all else in it, known here or not, stays as it is."""
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_types.OCI_MANIFEST, "layers": []}
    config: dict[str, Any] = {
        "architecture": "", "created": _UNKNOWN_TIME, "history": [], "os": "",
        "rootfs": {"type": "layers", "diff_ids": []}, "config": {},
    }  # fmt: skip
    if found is not None:
        document = json.loads(found[0])
        config = _config(client.blob_bytes(repository, found[1].config), config)
    config["rootfs"]["diff_ids"].append(layer.digest)
    config["history"].append({"created": _UNKNOWN_TIME})
    encoded = json.dumps(config).encode("ascii")
    described = Descriptor(media_types.OCI_CONFIG, digests.of(encoded), len(encoded))
    for descriptor, data in ((layer, claim), (described, encoded)):
        client.put_blob(repository, descriptor, lambda offset, data=data: iter((data[offset:],)))  # type: ignore[misc]
    document["config"] = _fields(described)
    document["layers"].append(_fields(layer))
    media_type = document.get("mediaType") or media_types.OCI_MANIFEST
    client.put_manifest(repository, tag_of(digest), media_type, json.dumps(document).encode("ascii"))


def _config(data: bytes, default: dict[str, Any]) -> dict[str, Any]:
    """Read the config that others have made, to go on with it; without a list of layers it is of no use."""
    try:
        found = json.loads(data)
        if isinstance(found["rootfs"]["diff_ids"], list):
            found["history"] = [*(found.get("history") or [])]
            return {**default, **found}
    except (ValueError, LookupError, TypeError):
        pass
    return default


def _fields(descriptor: Descriptor) -> dict[str, Any]:
    row: dict[str, Any] = {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}
    return {**row, "annotations": descriptor.annotations} if descriptor.annotations else row
