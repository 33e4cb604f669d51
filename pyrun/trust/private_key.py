"""Private keys in cosign's files: PKCS #8, encrypted with a passphrase (scrypt, then NaCl's secretbox).

It must not know what is signed, nor where a passphrase comes from.
Sources: cosign "Key Generation"; secure-systems-lab go-securesystemslib/encrypted.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from pyrun.errors import InvalidConfigError, InvalidInputError
from pyrun.oci import json
from pyrun.trust import keys, strict_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from pyrun.trust.keys import PublicKey

# The older of cosign's two names: cosign before 2.0 and containers/image before 5.24 know no other; later ones both.
WRITTEN_AS = "ENCRYPTED COSIGN PRIVATE KEY"
_READ = (WRITTEN_AS, "ENCRYPTED SIGSTORE PRIVATE KEY")
# These alone are accepted by all of cosign's releases. Others are read as long as they need no more than this.
_N, _R, _P = 32768, 8, 1
_MAX_SCRYPT_BYTES = 256 * 1024 * 1024
_SALT_BYTES = 32


class PrivateKey:
    """A key that signs."""

    __slots__ = ("_key", "public")

    def __init__(self, key: PrivateKeyTypes, where: str) -> None:
        self._key = key
        self.public: PublicKey = keys.accepted(key.public_key(), where)

    def sign(self, message: bytes) -> str:
        """Return a signature in base64, as cosign makes it of this kind of key."""
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            signature = self._key.sign(message, ec.ECDSA(hashes.SHA256()))
        elif isinstance(self._key, rsa.RSAPrivateKey):
            signature = self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        else:
            assert isinstance(self._key, ed25519.Ed25519PrivateKey)
            signature = self._key.sign(message)
        return b64encode(signature).decode("ascii")

    def encrypted(self, passphrase: bytes) -> bytes:
        """Return the file's content, which ``parse`` reads."""
        plain = self._key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        salt = os.urandom(_SALT_BYTES)
        box = SecretBox(_derived(passphrase, salt, _N, _R, _P)).encrypt(plain)
        document = {
            "kdf": {"name": "scrypt", "params": {"N": _N, "r": _R, "p": _P}, "salt": _encoded(salt)},
            "cipher": {"name": "nacl/secretbox", "nonce": _encoded(box.nonce)},
            "ciphertext": _encoded(box.ciphertext),
        }
        return _pem(json.dumps(document).encode())


def generate() -> PrivateKey:
    """Make a key of cosign's default kind: ECDSA on P-256."""
    return PrivateKey(ec.generate_private_key(ec.SECP256R1()), "new key")


def is_encrypted(data: bytes) -> bool:
    """Say whether a passphrase must be asked for before `parse`."""
    return any(f"-----BEGIN {kind}-----".encode() in data for kind in _READ)


def parse(data: bytes, where: str, passphrase: bytes) -> PrivateKey:
    """Read a private key. Raises: InvalidInputError (wrong passphrase); InvalidConfigError (no key of cosign's)."""
    what = f"private key {where}"
    if not is_encrypted(data):
        hint = "`pyrun image generate-key-pair` makes one; cosign's `import-key-pair` turns another key into one"
        raise InvalidConfigError(what, "", f"it is not a cosign key: no PEM block {' or '.join(_READ)}", hint=hint)
    document = strict_json.loads(_body(data, what), what)
    plain = _decrypted(document, what, passphrase)
    try:
        key = serialization.load_der_private_key(plain, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidConfigError(what, "", "what is encrypted in it is no private key that is known") from None
    return PrivateKey(key, where)


def _decrypted(document: Any, what: str, passphrase: bytes) -> bytes:
    try:
        kdf, cipher = document["kdf"], document["cipher"]
        if kdf["name"] != "scrypt" or cipher["name"] != "nacl/secretbox":
            raise InvalidConfigError(what, "", f"unknown encryption: {kdf['name']!r}, {cipher['name']!r}")
        cost = [kdf["params"][name] for name in ("N", "r", "p")]
        salt, nonce = b64decode(kdf["salt"], validate=True), b64decode(cipher["nonce"], validate=True)
        ciphertext = b64decode(document["ciphertext"], validate=True)
        if not all(type(number) is int and 0 < number < 1 << 31 for number in cost):
            raise ValueError
        if len(nonce) != SecretBox.NONCE_SIZE or len(ciphertext) < SecretBox.MACBYTES:
            raise ValueError
    except (LookupError, TypeError, ValueError):
        raise InvalidConfigError(what, "", "its encryption is not described as cosign does") from None
    if 128 * cost[0] * cost[1] * cost[2] > _MAX_SCRYPT_BYTES:  # a file must not be able to take all memory
        raise InvalidConfigError(what, "/kdf/params", "it would need more than 256 MiB to be decrypted")
    try:
        return SecretBox(_derived(passphrase, salt, *cost)).decrypt(ciphertext, nonce)
    except CryptoError:
        raise InvalidInputError(
            f"cannot decrypt {what}: wrong passphrase", hint="is it the passphrase of that key?"
        ) from None
    except (ValueError, TypeError):
        raise InvalidConfigError(what, "", "its encryption is not described as cosign does") from None


def _derived(passphrase: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(passphrase, salt=salt, n=n, r=r, p=p, maxmem=2 * _MAX_SCRYPT_BYTES, dklen=SecretBox.KEY_SIZE)


def _body(data: bytes, what: str) -> bytes:
    """Return what is between the lines of the first block."""
    for kind in _READ:
        _, found, rest = data.partition(f"-----BEGIN {kind}-----\n".encode())
        body, end, _ = rest.partition(f"-----END {kind}-----".encode())
        if found and end:
            try:
                return b64decode(b"".join(body.split()), validate=True)
            except ValueError:
                break
    raise InvalidConfigError(what, "", "its PEM block is damaged or cut off")


def _pem(data: bytes) -> bytes:
    text = b64encode(data).decode("ascii")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {WRITTEN_AS}-----", *lines, f"-----END {WRITTEN_AS}-----", ""]).encode("ascii")


def _encoded(data: bytes) -> str:
    return b64encode(data).decode("ascii")
