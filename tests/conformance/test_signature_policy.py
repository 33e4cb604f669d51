"""What a policy says of an image, of a registry and of an archive: skopeo answers the same, or refuses as we do.

Debian builds skopeo and podman without sigstore's signatures: to compare there is how policies are read, and which
scope decides. Of a signature that is asked for, only that an image without one is refused.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyrun.engine import judgement
from pyrun.engine.origin import Origin
from pyrun.errors import InvalidConfigError, PolicyRejectedError
from pyrun.oci import reference as references
from pyrun.oci.platform import host
from tests.support.features import requires
from tests.support.registry_real import push
from tests.support.store_images import Image, tar_of

pytestmark = requires("skopeo")

YES, NO = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]
KEYED = {"type": "sigstoreSigned", "keyData": "bm9uc2Vuc2U="}
GPG = {"type": "signedBy", "keyType": "GPGKeys", "keyData": "bm9uc2Vuc2U="}


def docker(*scopes: str, **more: Any) -> dict[str, Any]:
    """Accept nothing but these of registries."""
    return {"default": NO, "transports": {"docker": dict.fromkeys(scopes, YES)}, **more}


# HOST is the registry, DIR a directory with an OCI layout (o), an archive of each kind (o.tar, d.tar).
REGISTRY: dict[str, Any] = {
    "accept all": {"default": YES},
    "reject all": {"default": NO},
    "tag": docker("HOST/ns/app:1"),
    "another tag": docker("HOST/ns/app:2"),
    "repository": docker("HOST/ns/app"),
    "a part of its name": docker("HOST/ns/ap"),
    "namespace": docker("HOST/ns"),
    "host": docker("HOST"),
    "host without its port": docker("127.0.0.1"),
    "wildcard": docker("*.0.0.1"),
    "a shorter wildcard": docker("*.1"),
    "the whole host as a wildcard": docker("*.127.0.0.1"),
    "all of docker": docker(""),
    "the narrowest wins": {"default": NO, "transports": {"docker": {"HOST": YES, "HOST/ns": NO, "": YES}}},
    "another transport": {"default": NO, "transports": {"atomic": {"": YES}}},
    "an unknown transport": {"default": YES, "transports": {"nothing": {"any": NO}}},
    "both must hold": {"default": [*YES, *NO]},
    "a key": {"default": [KEYED]},
    "a key by which nothing is signed": docker(default=[*YES, KEYED]),
    "gpg": {"default": [GPG]},
    "no default": {"transports": {}},
    "an empty default": {"default": []},
    "an unknown key": {"default": YES, "more": 1},
    "an unknown type": {"default": [{"type": "accept"}]},
    "a key too many": {"default": [{"type": "reject", "x": 1}]},
    "two keys": {"default": [{**KEYED, "keyPath": "/k"}]},
    "no key": {"default": [{"type": "sigstoreSigned"}]},
    "an unknown identity": {"default": [{**KEYED, "signedIdentity": {"type": "any"}}]},
    "a repository with a tag": {
        "default": [{**KEYED, "signedIdentity": {"type": "exactRepository", "dockerRepository": "a.com/b:1"}}]
    },
    "a scope without requirements": {"default": YES, "transports": {"docker": {"HOST": []}}},
    "a scope that dir does not have": {"default": YES, "transports": {"dir": {"/": NO}}},
    "a path that is not absolute": {"default": YES, "transports": {"oci": {"a": NO}}},
    "a path with ..": {"default": YES, "transports": {"oci": {"/a/../b": NO}}},
    "a scope that docker-archive does not have": {"default": YES, "transports": {"docker-archive": {"/a": NO}}},
}
ARCHIVES: dict[str, tuple[str, Any]] = {
    "the archive": ("oci-archive", {"DIR/o.tar": YES}),
    "its directory": ("oci-archive", {"DIR": YES}),
    "another one": ("oci-archive", {"DIR/other.tar": YES}),
    "its name": ("oci-archive", {"DIR/o.tar:one": YES}),
    "any": ("oci-archive", {"": YES}),
    "a layout": ("oci", {"DIR/o": YES}),
    "its directory, of a layout": ("oci", {"DIR": YES, "": NO}),
    "docker's": ("docker-archive", {"": YES}),
}


@pytest.fixture(scope="module")
def name(registry: str) -> str:
    image = Image(tar_of(file=b"x"), architecture=host().architecture)
    push(registry, "ns/app", "1", image.manifest, image.config, *image.layers)
    return f"{registry}/ns/app:1"


@pytest.fixture(scope="module")
def directory(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("archives")
    for target in (f"oci:{found}/o:one", f"oci-archive:{found}/o.tar:one", f"docker-archive:{found}/d.tar:one:1"):
        command = [
            "skopeo",
            "--insecure-policy",
            "copy",
            "--quiet",
            "--src-tls-verify=false",
            f"docker://{name}",
            target,
        ]
        subprocess.run(command, check=True, capture_output=True)
    return found


def skopeo(policy: Path, source: str, tmp_path: Path) -> str:
    """Say what skopeo does with an image: accept it, refuse it, or the policy."""
    command = ["skopeo", "--policy", str(policy), "copy", "--quiet", "--src-tls-verify=false", source]
    done = subprocess.run([*command, f"dir:{tmp_path}/out"], capture_output=True, text=True)
    if done.returncode == 0:
        return "accepted"
    return "refused" if "rejected" in done.stderr else "invalid"


def ours(policy: Path, origin: Origin) -> str:
    try:
        judgement.admit(origin, "sha256:" + "1" * 64, given=str(policy))
    except PolicyRejectedError:
        return "refused"
    except InvalidConfigError as error:
        # Of a key's bytes only where it is used; skopeo here gets as far as that, too.
        return "invalid" if error.document.startswith("signature policy") else "refused"
    return "accepted"


def written(path: Path, document: Any, **words: str) -> Path:
    text = json.dumps(document)
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    path.write_text(text)
    return path


@pytest.mark.parametrize("case", REGISTRY)
def test_an_image_of_a_registry(case: str, name: str, tmp_path: Path) -> None:
    policy = written(tmp_path / "policy.json", REGISTRY[case], HOST=name.partition("/")[0])
    answer = ours(policy, Origin.registry(references.parse(name)))
    assert answer == skopeo(policy, f"docker://{name}", tmp_path)


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_image_of_an_archive(case: str, directory: Path, tmp_path: Path) -> None:
    transport, scopes = ARCHIVES[case]
    document = {"default": NO, "transports": {transport: scopes}}
    policy = written(tmp_path / "policy.json", document, DIR=str(directory))
    path = directory / {"oci-archive": "o.tar", "docker-archive": "d.tar", "oci": "o"}[transport]
    answer = ours(policy, Origin.file(transport, str(path)))
    source = f"{transport}:{path}" + ("" if transport == "docker-archive" else ":one")
    assert answer == skopeo(policy, source, tmp_path)
