"""The signed payload of a cosign signature ("simple signing"): which manifest, under which name.

It must not know signatures. Strict, as containers/image is: what it does not know in the critical part is refused,
since it could be a restriction. Source: cosign SIGNATURE_SPEC.md; containers-signature(5).
"""

from __future__ import annotations

import json
from typing import Any

from pyrun.errors import InvalidConfigError
from pyrun.oci import digest as digests
from pyrun.trust import strict_json

TYPE = "cosign container image signature"
_WHAT = "signature payload"


class Claim:
    """What somebody has signed; ``reference`` is as it was written, perhaps no reference at all."""

    __slots__ = ("digest", "document", "reference")

    def __init__(self, digest: str, reference: str, document: dict[str, Any]) -> None:
        self.digest = digest
        self.reference = reference
        self.document = document


def parse(data: bytes) -> Claim:
    """Read a payload. Raises: InvalidConfigError for anything but the documented form."""
    document = strict_json.fields(strict_json.loads(data, _WHAT), _WHAT, "", needed="critical optional")
    critical = strict_json.fields(document["critical"], _WHAT, "/critical", needed="type image identity")
    if critical["type"] != TYPE:
        raise InvalidConfigError(_WHAT, "/critical/type", f"expected {TYPE!r}")
    where = "/critical/image"
    image = strict_json.fields(critical["image"], _WHAT, where, needed="docker-manifest-digest")
    digest = strict_json.text(image["docker-manifest-digest"], _WHAT, f"{where}/docker-manifest-digest")
    if not digests.is_well_formed(digest):
        raise InvalidConfigError(_WHAT, f"{where}/docker-manifest-digest", "not a digest")
    where = "/critical/identity"
    identity = strict_json.fields(critical["identity"], _WHAT, where, needed="docker-reference")
    if not isinstance(identity["docker-reference"], str):
        raise InvalidConfigError(_WHAT, f"{where}/docker-reference", "expected a text")
    _check_optional(document["optional"])
    return Claim(digest, identity["docker-reference"], document)


def build(digest: str, reference: str, *, creator: str, timestamp: int) -> bytes:
    """Return a payload; ``parse`` gives back digest and reference."""
    critical = {
        "identity": {"docker-reference": reference}, "image": {"docker-manifest-digest": digest}, "type": TYPE,
    }  # fmt: skip
    optional = {"creator": creator, "timestamp": timestamp}
    return json.dumps({"critical": critical, "optional": optional}, separators=(",", ":")).encode("ascii")


def _check_optional(optional: Any) -> None:
    """Anything may be there, but what has a meaning must have its type; cosign writes null where there is nothing."""
    if optional is None:
        return
    if not isinstance(optional, dict):
        raise InvalidConfigError(_WHAT, "/optional", "expected an object")
    if not isinstance(optional.get("creator", ""), str | None):
        raise InvalidConfigError(_WHAT, "/optional/creator", "expected a text")
    timestamp = optional.get("timestamp", 0)
    is_whole = timestamp is None or (type(timestamp) in (int, float) and timestamp == timestamp // 1)
    if not is_whole:
        raise InvalidConfigError(_WHAT, "/optional/timestamp", "expected a whole number")
