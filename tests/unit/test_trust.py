"""Policies, identities, payloads and keys, without a registry: what counts, and that all else is refused."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pyrun.errors import InvalidConfigError, InvalidInputError, PyrunError
from pyrun.oci import reference as references
from pyrun.oci.signature import Signature
from pyrun.trust import identity, keys, payload, policy, private_key, verdict

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
NAME = "example.com:5000/ns/app:1"
KEY = private_key.generate()
PUBLIC = KEY.public.pem()
KEY_FILE = KEY.encrypted(b"secret")
ACCEPT: list[dict[str, Any]] = [{"type": "insecureAcceptAnything"}]
REJECT: list[dict[str, Any]] = [{"type": "reject"}]


def signed(name: str = NAME, digest: str = DIGEST, key: private_key.PrivateKey = KEY) -> Signature:
    claim = payload.build(digest, name, creator="a test", timestamp=1)
    return Signature(claim, key.sign(claim), digest)


def requirement(**fields: Any) -> dict[str, Any]:
    return {"type": "sigstoreSigned", "keyData": b64encode(PUBLIC).decode(), **fields}


def parsed(document: Any) -> policy.Policy:
    return policy.parse(json.dumps(document).encode(), "p.json")


# Policies


def test_scopes_from_the_narrowest_to_the_default() -> None:
    assert policy.docker_scopes("a.example.com:5000", "ns/app", "1", "") == [
        "a.example.com:5000/ns/app:1", "a.example.com:5000/ns/app", "a.example.com:5000/ns", "a.example.com:5000",
        "*.example.com", "*.com",
    ]  # fmt: skip
    assert policy.docker_scopes("localhost", "app", "1", DIGEST) == [
        f"localhost/app@{DIGEST}",
        "localhost/app",
        "localhost",
    ]
    assert policy.path_scopes("/a/b.tar") == ["/a/b.tar", "/a"]


def test_a_host_has_no_case() -> None:
    reject, accept = [{"type": "reject"}], [{"type": "insecureAcceptAnything"}]
    tables = {"docker": {"Bad.Example/Ns": reject}}
    rules = policy.parse(json.dumps({"default": accept, "transports": tables}).encode(), "file")
    for host in ("bad.example", "BAD.example"):
        assert rules.requirements("docker", policy.docker_scopes(host, "Ns/app", "1", ""))[1][0].kind == policy.REJECT
    tables["docker"]["bad.example/Ns"] = accept
    with pytest.raises(InvalidConfigError, match="it is there twice, as host names have no case"):
        policy.parse(json.dumps({"default": accept, "transports": tables}).encode(), "file")


@pytest.mark.parametrize(
    ("scope", "decides"),
    [
        ("example.com:5000/ns/app:1", True), ("example.com:5000/ns/app", True), ("example.com:5000/ns", True),
        ("example.com:5000", True), ("*.com", True), ("", True), ("example.com:5000/n", False),
        ("example.com", False), ("*.example.com", False), ("example.com:5000/ns/app:10", False),
    ],
)  # fmt: skip
def test_a_scope_decides(scope: str, decides: bool) -> None:
    rules = parsed({"default": REJECT, "transports": {"docker": {scope: ACCEPT}}})
    scopes = policy.docker_scopes("example.com:5000", "ns/app", "1", "")
    name, found = rules.requirements("docker", scopes)
    assert (found[0].kind == policy.ACCEPT) == decides
    assert name == (f'"docker" "{scope}"' if decides else '"default"')
    assert rules.requirements("oci", scopes)[1][0].kind == policy.REJECT


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({}, ""),
        ({"default": []}, "/default"),
        ({"default": ACCEPT, "more": 1}, "/more"),
        ({"default": [{"type": "trustMe"}]}, "/default/0/type"),
        ({"default": [{"type": ["reject"]}]}, "/default/0/type"),
        ({"default": [{"type": "reject", "x": 1}]}, "/default/0/x"),
        ({"default": ["reject"]}, "/default/0/type"),
        ({"default": ACCEPT, "transports": {"docker": {"x": []}}}, "/transports/docker/x"),
        ({"default": ACCEPT, "transports": []}, "/transports"),
        ({"default": ACCEPT, "transports": {"docker": 1}}, "/transports/docker"),
        ({"default": ACCEPT, "transports": {"docker-archive": {"/x": REJECT}}}, "/transports/docker-archive//x"),
        ({"default": ACCEPT, "transports": {"oci": {"x": REJECT}}}, "/transports/oci/x"),
        ({"default": ACCEPT, "transports": {"dir": {"/": REJECT}}}, "/transports/dir//"),
        ({"default": ACCEPT, "transports": {"dir": {"/a/../b": REJECT}}}, "/transports/dir//a/../b"),
        ({"default": [{"type": "sigstoreSigned"}]}, "/default/0"),
        ({"default": [requirement(keyPath="/k")]}, "/default/0"),
        ({"default": [requirement(keyData="&")]}, "/default/0/keyData"),
        ({"default": [{"type": "sigstoreSigned", "keyPaths": []}]}, "/default/0/keyPaths"),
        ({"default": [{"type": "sigstoreSigned", "keyPath": ""}]}, "/default/0/keyPath"),
        ({"default": [requirement(unknown=1)]}, "/default/0/unknown"),
        ({"default": [requirement(signedIdentity={"type": "any"})]}, "/default/0/signedIdentity/type"),
        ({"default": [requirement(signedIdentity=None)]}, "/default/0/signedIdentity/type"),
        ({"default": [requirement(signedIdentity={"type": "matchExact", "x": 1})]}, "/default/0/signedIdentity/x"),
        ({"default": [{"type": "signedBy"}]}, "/default/0"),
    ],
)
def test_what_is_not_understood_is_an_error(document: Any, pointer: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        parsed(document)
    assert caught.value.pointer == pointer
    assert "signature policy p.json" in caught.value.message
    assert "nothing is accepted" in caught.value.hint


def test_a_key_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(InvalidConfigError, match="key 'default' is there twice"):
        policy.parse(b'{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}', "p.json")
    with pytest.raises(InvalidConfigError, match="not UTF-8"):
        policy.parse(b"\xff", "p.json")
    with pytest.raises(InvalidConfigError):
        policy.parse(b"[" * 100_000, "p.json")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"},
            "GPG simple signing (signedBy) cannot be verified",
        ),
        (
            {"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchExact"}},
            "signedBaseLayer cannot be verified",
        ),
        ({"type": "sigstoreSigned", "fulcio": {}}, "sigstoreSigned with fulcio cannot be verified"),
        (requirement(rekorPublicKeyPath="/r"), "sigstoreSigned with rekorPublicKeyPath cannot be verified"),
    ],
)
def test_what_is_understood_but_not_verified_is_refused_by_name(entry: dict[str, Any], words: str) -> None:
    rules = parsed({"default": [*ACCEPT, entry]})
    with pytest.raises(verdict.UnmetError) as caught:
        verdict.judge(rules.requirements("docker", [])[1], references.parse(NAME), DIGEST, [signed()])
    assert words in caught.value.reason


# Identities


@pytest.mark.parametrize(
    ("rule", "image", "signed_for", "counts"),
    [
        ({"type": "matchExact"}, NAME, NAME, True),
        ({"type": "matchExact"}, NAME, "example.com:5000/ns/app:2", False),
        ({"type": "matchExact"}, NAME, "example.com:5000/ns/app", False),
        ({"type": "matchExact"}, f"example.com/app@{DIGEST}", "example.com/app:1", False),
        ({"type": "matchRepoDigestOrExact"}, NAME, NAME, True),
        ({"type": "matchRepoDigestOrExact"}, NAME, "example.com:5000/ns/app:2", False),
        ({"type": "matchRepoDigestOrExact"}, NAME, "example.com:5000/ns/other:1", False),
        ({"type": "matchRepoDigestOrExact"}, f"example.com/app@{DIGEST}", "example.com/app:1", True),
        ({"type": "matchRepoDigestOrExact"}, f"example.com/app@{DIGEST}", "example.com/app", False),
        ({"type": "matchRepoDigestOrExact"}, "docker.io/library/debian:12", "debian:12", True),
        ({"type": "matchRepository"}, NAME, "example.com:5000/ns/app", True),
        ({"type": "matchRepository"}, NAME, "example.com:5000/ns/other", False),
        ({"type": "exactReference", "dockerReference": "vendor.com/app:1"}, NAME, "vendor.com/app:1", True),
        ({"type": "exactReference", "dockerReference": "vendor.com/app:1"}, NAME, "vendor.com/app:2", False),
        ({"type": "exactRepository", "dockerRepository": "vendor.com/app"}, NAME, "vendor.com/app:2", True),
        ({"type": "exactRepository", "dockerRepository": "vendor.com/app"}, NAME, NAME, False),
        ({"type": "remapIdentity", "prefix": "example.com:5000/ns", "signedPrefix": "vendor.com"}, NAME,
         "vendor.com/app:1", True),
        ({"type": "remapIdentity", "prefix": "example.com:5000/ns", "signedPrefix": "vendor.com"}, NAME, NAME, False),
        ({"type": "remapIdentity", "prefix": "example.com:5000/n", "signedPrefix": "vendor.com"}, NAME, NAME, True),
        ({"type": "matchRepoDigestOrExact"}, NAME, "not a reference!", False),
    ],
)  # fmt: skip
def test_the_name_that_was_signed(rule: dict[str, str], image: str, signed_for: str, counts: bool) -> None:
    found = identity.parse(rule, "policy", "")
    assert found.matches(references.parse_normalized(image), signed_for) == counts


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "exactReference", "dockerReference": "vendor.com/app"},
        {"type": "exactRepository", "dockerRepository": "vendor.com/App"},
        {"type": "remapIdentity", "prefix": "ns/app", "signedPrefix": "vendor.com"},
        {"type": "remapIdentity", "prefix": "example.com/a:1", "signedPrefix": "vendor.com"},
        {"type": "remapIdentity", "prefix": "example.com"},
        {"type": "matchExact", "dockerReference": "x:1"},
    ],
)
def test_an_identity_that_is_wrong(rule: dict[str, str]) -> None:
    with pytest.raises(InvalidConfigError):
        identity.parse(rule, "policy", "")


def test_what_has_no_name_matches_only_what_is_given_one() -> None:
    assert not identity.parse({"type": "matchRepository"}, "policy", "").matches(None, NAME)
    assert identity.parse({"type": "exactReference", "dockerReference": NAME}, "policy", "").matches(None, NAME)


# Payloads


def altered(change: str, to: str) -> bytes:
    text = payload.build(DIGEST, NAME, creator="a test", timestamp=1).decode()
    assert change in text
    return text.replace(change, to).encode()


def test_a_payload_comes_back() -> None:
    claim = payload.parse(payload.build(DIGEST, NAME, creator="a test", timestamp=1))
    assert (claim.digest, claim.reference) == (DIGEST, NAME)


@pytest.mark.parametrize("optional", ["null", "{}", '{"any":[1],"creator":null,"timestamp":1.0}'])
def test_the_optional_part_is_free(optional: str) -> None:
    assert payload.parse(altered('{"creator":"a test","timestamp":1}', optional)).digest == DIGEST


@pytest.mark.parametrize(
    ("change", "to"),
    [
        ('"critical":{', '"critical":{"expires":1,'),
        ('"critical":{', '"critical":{"type":"cosign container image signature",'),
        ('"identity":{', '"identity":{"x":"",'),
        ('"image":{', f'"image":{{"docker-manifest-digest":"{OTHER}",'),
        ('"type":"cosign container image signature"', '"type":"atomic container signature"'),
        (f'"docker-manifest-digest":"{DIGEST}"', '"docker-manifest-digest":null'),
        (DIGEST, "sha256:1"),
        (f'"docker-reference":"{NAME}"', '"docker-reference":1'),
        (',"optional":{"creator":"a test","timestamp":1}', ""),
        ('"creator":"a test"', '"creator":1'),
        ('"timestamp":1', '"timestamp":1.5'),
        ('"timestamp":1', '"timestamp":true'),
        ('"timestamp":1', '"timestamp":NaN'),
        ('"optional":{"creator":"a test","timestamp":1}}', '"optional":null} {}'),
        ('"optional":', '"more":1,"optional":'),
        ('"optional":{"creator":"a test","timestamp":1}', '"optional":[]'),
    ],
)
def test_a_payload_of_another_form_is_refused(change: str, to: str) -> None:
    data = altered(change, to)
    with pytest.raises(InvalidConfigError):
        payload.parse(data)
    with pytest.raises(verdict.UnmetError):  # though its signature is good
        verdict.claim_of(Signature(data, KEY.sign(data), DIGEST), [KEY.public], DIGEST)


# Verdicts


def judge(signatures: list[Signature], *, image: str = NAME, requirements: list[Any] | None = None) -> list[Signature]:
    rules = parsed({"default": requirements or [requirement()]})
    return verdict.judge(rules.requirements("docker", [])[1], references.parse_normalized(image), DIGEST, signatures)


def test_one_good_signature_is_enough() -> None:
    good = signed()
    assert judge([signed(key=private_key.generate()), signed(digest=OTHER), good, signed()]) == [good]


@pytest.mark.parametrize(
    ("signatures", "words"),
    [
        ([], "it has no signature"),
        ([signed(key=private_key.generate())], "a signature by another key"),
        ([signed(digest=OTHER)], f"a signature of another image, {OTHER}"),
        ([signed("example.com:5000/ns/app:2")], "a signature for another name, 'example.com:5000/ns/app:2'"),
        ([Signature(signed().payload + b" ", signed().encoded, DIGEST)], "a signature by another key"),
        ([Signature(signed().payload, "", DIGEST)], "a signature by another key"),
        ([Signature(signed().payload, "no base64", DIGEST)], "a signature by another key"),
    ],
)
def test_what_does_not_count(signatures: list[Signature], words: str) -> None:
    with pytest.raises(verdict.UnmetError) as caught:
        judge(signatures)
    assert words in caught.value.reason


def test_all_requirements_must_hold() -> None:
    other = private_key.generate()
    both = [requirement(), requirement(keyData=b64encode(other.public.pem()).decode())]
    with pytest.raises(verdict.UnmetError):
        judge([signed()], requirements=both)
    assert len(judge([signed(), signed(key=other)], requirements=both)) == 2
    with pytest.raises(verdict.UnmetError, match="reject"):
        judge([signed()], requirements=[requirement(), *REJECT])


def test_either_of_several_keys_will_do() -> None:
    other = private_key.generate()
    keyed = {"type": "sigstoreSigned", "keyDatas": [b64encode(key.public.pem()).decode() for key in (other, KEY)]}
    assert judge([signed()], requirements=[keyed])
    assert judge([signed(key=other)], requirements=[keyed])


def test_nothing_is_fetched_that_is_not_needed() -> None:
    def unreachable() -> Any:
        raise AssertionError
        yield

    assert verdict.judge(parsed({"default": ACCEPT}).requirements("docker", [])[1], None, DIGEST, unreachable()) == []


# Keys


def spki(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()), ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=lambda key: type(key).__name__,
)  # fmt: skip
def test_kinds_of_keys(key: Any) -> None:
    ours = private_key.PrivateKey(key, "a key")
    public = keys.parse(spki(key), "a key")
    assert public.verifies(ours.sign(b"words"), b"words")
    assert not public.verifies(ours.sign(b"words"), b"other words")


def test_openssl_verifies_what_is_signed_and_signs_what_is_verified(tmp_path: Path) -> None:
    private, public, data, signature = (tmp_path / name for name in ("key", "pub", "data", "sig"))
    data.write_bytes(b"words")
    public.write_bytes(PUBLIC)
    from base64 import b64decode

    signature.write_bytes(b64decode(KEY.sign(b"words")))
    command = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", str(signature), str(data)]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "Verified OK\n"
    subprocess.run(["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(private)], check=True)
    made = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(private), str(data)], capture_output=True).stdout
    pem = subprocess.run(["openssl", "ec", "-in", str(private), "-pubout"], capture_output=True).stdout
    assert keys.parse(pem, "openssl's").verifies(b64encode(made).decode(), b"words")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (PUBLIC[:-40], "no public key in PEM, or damaged"),
        (b"", "no public key"),
        (PUBLIC + PUBLIC, "more than one key"),
        (spki(ec.generate_private_key(ec.SECP256K1())), "curve secp256k1 is not accepted"),
        (spki(rsa.generate_private_key(65537, 1024)), "RSA with 1024 bits is too weak"),
        (KEY_FILE, "it is a private key"),
    ],
)
def test_a_public_key_that_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(InvalidConfigError, match=words):
        keys.parse(data, "a key")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")  # does not stop us
    for path in (tmp_path / "nowhere", tmp_path, tmp_path / "pipe"):
        with pytest.raises(PyrunError):
            keys.load(str(path))


def test_both_of_cosigns_names_are_read() -> None:
    data = KEY_FILE.replace(b"COSIGN", b"SIGSTORE")
    assert private_key.is_encrypted(data)
    assert private_key.parse(data, "a key", b"secret").public.pem() == PUBLIC


def test_the_encryption_is_described_as_cosign_does() -> None:
    """With another implementation of each part: OpenSSL's scrypt is ours too, libsodium's secretbox by its C name."""
    import hashlib
    from base64 import b64decode

    from nacl.bindings import crypto_secretbox_open

    assert KEY_FILE.startswith(b"-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n")
    document = json.loads(b64decode(b"".join(KEY_FILE.splitlines()[1:-1])))
    assert document["kdf"]["name"] == "scrypt"
    assert document["kdf"]["params"] == {"N": 32768, "r": 8, "p": 1}
    assert document["cipher"]["name"] == "nacl/secretbox"
    salt, nonce = b64decode(document["kdf"]["salt"]), b64decode(document["cipher"]["nonce"])
    secret = hashlib.scrypt(b"secret", salt=salt, n=32768, r=8, p=1, maxmem=1 << 27, dklen=32)
    plain = crypto_secretbox_open(b64decode(document["ciphertext"]), nonce, secret)
    assert subprocess.run(
        ["openssl", "pkcs8", "-inform", "DER", "-nocrypt"], input=plain, capture_output=True
    ).stdout.startswith(b"-----BEGIN PRIVATE KEY-----")


def damaged(**changes: Any) -> bytes:
    document = {
        "kdf": {"name": "scrypt", "params": {"N": 1 << 15, "r": 8, "p": 1}, "salt": "AAAA"},
        "cipher": {"name": "nacl/secretbox", "nonce": b64encode(bytes(24)).decode()},
        "ciphertext": b64encode(bytes(64)).decode(), **changes,
    }  # fmt: skip
    body = b64encode(json.dumps(document).encode())
    return b"-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n%s\n-----END ENCRYPTED COSIGN PRIVATE KEY-----\n" % body


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (damaged(), InvalidInputError, "wrong passphrase"),
        (damaged(kdf={"name": "none"}), InvalidConfigError, "unknown encryption"),
        (
            damaged(kdf={"name": "scrypt", "params": {"N": 1 << 30, "r": 8, "p": 1}, "salt": ""}),
            InvalidConfigError,
            "256",
        ),
        (
            damaged(kdf={"name": "scrypt", "params": {"N": 3, "r": 8, "p": 1}, "salt": ""}),
            InvalidConfigError,
            "not desc",
        ),
        (
            damaged(kdf={"name": "scrypt", "params": {"N": -1, "r": 8, "p": 1}, "salt": ""}),
            InvalidConfigError,
            "not desc",
        ),
        (damaged(cipher={"name": "nacl/secretbox", "nonce": "AA=="}), InvalidConfigError, "not described"),
        (damaged(ciphertext=1), InvalidConfigError, "not described"),
        (damaged()[:80], InvalidConfigError, "damaged or cut off"),
        (PUBLIC, InvalidConfigError, "not a cosign key"),
    ],
)
def test_a_private_key_that_is_refused(data: bytes, kind: type[PyrunError], words: str) -> None:
    with pytest.raises(kind, match=words):
        private_key.parse(data, "a key", b"secret")
