"""Pull, list, tag and remove against a real registry, and what skopeo thinks of the store."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrun.engine import images, rmi, tag
from pyrun.engine.image_inspect import image_inspect
from pyrun.engine.layout_source import LayoutSource
from pyrun.engine.pull import ensure_form
from pyrun.errors import ImageNotFoundError, ManifestUnknownError, NoMatchingPlatformError, StoreCorruptError
from pyrun.images.resolve import load_record, resolve_image
from pyrun.layers import pyrun_tree
from pyrun.store import fsio, index
from pyrun.store.layout import Layout
from pyrun.store.sweep import sweep
from tests.support import tar_build
from tests.support.registry_hostile import digest_of
from tests.support.registry_real import push, running_registry
from tests.support.store_images import FORM, Image, contents, directories, fetch, new_layout, read_layer, tar_of


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return new_layout(tmp_path)


BASE, TOP = tar_of(etc__name=b"base\n", usr__big=os.urandom(300_000)), tar_of(etc__top=b"top\n")


def pushed(domain: str, name: str, image: Image) -> str:
    repository, _, tagged = name.partition(":")
    return push(domain, repository, tagged, image.manifest, image.config, *image.layers)


def skopeo(*arguments: str) -> str:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo")
    return subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True).stdout


def test_everything_is_on_disk_before_it_has_a_name(
    domain: str, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the patch: an image whose upper layer implies a directory that the lower one lists."""

    def inodes(*places: str) -> set[int]:
        return {os.lstat(path).st_ino for path in (*contents(layout), *directories(layout)) if path.startswith(places)}

    at_sync: list[set[int]] = []
    monkeypatch.setattr(fsio, "sync_file_system", lambda path: at_sync.append(inodes(layout.tmp, layout.partials)))
    low = tar_build.directory(b"tmp", 0o1777) + tar_build.file(b"tmp/old") + tar_build.END
    high = tar_build.file(b"tmp/new") + tar_build.END
    pushed(domain, "patched:1", Image(low, high))
    fetch(layout, f"{domain}/patched:1")
    named = [path for path in directories(layout) if ".patch-" in path]
    assert named, "no patch"
    trees = [*named, *(f"{layout.layer(digest_of(data), FORM)}/" for data in (low, high))]
    (synced,) = at_sync
    assert inodes(*trees, f"{layout.images}/", f"{layout.blobs}/sha256/") <= synced
    assert os.listdir(layout.tmp) == []


def test_pull_list_remove_leaves_the_store_as_it_was(domain: str, layout: Layout) -> None:
    digest = pushed(domain, "cycle:1", Image(BASE, TOP))
    before, before_directories = contents(layout), directories(layout)
    events: list[tuple[str, str, int]] = []
    first = fetch(layout, f"{domain}/cycle:1", progress=lambda *event: events.append(event))
    assert first.status_lines == [
        f"Digest: {digest}",
        f"Status: Downloaded newer image for {domain}/cycle:1",
        f"{domain}/cycle:1",
    ]
    assert read_layer(layout, digest_of(TOP), "etc/top") == b"top\n"
    assert [event[:2] for event in events[:2]] == [("from", f"{domain}/cycle:1"), ("resolved", digest)]
    for layer in Image(BASE, TOP).layers:
        own = [event for event in events if event[1] == digest_of(layer)]
        assert own[0] == ("start", digest_of(layer), len(layer))
        assert sum(number for kind, _, number in own if kind == "bytes") == len(layer)
        assert [kind for kind, _, _ in own if kind != "bytes"] == ["start", "unpacked", "done"]
    second = fetch(layout, f"{domain}/cycle:1")
    assert second.up_to_date
    assert second.status_lines[1] == f"Status: Image is up to date for {domain}/cycle:1"
    (line,) = images.list_images(layout)
    assert (line.repository, line.tag, line.digest) == (f"{domain}/cycle", "1", digest)
    assert line.id == digest_of(Image(BASE, TOP).config)
    assert line.size == 300_000 + 5 + 4
    rmi.remove_image(layout, f"{domain}/cycle:1")
    assert contents(layout).keys() == before.keys()
    assert directories(layout) == before_directories


