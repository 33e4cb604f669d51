"""Where an image is fetched from: mirrors that lack it, lie or are down, other locations, blocked ones, short names."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.engine.sources import credentials_of, find, source_of
from pyrun.errors import InvalidInputError, ManifestUnknownError, RegistryError
from pyrun.oci import media_types
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.manifest import Manifest, decode_manifest
from pyrun.oci.reference import parse_normalized
from pyrun.registry.client import RegistryClient
from tests.support.catalogue import Catalogue
from tests.support.command_line import CommandLine
from tests.support.registry_hostile import (
    Answer,
    HostileRegistry,
    blob,
    digest_of,
    document,
    manifest_of,
    status,
)
from tests.support.registry_real import PASSWORD, USER, push, running_registry

if TYPE_CHECKING:
    from pyrun.engine.sources import ImageSource

LAYER = random.Random(3).randbytes(900_000)
CONFIG = b"{}"
MANIFEST = manifest_of(CONFIG, LAYER)
DIGEST = digest_of(json.dumps(MANIFEST).encode())
DESCRIPTOR = Descriptor(media_types.OCI_LAYER_GZIP, digest_of(LAYER), len(LAYER))
AUTH = "YW5uOmNvcnJlY3QgaG9yc2U="  # registry_real.USER and PASSWORD


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "CONTAINERS_REGISTRIES_CONF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that wants a password; the image is secret/app:1."""
    with running_registry(tmp_path_factory.mktemp("primary"), password=True) as domain:
        push(domain, "secret/app", "1", MANIFEST, CONFIG, LAYER, login=True)
        yield domain


@pytest.fixture
def mirror() -> Iterator[HostileRegistry]:
    """A server that has nothing yet; the image is below hub/."""
    with HostileRegistry() as running:
        yield running


def configure(home: Path, text: str) -> None:
    file = home / ".config/containers/registries.conf"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def mirrored(home: Path, primary: str, *mirrors: str) -> None:
    rows = "".join(f"[[registry.mirror]]\nlocation = '{mirror}'\n" for mirror in mirrors)
    configure(home, f"[[registry]]\nlocation = '{primary}/secret'\n{rows}")
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_text(json.dumps({"auths": {primary: {"auth": AUTH}}}))


@pytest.fixture
def source(home: Path, primary: str, mirror: HostileRegistry) -> Iterator[ImageSource]:
    """What `pull` works with; the second mirror is not there."""
    with HostileRegistry() as gone:
        pass
    mirrored(home, primary, f"{mirror.domain}/hub", f"{gone.domain}/hub")
    made = source_of(parse_normalized(f"{primary}/secret/app:1"))
    yield made
    made.close()


def fetch_all(source: ImageSource, primary: str) -> None:
    descriptor, data = source.resolve(parse_normalized(f"{primary}/secret/app:1"))
    assert descriptor.digest == DIGEST
    assert json.loads(data) == MANIFEST
    assert b"".join(source.chunks(DESCRIPTOR)) == LAYER


def test_what_is_typed_is_not_for_a_mirror(home: Path, primary: str, mirror: HostileRegistry) -> None:
    mirrored(home, primary, f"{mirror.domain}/hub")
    (home / ".docker/config.json").unlink()
    mirror.on("/v2/hub/app/manifests/1", status(401, WWW_Authenticate='Basic realm="give me yours"'))
    typed = credentials_of("", f"{USER}:{PASSWORD}")
    made = source_of(parse_normalized(f"{primary}/secret/app:1"), credentials=typed)
    fetch_all(made, primary)
    made.close()
    assert mirror.seen
    assert not any("authorization" in request.headers for request in mirror.seen)


def test_what_is_typed_is_for_one_registry(home: Path, primary: str) -> None:
    configure(home, f"unqualified-search-registries = ['{primary}', 'registry.invalid']\n")
    with pytest.raises(InvalidInputError, match="--creds is for one registry"):
        find("secret/app:1", credentials=credentials_of("", f"{USER}:{PASSWORD}"))


def test_a_mirror_that_has_it(source: ImageSource, primary: str, mirror: HostileRegistry) -> None:
    mirror.on("/v2/hub/app/manifests/1", document(MANIFEST)[1])
    mirror.on(f"/v2/hub/app/blobs/{DESCRIPTOR.digest}", blob(LAYER))
    fetch_all(source, primary)
    assert mirror.bytes_served >= len(LAYER)


WRONG = json.dumps({**MANIFEST, "annotations": {"a": "b"}}).encode()


