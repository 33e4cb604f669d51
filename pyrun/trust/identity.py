"""Which name a signature must be made for, so that it counts for an image: `signedIdentity` of a policy.

It must not know signatures. Source: containers-policy.json(5) "signedIdentity".
"""

from __future__ import annotations

from typing import Any

from pyrun.errors import InvalidConfigError, InvalidReferenceError
from pyrun.oci import reference as references
from pyrun.oci.reference import Reference
from pyrun.trust import strict_json

EXACT = "matchExact"
DIGEST_OR_EXACT = "matchRepoDigestOrExact"
REPOSITORY = "matchRepository"
EXACT_REFERENCE = "exactReference"
EXACT_REPOSITORY = "exactRepository"
REMAP = "remapIdentity"
_NEEDS = {
    EXACT: "type", DIGEST_OR_EXACT: "type", REPOSITORY: "type", EXACT_REFERENCE: "type dockerReference",
    EXACT_REPOSITORY: "type dockerRepository", REMAP: "type prefix signedPrefix",
}  # fmt: skip


class Identity:
    """One rule; ``name`` is the reference or repository that it gives itself."""

    __slots__ = ("kind", "name", "prefix", "signed_prefix")

    def __init__(self, kind: str, name: Reference | None = None, prefix: str = "", signed_prefix: str = "") -> None:
        self.kind = kind
        self.name = name
        self.prefix = prefix
        self.signed_prefix = signed_prefix

    def matches(self, image: Reference | None, signed: str) -> bool:
        """Say whether a signature for ``signed`` counts for an image; ``image``: None where it came without a name."""
        try:
            claimed = references.parse_normalized(signed)
        except InvalidReferenceError:
            return False
        if self.kind == EXACT_REPOSITORY:
            return self.name is not None and claimed.name == self.name.name
        if self.kind == EXACT_REFERENCE:
            return self.name is not None and _is_same(self.name, claimed)
        if image is None:
            return False
        if self.kind == REPOSITORY:
            return claimed.name == image.name
        if self.kind == EXACT:
            return _is_same(image, claimed)
        if self.kind == REMAP:
            remapped = self._remapped(image)
            return remapped is not None and _is_digest_or_exact(remapped, claimed)
        return _is_digest_or_exact(image, claimed)

    def _remapped(self, image: Reference) -> Reference | None:
        """Only the name is compared with the prefix: what follows it can only begin with a slash."""
        if image.name != self.prefix and not image.name.startswith(self.prefix + "/"):
            return image
        rest = image.string[len(self.prefix) :]
        try:
            return references.parse_normalized(self.signed_prefix + rest)
        except InvalidReferenceError:
            return None


def parse(value: Any, what: str, pointer: str) -> Identity:
    """Read a `signedIdentity`. Raises: InvalidConfigError."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _NEEDS:
        raise InvalidConfigError(what, f"{pointer}/type", f"unknown kind of signedIdentity: {kind!r}")
    found = strict_json.fields(value, what, pointer, needed=_NEEDS[kind])
    if kind == EXACT_REFERENCE:
        name = _reference(found, "dockerReference", what, pointer)
        if not (name.tag or name.digest):
            raise InvalidConfigError(what, f"{pointer}/dockerReference", "it has neither a tag nor a digest")
        return Identity(kind, name)
    if kind == EXACT_REPOSITORY:
        return Identity(kind, _reference(found, "dockerRepository", what, pointer))  # only its name is compared
    if kind == REMAP:
        prefixes = [_prefix(found, key, what, pointer) for key in ("prefix", "signedPrefix")]
        return Identity(kind, None, *prefixes)
    return Identity(kind)


def _reference(found: dict[str, Any], key: str, what: str, pointer: str) -> Reference:
    text = strict_json.text(found[key], what, f"{pointer}/{key}")
    try:
        return references.parse_normalized(text)
    except InvalidReferenceError as error:
        raise InvalidConfigError(what, f"{pointer}/{key}", error.reason) from None


def _prefix(found: dict[str, Any], key: str, what: str, pointer: str) -> str:
    """A host, or a namespace or repository in full: a short name would stand for one of Docker Hub's."""
    text = strict_json.text(found[key], what, f"{pointer}/{key}")
    if "/" not in text and references.is_host(text):
        return text
    try:
        name = references.parse_normalized(text)
    except InvalidReferenceError as error:
        raise InvalidConfigError(what, f"{pointer}/{key}", error.reason) from None
    if name.string != text or name.tag or name.digest:
        raise InvalidConfigError(what, f"{pointer}/{key}", "expected a host, or a whole name without tag or digest")
    return text


def _is_same(image: Reference, claimed: Reference) -> bool:
    """A claim without tag and digest is for no image in particular."""
    return bool(claimed.tag or claimed.digest) and claimed.string == image.string


def _is_digest_or_exact(image: Reference, claimed: Reference) -> bool:
    if not (claimed.tag or claimed.digest):
        return False
    # The signature names the manifest's digest besides: with the same one, the repository is all that is left to ask.
    return claimed.name == image.name if image.digest and not image.tag else claimed.string == image.string
