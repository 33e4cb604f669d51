"""`load`: archives in every shape and packing become the same images; what is there is not written again."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pyrun.engine import images, load, tag
from pyrun.engine.load import Loaded
from pyrun.errors import DigestMismatchError, NoMatchingPlatformError
from pyrun.images.resolve import resolve_image
from pyrun.layers import pyrun_tree
from pyrun.store import index
from tests.support import archives
from tests.support.features import requires
from tests.support.registry_hostile import digest_of
from tests.support.small_disk import small_disk
from tests.support.store_images import FORM, Image, contents, directories, new_layout, read_layer, tar_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.store.layout import Layout
    from tests.support.boxes import Box

BASE, TOP, OTHER = (
    tar_of(etc__name=b"base\n", usr__big=os.urandom(1_300_000)),
    tar_of(etc__top=b"top\n"),
    tar_of(etc__other=b"other\n"),
)
ONE, TWO = Image(BASE, TOP), Image(BASE, OTHER, salt="two")
NAMES = [(ONE, ["docker.io/library/one:1", "localhost/one:latest"]), (TWO, ["localhost:5000/two:2"])]
SHAPES = {
    "docker-old": archives.docker_old(*NAMES),
    "podman": archives.podman(*NAMES),
    "docker-25": archives.layout(*NAMES, packed=False, docker=True),
    "containerd": archives.layout(*NAMES, docker=True),
    "oci-archive": archives.layout(*NAMES),
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return new_layout(tmp_path)


def do(layout: Layout, path: Path | str = "", **more: Any) -> list[Loaded]:
    return load.load(layout, str(path), form=FORM, spawn=pyrun_tree.spawn_here, **more)


@contextmanager
def pipe_of(data: bytes) -> Iterator[int]:
    """Give the end of a pipe that is read from; it must be read to its end."""
    read_end, write_end = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(write_end, "wb") as pipe:
            pipe.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield read_end
    finally:
        os.close(read_end)
        writer.join()


def clean(layout: Layout) -> bool:
    return not any(os.listdir(place) for place in (layout.tmp, layout.leases, layout.trash))


def tags(layout: Layout) -> dict[str, str]:
    entries = index.entries(layout)
    return {index.ref_name(entry): index.notes_of(entry)[index.CONFIG] for entry in entries if index.ref_name(entry)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", ["file", "pipe", "directory"])
def test_every_shape_gives_the_same_images(layout: Layout, tmp_path: Path, shape: str, way: str) -> None:
    members = SHAPES[shape]
    if way == "pipe":
        with pipe_of(archives.tar(members)) as fd:
            loaded = do(layout, input_fd=fd)
    elif way == "file":
        (tmp_path / "archive").write_bytes(archives.tar(members))
        loaded = do(layout, tmp_path / "archive")
    else:
        loaded = do(layout, archives.to_directory(members, tmp_path / "archive"))
    assert [(image.image_id, image.names) for image in loaded] == [
        (digest_of(image.config), names) for image, names in NAMES
    ]
    assert tags(layout) == {name: digest_of(image.config) for image, names in NAMES for name in names}
    for tar, name in ((BASE, "etc/name"), (TOP, "etc/top"), (OTHER, "etc/other")):
        assert (
            read_layer(layout, digest_of(tar), name) == name.rpartition("/")[2].replace("name", "base").encode() + b"\n"
        )
    for image in images.list_images(layout):
        for layer in resolve_image(layout, image.id)["layers"]:
            with open(layout.blob(layer["digest"]), "rb") as file:
                assert digest_of(file.read()) == layer["digest"]
    assert clean(layout)


@pytest.mark.parametrize("packing", [name for name in archives.PACKERS if name != "plain"])
def test_a_packed_archive_in_a_file(layout: Layout, tmp_path: Path, packing: str) -> None:
    small = Image(TOP)
    path = tmp_path / "archive"
    path.write_bytes(archives.PACKERS[packing](archives.tar(archives.podman((small, ["x:1"])))))
    assert [image.names for image in do(layout, path)] == [["docker.io/library/x:1"]]
    assert clean(layout)


def test_the_same_archive_gives_the_same_manifest_everywhere(tmp_path: Path) -> None:
    """Docker's archive has none; what is made depends on nothing but the archive."""
    path = tmp_path / "archive"
    path.write_bytes(archives.tar(archives.docker_old((ONE, ["one:1"]))))
    found = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        layout = new_layout(tmp_path / name)
        do(layout, path)
        found.add(resolve_image(layout, "one:1")["manifest"])
    assert len(found) == 1


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_what_is_there_is_not_written_again(layout: Layout, tmp_path: Path, way: str) -> None:
    members = archives.layout((ONE, ["one:1"]))
    (tmp_path / "archive").write_bytes(archives.tar(members))
    do(layout, tmp_path / "archive")
    before = {path: os.stat(path).st_ino for path in contents(layout) if path.startswith((layout.blobs, layout.layers))}
    if way == "pipe":
        with pipe_of(archives.tar(members)) as fd:
            do(layout, input_fd=fd)
    else:
        do(layout, tmp_path / "archive")
    # The same image from docker's archive, whose layers are not packed: its id says that it is the same.
    (tmp_path / "docker").write_bytes(archives.tar(archives.docker_old((ONE, ["one:2"]))))
    do(layout, tmp_path / "docker")
    after = {path: os.stat(path).st_ino for path in contents(layout) if path.startswith((layout.blobs, layout.layers))}
    assert after == before
    assert len({entry["digest"] for entry in index.entries(layout)}) == 1
    assert sorted(tags(layout)) == ["docker.io/library/one:1", "docker.io/library/one:2"]