@pytest.mark.parametrize(
    "answer",
    [
        status(404),
        status(403),
        status(401, WWW_Authenticate='Basic realm="give me yours"'),
        status(401, WWW_Authenticate="Unheard-of"),
        status(500),
        status(200, b"<html>welcome to this hotel</html>", Content_Type="text/html"),
        status(200, WRONG, Content_Type=media_types.OCI_MANIFEST, Docker_Content_Digest=DIGEST),
        status(200, b"x" * 5_000_000),
        status(302, Location="ftp://elsewhere/"),
        status(206, b"{}", Content_Type=media_types.OCI_MANIFEST),
        status(200, json.dumps(MANIFEST).encode(), Content_Type=media_types.OCI_INDEX),
        status(200, b"", Content_Type=media_types.OCI_MANIFEST),
    ],
    ids=[
        "404",
        "403",
        "basic",
        "unknown scheme",
        "500",
        "html",
        "wrong digest",
        "endless",
        "bad redirect",
        "part",
        "other kind",
        "empty",
    ],
)
def test_a_mirror_that_fails(source: ImageSource, primary: str, mirror: HostileRegistry, answer: Answer) -> None:
    mirror.on("/v2/hub/app/manifests/1", answer)
    fetch_all(source, primary)
    assert mirror.seen
    assert not [seen for seen in mirror.seen if "authorization" in seen.headers]
    assert not mirror.asked("blobs")  # a mirror without the image is not asked for its layers


def test_a_token_service_of_a_mirror_gets_nothing(source: ImageSource, primary: str, mirror: HostileRegistry) -> None:
    challenge = f'Bearer realm="http://{mirror.domain}/token",service="{primary}"'
    mirror.on("/v2/hub/app/manifests/1", status(401, WWW_Authenticate=challenge))
    mirror.on("/token", status(200, b'{"token":"t"}'))
    fetch_all(source, primary)
    assert mirror.asked("/token")
    assert not [seen for seen in mirror.asked("/token") if "authorization" in seen.headers or "ann" in seen.path]


def test_a_mirror_with_half_of_the_image(source: ImageSource, primary: str, mirror: HostileRegistry) -> None:
    mirror.on("/v2/hub/app/manifests/1", document(MANIFEST)[1])
    fetch_all(source, primary)
    assert len(mirror.asked("blobs")) == 1


def test_a_mirror_that_breaks_off(source: ImageSource, primary: str, mirror: HostileRegistry) -> None:
    mirror.on("/v2/hub/app/manifests/1", document(MANIFEST)[1])
    mirror.on(f"/v2/hub/app/blobs/{DESCRIPTOR.digest}", blob(LAYER, cut=300_000), blob(LAYER, cut=100_000))
    fetch_all(source, primary)
    assert 400_000 <= mirror.bytes_served < 450_000  # the registry itself gave only the rest


def test_when_nobody_has_it(source: ImageSource, primary: str, mirror: HostileRegistry) -> None:
    with pytest.raises(ManifestUnknownError, match=f"not found: {primary}/secret/app:2") as caught:
        source.resolve(parse_normalized(f"{primary}/secret/app:2"))
    first, second = caught.value.__notes__
    assert first.startswith(f"mirror {mirror.domain}: not found: {mirror.domain}/hub/app:2")
    assert "connection refused" in second


def test_manifest_by_digest_of_a_mirror_is_verified(source: ImageSource, primary: str, mirror: HostileRegistry) -> None:
    mirror.on(f"/v2/hub/app/manifests/{DIGEST}", status(200, WRONG, Content_Type=media_types.OCI_MANIFEST))
    assert json.loads(source.resolve(parse_normalized(f"{primary}/secret/app@{DIGEST}"))[1]) == MANIFEST
    assert mirror.seen


def test_another_location(home: Path, mirror: HostileRegistry) -> None:
    configure(home, f"[[registry]]\nprefix = 'example.invalid/team'\nlocation = '{mirror.domain}/x/y'")
    mirror.on("/v2/x/y/app/manifests/1", document(MANIFEST)[1])
    made = source_of(parse_normalized("example.invalid/team/app:1"))
    assert made.resolve(parse_normalized("example.invalid/team/app:1"))[0].digest == DIGEST
    made.close()


def test_search_registries_in_order(home: Path, mirror: HostileRegistry) -> None:
    with HostileRegistry() as first:
        configure(home, f"unqualified-search-registries = ['{first.domain}', '{mirror.domain}']")
        mirror.on("/v2/app/manifests/1", document(MANIFEST)[1])
        reference, made = find("app:1")
        made.close()
        assert reference.string == f"{mirror.domain}/app:1"
        assert [seen.path for seen in first.seen] == ["/v2/app/manifests/1"]
        with pytest.raises(RegistryError, match=f"not found: {mirror.domain}/app:2") as caught:
            find("app:2")
        assert caught.value.__notes__[0].startswith(f"not found: {first.domain}/app:2")


