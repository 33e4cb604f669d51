"""Digests: ``algorithm:hex``, how they are checked and how bytes are verified against one.

It must not know what is digested. Source: image-spec 1.1 descriptor.md "Digests". Hot: imports hashlib where it pays.
"""

from __future__ import annotations

import sys

from pyrun.errors import DigestMismatchError, InvalidDigestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

HEX = "0123456789abcdef"
LENGTHS = {"sha256": 64, "sha512": 128}  # the registered algorithms; only sha256 names what is stored
_SMALL_BYTES = 1 << 18
_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyz0123456789"
_ENCODED = _ALPHANUMERIC + _ALPHANUMERIC.upper() + "=_-"


def short(text: str) -> str:
    """Return what is shown of a digest: its first twelve digits, as docker."""
    return text.partition(":")[2][:12]


def validate(text: str) -> tuple[str, str]:
    """Split a digest that can be verified (sha256, sha512) into algorithm and hexadecimal digits.

    Raises:
        InvalidDigestError: with the reference library's reason.
    """
    algorithm, _, encoded = text.partition(":")
    length = LENGTHS.get(algorithm)
    if length is None:
        known_shape = is_well_formed(text)
        raise InvalidDigestError(
            text, "unsupported digest algorithm" if known_shape else "invalid checksum digest format"
        )
    if not encoded:
        raise InvalidDigestError(text, "invalid checksum digest format")
    if len(encoded) != length:
        raise InvalidDigestError(text, "invalid checksum digest length")
    if encoded.strip(HEX):
        raise InvalidDigestError(text, "invalid checksum digest format")
    return algorithm, encoded


def require_sha256(text: str) -> str:
    """Give the hexadecimal digits of a sha256 digest: the only kind that names a file of the store.

    Raises:
        InvalidDigestError: another algorithm, or no digest.
    """
    algorithm, encoded = validate(text)
    if algorithm != "sha256":
        raise InvalidDigestError(text, "only sha256 digests can be stored")
    return encoded


def is_well_formed(text: str) -> bool:
    """Say whether a text follows the image-spec's digest grammar, its algorithm known or not."""
    algorithm, colon, encoded = text.partition(":")
    if not (colon and encoded) or encoded.strip(_ENCODED):
        return False
    length = LENGTHS.get(algorithm)
    if length is not None:
        return len(encoded) == length and not encoded.strip(HEX)
    word_starts = True
    for character in algorithm:
        if character in _ALPHANUMERIC:
            word_starts = False
        elif character in "+._-" and not word_starts:
            word_starts = True
        else:
            return False
    return not word_starts


def hasher(digest: str) -> _Hash:
    """Give a fresh hash object of the digest's algorithm."""
    import hashlib

    return hashlib.new(validate(digest)[0], usedforsecurity=True)


def of(data: bytes | bytearray | memoryview) -> str:
    """Give the sha256 digest of some bytes."""
    # hashlib loads OpenSSL, 3 ms; the C module beside it needs 1 ms for as many bytes as are small here.
    if len(data) > _SMALL_BYTES:
        from hashlib import sha256
    elif sys.version_info >= (3, 12):
        from _sha2 import sha256  # type: ignore[import-not-found, no-redef, unused-ignore]
    else:
        from _sha256 import sha256  # type: ignore[import-not-found, no-redef, unused-ignore]
    return f"sha256:{sha256(data).hexdigest()}"


def verify(data: bytes | bytearray | memoryview, digest: str, what: str) -> None:
    """Compare bytes with their digest; ``what`` names them in the error.

    Raises:
        DigestMismatchError: they are other bytes.
    """
    state = hasher(digest)
    state.update(data)
    actual = f"{digest.partition(':')[0]}:{state.hexdigest()}"
    if actual != digest:
        raise DigestMismatchError(what, expected=digest, actual=actual)