def test_a_tag_that_moves_leaves_the_old_image(layout: Layout, tmp_path: Path) -> None:
    for image in (ONE, TWO):
        (tmp_path / "archive").write_bytes(archives.tar(archives.podman((image, ["x:1"]))))
        (loaded,) = do(layout, tmp_path / "archive")
    assert loaded.renamed == [("docker.io/library/x:1", digest_of(ONE.config))]
    assert resolve_image(layout, digest_of(ONE.config))
    assert [image.id for image in images.list_images(layout) if image.is_dangling] == [digest_of(ONE.config)]
    assert do(layout, tmp_path / "archive")[0].renamed == []


def test_an_image_without_a_name(layout: Layout, tmp_path: Path) -> None:
    """As umoci and skopeo write them: the annotation is a tag of nothing."""
    (tmp_path / "archive").write_bytes(archives.tar(archives.layout((ONE, ["1"]))))
    (loaded,) = do(layout, tmp_path / "archive")
    assert (loaded.names, loaded.image_id) == ([], digest_of(ONE.config))
    tag.tag(layout, loaded.image_id, "now:named")
    do(layout, tmp_path / "archive")
    assert [image.tag for image in images.list_images(layout)] == ["named"], "loaded again it is the same image"


def several_platforms(*, leave_out: str = "") -> archives.Members:
    """An index in the index, as docker saves images of several platforms, with an attestation."""
    blobs: dict[str, bytes] = {}
    entries = []
    for architecture in ("amd64", "arm64", "unknown"):
        image = Image(TOP, architecture=architecture)
        data = json.dumps(image.manifest).encode()
        os_name = "unknown" if architecture == "unknown" else "linux"
        platform = {"architecture": architecture, "os": os_name}
        entries.append({"mediaType": f"{archives.OCI}manifest.v1+json", "digest": digest_of(data), "size": len(data),
                        "platform": platform})  # fmt: skip
        if architecture != leave_out:
            blobs |= {archives.hex_of(item): item for item in (data, image.config, *image.layers)}
    inner = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    blobs[archives.hex_of(inner)] = inner
    outer = {"mediaType": f"{archives.OCI}index.v1+json", "digest": digest_of(inner), "size": len(inner),
             "annotations": {"io.containerd.image.name": "docker.io/library/many:1"}}  # fmt: skip
    documents: archives.Members = [
        ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
        ("index.json", json.dumps({"schemaVersion": 2, "manifests": [outer]}).encode()),
    ]
    return [*documents, *((f"blobs/sha256/{name}", data) for name, data in blobs.items())]