def test_no_plain_http_unless_declared(home: Path) -> None:
    """Neither a mirror nor the registry itself is ever asked without TLS where nobody allowed it."""
    with HostileRegistry() as plain:
        # Any address of this machine but 127/8 is the network to us.
        host = f"0.0.0.0:{plain.port}"
        plain.on("/v2/app/manifests/1", document(MANIFEST)[1])
        made = source_of(parse_normalized(f"{host}/app:1"))
        with pytest.raises(RegistryError, match="it does not speak TLS") as caught:
            made.resolve(parse_normalized(f"{host}/app:1"))
        made.close()
        assert host in caught.value.hint
        assert not plain.seen
        configure(home, f"[[registry]]\nlocation = '{host}'\ninsecure = true")
        made = source_of(parse_normalized(f"{host}/app:1"))
        assert made.resolve(parse_normalized(f"{host}/app:1"))[0].digest == DIGEST
        made.close()
        strict = source_of(parse_normalized(f"{host}/app:1"), tls_verify=True)
        with pytest.raises(RegistryError, match="it does not speak TLS"):
            strict.resolve(parse_normalized(f"{host}/app:1"))
        strict.close()
        assert len(plain.seen) == 1


def test_the_narrower_table_decides(home: Path) -> None:
    """Of what is blocked, and of TLS: the table of a part is not overruled by that of the whole registry."""
    with HostileRegistry() as plain:
        host = f"0.0.0.0:{plain.port}"
        plain.on("/v2/good/app/manifests/1", document(MANIFEST)[1])
        whole = f"[[registry]]\nlocation = '{host}'\n"
        part = f"[[registry]]\nlocation = '{host}/good'\n"
        reference = parse_normalized(f"{host}/good/app:1")
        configure(home, f"{whole}blocked = true\n{part}insecure = true\n")
        made = source_of(reference)
        assert made.resolve(reference)[0].digest == DIGEST
        made.close()
        configure(home, f"{whole}insecure = true\n{part}")
        made = source_of(reference)
        with pytest.raises(RegistryError, match="it does not speak TLS"):
            made.resolve(reference)
        made.close()
        assert len(plain.seen) == 1


# The command line


@pytest.mark.requires("userns")
def test_a_mirror_that_lies(pyrun: CommandLine, images: Catalogue, mirror: HostileRegistry) -> None:
    """Bytes of another digest are not kept: the registry itself is asked for the layer."""
    there = parse_normalized(images.busybox)
    configure(
        pyrun.home, f"[[registry]]\nlocation = '{there.domain}'\n[[registry.mirror]]\nlocation = '{mirror.domain}'\n"
    )
    with RegistryClient(there.domain) as client:
        found, data = client.resolve(there)
        manifest = decode_manifest(data)
        assert isinstance(manifest, Manifest)
        config = client.blob_bytes(there.path, manifest.config)
    (layer,) = manifest.layers
    mirror.on(f"/v2/{there.path}/manifests/{there.tag}", status(200, data, Content_Type=found.media_type))
    mirror.on(f"/v2/{there.path}/blobs/{manifest.config.digest}", status(200, config))
    mirror.on(f"/v2/{there.path}/blobs/{layer.digest}", status(200, b"x" * layer.size))
    pyrun.ok("pull", images.busybox)
    assert len(mirror.asked(layer.digest)) == 1
    assert pyrun.ok("run", "--rm", "--network", "none", images.busybox, "echo", "whole") == "whole"


@pytest.mark.requires("userns")
def test_pull_and_run(pyrun: CommandLine, images: Catalogue) -> None:
    """The name stays what the user said; a short name is an alias's, in the store too."""
    there = parse_normalized(images.busybox)
    configure(
        pyrun.home,
        f"[[registry]]\nlocation = 'example.invalid'\nblocked = true\n"
        f"[[registry]]\nprefix = 'example.invalid/good'\nlocation = '{there.name}'\n"
        f"[aliases]\nsmall = 'example.invalid/good'\n",
    )
    name = f"example.invalid/good:{there.tag}"
    assert pyrun.ok("pull", name).splitlines()[-1] == name
    assert pyrun.ok("images", "--format", "{{.Repository}}:{{.Tag}}") == name
    (digest,) = json.loads(pyrun.ok("image", "inspect", "-f", "{{json .RepoDigests}}", name))
    assert digest.startswith("example.invalid/good@sha256:")
    assert pyrun.ok("run", "--rm", "--network", "none", f"small:{there.tag}", "echo", "here") == "here"
    refused = pyrun.fails(1, "pull", "example.invalid/bad")
    assert refused.startswith("pyrun: registry is blocked: example.invalid/bad")
    pyrun.ok("tag", name, "small:mine")  # docker's name, found by the short one all the same
    assert pyrun.ok("run", "--rm", "--network", "none", "small:mine", "echo", "mine") == "mine"
    assert "Untagged: example.invalid/good" in pyrun.ok("rmi", f"small:{there.tag}")
    configure(pyrun.home, "[[registry]\n")
    bad = pyrun.fails(125, "run", "--rm", "small:mine")
    assert f"invalid {pyrun.home}/.config/containers/registries.conf: /: no TOML: " in bad
    assert "line 1" in bad
