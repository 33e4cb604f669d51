"""`pyrun push`: docker's lines, the same bytes as were pulled, and what is said where it cannot be."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.catalogue import Catalogue
from tests.support.certificates import Authority
from tests.support.command_line import CommandLine
from tests.support.features import command, requires
from tests.support.registry_hostile import Handler, digest_of, status
from tests.support.registry_real import PASSWORD, USER, push, running_registry
from tests.support.registry_taking import TakingRegistry
from tests.support.store_images import Image, tar_of

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ANY = f"{DOCKER}, {INDEX}, application/vnd.oci.image.manifest.v1+json"

BASE, TOP = tar_of(etc__name=b"base\n", usr__big=os.urandom(1_500_000)), tar_of(etc__top=b"top\n")


@pytest.fixture
def taking() -> Iterator[TakingRegistry]:
    with TakingRegistry() as running:
        yield running


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(BASE, TOP)


@pytest.fixture
def pulled(pyrun: CommandLine, registry: str, image: Image) -> str:
    """An image of two layers, one of them larger than what is sent in one piece."""
    push(registry, "push/app", "1", image.manifest, image.config, *image.layers)
    pyrun.ok("pull", "-q", f"{registry}/push/app:1")
    return f"{registry}/push/app:1"


def raw(domain: str, path: str, tag: str) -> tuple[str, bytes]:
    """Give a manifest's media type and bytes, with nothing of pyrun's."""
    connection = http.client.HTTPConnection(domain)
    try:
        connection.request("GET", f"/v2/{path}/manifests/{tag}", headers={"Accept": ANY})
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


def blob_path(pyrun: CommandLine, digest: str) -> Path:
    return pyrun.root / "oci/blobs/sha256" / digest.removeprefix("sha256:")


def short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def unfinished(pyrun: CommandLine) -> list[str]:
    return os.listdir(pyrun.root / "tmp")


def test_docker_s_lines(pyrun: CommandLine, registry: str, pulled: str, taking: TakingRegistry, image: Image) -> None:
    kind, data = raw(registry, "push/app", "1")
    low, high = (short(item) for item in json.loads(image.config)["rootfs"]["diff_ids"])
    last = f"1: digest: {digest_of(data)} size: {len(data)}"

    target = f"{taking.domain}/some/app:1"
    pyrun.ok("tag", pulled, target)
    lines = pyrun.ok("push", target).splitlines()
    assert lines[0] == f"The push refers to repository [{taking.domain}/some/app]"
    assert sorted(lines[1:-1]) == sorted(
        f"{label}: {word}" for label in (low, high) for word in ("Preparing", "Pushed")
    )
    assert lines[-1] == last
    assert taking.manifests == {("some/app", "1"): (kind, data)}
    sent = [len(image.config), *map(len, image.layers)]
    assert taking.bytes_taken == sum(sent)

    lines = pyrun.ok("image", "push", target).splitlines()
    assert {f"{low}: Layer already exists", f"{high}: Layer already exists", last} <= {*lines}
    assert taking.bytes_taken == sum(sent)

    # The same registry has them under another name: nothing is sent, nothing is read.
    for path in (pyrun.root / "oci/blobs/sha256").iterdir():
        if path.stat().st_size > 100_000:
            path.unlink()
    lines = pyrun.ok("push", pulled, f"{registry}/push/copy").splitlines()
    assert {f"{low}: Mounted from push/app", f"{high}: Mounted from push/app", f"latest{last[1:]}"} <= {*lines}
    assert raw(registry, "push/copy", "latest") == (kind, data)

    assert pyrun.ok("push", "-q", target) == target
    digests = json.loads(pyrun.ok("image", "inspect", target))[0]["RepoDigests"]
    # Where it has a tag, as docker's; a name that was only a destination would outlive its last tag.
    assert f"{taking.domain}/some/app@{digest_of(data)}" in digests
    assert f"{registry}/push/copy@{digest_of(data)}" not in digests
    assert '"Action":"push"' in (pyrun.root / "events/record").read_text()


def test_all_tags_and_the_default_one(pyrun: CommandLine, pulled: str, taking: TakingRegistry) -> None:
    name = f"{taking.domain}/app"
    for tag in ("b", "latest", "a"):
        pyrun.ok("tag", pulled, f"{name}:{tag}")
    assert pyrun.ok("push", name).startswith("Using default tag: latest\nThe push refers to repository [")
    assert [*taking.manifests] == [("app", "latest")]
    lines = pyrun.ok("push", "-a", name).splitlines()
    assert [line.partition(":")[0] for line in lines if ": digest: " in line] == ["a", "b", "latest"]
    assert len(taking.manifests) == 3
    assert "tag can't be used with --all-tags/-a" in pyrun.fails(1, "push", "-a", f"{name}:a")
    assert "can't be used with --all-tags" in pyrun.fails(1, "push", "-a", name, "elsewhere")


def test_what_is_written_goes_to_the_registry_that_is_named(
    pyrun: CommandLine, pulled: str, taking: TakingRegistry, tmp_path: Path
) -> None:
    """containers-registries.conf(5): redirection and mirrors are for reading, not for pushing."""
    conf = tmp_path / "registries.conf"
    conf.write_text(f"[[registry]]\nprefix = '{taking.domain}'\nlocation = 'localhost:9/elsewhere'")
    pyrun.environment["CONTAINERS_REGISTRIES_CONF"] = str(conf)
    name = f"{taking.domain}/app"
    pyrun.ok("push", pulled, f"{name}:1")
    pyrun.ok("registry", "copy", pulled, f"{name}:2")
    pyrun.ok("manifest", "create", "list", pulled)
    pyrun.ok("manifest", "push", "list", f"{name}:3")
    pyrun.environment["COSIGN_PASSWORD"] = ""
    pyrun.ok("image", "generate-key-pair", "--output-key-prefix", str(tmp_path / "cosign"))
    pyrun.ok("image", "sign", "--key", str(tmp_path / "cosign.key"), f"{name}:1")
    assert {"1", "2", "3"} < {tag for path, tag in taking.manifests if path == "app" and ":" not in tag}
    assert [tag for _, tag in taking.manifests if tag.endswith(".sig")]
    digest = digest_of(taking.manifests["app", "3"][1])
    taking.manifests["app", digest] = taking.manifests["app", "3"]
    pyrun.ok("registry", "delete", f"{name}@{digest}")
    assert ("app", digest) not in taking.manifests
    assert "localhost:9" in pyrun.fails(1, "pull", f"{name}:1")


def test_podman_s_options(pyrun: CommandLine, pulled: str, taking: TakingRegistry, tmp_path: Path) -> None:
    image_id = json.loads(pyrun.ok("image", "inspect", pulled))[0]["Id"]
    file = tmp_path / "digest"
    pyrun.ok("push", "--digestfile", str(file), image_id, f"docker://{taking.domain}/by/id:x")
    media_type, data = taking.manifests["by/id", "x"]
    assert file.read_text() == digest_of(data)
    pyrun.ok("push", "--format", "v2s2", pulled, f"{taking.domain}/by/id:docker")
    media_type, data = taking.manifests["by/id", "docker"]
    found = json.loads(data)
    assert (media_type, found["mediaType"]) == (DOCKER, DOCKER)
    assert {item["mediaType"] for item in (found["config"], *found["layers"])} == {
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    }
    assert "cannot write the digest: /nowhere/x: no such file" in pyrun.fails(
        1, "push", "--digestfile", "/nowhere/x", pulled, f"{taking.domain}/by/id:x"
    )


def test_schema_2_keeps_its_bytes(pyrun: CommandLine, registry: str, taking: TakingRegistry, image: Image) -> None:
    text = json.dumps(image.manifest, indent=3)
    text = text.replace("application/vnd.oci.image.manifest.v1+json", DOCKER)
    text = text.replace("vnd.oci.image.config.v1+json", "vnd.docker.container.image.v1+json")
    text = text.replace("vnd.oci.image.layer.v1.tar+gzip", "vnd.docker.image.rootfs.diff.tar.gzip")
    push(registry, "push/docker", "1", json.loads(text), image.config, *image.layers)
    original = raw(registry, "push/docker", "1")
    assert original[0] == DOCKER
    pyrun.ok("pull", "-q", f"{registry}/push/docker:1")
    pyrun.ok("push", f"{registry}/push/docker:1", f"{taking.domain}/docker:1")
    assert taking.manifests["docker", "1"] == original
    pyrun.ok("push", "-f", "oci", f"{registry}/push/docker:1", f"{taking.domain}/docker:oci")
    assert taking.manifests["docker", "oci"][0] == "application/vnd.oci.image.manifest.v1+json"


def test_an_index_of_which_all_is_here(pyrun: CommandLine, registry: str, taking: TakingRegistry, image: Image) -> None:
    digest = push(registry, "push/list", "part", image.manifest, image.config, *image.layers)
    size = len(raw(registry, "push/list", "part")[1])
    own = {"mediaType": image.manifest["mediaType"], "digest": digest, "size": size}
    config = json.loads(image.config)
    own["platform"] = {"architecture": config["architecture"], "os": "linux"}
    push(registry, "push/list", "1", {"schemaVersion": 2, "mediaType": INDEX, "manifests": [own]})
    pyrun.ok("pull", "-q", f"{registry}/push/list:1")
    pyrun.ok("push", f"{registry}/push/list:1", f"{taking.domain}/list:1")
    assert taking.manifests["list", "1"] == raw(registry, "push/list", "1")
    assert taking.manifests["list", digest] == raw(registry, "push/list", "part")

    # One platform alone, asked for; and one that is not here.
    platform = f"linux/{config['architecture']}"
    pyrun.ok("push", "--platform", platform, f"{registry}/push/list:1", f"{taking.domain}/list:one")
    assert digest_of(taking.manifests["list", "one"][1]) == digest
    said = pyrun.fails(1, "push", "--platform", "linux/s390x", f"{registry}/push/list:1", f"{taking.domain}/list:no")
    assert f"no image for linux/s390x: {registry}/push/list:1: there is {platform}" in said
    assert f"`pyrun pull --platform linux/s390x {registry}/push/list:1`" in said


def test_all_platforms(pyrun: CommandLine, registry: str, taking: TakingRegistry, image: Image) -> None:
    """With all of an index in the store its bytes and those of each part go out; with one platform, that one's."""
    entries = []
    for made in (image, Image(tar_of(other=b"x"), architecture="s390x")):
        digest = push(registry, "push/many", "part", made.manifest, made.config, *made.layers)
        platform = {"architecture": json.loads(made.config)["architecture"], "os": "linux"}
        size = len(raw(registry, "push/many", "part")[1])
        entries.append({"mediaType": made.manifest["mediaType"], "digest": digest, "size": size, "platform": platform})
    push(registry, "push/many", "1", {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    name, target = f"{registry}/push/many:1", f"{taking.domain}/many:1"
    pyrun.ok("pull", "-q", name)
    pyrun.ok("push", name, target)
    assert digest_of(taking.manifests["many", "1"][1]) == entries[0]["digest"]
    pyrun.ok("pull", "-q", "--all-platforms", name)
    pyrun.ok("push", name, target)
    assert taking.manifests["many", "1"] == raw(registry, "push/many", "1")
    for entry in entries:
        assert taking.manifests["many", entry["digest"]] == raw(registry, "push/many", entry["digest"])
    pyrun.ok("push", "--platform", "linux/s390x", name, f"{taking.domain}/many:z")
    assert digest_of(taking.manifests["many", "z"][1]) == entries[1]["digest"]


def test_compressed_anew(pyrun: CommandLine, pulled: str, taking: TakingRegistry, image: Image) -> None:
    target = f"{taking.domain}/z:1"
    pyrun.ok("push", "--compression-format", "zstd", pulled, target)
    media_type, data = taking.manifests["z", "1"]
    layers = json.loads(data)["layers"]
    assert {layer["mediaType"] for layer in layers} == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    zstd = command("zstd")
    for layer, diff_id in zip(layers, json.loads(image.config)["rootfs"]["diff_ids"], strict=True):
        blob = taking.blobs["z", layer["digest"]]
        assert len(blob) == layer["size"]
        if zstd:
            assert (
                digest_of(subprocess.run([zstd, "-d"], input=blob, capture_output=True, check=True).stdout) == diff_id
            )
    assert unfinished(pyrun) == []
    before = taking.bytes_taken
    pyrun.ok("push", "--compression-format", "zstd", pulled, target)  # the same bytes again
    assert (taking.manifests["z", "1"], taking.bytes_taken) == ((media_type, data), before)
    # What is gzip stays as it is, unless it is forced.
    pyrun.ok("push", "--compression-format", "gzip", pulled, f"{taking.domain}/g:1")
    kept = {layer["digest"] for layer in json.loads(taking.manifests["g", "1"][1])["layers"]}
    assert kept == {layer["digest"] for layer in image.manifest["layers"]}
    forced = ("--compression-format", "gzip", "--compression-level", "9", "--force-compression")
    pyrun.ok("push", *forced, pulled, f"{taking.domain}/g:2")
    assert not kept & {layer["digest"] for layer in json.loads(taking.manifests["g", "2"][1])["layers"]}


def test_a_password(pyrun: CommandLine, pulled: str, tmp_path: Path) -> None:
    with running_registry(tmp_path, password=True) as guarded:
        target = f"{guarded}/mine/app:1"
        said = pyrun.fails(1, "push", pulled, target)
        assert "access denied: blob sha256:" in said
        assert f"hint: not logged in: `pyrun login {guarded}`" in said
        assert "access denied" in pyrun.fails(1, "push", "--creds", f"{USER}:wrong", pulled, target)
        pyrun.ok("push", "--creds", f"{USER}:{PASSWORD}", pulled, target)
        other = ("--authfile", str(tmp_path / "auth.json"))
        assert "no such file" in pyrun.fails(1, "push", *other, pulled, target)
        assert "no such file" in pyrun.fails(1, "pull", *other, target)
        pyrun.ok("login", *other, "-u", USER, "--password-stdin", guarded, input=PASSWORD)
        pyrun.ok("push", *other, pulled, f"{guarded}/mine/third:1")
        # Nobody is logged in but by that file, or by what is typed.
        assert "`pyrun login" in pyrun.fails(1, "pull", target)
        assert "access denied" in pyrun.fails(1, "pull", "--creds", f"{USER}:wrong", target)
        assert "USER:PASSWORD" in pyrun.fails(1, "pull", "--creds", USER, target)
        assert pyrun.ok("pull", "-q", "--creds", f"{USER}:{PASSWORD}", target) == target
        assert pyrun.ok("pull", "-q", "-a", *other, f"{guarded}/mine/third") == f"{guarded}/mine/third"
        pyrun.ok("login", "-u", USER, "--password-stdin", guarded, input=PASSWORD)
        pyrun.ok("push", pulled, f"{guarded}/mine/other:1")


def test_tls_with_an_authority_of_its_own(pyrun: CommandLine, pulled: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with running_registry(tmp_path, certificate=authority.issue("server", "IP:127.0.0.1")) as secure:
        said = pyrun.fails(1, "push", pulled, f"{secure}/app:1")
        assert "its certificate is not trusted" in said
        directory = pyrun.home / ".config/containers/certs.d" / secure
        directory.mkdir(parents=True)
        (directory / "ca.crt").write_bytes(authority.certificate.read_bytes())
        pyrun.ok("push", pulled, f"{secure}/app:1")
        (directory / "ca.crt").unlink()
        pyrun.ok("push", "--tls-verify=false", pulled, f"{secure}/app:2")


def test_blobs_that_are_missing_or_damaged(
    pyrun: CommandLine, registry: str, pulled: str, taking: TakingRegistry, image: Image
) -> None:
    digest = image.manifest["layers"][0]["digest"]
    path = blob_path(pyrun, digest)
    data = path.read_bytes()
    target = f"{taking.domain}/app:1"

    path.unlink()
    said = pyrun.fails(1, "push", pulled, target)
    assert f"blob is missing: {digest}" in said
    again = f"`pyrun pull {registry}/push/app@{digest_of(raw(registry, 'push/app', '1')[1])}`"
    assert again in said

    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    said = pyrun.fails(1, "push", pulled, target)
    assert f"blob is corrupt: digest does not match: blob {digest}" in said
    assert f"Remove {path}, then {again}" in said
    assert not [sent for (_, sent) in taking.blobs if sent == digest]
    path.chmod(0o600)
    path.write_bytes(data[:-1])
    assert f"it has {len(data) - 1} bytes, not {len(data)}" in pyrun.fails(1, "push", pulled, target)
    assert (taking.manifests, taking.sessions) == ({}, {})

    path.unlink()
    pyrun.ok("pull", "-q", pulled)
    pyrun.ok("push", pulled, target)


def test_a_connection_that_breaks(pyrun: CommandLine, pulled: str, taking: TakingRegistry, image: Image) -> None:
    taking.breaks = [700_000, 200_000]
    pyrun.ok("push", pulled, f"{taking.domain}/app:1")
    assert taking.bytes_taken == len(image.config) + sum(map(len, image.layers))


def test_refused(pyrun: CommandLine, pulled: str, taking: TakingRegistry) -> None:
    for method, part, code, words in (
        ("POST", "/uploads/", 405, "the registry is read-only"),
        ("PATCH", "/uploads/", 413, "client_max_body_size"),
        ("PUT", "/manifests/", 403, "access denied: "),
        ("POST", "/uploads/", 429, "it asks to wait for 300 seconds"),
    ):
        taking.surprise(method, part, *[status(code, Retry_After="300")] * 9)
        assert words in pyrun.fails(1, "push", pulled, f"{taking.domain}/app:1")
        taking.forget_surprises()
        taking.blobs.clear()
    assert (taking.manifests, unfinished(pyrun)) == ({}, [])


def test_interrupted(pyrun: CommandLine, pulled: str, taking: TakingRegistry) -> None:
    """While a layer is on its way, and the registry does not answer."""
    arrived, done = threading.Event(), threading.Event()

    def stall(handler: Handler) -> None:
        arrived.set()
        done.wait()

    taking.surprise("PATCH", "/uploads/", stall)
    process = pyrun.popen("push", pulled, f"{taking.domain}/app:1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert arrived.wait(60)
        process.send_signal(signal.SIGINT)
        output, said = process.communicate(timeout=60)
    finally:
        done.set()
    assert (process.returncode, said) == (130, b""), said
    assert b": digest: " not in output
    assert (taking.manifests, unfinished(pyrun), os.listdir(pyrun.root / "leases")) == ({}, [], [])


def test_what_cannot_be(pyrun: CommandLine, pulled: str) -> None:
    found = json.loads(pyrun.ok("image", "inspect", pulled))[0]
    app = pulled.rpartition(":")[0]
    for words, said in (
        (("nothing",), "no such image: nothing"),
        ((f"{app}:2",), "this tag does not exist; there are 1"),
        ((found["Id"],), "no destination: "),
        ((found["RepoDigests"][0],), "cannot push a digest reference"),
        ((pulled, f"x@sha256:{'0' * 64}"), "cannot push to a digest"),
        ((pulled, "oci:/tmp/x"), "cannot push to oci: only to a registry"),
        ((pulled, "Upper/Case"), "must be lowercase"),
        (("-f", "v1", pulled), "it is one of oci, v2s2"),
        (("--compression-format", "xz", pulled), "it is one of gzip, zstd"),
        (("--compression-format", "gzip", "--compression-level", "12", pulled), "gzip has levels from 1 to 9"),
        (("--compression-level", "3", pulled), "but not --compression-format"),
        (("--compression-format", "zstd", "-f", "v2s2", pulled), "has no name for zstd"),
        (("--creds", "ann", pulled), "USER:PASSWORD"),
        (("--platform", "/", pulled), "invalid platform"),
    ):
        assert said in pyrun.fails(1, "push", *words)


PLAIN = "--tls-verify=false"


class Peers:
    """The other tools, with a store of their own."""

    def __init__(self, directory: Path, registry: str, layout: Path) -> None:
        self.directory = directory
        self.layout = layout
        self.name = f"{registry}/push/made"
        store = ["--root", str(directory / "store"), "--runroot", str(directory / "run"), "--storage-driver", "vfs"]
        self.podman = ["podman", *store, "--cgroup-manager", "cgroupfs"]
        self.buildah = ["buildah", *store]

    def run(self, *words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, cwd=self.directory)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def make(self, maker: str) -> str:
        """Make and push an image; give its name."""
        target = f"{self.name}-{maker}:1"
        archive = f"oci:{self.layout}:1"
        if maker == "buildah":
            made = self.run(*self.buildah, "from", archive)
            self.run(*self.buildah, "copy", made, "/etc/hostname", "/copied")
            self.run(*self.buildah, "config", "--label", "by=buildah", made)
            self.run(*self.buildah, "commit", PLAIN, "--format", "docker", made, f"docker://{target}")
        elif maker == "podman":
            made = self.run(*self.podman, "pull", "-q", archive)
            self.run(*self.podman, "push", PLAIN, made, target)
        elif maker == "umoci":
            self.run("skopeo", "copy", archive, f"oci:{self.directory}/umoci:1")
            self.run("umoci", "config", "--image", f"{self.directory}/umoci:1", "--config.label", "by=umoci")
            self.run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{self.directory}/umoci:1", f"docker://{target}")
        else:
            self.run("skopeo", "copy", "--format", "v2s2", "--dest-tls-verify=false", archive, f"docker://{target}")
        return target

    def remove(self) -> None:
        """Remove what subordinate ids own, too."""
        subprocess.run(["unshare", "--map-root-user", "--map-auto", "rm", "-rf", str(self.directory)], check=True)


@pytest.mark.full
@requires("podman", "skopeo", "buildah", "umoci", "subids")
@pytest.mark.parametrize("maker", ["buildah", "podman", "umoci", "skopeo"])
def test_peers(pyrun: CommandLine, images: Catalogue, registry: str, maker: str) -> None:
    """An image that a peer has made and pushed is pushed byte for byte, and every peer has what we push."""
    assert images.rich  # makes it
    directory = pyrun.directory / "peers"
    directory.mkdir()
    peers = Peers(directory, registry, images.layout("rich"))
    with running_registry(directory) as other:
        try:
            made = peers.make(maker)
            pyrun.ok("pull", "-q", made)
            target = f"{other}/ours:1"
            pyrun.ok("push", made, target)
            name, _, tag = made.removeprefix(f"{registry}/").partition(":")
            kind, data = raw(registry, name, tag)
            assert raw(other, "ours", "1") == (kind, data)
            digest = digest_of(data)
            assert json.loads(peers.run("skopeo", "inspect", PLAIN, f"docker://{target}"))["Digest"] == digest
            for peer in (peers.podman, peers.buildah):
                peers.run(*peer, "pull", "-q", PLAIN, target)
                found = json.loads(peers.run(*peers.podman, "image", "inspect", target))[0]
                assert found["Id"] == json.loads(data)["config"]["digest"][7:]
                assert f"{other}/ours@{digest}" in found["RepoDigests"]
                peers.run(*peers.podman, "rmi", "-f", found["Id"])
            if maker == "podman":  # zstd, too
                pyrun.ok("push", "--compression-format", "zstd", made, f"{other}/z:1")
                peers.run(*peers.podman, "pull", "-q", PLAIN, f"{other}/z:1")
        finally:
            peers.remove()