def test_an_archive_for_several_platforms(layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(archives.tar(several_platforms()))
    do(layout, path, platform="linux/arm64")
    assert resolve_image(layout, "many:1")["architecture"] == "arm64"
    do(layout, path, platform="linux/amd64")
    assert resolve_image(layout, "many:1")["architecture"] == "amd64"
    with pytest.raises(NoMatchingPlatformError, match=r"no image for linux/s390x: .* linux/amd64, linux/arm64"):
        do(layout, path, platform="linux/s390x")
    # What docker has not saved is not chosen, though it is listed.
    path.write_bytes(archives.tar(several_platforms(leave_out="amd64")))
    do(layout, path)
    assert resolve_image(layout, "many:1")["architecture"] == "arm64"


def test_schema_2_keeps_its_bytes(layout: Layout, tmp_path: Path) -> None:
    (loaded,) = do(layout, archives.to_directory(archives.skopeo_directory(ONE), tmp_path / "dir"))
    (entry,) = index.entries(layout)
    original = index.notes_of(entry)[index.ORIGINAL]
    with open(layout.blob(original), "rb") as file:
        assert file.read() == archives.schema_2(ONE)
    assert loaded.image_id == digest_of(ONE.config)


def test_all_images_or_none(layout: Layout, tmp_path: Path) -> None:
    """The first is good and published, the second's last layer is not: nothing of both is left."""
    bad = Image(BASE, OTHER)
    bad.layers[1] = Image(tar_of(etc__liar=b"x")).layers[0]
    before = contents(layout), directories(layout)
    (tmp_path / "archive").write_bytes(archives.tar(archives.layout((ONE, ["one:1"]), (bad, ["bad:1"]))))
    with pytest.raises(DigestMismatchError):
        do(layout, tmp_path / "archive")
    after = contents(layout), directories(layout)
    assert after == (before[0] | {layout.index: after[0].get(layout.index, 0)}, before[1]) or after == before
    assert clean(layout)


@requires("userns", "overlay")
def test_the_command_line(shared_box: Box, tmp_path: Path) -> None:
    pyrun = shared_box.pyrun
    path = tmp_path / "archive"
    path.write_bytes(archives.tar(archives.docker_old(*NAMES)))
    assert pyrun.ok("load", "--input", str(path)).split("\n") == [
        "Loaded image: one:1", "Loaded image: localhost/one:latest", "Loaded image: localhost:5000/two:2",
    ]  # fmt: skip
    path.write_bytes(archives.tar(archives.podman((TWO, ["one:1"]), (Image(OTHER), []))))
    lines = pyrun.ok("image", "load", "-q", "-i", str(path)).split("\n")
    assert lines == [
        f"The image one:1 already exists, renaming the old one with ID {digest_of(ONE.config)} to empty string",
        "Loaded image: one:1",
        f"Loaded image ID: {digest_of(Image(OTHER).config)}",
    ]
    assert "image load" in pyrun.ok("events", "--since", "1m", "--until", "0s", "--filter", "type=image")
    assert "no such file or directory" in pyrun.fails(1, "load", "-i", f"{path}-none")
    assert "it is empty" in pyrun.fails(1, "load")
    pyrun.ok("rmi", "-f", "one:1", "localhost/one", "localhost:5000/two:2", digest_of(Image(OTHER).config))


@requires("userns", "overlay")
def test_a_full_disk(tmp_path: Path) -> None:
    """8 MB: the archive of a layer that does not fit, by each way, leaves nothing but what was there."""
    path = tmp_path / "archive"
    with (
        tempfile.TemporaryDirectory(prefix="pyrun-", dir="/var/tmp") as directory,
        small_disk(Path(directory)) as pyrun,
    ):
        path.write_bytes(archives.tar(archives.layout((Image(TOP), ["small:1"]))))
        pyrun.ok("load", "-i", str(path))
        before = sizes(pyrun.disk)
        big = archives.tar(
            archives.layout((Image(TOP), ["one:1"]), (Image(tar_of(big=os.urandom(9 << 20))), ["big:1"]))
        )
        # In a file, what is free is known before it is unpacked; a pipe is kept first.
        for pack, words in (("plain", "bytes that are free"), ("gzip", "no space left")):
            path.write_bytes(archives.PACKERS[pack](big))
            assert words in pyrun.fails(1, "load", "-i", str(path))
            assert sizes(pyrun.disk) == before
        assert pyrun.ok("images", "--format", "{{.Repository}}") == "small"


def sizes(disk: Path) -> dict[str, int]:
    """Return the files of a store but its locks and its record of events."""
    left_out = ("events", "refs.log")
    found = {path.relative_to(disk): path.lstat().st_size for path in disk.rglob("*") if not path.is_dir()}
    return {str(path): size for path, size in found.items() if not str(path).startswith(left_out)}
