"""The verb image verify: which signatures beside an image a key has made. No policy is asked.

As cosign does with a key, it looks at the digest, not at the name in the payload (a copy has that of its original).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrun.engine import sources
from pyrun.errors import ImageNotFoundError, InvalidInputError, SignatureError
from pyrun.images import resolve
from pyrun.oci import reference as references
from pyrun.store import index
from pyrun.trust import keys, verdict

if TYPE_CHECKING:
    from pyrun.engine.sources import ImageSource
    from pyrun.oci.reference import Reference
    from pyrun.store.index import Entry
    from pyrun.store.layout import Layout
    from pyrun.trust.keys import PublicKey
    from pyrun.trust.payload import Claim


class Verification:
    """``digest``: what is signed; ``claims``: what the key's owner says of it; ``is_local``: it is in the store."""

    __slots__ = ("claims", "digest", "is_local", "reference")

    def __init__(self, reference: Reference, digest: str, claims: list[Claim], *, is_local: bool) -> None:
        self.reference = reference
        self.digest = digest
        self.claims = claims
        self.is_local = is_local

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The payloads, as cosign prints them."""
        return [claim.document for claim in self.claims]

    @property
    def other_names(self) -> list[str]:
        """The names that were signed for, if this one is not among them."""
        names = sorted({claim.reference for claim in self.claims})
        own = (self.reference.name, self.reference.string)
        return [] if any(name.rpartition("@")[0] in own or name in own for name in names) else names


def verify(
    layout: Layout, text: str, key_path: str, *, tls_verify: bool | None = None, cert_dir: str = ""
) -> Verification:
    """Verify the image of the store by that name, else what its registry has; signatures come from the registry.

    Raises: SignatureError if there is none that counts; InvalidConfigError, NotFoundError (the key); RegistryError.
    """
    public = keys.load(key_path)
    local = _local(layout, text)
    if local is not None:
        reference, wanted = local
        source = sources.source_of(reference, tls_verify=tls_verify, cert_dir=cert_dir)
    else:
        reference, source = sources.find(text, tls_verify=tls_verify, cert_dir=cert_dir)
        wanted = []
    try:
        wanted = wanted or [source.resolve(reference.pinned())[0].digest]
        return _verify(source, reference, wanted, public, is_local=local is not None)
    finally:
        source.close()


def _local(layout: Layout, text: str) -> tuple[Reference, list[str]] | None:
    """Return where an image of the store came from, and its digests there: its own, and its index's."""
    try:
        entry = resolve.find_entry(layout, text)
    except ImageNotFoundError:
        return None
    notes = index.notes_of(entry)
    digests = [notes.get(index.ORIGINAL) or entry["digest"], notes.get(index.SOURCE_INDEX, "")]
    return _name_of(entry, text), [digest for digest in digests if digest]


def _name_of(entry: Entry, text: str) -> Reference:
    pulled = [references.parse_normalized(name) for name in index.notes_of(entry).get(index.REPO_DIGESTS, "").split()]
    tag = index.ref_name(entry)
    if tag and (not pulled or references.parse_normalized(tag).name in [name.name for name in pulled]):
        return references.parse_normalized(tag)
    if not pulled:
        raise InvalidInputError(
            f"cannot verify: {text}: it is of no registry: signatures are kept beside an image there",
            hint="`pyrun tag` gives it a name, and it has to be pushed there",
        )
    return pulled[0]


def _verify(
    source: ImageSource, reference: Reference, wanted: list[str], public: PublicKey, *, is_local: bool
) -> Verification:
    reasons: list[str] = []
    for digest in wanted:
        claims = []
        for signature in source.signatures(digest):
            try:
                claims.append(verdict.claim_of(signature, [public], digest))
            except verdict.UnmetError as error:
                reasons.append(error.reason)
        if claims:
            return Verification(reference, digest, claims, is_local=is_local)
    name = f"{reference.familiar_name}@{wanted[0]}"
    raise SignatureError(
        f"no signature by this key: {name}: {verdict.summary(reasons)}",
        hint=f"is {public.where} the key it was signed with?"
        if reasons
        else "its owner has not signed it, or elsewhere",
    )
