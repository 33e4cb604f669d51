"""Whether an image meets a policy's requirements, by the signatures that are beside it.

It must not know where signatures come from: an iterator gives them, and is asked for one only when one is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.errors import InvalidConfigError
from pyrun.trust import payload
from pyrun.trust.policy import ACCEPT, REJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyrun.oci.reference import Reference
    from pyrun.oci.signature import Signature
    from pyrun.trust.keys import PublicKey
    from pyrun.trust.payload import Claim
    from pyrun.trust.policy import Requirement

_SHOWN_REASONS = 3


class UnmetError(Exception):
    """A requirement does not hold; ``kind`` is its type."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class Seen:
    """Signatures that can be gone through again: what has been fetched is kept."""

    __slots__ = ("_found", "_rest")

    def __init__(self, signatures: Iterable[Signature]) -> None:
        self._found: list[Signature] = []
        self._rest = iter(signatures)

    def __iter__(self) -> Iterator[Signature]:
        yield from [*self._found]
        for signature in self._rest:
            self._found.append(signature)
            yield signature


def judge(
    requirements: list[Requirement], image: Reference | None, digest: str, signatures: Iterable[Signature]
) -> list[Signature]:
    """Return the signatures by which all requirements hold (none are needed for some kinds).

    ``image``: the name that it was asked for by, None where it has none; ``digest``: of its manifest.
    Raises: UnmetError; what loading a key or the iterator raises (then nothing is accepted).
    """
    seen = Seen(signatures)
    counted = []
    for requirement in requirements:
        if requirement.kind == ACCEPT:
            continue
        if requirement.kind == REJECT:
            raise UnmetError(REJECT, "nothing is accepted there (reject)")
        if requirement.reason:
            raise UnmetError(requirement.kind, requirement.reason)
        counted.append(_accepted(requirement, image, digest, seen))
    return counted


def claim_of(signature: Signature, public: list[PublicKey], digest: str) -> Claim:
    """Return what a signature says, once a key of the list has verified it and it is about ``digest``.

    Raises: UnmetError.
    """
    if not any(key.verifies(signature.encoded, signature.payload) for key in public):
        raise UnmetError("", "a signature by another key")
    try:
        claim = payload.parse(signature.payload)
    except InvalidConfigError as error:
        raise UnmetError("", f"a signature with an {error.message}") from None
    if claim.digest != digest:
        raise UnmetError("", f"a signature of another image, {claim.digest}")
    return claim


def _accepted(requirement: Requirement, image: Reference | None, digest: str, signatures: Seen) -> Signature:
    from pyrun.trust import keys

    public = [keys.load(key.path) if key.path else keys.parse(key.data, "in the policy") for key in requirement.keys]
    reasons: list[str] = []
    for signature in signatures:
        try:
            claim = claim_of(signature, public, digest)
        except UnmetError as error:
            reasons.append(error.reason)
            continue
        if requirement.identity.matches(image, claim.reference):
            return signature
        reasons.append(f"a signature for another name, {claim.reference!r} ({requirement.identity.kind})")
    raise UnmetError(requirement.kind, summary(reasons))


def summary(reasons: list[str]) -> str:
    """Say in a line why no signature counts."""
    if not reasons:
        return "it has no signature"
    different = list(dict.fromkeys(reasons))
    more = f" and {len(different) - _SHOWN_REASONS} more" if len(different) > _SHOWN_REASONS else ""
    return f"it has no signature that counts, but {'; '.join(different[:_SHOWN_REASONS])}{more}"
