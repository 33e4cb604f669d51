"""pyrun.oci.digest: what is a digest, and that other bytes are told."""

from __future__ import annotations

import hashlib

import pytest

from pyrun.errors import DigestMismatchError, InvalidDigestError
from pyrun.oci import digest

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "invalid checksum digest format"),
        ("sha256", "invalid checksum digest format"),
        ("sha256:", "invalid checksum digest format"),
        ("sha256:abc", "invalid checksum digest length"),
        ("sha256:" + "A" * 64, "invalid checksum digest format"),
        ("sha256:" + "g" * 64, "invalid checksum digest format"),
        ("sha512:" + "a" * 64, "invalid checksum digest length"),
        ("md5:" + "a" * 32, "unsupported digest algorithm"),
        ("multihash+base58:QmRZxt2b", "unsupported digest algorithm"),
        ("../../etc:passwd", "invalid checksum digest format"),
        ("sha256:../" + "a" * 61, "invalid checksum digest format"),
        (EMPTY + "\n", "invalid checksum digest length"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidDigestError) as caught:
        digest.validate(text)
    assert caught.value.reason == reason


def test_known_algorithms() -> None:
    assert digest.of(b"") == EMPTY
    assert digest.validate(EMPTY) == ("sha256", EMPTY[7:])
    long = "sha512:" + hashlib.sha512(b"x").hexdigest()
    assert digest.validate(long)[0] == "sha512"
    digest.verify(b"x", long, "blob")
    with pytest.raises(InvalidDigestError, match="only sha256"):
        digest.require_sha256(long)
    assert digest.require_sha256(EMPTY) == EMPTY[7:]


def test_other_bytes_are_told() -> None:
    digest.verify(b"", EMPTY, "blob")
    with pytest.raises(DigestMismatchError) as caught:
        digest.verify(b"x", EMPTY, "manifest of debian:12")
    assert caught.value.expected == EMPTY
    assert caught.value.actual == digest.of(b"x")
    assert "manifest of debian:12" in caught.value.message


@pytest.mark.parametrize("size", [0, 1 << 18, (1 << 18) + 1])
def test_small_and_large_are_digested_alike(size: int) -> None:
    assert digest.of(bytes(size)) == f"sha256:{hashlib.sha256(bytes(size)).hexdigest()}"
