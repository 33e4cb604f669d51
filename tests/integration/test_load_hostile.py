"""`load` of hostile and broken archives: refused in one sentence, whichever way they come, and nothing is left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pyrun.errors import PyrunError
from pyrun.images import archive, archive_images, tar_header, tar_stream
from tests.integration.test_load import do, pipe_of
from tests.integration.test_load import layout as layout  # the fixture
from tests.support import archives
from tests.support.registry_hostile import digest_of
from tests.support.store_images import Image, contents, directories, tar_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from pyrun.store.layout import Layout

IMAGE = Image(tar_of(etc__name=b"name\n"))
LAYER, CONFIG = f"blobs/sha256/{archives.hex_of(IMAGE.layers[0])}", f"blobs/sha256/{archives.hex_of(IMAGE.config)}"
OCI, DOCKER = archives.layout((IMAGE, ["x:1"])), archives.docker_old((IMAGE, ["x:1"]))
MANIFEST = next(name for name, data in OCI if isinstance(data, bytes) and data.startswith(b'{"schemaVersion": 2, "med'))


def changed(members: archives.Members, name: str, content: bytes | str | None) -> archives.Members:
    """Return the members with one of them other, or gone."""
    assert name in dict(members), name
    return [(each, data if each != name else content) for each, data in members if each != name or content is not None]  # type: ignore[misc]


def index_of(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"schemaVersion": 2, "manifests": entries}).encode()


def entry(data: bytes, kind: str = "index") -> dict[str, Any]:
    return {"mediaType": f"{archives.OCI}{kind}.v1+json", "digest": digest_of(data), "size": len(data)}


def nested() -> archives.Members:
    (inner,) = (data for name, data in OCI if name == "index.json")
    assert isinstance(inner, bytes)
    middle = index_of(entry(inner))
    blobs: archives.Members = [(f"blobs/sha256/{archives.hex_of(data)}", data) for data in (inner, middle)]
    return [*changed(OCI, "index.json", index_of(entry(middle))), *blobs]


def often() -> archives.Members:
    data = next(data for name, data in OCI if name == MANIFEST)
    assert isinstance(data, bytes)
    data += b" " * (1 << 20)
    top = index_of(*[entry(data, "manifest")] * 1000)
    return [*changed(OCI, "index.json", top), (f"blobs/sha256/{archives.hex_of(data)}", data)]


def docker_saved(**fields: Any) -> archives.Members:
    one = {"Config": next(n for n, _ in DOCKER if n.endswith(".json")), "RepoTags": ["x:1"],
           "Layers": [next(n for n, _ in DOCKER if n.endswith("layer.tar"))]} | fields  # fmt: skip
    return changed(DOCKER, "manifest.json", json.dumps([one]).encode())


def header(name: bytes, *, size: bytes = b"00000000000\0", flag: bytes = b"0", link: bytes = b"") -> bytes:
    block = bytearray(512)
    block[: len(name)], block[124:136], block[156:157] = name, size, flag
    block[157 : 157 + len(link)], block[257:265] = link, b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


PLAIN = archives.tar(OCI)
END = bytes(1024)
CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a name with ..": (lambda: archives.tar([("../escape", b"x"), *OCI]), "leads out of it: '../escape'"),
    "a name with .. inside": (lambda: archives.tar([("a/../../escape", b"x"), *OCI]), "leads out of it"),
    "an absolute name": (lambda: archives.tar([("/etc/escape", b"x"), *OCI]), "leads out of it: '/etc/escape'"),
    "an absolute name in pax": (lambda: pax_path("/" + "e" * 120), "leads out of it"),
    "a blob that is a symlink out": (lambda: archives.tar(changed(OCI, LAYER, "/etc/passwd")), "leads out of it"),
    "a layer that links out": (
        lambda: archives.tar(changed(DOCKER, docker_layer(), "../../etc/passwd")), "leads out of it",
    ),
    "a layer that links to itself": (
        lambda: archives.tar(changed(DOCKER, docker_layer(), "../" + docker_layer())), "a link leads nowhere",
    ),
    "a layer that is a directory": (
        lambda: archives.tar([*changed(DOCKER, docker_layer(), None), (docker_layer() + "/", b"")]),
        "a file is missing",
    ),
    "a missing layer": (lambda: archives.tar(changed(OCI, LAYER, None)), "a file is missing: '" + LAYER),
    "a missing config": (lambda: archives.tar(changed(OCI, CONFIG, None)), "a file is missing: '" + CONFIG),
    "a missing manifest": (lambda: archives.tar(changed(OCI, MANIFEST, None)), "names no image that it has"),
    "another layer": (lambda: archives.tar(changed(OCI, LAYER, flipped(IMAGE.layers[0]))), "digest"),
    "another layer in docker's": (
        lambda: archives.tar(changed(DOCKER, docker_layer(), tar_of(etc__name=b"evil\n"))), "digest",
    ),
    "another config": (lambda: archives.tar(changed(OCI, CONFIG, flipped(IMAGE.config))), "document of the archive"),
    "another config in docker's": (
        lambda: archives.tar(changed(DOCKER, f"{CONFIG[13:]}.json", IMAGE.config + b" ")), "image config",
    ),
    "a shorter layer": (lambda: archives.tar(changed(OCI, LAYER, IMAGE.layers[0][:-1])), "its manifest says"),
    "a giant index": (lambda: archives.tar(changed(OCI, "index.json", b" " * (5 << 20))), "more than the limit"),
    "a giant manifest.json": (lambda: archives.tar(changed(DOCKER, "manifest.json", b" " * (5 << 20))), "the limit"),
    "an index in an index": (lambda: archives.tar(nested()), "an index in an index"),
    "an index of nothing": (lambda: archives.tar(changed(OCI, "index.json", index_of())), "names no image"),
    "too many images": (
        lambda: archives.tar(changed(OCI, "index.json", index_of(*[entry(b"")] * 1001))), "more than 1000 images",
    ),
    "a digest that is a path": (
        lambda: archives.tar(changed(OCI, "index.json", index_of({**entry(b""), "digest": "sha256:../../x"}))),
        "/digest",
    ),
    "another layout version": (
        lambda: archives.tar(changed(OCI, "oci-layout", b'{"imageLayoutVersion":"2.0.0"}')), "oci-layout",
    ),
    "a thousand times a large manifest": (lambda: archives.tar(often()), "its documents are more than 64 MiB"),
    "an entry twice": (lambda: archives.tar([*OCI, OCI[2]]), "an entry is there twice"),
    "fewer layers than diff_ids": (lambda: archives.tar(docker_saved(Layers=[])), "1 diff_ids for 0 layers"),
    "a name of two lines": (lambda: archives.tar(docker_saved(Config="a\nb")), "a file is missing: 'a\\nb'"),
    "a config outside": (lambda: archives.tar(docker_saved(Config="../../etc/passwd")), "leads out of it"),
    "a tag that is none": (lambda: archives.tar(docker_saved(RepoTags=["Ünicode"])), "invalid image reference"),
    "a tag with a digest": (
        lambda: archives.tar(docker_saved(RepoTags=["x@" + digest_of(b"")])), "may name an image by a tag only",
    ),
    "before docker 1.10": (lambda: archives.tar([("repositories", b"{}")]), "of a docker before 1.10"),
    "no image": (lambda: archives.tar([("etc/passwd", b"x")]), "it holds no image"),
    "JSON that is none": (lambda: archives.tar(changed(OCI, "index.json", b"{")), "index"),
    "cut in a file": (lambda: PLAIN[: len(PLAIN) // 2], "it ends in the middle"),
    "cut before its end": (lambda: PLAIN.rstrip(b"\0")[:512], "it ends in the middle"),
    "no tar": (lambda: b"x" * 4096, "it is no tar"),
    "cut gzip": (lambda: archives.PACKERS["gzip"](PLAIN)[:-20], "it cannot be decompressed"),
    "gzip of nonsense": (lambda: archives.PACKERS["gzip"](b"x" * 4096), "it is no tar"),
    "zeros alone": (lambda: END, "it is empty"),
    "a negative size": (lambda: header(b"x", size=b"\xff" * 12) + END, "a size that no file has"),
    "a size that no file has": (lambda: header(b"x", size=b"\x80" + b"\x7f" * 11) + END, "a size that no file has"),
    "a size of exabytes": (lambda: header(b"x", size=b"\x80" + bytes(4) + b"\x0f" * 7) + END, "it ends in the middle"),
    "a sparse file": (lambda: header(b"x", flag=b"S") + END, "a sparse file"),
    "a giant pax header": (lambda: header(b"x", size=b"77777777777\0", flag=b"x") + END, "an extended header of"),
    "a pax header of nonsense": (
        lambda: header(b"x", size=b"00000001000\0", flag=b"x") + b"9" * 512 + END, "whose records have no length",
    ),
    "a name of 5,000 characters": (
        lambda: header(b"p", size=b"%011o\0" % 5000, flag=b"L") + b"n" * 5000 + bytes(120) + header(b"x") + END,
        "an entry's name has 5000 characters",
    ),
    "a sparse file in pax": (lambda: pax_record(b"GNU.sparse.major=1"), "a sparse file"),
    "a pax size of letters": (lambda: pax_record(b"size=x"), "a pax header says size"),
    "1,001 entries of 1,000": (lambda: header(b"d/", flag=b"5") * 1001 + END, "more than 1000 entries"),
}  # fmt: skip


def test_a_pax_header_of_many_records_costs_neither_time_nor_memory() -> None:
    assert tar_header.decode_pax(b"5 a=\n" * 200_000 + b"10 path=x\n") == {"path": "x"}


def test_a_packed_layer_that_images_share_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = next(name for name, _ in DOCKER if name.endswith(".json"))
    saved = archives.manifest_json(*[(config, [f"x:{number}"], [docker_layer()]) for number in range(100)])
    members = changed(changed(DOCKER, docker_layer(), IMAGE.layers[0]), "manifest.json", saved[1])
    (tmp_path / "archive").write_bytes(archives.tar(members))
    reads: list[int] = []
    chunks = archive.Archive.chunks

    def counted(self: archive.Archive, member: archive.Member, offset: int = 0) -> Generator[bytes, None, None]:
        reads.append(member.size)
        return chunks(self, member, offset)

    monkeypatch.setattr(archive.Archive, "chunks", counted)
    with open(tmp_path / "archive", "rb") as file:
        (image,) = archive_images.images_in(archive.of_file(file.fileno()), None)
    assert len(image.names) == 100
    assert reads.count(len(IMAGE.layers[0])) == 2  # what it is packed with, and its digest


def docker_layer() -> str:
    return next(name for name, _ in DOCKER if name.endswith("layer.tar"))


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def pax_record(record: bytes) -> bytes:
    line = b"%d %s\n" % (len(record) + 4, record)
    line = line if int(line.split()[0]) == len(line) else b"%d %s\n" % (len(line), record)
    return header(b"p", size=b"%011o\0" % len(line), flag=b"x") + line.ljust(512, b"\0") + header(b"x") + END


def pax_path(name: str) -> bytes:
    return pax_record(b"path=" + name.encode())


@pytest.mark.parametrize("name", CASES)
def test_refused_in_one_sentence(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(tar_stream, "MAX_ENTRIES", 1000)
    make, words = CASES[name]
    data = make()
    before = contents(layout), directories(layout)
    (tmp_path / "archive").write_bytes(data)
    with pytest.raises(PyrunError) as by_file:
        do(layout, tmp_path / "archive")
    with pytest.raises(PyrunError) as by_pipe, pipe_of(data) as fd:
        do(layout, input_fd=fd)
    for found in (by_file, by_pipe):
        assert words in found.value.message
        assert "\n" not in found.value.message
        assert len(found.value.message) < 600
    assert (contents(layout), directories(layout)) == before


@pytest.mark.full
def test_a_million_entries(layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "archive"
    with path.open("wb") as file:
        for _ in range(100):
            file.write(header(b"d/", flag=b"5") * 10_000)
    with pytest.raises(PyrunError, match="more than 100000 entries"):
        do(layout, path)


def test_links_in_a_directory_are_not_followed(layout: Layout, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(IMAGE.layers[0])
    directory = archives.to_directory(changed(OCI, LAYER, None), tmp_path / "archive")
    (directory / LAYER).symlink_to(outside)
    with pytest.raises(PyrunError, match="leads out of it"):
        do(layout, directory)
    (directory / LAYER).unlink()
    (directory / "blobs").rename(tmp_path / "blobs")
    (directory / "blobs").symlink_to(tmp_path / "blobs")
    with pytest.raises(PyrunError, match="names no image that it has"):
        do(layout, directory)
