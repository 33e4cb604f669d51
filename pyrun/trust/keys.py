"""Public keys, and whether a signature is one of theirs.

It must not know what is signed. Kinds as cosign and containers/image take them: ECDSA on NIST curves (SHA-256 whatever
the curve), RSA (PKCS #1 v1.5, SHA-256) and Ed25519. Cold: `cryptography` is imported here and in private_key.py alone.
"""

from __future__ import annotations

import os
from base64 import b64decode
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from pyrun.errors import InvalidConfigError, NotFoundError, StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

MAX_KEY_BYTES = 64 * 1024
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_MIN_RSA_BITS = 2048
_MAX_RSA_BITS = 16384  # OpenSSL verifies with none larger (OPENSSL_RSA_MAX_MODULUS_BITS)
_BEGIN = b"-----BEGIN "


class PublicKey:
    """A key that is fit to verify; ``where`` names it in messages."""

    __slots__ = ("_key", "where")

    def __init__(self, key: PublicKeyTypes, where: str) -> None:
        self._key = key
        self.where = where

    def verifies(self, encoded: str, message: bytes) -> bool:
        """Say whether a signature in base64 was made of the message by this key's owner."""
        try:
            signature = b64decode(encoded, validate=True)
        except ValueError:
            return False
        try:
            if isinstance(self._key, ec.EllipticCurvePublicKey):
                self._key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
            elif isinstance(self._key, rsa.RSAPublicKey):
                self._key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            else:
                assert isinstance(self._key, ed25519.Ed25519PublicKey)
                self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """Return it as cosign writes it."""
        return self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def load(path: str) -> PublicKey:
    """Read a file. Raises: NotFoundError, StoreError (unreadable), InvalidConfigError (no key, or one not accepted)."""
    return parse(read_file(path, "public key"), path)


def parse(data: bytes, where: str) -> PublicKey:
    """Read a public key in PEM. Raises: InvalidConfigError."""
    what = f"public key {where}"
    if data.count(_BEGIN) > 1:
        raise InvalidConfigError(
            what, "", "more than one key in one place", hint="list several as keyPaths or keyDatas"
        )
    if b"PRIVATE KEY" in data:
        raise InvalidConfigError(what, "", "it is a private key", hint="name the file that ends in .pub")
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidConfigError(what, "", "it is no public key in PEM, or damaged") from None
    return accepted(key, where)


def accepted(key: PublicKeyTypes, where: str) -> PublicKey:
    """Return a key if it is of a kind and a strength that is used. Raises: InvalidConfigError."""
    what = f"public key {where}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            raise InvalidConfigError(what, "", f"curve {key.curve.name} is not accepted: P-256, P-384 and P-521 are")
    elif isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _MIN_RSA_BITS:
            raise InvalidConfigError(what, "", f"RSA with {key.key_size} bits is too weak: {_MIN_RSA_BITS} are asked")
        if key.key_size > _MAX_RSA_BITS:
            raise InvalidConfigError(
                what, "", f"RSA with {key.key_size} bits is too large: {_MAX_RSA_BITS} are the most"
            )
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise InvalidConfigError(what, "", "expected a key for ECDSA, RSA or Ed25519")
    return PublicKey(key, where)


def read_file(path: str, what: str) -> bytes:
    """Read a small file that a user or a policy has named. Raises: NotFoundError, StoreError, InvalidConfigError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe nobody writes to must not stop us
        with os.fdopen(fd, "rb") as file:
            data = file.read(MAX_KEY_BYTES + 1)
    except FileNotFoundError:
        raise NotFoundError(f"no such {what}: {path}", hint="check the path") from None
    except OSError as error:
        raise StoreError(f"cannot read {what}: {path}: {(error.strerror or '').lower()}", path=path) from error
    if len(data) > MAX_KEY_BYTES:
        raise InvalidConfigError(f"{what} {path}", "", f"it is larger than {MAX_KEY_BYTES} bytes")
    return data