def test_inspect_has_dockers_shape(domain: str, layout: Layout) -> None:
    image = Image(BASE, TOP, salt="inspect")
    digest = pushed(domain, "shape:1", image)
    fetch(layout, f"{domain}/shape:1")
    tag.tag(layout, f"{domain}/shape:1", "local")
    found = image_inspect(layout, "local", form=FORM)
    assert found["Id"] == digest_of(image.config)
    assert found["RepoTags"] == [f"{domain}/shape:1", "local:latest"]
    assert found["RepoDigests"] == [f"{domain}/shape@{digest}"]
    assert found["RootFS"] == {"Type": "layers", "Layers": [digest_of(BASE), digest_of(TOP)]}
    assert found["Config"]["Cmd"] == ["/bin/true"]
    assert (found["Os"], found["Architecture"], found["Created"]) == ("linux", "amd64", "2024-05-06T07:08:09Z")


def test_skopeo_reads_the_store_as_it_is(domain: str, layout: Layout, tmp_path: Path) -> None:
    digest = pushed(domain, "read:1", Image(BASE, TOP))
    fetch(layout, f"{domain}/read:1")
    name = f"oci:{layout.oci}:{domain}/read:1"
    assert json.loads(skopeo("inspect", name))["Digest"] == digest
    skopeo("copy", "-q", name, f"oci:{tmp_path}/copy:x")
    assert json.loads(skopeo("inspect", f"oci:{tmp_path}/copy:x"))["Digest"] == digest


def test_schema_2_is_converted_and_its_original_kept(domain: str, layout: Layout, tmp_path: Path) -> None:
    pushed(domain, "source:1", Image(BASE))
    skopeo("copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", "--format", "v2s2",
           f"docker://{domain}/source:1", f"docker://{domain}/schema2:1")  # fmt: skip
    result = fetch(layout, f"{domain}/schema2:1")
    assert result.digest != result.manifest
    (entry,) = index.entries(layout)
    assert index.notes_of(entry)[index.ORIGINAL] == result.digest
    assert b"docker.distribution.manifest.v2" in Path(layout.blob(result.digest)).read_bytes()
    assert image_inspect(layout, f"{domain}/schema2:1")["RepoDigests"] == [f"{domain}/schema2@{result.digest}"]
    assert resolve_image(layout, f"{domain}/schema2@{result.digest}")["manifest"] == result.manifest
    assert json.loads(skopeo("inspect", f"oci:{layout.oci}:{domain}/schema2:1"))["Digest"] == result.manifest
    rmi.remove_image(layout, f"{domain}/schema2:1")
    assert os.listdir(f"{layout.blobs}/sha256") == []


def test_shared_layers_and_blobs_are_not_fetched_again(domain: str, layout: Layout) -> None:
    pushed(domain, "one:1", Image(BASE))
    pushed(domain, "two:1", Image(BASE, TOP))
    fetch(layout, f"{domain}/one:1")
    events: list[tuple[str, str]] = []
    fetch(layout, f"{domain}/two:1", progress=lambda kind, what, _: events.append((kind, what)))
    base, top = (digest_of(layer) for layer in Image(BASE, TOP).layers)
    assert [kind for kind, what in events if what == base] == ["exists"]
    assert ("done", top) in events
    size = {image.repository: image.size for image in images.list_images(layout)}
    assert size[f"{domain}/two"] == size[f"{domain}/one"] + 4
    rmi.remove_image(layout, f"{domain}/one:1")
    assert read_layer(layout, digest_of(BASE), "etc/name") == b"base\n"


def test_a_missing_layer_is_unpacked_from_its_blob(domain: str, layout: Layout) -> None:
    pushed(domain, "again:1", Image(BASE))
    result = fetch(layout, f"{domain}/again:1")
    shutil.rmtree(layout.layer(digest_of(BASE), FORM))

    no_network = LayoutSource("/nowhere", "x")
    found = fetch(layout, f"{domain}/again:1", policy="missing", source=no_network)
    assert found.manifest == result.manifest
    assert read_layer(layout, digest_of(BASE), "etc/name") == b"base\n"
    ensure_form(layout, result.record, "flat", spawn=pyrun_tree.spawn_here)
    assert os.path.isdir(layout.layer(digest_of(BASE), "flat"))
    shutil.rmtree(layout.layer(digest_of(BASE), FORM))
    os.unlink(layout.blob(Image(BASE).manifest["layers"][0]["digest"]))
    with pytest.raises(StoreCorruptError, match="blob is missing"):
        fetch(layout, f"{domain}/again:1", policy="missing")
    assert os.listdir(layout.tmp) == []


