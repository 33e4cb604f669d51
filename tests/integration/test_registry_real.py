"""The client against Debian's docker-registry: open, with a password, over TLS."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrun.errors import AuthenticationError, ManifestUnknownError, RegistryUnreachableError
from pyrun.oci import media_types
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.reference import parse_normalized
from pyrun.registry.auth import Server, login, logout
from pyrun.registry.client import RegistryClient
from pyrun.registry.credentials import CredentialStore
from tests.support.registry_hostile import manifest_of
from tests.support.registry_real import PASSWORD, USER, make_certificate, push, running_registry

CONFIG = json.dumps(
    {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}
).encode()
LAYER = random.Random(2).randbytes(2_000_000)
OCI = manifest_of(CONFIG, LAYER)
DOCKER = json.loads(
    json.dumps({**OCI, "mediaType": media_types.DOCKER_MANIFEST})
    .replace(media_types.OCI_CONFIG, media_types.DOCKER_CONFIG)
    .replace(media_types.OCI_LAYER_GZIP, media_types.DOCKER_LAYER_GZIP)
)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "REGISTRY_AUTH_FILE",
        "DOCKER_CONFIG",
        "XDG_RUNTIME_DIR",
        "XDG_CONFIG_HOME",
        "PYRUN_INSECURE_REGISTRIES",
    ):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("open")) as domain:
        push(domain, "library/app", "oci", OCI, CONFIG, LAYER)
        push(domain, "library/app", "docker", DOCKER)
        yield domain


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("guarded"), password=True) as domain:
        push(domain, "secret/app", "1", OCI, CONFIG, LAYER, login=True)
        yield domain


@pytest.mark.parametrize(("tag", "pushed"), [("oci", OCI), ("docker", DOCKER)])
def test_pull(registry: str, tag: str, pushed: dict[str, object]) -> None:
    reference = parse_normalized(f"{registry}/library/app:{tag}")
    with RegistryClient(reference.domain) as client:
        descriptor, data = client.resolve(reference)
        assert json.loads(data) == pushed
        assert descriptor.media_type == pushed["mediaType"]
        assert client.head(reference) == descriptor.digest
        manifest = decode_manifest(data, descriptor.media_type)
        assert isinstance(manifest, Manifest)
        assert client.blob_bytes(reference.path, manifest.config) == CONFIG
        for offset in (0, 1, 1_999_999):
            with client.blob(reference.path, manifest.layers[0], offset) as blob:
                assert blob.read() == LAYER[offset:]
        by_digest = parse_normalized(f"{registry}/library/app@{descriptor.digest}")
        assert client.resolve(by_digest) == (descriptor, data)


@pytest.mark.parametrize("rest", ["library/app:nope", "library/nobody:oci", "library/app@sha256:" + "1" * 64])
def test_what_is_not_there(registry: str, rest: str) -> None:
    with RegistryClient(registry) as client, pytest.raises(ManifestUnknownError) as caught:
        client.resolve(parse_normalized(f"{registry}/{rest}"))
    assert rest.partition("@")[0] in caught.value.message


def test_login_pull_logout(guarded: str, own_home: Path) -> None:
    reference = parse_normalized(f"{guarded}/secret/app:1")
    with RegistryClient(guarded) as client:
        with pytest.raises(AuthenticationError, match="user name and password") as caught:
            client.resolve(reference)
        assert f"pyrun login {guarded}" in caught.value.hint

    with pytest.raises(AuthenticationError, match=f"login failed: {guarded}: wrong user name or password"):
        login(Server.parse(guarded), USER, "battery staple")
    assert not (own_home / ".docker").exists()  # nothing is kept of a refused password

    file = own_home / ".docker" / "config.json"
    file.parent.mkdir()
    file.write_text('{"HttpHeaders":{"X":"y"},"auths":{"other":{"auth":"YTpi"}},"psFormat":"é"}')
    assert login(Server.parse(guarded), USER, PASSWORD) == str(file)
    kept = json.loads(file.read_text())
    assert kept["HttpHeaders"] == {"X": "y"}
    assert kept["psFormat"] == "é"
    assert kept["auths"]["other"] == {"auth": "YTpi"}
    assert kept["auths"][guarded] == {"auth": "YW5uOmNvcnJlY3QgaG9yc2U="}
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["config.json"]

    with RegistryClient(guarded) as client:
        data = client.resolve(reference)[1]
        assert json.loads(data) == OCI
        with client.blob("secret/app", decode_manifest(data).layers[0]) as blob:  # type: ignore[union-attr]
            assert blob.read() == LAYER

    assert logout(Server.parse(guarded))
    assert not logout(Server.parse(guarded))
    assert json.loads(file.read_text())["auths"] == {"other": {"auth": "YTpi"}}
    with RegistryClient(guarded) as client, pytest.raises(AuthenticationError):
        client.resolve(reference)


def test_podman_login_is_understood(guarded: str, own_home: Path) -> None:
    file = own_home / ".config" / "containers" / "auth.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"auths": {f"{guarded}/secret": {"auth": "YW5uOmNvcnJlY3QgaG9yc2U="}}}))
    with RegistryClient(guarded) as client:
        assert client.resolve(parse_normalized(f"{guarded}/secret/app:1"))[0].size > 0


def test_helper_keeps_the_password(guarded: str, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_home / "bin").mkdir()
    helper = own_home / "bin" / "docker-credential-drawer"
    helper.write_text(
        f"""#!/bin/sh
