"""`image generate-key-pair`, `image sign` and `image verify` against docker-registry, and `run` under a policy."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from pyrun.engine import signing as engine
from pyrun.engine.remote import Access
from pyrun.engine.verification import verify
from pyrun.errors import ConflictError, InvalidConfigError, InvalidInputError, ManifestUnknownError, NotFoundError
from pyrun.oci import media_types, signature
from pyrun.oci.platform import host
from tests.support import signing
from tests.support.catalogue import Catalogue
from tests.support.command_line import CommandLine
from tests.support.features import requires
from tests.support.imported import imported
from tests.support.registry_real import push
from tests.support.signing import policy
from tests.support.store_images import Image, fetch, new_layout, tar_of

PASSWORD = {"COSIGN_PASSWORD": "secret"}
IMAGE = Image(tar_of(file=b"x"), architecture=host().architecture)


@pytest.fixture
def keyed(pyrun: CommandLine) -> CommandLine:
    """The command line with cosign.key and cosign.pub in its directory."""
    signing_key = signing.KEY.encrypted(b"secret")
    (pyrun.home / "cosign.key").write_bytes(signing_key)
    (pyrun.home / "cosign.pub").write_bytes(signing.KEY.public.pem())
    return pyrun


def put(registry: str, name: str, image: Image = IMAGE, tag: str = "1") -> str:
    """Push an image, by nothing of ours; return its digest."""
    return push(registry, name, tag, image.manifest, image.config, *image.layers)


def test_a_key_pair(pyrun: CommandLine) -> None:
    (pyrun.home / "pass").write_text("secret\n")
    done = pyrun("image", "generate-key-pair", "--passphrase-file", "pass")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "Private key written to cosign.key\nPublic key written to cosign.pub\n"
    key = pyrun.home / "cosign.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text().startswith("-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n")
    assert (pyrun.home / "cosign.pub").read_text().startswith("-----BEGIN PUBLIC KEY-----\n")
    before = key.read_bytes()
    assert "cosign.key: it is there already" in pyrun.fails(1, "image", "generate-key-pair")
    assert key.read_bytes() == before
    assert "COSIGN_PASSWORD" in pyrun.fails(1, "image", "generate-key-pair", "--output-key-prefix", "other")
    done = pyrun("image", "generate-key-pair", "--output-key-prefix", "nowhere/x", environment=PASSWORD)
    assert (done.returncode, done.stderr) == (1, "pyrun: cannot write key: nowhere/x.key: no such directory\n")
    assert sorted(os.listdir(pyrun.home)) == ["cosign.key", "cosign.pub", "pass"]


def test_sign_and_verify(keyed: CommandLine, registry: str) -> None:
    name = f"{registry}/signed/app:1"
    digest = put(registry, "signed/app")
    error = keyed.fails(1, "image", "verify", "--key", "cosign.pub", name)
    assert f"no signature by this key: {registry}/signed/app@{digest}: it has no signature" in error

    done = keyed("image", "sign", "--key", "cosign.key", name, environment=PASSWORD)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{registry}/signed/app@{digest}\n"
    where = f"{registry}/signed/app:{signature.tag_of(digest)}"
    assert done.stderr == f"Pushed signature to: {where}\n"
    done = keyed("image", "sign", "--key", "cosign.key", name, environment=PASSWORD)
    assert done.stderr == f"Already signed with this key: {digest}\n"

    done = keyed("image", "verify", "--key", "cosign.pub", "-o", "json", name)
    [document] = json.loads(done.stdout)
    assert document["critical"] == {
        "identity": {"docker-reference": name}, "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }  # fmt: skip
    assert f"Verification for {registry}/signed/app@{digest} (what the registry has)" in done.stderr

    # Another key's signature is added: both are there, in a manifest that skopeo reads, and OpenSSL verifies.
    (keyed.home / "other.key").write_bytes(signing.OTHER_KEY.encrypted(b""))
    (keyed.home / "other.pub").write_bytes(signing.OTHER_KEY.public.pem())
    wrong = keyed("image", "sign", "--key", "other.key", name, environment=PASSWORD)
    assert (wrong.returncode, wrong.stderr.splitlines()[0]) == (
        1, "pyrun: cannot decrypt private key other.key: wrong passphrase",
    )  # fmt: skip
    keyed.ok("image", "sign", "--key", "other.key", name, environment={"COSIGN_PASSWORD": ""})
    assert keyed.ok("image", "verify", "--key", "other.pub", "-o", "text", name) == f"{digest} {name}"
    directory = keyed.directory / "copied"
    command = ["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]
    subprocess.run([*command, f"docker://{where}", f"dir:{directory}"], check=True, capture_output=True)
    manifest = json.loads((directory / "manifest.json").read_text())
    config = json.loads((directory / manifest["config"]["digest"][7:]).read_text())
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    for layer, key in zip(manifest["layers"], ("cosign.pub", "other.pub"), strict=True):
        (keyed.directory / "sig").write_bytes(b64decode(layer["annotations"][signature.ANNOTATION]))
        payload = directory / layer["digest"][7:]
        openssl = [
            "openssl",
            "dgst",
            "-sha256",
            "-verify",
            key,
            "-signature",
            str(keyed.directory / "sig"),
            str(payload),
        ]
        assert subprocess.run(openssl, cwd=keyed.home, capture_output=True).stdout == b"Verified OK\n"


def test_what_somebody_else_has_signed(keyed: CommandLine, registry: str) -> None:
    """As `cosign sign` does: the name without its tag, `optional` null; the key and the signature are OpenSSL's."""
    name = f"{registry}/theirs/app:1"
    digest = put(registry, "theirs/app")
    repository = name.rpartition(":")[0]
    payload = json.dumps(
        {
            "critical": {
                "identity": {"docker-reference": repository}, "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    ).encode()  # fmt: skip
    for command in ("ecparam -name prime256v1 -genkey -noout -out k.pem", "ec -in k.pem -pubout -out k.pub"):
        subprocess.run(["openssl", *command.split()], cwd=keyed.home, check=True, capture_output=True)
    sign = ["openssl", "dgst", "-sha256", "-sign", "k.pem"]
    encoded = b64encode(subprocess.run(sign, cwd=keyed.home, input=payload, capture_output=True).stdout).decode()
    manifest = signing.manifest_of(signature.Signature(payload, encoded, digest))
    push(registry, "theirs/app", signature.tag_of(digest), manifest, payload, b"{}")

    [found] = json.loads(keyed.ok("image", "verify", "--key", "k.pub", name))
    assert found == json.loads(payload)
    exact = policy(keyed.home / "exact", {"type": "sigstoreSigned", "keyPath": "k.pub"})
    assert "a signature for another name" in keyed.fails(1, "pull", "--signature-policy", exact, name)
    by_name = {"type": "matchRepository"}
    lax = policy(keyed.home / "lax", {"type": "sigstoreSigned", "keyPath": "k.pub", "signedIdentity": by_name})
    keyed.ok("pull", "-q", "--signature-policy", lax, name)
    # Ours is added to theirs.
    keyed.ok("image", "sign", "--key", "cosign.key", name, environment=PASSWORD)
    for key in ("k.pub", "cosign.pub"):
        done = keyed("image", "verify", "--key", key, name)
        assert "(the image of the store)" in done.stderr
        assert len(json.loads(done.stdout)) == 1
    keyed.ok("pull", "-q", "--signature-policy", policy(keyed.home / "ours", signing.requirement()), name)


@requires("userns", "overlay")
def test_run_obeys_the_policy(keyed: CommandLine, images: Catalogue) -> None:
    name = images.busybox
    file = keyed.home / ".config" / "containers" / "policy.json"
    file.parent.mkdir(parents=True)
    policy(file, signing.requirement())
    run = ("run", "--rm", "--network", "none", name, "echo", "ran")
    error = keyed.fails(125, *run)
    assert f'pyrun: refused by the signature policy: {name}: it has no signature (scope "docker" "" of {file})' in error
    assert keyed.ok("images", "-q") == ""
    keyed.ok("image", "sign", "--key", "cosign.key", name, environment=PASSWORD)
    assert keyed.ok(*run) == "ran"

    # Once judged, and as long as nothing changes, it costs a start a few looks at files.
    os.utime(file, (1, 1))
    assert keyed.ok(*run) == "ran"
    done, modules = imported(keyed.directory, keyed.environment, *run)
    assert done.returncode == 0, done.stderr
    assert not [module for module in modules if "judgement" in module or "trust" in module]

    policy(file)
    assert "nothing is accepted there (reject)" in keyed.fails(125, *run)
    assert "nothing is accepted there (reject)" in keyed.fails(125, "create", name)
    other = policy(keyed.home / "other", signing.requirement(signing.OTHER_KEY))
    assert "by another key" in keyed.fails(125, run[0], "--signature-policy", other, *run[1:])
    file.write_text("{")
    assert f"invalid signature policy {file}" in keyed.fails(125, *run)
    file.unlink()
    assert keyed.ok(*run) == "ran"
    policy(file)
    assert keyed.ok("run", "--rm", "pyrun.local/hello").startswith("Hello")  # what ships with pyrun is a part of it


def test_an_index_is_signed_whole(keyed: CommandLine, registry: str) -> None:
    repository = f"{registry}/multi/app"
    digest = put(registry, "multi/app", tag="one")
    entry = {
        "mediaType": media_types.OCI_MANIFEST, "digest": digest, "size": len(json.dumps(IMAGE.manifest).encode()),
        "platform": {"os": "linux", "architecture": host().architecture},
    }  # fmt: skip
    listed = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": [entry]}
    of_index = push(registry, "multi/app", "1", listed)
    name, sign = f"{repository}:1", ("image", "sign", "--key", "cosign.key")
    done = keyed(*sign, name, environment=PASSWORD)
    assert "Note: it is an index." in done.stderr
    done = keyed(*sign, "--recursive", name, environment=PASSWORD)
    assert done.stdout.split() == [f"{repository}@{of_index}", f"{repository}@{digest}"]
    keyed.ok("pull", "-q", "--signature-policy", policy(keyed.home / "policy", signing.requirement()), name)


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))


@pytest.mark.usefixtures("own_home")
def test_what_cannot_be_signed(tmp_path: Path, registry: str) -> None:
    layout, name, key = new_layout(tmp_path), f"{registry}/moved/app:1", tmp_path / "key"
    put(registry, "moved/app")
    fetch(layout, name)
    digest = put(registry, "moved/app", Image(tar_of(other=b"y"), architecture=host().architecture))
    key.write_bytes(signing.KEY.encrypted(b"secret"))

    def sign(text: str = name, path: Path = key, passphrase: bytes = b"secret", identity: str = "") -> str:
        return (
            engine.sign(layout, text, engine.load_key(str(path), lambda: passphrase), Access(), identity=identity)
            .signed[0]
            .digest
        )

    with pytest.raises(ConflictError) as caught:
        sign()
    assert f"its registry has another image ({digest}) than the one here" in caught.value.message
    assert sign(f"{registry}/moved/app@{digest}") == digest
    with pytest.raises(InvalidInputError, match="wrong passphrase"):
        sign(passphrase=b"")
    with pytest.raises(NotFoundError, match="no such private key"):
        sign(path=tmp_path / "nowhere")
    with pytest.raises(ManifestUnknownError):
        sign(f"{registry}/moved/app:none")
    with pytest.raises(InvalidInputError, match="it has neither a tag nor a digest"):
        sign(identity="app")
    cut = tmp_path / "cut"
    cut.write_bytes(key.read_bytes()[:200])
    with pytest.raises(InvalidConfigError, match="damaged or cut off"):
        sign(path=cut)


@pytest.mark.usefixtures("own_home")
def test_no_signature_is_lost(tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one signs between our look and our push: ours is pushed again, in addition to theirs."""
    layout, name, key = new_layout(tmp_path), f"{registry}/race/app:1", tmp_path / "key"
    digest = put(registry, "race/app")
    key.write_bytes(signing.KEY.encrypted(b""))
    theirs, append = signing.signed(name, digest, signing.OTHER_KEY), engine._append
    raced: list[bool] = []

    def append_beside_another(*arguments: Any) -> None:
        append(*arguments)
        if not raced:
            raced.append(True)
            push(registry, "race/app", signature.tag_of(digest), signing.manifest_of(theirs), theirs.payload, b"{}")

    monkeypatch.setattr(engine, "_append", append_beside_another)
    engine.sign(layout, name, engine.load_key(str(key), lambda: b""), Access())
    for public in (signing.KEY.public.pem(), signing.OTHER_KEY.public.pem()):
        (tmp_path / "pub").write_bytes(public)
        assert len(verify(layout, name, str(tmp_path / "pub")).claims) == 1


def test_what_is_missing_on_the_command_line(keyed: CommandLine) -> None:
    assert "no key to sign with" in keyed.fails(1, "image", "sign", "x")
    assert "no key to verify with" in keyed.fails(1, "image", "verify", "x")
    assert "COSIGN_PASSWORD" in keyed.fails(1, "image", "sign", "--key", "cosign.key", "x")
    assert "it is a private key" in keyed.fails(1, "image", "verify", "--key", "cosign.key", "x")


@requires("userns", "overlay")
def test_verify_where_it_was_pushed_and_tagged_only_then(keyed: CommandLine, registry: str) -> None:
    put(registry, "theirs/late")
    keyed.ok("pull", "-q", f"{registry}/theirs/late:1")
    mine = f"{registry}/mine/late:1"
    keyed.ok("push", "-q", f"{registry}/theirs/late:1", mine)
    keyed.ok("image", "sign", "--key", "cosign.key", mine, environment=PASSWORD)
    keyed.ok("tag", f"{registry}/theirs/late:1", mine)
    done = keyed("image", "verify", "--key", "cosign.pub", mine)
    assert done.returncode == 0, done.stderr
    assert f"Verification for {registry}/mine/late@" in done.stderr


@requires("userns", "overlay")
def test_push_signs(keyed: CommandLine, registry: str) -> None:
    """podman's flags; the key is read before anything is pushed, and the name that is signed for is the destination."""
    put(registry, "push/from")
    keyed.ok("pull", "-q", f"{registry}/push/from:1")
    to = f"{registry}/push/signed:1"
    key = ("--sign-by-sigstore-private-key", "cosign.key")
    assert "no such private key: none" in keyed.fails(
        1, "push", "-q", "--sign-by-sigstore-private-key", "none", f"{registry}/push/from:1", to
    )
    assert "not found" in keyed.fails(1, "registry", "inspect", to)
    keyed.ok("push", "-q", *key, f"{registry}/push/from:1", to, environment=PASSWORD)
    assert keyed.ok("image", "verify", "--key", "cosign.pub", "-o", "text", to).endswith(f" {to}")
    keyed.ok("manifest", "create", "list", f"{registry}/push/from:1")
    (keyed.home / "pass").write_text("secret\n")
    to = f"{registry}/push/list:1"
    keyed.ok("manifest", "push", "-q", *key, "--sign-passphrase-file", "pass", "list", to)
    assert keyed.ok("image", "verify", "--key", "cosign.pub", "-o", "text", to).endswith(f" {to}")