def test_a_layer_without_a_record_is_measured(domain: str, layout: Layout) -> None:
    """So a pull leaves it that was killed before the record, and one that has not come so far yet."""
    pushed(domain, "measured:1", Image(BASE))
    before = fetch(layout, f"{domain}/measured:1")
    os.unlink(layout.image(before.manifest))
    index.update(layout, lambda found: [])
    after = fetch(layout, f"{domain}/measured:1")
    assert after.record == before.record
    assert index.notes_of(index.entries(layout)[0])[index.SIZE] == str(before.record["unpacked_size"]) != "0"
    assert os.listdir(layout.tmp) == []


def test_policies(domain: str, layout: Layout) -> None:
    pushed(domain, "policy:1", Image(BASE, salt="old"))
    with pytest.raises(ImageNotFoundError):
        fetch(layout, f"{domain}/policy:1", policy="never")
    old = fetch(layout, f"{domain}/policy:1", policy="missing")
    pushed(domain, "policy:1", Image(BASE, salt="new"))
    assert fetch(layout, f"{domain}/policy:1", policy="missing").manifest == old.manifest
    new = fetch(layout, f"{domain}/policy:1", policy="always")
    assert new.manifest != old.manifest
    assert resolve_image(layout, f"{domain}/policy:1")["manifest"] == new.manifest
    assert [image.id for image in images.list_images(layout) if not image.tag] == [old.image_id]


def test_pull_by_digest_makes_no_tag(domain: str, layout: Layout) -> None:
    digest = pushed(domain, "pinned:1", Image(BASE))
    fetch(layout, f"{domain}/pinned@{digest}")
    assert [(image.repository, image.tag) for image in images.list_images(layout)] == [(f"{domain}/pinned", "")]
    assert resolve_image(layout, f"{domain}/pinned@{digest}")["manifest"] == digest
    assert fetch(layout, f"{domain}/pinned@{digest}", policy="never").up_to_date


def test_other_platform_names_what_there_is(domain: str, layout: Layout) -> None:
    pushed(domain, "arm:1", Image(BASE, architecture="riscv64"))
    before = contents(layout).keys()
    with pytest.raises(NoMatchingPlatformError, match=r"^no image for linux/\S+: \S+/arm:1: there is linux/riscv64$"):
        fetch(layout, f"{domain}/arm:1")
    assert contents(layout).keys() == before
    assert fetch(layout, f"{domain}/arm:1", platform="linux/riscv64").record["architecture"] == "riscv64"


def test_unknown_tag(domain: str, layout: Layout) -> None:
    with pytest.raises(ManifestUnknownError):
        fetch(layout, f"{domain}/nobody:1")
    assert index.entries(layout) == []


def _pull_once(layout: Layout, reference: str) -> None:
    fetch(layout, reference)


def test_eight_pulls_of_one_image_at_once(domain: str, layout: Layout) -> None:
    digest = pushed(domain, "crowd:1", Image(BASE, TOP, tar_of(third=b"3")))
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_pull_once, args=(layout, f"{domain}/crowd:1")) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert [entry["digest"] for entry in index.entries(layout)] == [digest]
    assert os.listdir(layout.tmp) == []
    assert os.listdir(layout.leases) == []


def _die_in_the_middle(layout: Layout, reference: str) -> None:
    def die(event: str, what: str, number: int) -> None:
        if event == "unpacked":
            os.kill(os.getpid(), 9)

    fetch(layout, reference, progress=die)


def test_a_killed_pull_shows_nothing_and_is_swept(domain: str, layout: Layout) -> None:
    pushed(domain, "killed:1", Image(BASE, TOP))
    before, before_directories = set(contents(layout)), directories(layout)
    process = multiprocessing.get_context("fork").Process(
        target=_die_in_the_middle, args=(layout, f"{domain}/killed:1")
    )
    process.start()
    process.join()
    assert process.exitcode == -9
    assert os.listdir(layout.tmp) != []
    assert index.entries(layout) == []
    assert sweep(layout) == []
    kept = {layout.partial(layer["digest"]) for layer in Image(BASE, TOP).manifest["layers"]}
    assert (contents(layout).keys() - kept, directories(layout)) == (before, before_directories)
    assert not fetch(layout, f"{domain}/killed:1").up_to_date


def test_the_embedded_image_needs_no_network(layout: Layout) -> None:
    result = fetch(layout, "pyrun.local/hello", policy="missing")
    assert result.status_lines[1] == "Status: Downloaded newer image for pyrun.local/hello:latest"
    assert load_record(layout, result.manifest)["entrypoint"] == ["/hello"]
    with pytest.raises(ManifestUnknownError, match=r"^no such image: pyrun.local/nobody:latest: it does not ship"):
        fetch(layout, "pyrun.local/nobody")
