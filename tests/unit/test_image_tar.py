"""The tar reader and writer of image archives, against Python's tarfile; whatever the bytes, one kind of error."""

from __future__ import annotations

import io
import json
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrun.errors import PyrunError
from pyrun.images import archive, archive_images, tar_header, tar_stream

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [
    "short",
    "a/" * 60 + "cut at a slash",
    "b" * 60 + "/" + "prefix-of-ustar" * 5,
    "l" * 150,
    "ünï/\N{SNOWMAN}" * 20,
    "./dotted//twice",
]


def tar_of(format: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as tar:
        for name in NAMES:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(b"x" * len(name)))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "t" * 150
        tar.addfile(link)
    return stream.getvalue()


def fd_of(data: bytes) -> int:
    fd = os.memfd_create("archive")
    os.write(fd, data)
    return fd


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_of_every_kind(format: int) -> None:
    fd = fd_of(tar_of(format))
    try:
        found = [(item.name, item.kind, item.size, item.link) for item in tar_stream.entries(tar_stream.FileStream(fd))]
    finally:
        os.close(fd)
    names = ["dotted/twice" if name.startswith("./") else name for name in NAMES]
    assert found == [
        *((name, tar_header.FILE, len(given), "") for name, given in zip(names, NAMES, strict=True)),
        ("link", tar_header.SYMLINK, 0, "t" * 150),
    ]


@pytest.mark.parametrize("size", [0, 1, 8 << 30, 1 << 40])
def test_a_header_is_read_by_others(size: int) -> None:
    name = "blobs/sha256/" + "0" * 64
    block = tar_header.encode(name, size)
    info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    assert (info.name, info.size, info.mode, info.mtime, info.uid) == (name, size, 0o644, 0, 0)
    header = tar_header.decode(block)
    assert header is not None
    assert (header.name, header.size, header.kind) == (name, size, tar_header.FILE)
    made = tar_header.encode("blobs/", kind=tar_header.DIRECTORY)
    assert tarfile.TarInfo.frombuf(made, "utf-8", "strict").isdir()


def test_a_size_in_pax_and_a_hard_link() -> None:
    """A hard link's target is a name of the archive, not of its directory."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a/file")
        info.size, info.pax_headers = 3, {"size": "3"}
        tar.addfile(info, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("b/link")
        link.type, link.linkname = tarfile.LNKTYPE, "a/file"
        tar.addfile(link)
    fd = fd_of(stream.getvalue())
    try:
        found = archive.of_file(fd)
        assert found.read("b/link", 10) == b"abc"
    finally:
        os.close(fd)


WHOLE = tar_of(tarfile.PAX_FORMAT)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(WHOLE) - 1), data=st.binary(min_size=1, max_size=16), cut=st.integers(0, len(WHOLE)))
def test_damaged_archives_end_in_one_kind_of_error(at: int, data: bytes, cut: int) -> None:
    fd = fd_of((WHOLE[:at] + data + WHOLE[at + len(data) :])[: cut or None])
    try:
        archive_images.images_in(archive.of_file(fd), None)
    except PyrunError:
        pass
    else:
        raise AssertionError("it holds no image")
    finally:
        os.close(fd)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["schemaVersion", "manifests", "digest", "size", "mediaType", "Config", "Layers", "RepoTags"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archive")


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(["index.json", "manifest.json"]), value=JSON, is_skopeo=st.booleans())
def test_strange_documents_end_in_one_kind_of_error(directory: Path, name: str, value: object, is_skopeo: bool) -> None:
    for old in directory.iterdir():
        old.unlink()
    (directory / ("version" if is_skopeo else "oci-layout")).write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / name).write_text(json.dumps(value))
    with pytest.raises(PyrunError):
        archive_images.images_in(archive.of_directory(str(directory)), None)