drawer={own_home}/drawer
case $1 in
store) cat > $drawer ;;
erase) rm -f $drawer ;;
get) cat $drawer 2>/dev/null || {{ echo credentials not found in native keychain; exit 1; }} ;;
esac
"""
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{own_home}/bin:/usr/bin:/bin")
    file = own_home / ".docker" / "config.json"
    file.parent.mkdir()
    file.write_text('{"credsStore":"drawer"}')
    assert login(Server.parse(guarded), USER, PASSWORD) == ""
    assert json.loads((own_home / "drawer").read_text()) == {"ServerURL": guarded, "Username": USER, "Secret": PASSWORD}
    assert json.loads(file.read_text()) == {"credsStore": "drawer", "auths": {guarded: {}}}
    with RegistryClient(guarded) as client:
        client.ping()
    assert logout(Server.parse(guarded))
    assert not (own_home / "drawer").exists()
    assert not logout(Server.parse(guarded))


def test_missing_helper_is_said_when_it_matters(registry: str, guarded: str, own_home: Path) -> None:
    file = own_home / ".docker" / "config.json"
    file.parent.mkdir()
    file.write_text('{"credsStore":"nowhere"}')
    with RegistryClient(registry) as client:
        client.resolve(parse_normalized(f"{registry}/library/app:oci"))  # anonymous: no helper is asked
    with RegistryClient(guarded) as client, pytest.raises(AuthenticationError) as caught:
        client.resolve(parse_normalized(f"{guarded}/secret/app:1"))
    assert "docker-credential-nowhere is not installed" in caught.value.hint
    with pytest.raises(AuthenticationError, match="docker-credential-nowhere is not installed"):
        login(Server.parse(guarded), USER, PASSWORD)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_tls(tmp_path: Path, own_home: Path, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with running_registry(tmp_path, certificate=certificate) as domain:
        with RegistryClient(domain) as client, pytest.raises(RegistryUnreachableError) as caught:
            client.ping()
        assert "its certificate is not trusted: self" in caught.value.message
        file = own_home / ".config/containers/certs.d" / domain / "ca.crt"
        assert caught.value.hint == f"put the certificate of its authority into {file}"

        with RegistryClient(domain, insecure=[domain]) as client:
            client.ping()
        monkeypatch.setenv("PYRUN_INSECURE_REGISTRIES", f"elsewhere, {domain}")
        with RegistryClient(domain) as client:
            client.ping()
        monkeypatch.delenv("PYRUN_INSECURE_REGISTRIES")

        trusted = own_home / ".config" / "containers" / "certs.d" / domain
        trusted.mkdir(parents=True)
        (trusted / "ca.crt").write_bytes(Path(certificate[0]).read_bytes())
        with RegistryClient(domain) as client:
            client.ping()
            with pytest.raises(ManifestUnknownError):
                client.resolve(parse_normalized(f"{domain}/library/app:1"))
        (trusted / "ca.crt").write_text("nonsense")
        with RegistryClient(domain) as client, pytest.raises(Exception, match="cannot load certificate"):
            client.ping()


def test_unused_store_has_no_files(own_home: Path) -> None:
    assert CredentialStore().get("docker.io") is None
    assert list(own_home.iterdir()) == []
