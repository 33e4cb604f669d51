"""A signature beside an image, as it is fetched and kept; nothing in it is believed before it is verified.

It must not know keys or policies. Source: cosign SIGNATURE_SPEC.md; distribution-spec 1.1 "Referrers".
"""

from __future__ import annotations

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"  # the layer that is the signed payload
SIGNATURE_ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"  # as a referrer
ANNOTATION = "dev.cosignproject.cosign/signature"  # of the layer: base64

MAX_PAYLOAD_BYTES = 64 * 1024  # they have some 300
MAX_SIGNATURES = 100  # of one image that are looked at


class Signature:
    """``payload``: what is signed; ``encoded``: the signature in base64; ``digest``: of the manifest that has it."""

    __slots__ = ("digest", "encoded", "payload")

    def __init__(self, payload: bytes, encoded: str, digest: str) -> None:
        self.payload = payload
        self.encoded = encoded
        self.digest = digest


def tag_of(digest: str) -> str:
    """Return the tag that cosign keeps the signatures of a manifest at."""
    return f"{fallback_tag_of(digest)}.sig"


def fallback_tag_of(digest: str) -> str:
    """Return the tag of the list of referrers where a registry does not know them."""
    return digest.replace(":", "-", 1)
