"""`save`: what is written in each format, read by Python's tarfile; loaded again it is the same image."""

from __future__ import annotations

import errno
import io
import json
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from pyrun.engine import load, manifest_list, save, tag
from pyrun.engine.remote import Access
from pyrun.errors import InvalidInputError, NoMatchingPlatformError, StorageFullError, StoreCorruptError
from pyrun.images.resolve import resolve_image
from pyrun.store import index
from tests.integration.test_load import BASE, ONE, TOP, TWO, do
from tests.integration.test_load import layout as layout  # the fixture
from tests.integration.test_pull_choices import serve_index
from tests.support import archives
from tests.support.features import requires
from tests.support.registry_hostile import HostileRegistry, blob, digest_of, document
from tests.support.store_images import Image, fetch, new_layout

if TYPE_CHECKING:
    from pathlib import Path

    from pyrun.store.layout import Layout
    from tests.support.boxes import Box


@pytest.fixture
def filled(layout: Layout, tmp_path: Path) -> Layout:
    """A store with two images, one of them from a schema 2 manifest."""
    do(layout, archives.to_directory(archives.skopeo_directory(ONE), tmp_path / "in"))
    tag.tag(layout, digest_of(ONE.config), "one:1")
    (tmp_path / "two").write_bytes(archives.tar(archives.layout((TWO, ["localhost/two:a", "localhost/two:b"]))))
    do(layout, tmp_path / "two")
    return layout


def saved(layout: Layout, path: Path, *names: str, **more: Any) -> dict[str, bytes]:
    save.save(layout, names, save.Options(output=str(path), **more))
    return members(path)


def members(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with tarfile.open(path) as tar:
        found = {}
        for member in tar:
            assert (member.uid, member.gid, member.mtime) == (0, 0, 0)
            file = tar.extractfile(member)
            if file is not None:
                found[member.name] = file.read()
        return found


def test_dockers_archive(filled: Layout, tmp_path: Path) -> None:
    found = saved(filled, tmp_path / "out", "one:1", "localhost/two", "localhost/two:a")
    one, two = json.loads(found["manifest.json"])
    assert one == {
        "Config": f"blobs/sha256/{archives.hex_of(ONE.config)}",
        "RepoTags": ["one:1"],
        "Layers": [f"blobs/sha256/{archives.hex_of(layer)}" for layer in ONE.layers],
    }
    assert two["RepoTags"] == ["localhost/two:a", "localhost/two:b"], "all tags of the repository, each once"
    top = archives.hex_of(ONE.layers[-1])
    assert json.loads(found["repositories"])["one"] == {"1": top}
    assert json.loads(found["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    entries = json.loads(found["index.json"])["manifests"]
    assert [item["annotations"]["io.containerd.image.name"] for item in entries] == [
        "docker.io/library/one:1", "localhost/two:a", "localhost/two:b",
    ]  # fmt: skip
    blobs = {name: data for name, data in found.items() if name.startswith("blobs/")}
    assert all(name == f"blobs/sha256/{archives.hex_of(data)}" for name, data in blobs.items())
    # Layers that both have are there once; the schema 2 original is carried beside.
    layers = {archives.hex_of(data) for image in (ONE, TWO) for data in image.layers}
    documents = {archives.hex_of(data) for data in (ONE.config, TWO.config, archives.schema_2(ONE))}
    documents |= {item["digest"].removeprefix("sha256:") for item in entries}
    assert {name.removeprefix("blobs/sha256/") for name in blobs} == layers | documents


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive", "oci-dir"])
def test_a_round_trip_keeps_digests_and_originals(filled: Layout, tmp_path: Path, format: str) -> None:
    found = saved(filled, tmp_path / "out", "one:1", "localhost/two:b", format=format)
    assert ("manifest.json" in found) == (format == "docker-archive")
    (tmp_path / "other").mkdir()
    other = new_layout(tmp_path / "other")
    do(other, tmp_path / "out")
    for name in ("one:1", "localhost/two:b"):
        assert resolve_image(other, name)["manifest"] == resolve_image(filled, name)["manifest"]
    (entry,) = [item for item in index.entries(other) if index.ref_name(item).endswith("one:1")]
    with open(other.blob(index.notes_of(entry)[index.ORIGINAL]), "rb") as file:
        assert file.read() == archives.schema_2(ONE)
    again = tmp_path / "again"
    assert saved(other, again, "one:1", "localhost/two:b", format=format) == found
    if format != "oci-dir":
        assert again.read_bytes() == (tmp_path / "out").read_bytes()


def test_a_forged_original_is_refused(filled: Layout, tmp_path: Path) -> None:
    save.save(filled, ["one:1"], save.Options(output=str(tmp_path / "out"), format="oci-dir"))
    other = archives.schema_2(TWO)
    (tmp_path / "out/blobs/sha256" / archives.hex_of(other)).write_bytes(other)
    text = (tmp_path / "out/index.json").read_text()
    (tmp_path / "out/index.json").write_text(
        text.replace(archives.hex_of(archives.schema_2(ONE)), archives.hex_of(other))
    )
    (tmp_path / "store").mkdir()
    with pytest.raises(InvalidInputError, match="was not made of"):
        load.load(new_layout(tmp_path / "store"), str(tmp_path / "out"))


def test_dockers_directory(filled: Layout, tmp_path: Path) -> None:
    """The original where there is one, else a schema 2 manifest of the OCI's."""
    found = saved(filled, tmp_path / "a", "one:1", format="docker-dir")
    assert found == dict(archives.skopeo_directory(ONE))
    found = saved(filled, tmp_path / "b", "localhost/two:a", format="docker-dir")
    assert json.loads(found["manifest.json"]) == json.loads(archives.schema_2(TWO))
    with pytest.raises(InvalidInputError, match="holds one image"):
        saved(filled, tmp_path / "c", "one:1", "localhost/two:a", format="docker-dir")
    assert not (tmp_path / "c").exists()


def test_compress(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(archives.tar(archives.podman((ONE, ["one:1"]))))
    do(layout, tmp_path / "in")
    found = saved(layout, tmp_path / "as-is", "one:1", format="docker-dir")
    assert {archives.hex_of(tar) for tar in (BASE, TOP)} < set(found)
    found = saved(layout, tmp_path / "packed", "one:1", format="docker-dir", compress=True)
    layers = json.loads(found["manifest.json"])["layers"]
    assert [archives.hex_of(unpacked(found, layer)) for layer in layers] == [
        archives.hex_of(BASE),
        archives.hex_of(TOP),
    ]
    assert all(layer["size"] == len(found[layer["digest"][7:]]) for layer in layers)
    with pytest.raises(InvalidInputError, match="--compress is for"):
        saved(layout, tmp_path / "no", "one:1", compress=True)


def unpacked(found: dict[str, bytes], layer: dict[str, Any]) -> bytes:
    import gzip

    assert layer["mediaType"].endswith("diff.tar.gzip")
    return gzip.decompress(found[layer["digest"].removeprefix("sha256:")])


@pytest.mark.parametrize("format", ["docker-archive", "oci-dir", "docker-dir"])
def test_a_damaged_store_leaves_nothing(filled: Layout, tmp_path: Path, format: str) -> None:
    """Also of the file that is to be replaced."""
    blob = filled.blob(digest_of(ONE.layers[0]))
    os.chmod(blob, 0o644)
    with open(blob, "r+b") as file:
        file.seek(100)
        file.write(b"X")
    target = tmp_path / "out" / "x"
    target.parent.mkdir()
    if format == "docker-archive":
        target.write_bytes(b"before")
    with pytest.raises(StoreCorruptError, match="blob is corrupt"):
        saved(filled, target, "one:1", format=format)
    os.unlink(blob)
    with pytest.raises(StoreCorruptError, match="blob is missing"):
        saved(filled, target, "one:1", format=format)
    assert [path.name for path in target.parent.iterdir()] == (["x"] if format == "docker-archive" else [])
    assert not target.exists() or target.read_bytes() == b"before"


def test_ids_and_platforms(filled: Layout, tmp_path: Path) -> None:
    for number, name in enumerate((digest_of(ONE.config), archives.hex_of(ONE.config)[:12], "one")):
        found = saved(filled, tmp_path / f"out{number}", name)
        assert json.loads(found["manifest.json"])[0]["RepoTags"] == (["one:1"] if name == "one" else None)
    saved(filled, tmp_path / "right", "one:1", platform="linux/amd64")
    with pytest.raises(NoMatchingPlatformError, match="the one that is here is for linux/amd64"):
        saved(filled, tmp_path / "wrong", "one:1", platform="linux/arm64")
    assert not (tmp_path / "wrong").exists()


def test_another_platform_of_an_index(layout: Layout, tmp_path: Path) -> None:
    """Of an image that was pulled with all of its platforms: each can be saved, also one with a schema 2 manifest."""
    arm, s390 = (Image(TOP, architecture=name) for name in ("arm64", "s390x"))
    theirs = json.loads(archives.schema_2(s390))
    with HostileRegistry() as registry:
        entries = []
        for document_, architecture in ((ONE.manifest, "amd64"), (arm.manifest, "arm64"), (theirs, "s390x")):
            digest, answer = document(document_, document_["mediaType"])
            registry.on(f"/v2/x/manifests/{digest}", answer)
            entries.append({"mediaType": document_["mediaType"], "digest": digest,
                            "size": len(json.dumps(document_)),
                            "platform": {"os": "linux", "architecture": architecture}})  # fmt: skip
        both = {"schemaVersion": 2, "mediaType": f"{archives.OCI}index.v1+json", "manifests": entries}
        digest, answer = document(both, f"{archives.OCI}index.v1+json")
        registry.on("/v2/x/manifests/1", answer)
        registry.on(f"/v2/x/manifests/{digest}", answer)
        for image in (ONE, arm, s390):
            for data in (image.config, *image.layers):
                registry.on(f"/v2/x/blobs/{digest_of(data)}", blob(data))
        name = f"{registry.domain}/x:1"
        fetch(layout, name, platform="linux/amd64", all_platforms=True)
    for image, platform in ((arm, "linux/arm64"), (s390, "linux/s390x"), (ONE, "linux/amd64")):
        path = tmp_path / platform.rpartition("/")[2]
        saved(layout, path, name, platform=platform)
        (tmp_path / f"{path.name}-store").mkdir()
        other = new_layout(tmp_path / f"{path.name}-store")
        (loaded,) = do(other, path)
        assert (loaded.image_id, loaded.names) == (digest_of(image.config), [name])
        (entry,) = index.entries(other)
        assert (index.ORIGINAL in index.notes_of(entry)) == (image is s390)
    with pytest.raises(NoMatchingPlatformError):
        saved(layout, tmp_path / "none", name, platform="linux/riscv64")


def test_all_platforms(layout: Layout, tmp_path: Path) -> None:
    ours, theirs = Image(BASE), Image(BASE, TOP, architecture="s390x")
    with HostileRegistry() as registry:
        digest = serve_index(registry, ours, theirs)
        name = f"{registry.domain}/x:multi"
        fetch(layout, name, platform="linux/amd64")
        one = saved(layout, tmp_path / "one", name, format=save.OCI_DIRECTORY)
        assert f"blobs/sha256/{digest[7:]}" not in one, "not all of it was pulled"
        fetch(layout, name, platform="linux/amd64", all_platforms=True)
    found = saved(layout, tmp_path / "all.tar", name, format=save.OCI_ARCHIVE)
    (described,) = json.loads(found["index.json"])["manifests"]
    assert (described["mediaType"], described["digest"]) == (f"{archives.OCI}index.v1+json", digest)
    for image in (ours, theirs):
        for data in (image.config, *image.layers, json.dumps(image.manifest).encode()):
            assert found[f"blobs/sha256/{digest_of(data)[7:]}"] == data
    for image, architecture in ((ours, "amd64"), (theirs, "s390x")):
        (tmp_path / architecture).mkdir()
        other = new_layout(tmp_path / architecture)
        (loaded,) = do(other, tmp_path / "all.tar", platform=f"linux/{architecture}")
        assert (loaded.image_id, loaded.names) == (digest_of(image.config), [name])
    # One of them, asked for, is that alone; docker's archive is for one.
    assert f"blobs/sha256/{digest[7:]}" not in saved(layout, tmp_path / "s390x.tar", name, platform="linux/s390x")
    assert f"blobs/sha256/{digest[7:]}" not in saved(layout, tmp_path / "docker.tar", name)


def test_a_manifest_list(filled: Layout, tmp_path: Path) -> None:
    theirs = Image(BASE, TOP, architecture="s390x")
    (tmp_path / "theirs").write_bytes(archives.tar(archives.layout((theirs, ["localhost/theirs:1"]))))
    do(filled, tmp_path / "theirs")
    names = ["localhost/two:a", "localhost/theirs:1"]
    manifest_list.create(filled, "both", names, Access(), amend=False, all_platforms=False)
    found = saved(filled, tmp_path / "both.tar", "both", format=save.OCI_ARCHIVE)
    (described,) = json.loads(found["index.json"])["manifests"]
    assert described["digest"] == digest_of(manifest_list.inspect(filled, "both", Access()))
    for image, architecture in ((TWO, "amd64"), (theirs, "s390x")):
        (tmp_path / architecture).mkdir()
        (loaded,) = do(new_layout(tmp_path / architecture), tmp_path / "both.tar", platform=f"linux/{architecture}")
        assert (loaded.image_id, loaded.names) == (digest_of(image.config), ["docker.io/library/both:latest"])
    with pytest.raises(InvalidInputError, match="both:latest: docker-archive holds images for one platform"):
        saved(filled, tmp_path / "docker.tar", "both")
    manifest_list.create(filled, "old", ["one:1"], Access(), amend=False, all_platforms=False)
    with pytest.raises(InvalidInputError, match=r"old:latest: sha256:\w+ is docker's schema 2"):
        saved(filled, tmp_path / "old.tar", "old", format=save.OCI_ARCHIVE)
    assert not (tmp_path / "old.tar").exists()


def test_a_full_disk(filled: Layout) -> None:
    with pytest.raises(StorageFullError, match="cannot write: /dev/full: no space left"):
        save.save(filled, ["one:1"], save.Options(output="/dev/full"))


@requires("userns", "overlay")
def test_the_command_line(shared_box: Box, tmp_path: Path) -> None:
    pyrun, image = shared_box.pyrun, shared_box.image
    with pyrun.popen("save", image, stdout=-1) as process:
        assert process.stdout is not None
        piped = process.stdout.read()
    assert process.returncode == 0
    out = tmp_path / "out.tar"
    assert pyrun.ok("image", "save", "-m", "-o", str(out), image) == ""
    assert out.read_bytes() == piped
    with out.open("ab") as file, pyrun.popen("save", image, stdout=file) as process:
        assert process.wait() == 0
    assert out.read_bytes() == 2 * piped, "sendfile(2) refuses what the shell opens for >>"
    with tarfile.open(fileobj=io.BytesIO(piped)) as tar:
        assert "manifest.json" in tar.getnames()
    assert 'directory "/nowhere" does not exist' in pyrun.fails(1, "save", "-o", "/nowhere/x", image)
    assert "no such image: none" in pyrun.fails(1, "save", "none", "-o", str(tmp_path / "none"))
    assert "writes a directory" in pyrun.fails(1, "save", "--format", "oci-dir", image)
    assert os.listdir(tmp_path) == ["out.tar"]


def test_what_is_saved_is_on_disk_before_it_has_a_name(
    filled: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else is beside it, while it is written or where that fails."""
    told: list[tuple[str, list[str]]] = []
    out = tmp_path / "dir"
    out.mkdir()
    monkeypatch.setattr(os, "fsync", lambda fd: told.append(("fsync", os.listdir(out))))
    for _ in range(2):  # the second replaces the first
        save.save(filled, ["one:1"], save.Options(output=str(out / "o")))
    assert told == [("fsync", []), ("fsync", ["o"])]
    assert os.listdir(out) == ["o"]
    assert os.stat(out / "o").st_mode & 0o777 == 0o600


def test_without_o_tmpfile(filled: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without it: what a killed `save` has left there goes with the next one; nobody else's does."""
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    out = tmp_path / "dir"
    out.mkdir()
    dead, alive = out / ".o.4194305.part", out / f".o.{os.getppid()}.part"  # above PID_MAX_LIMIT
    for path in (dead, alive, out / ".other.4194305.part"):
        path.write_text("x")
    save.save(filled, ["one:1"], save.Options(output=str(out / "o")))
    assert sorted(os.listdir(out)) == sorted([alive.name, ".other.4194305.part", "o"])
    assert "index.json" in members(out / "o")
