"""What of a repository is pulled, and when the registry is asked: tags, digests, platforms, policies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrun.engine import history, image_inspect, images, rmi
from pyrun.engine.pull import ensure_form, pull_all_tags
from pyrun.errors import (
    DigestMismatchError,
    ImageNotFoundError,
    InvalidInputError,
    ManifestUnknownError,
    NoMatchingPlatformError,
    RegistryUnreachableError,
)
from pyrun.layers import pyrun_tree
from pyrun.oci import media_types
from pyrun.oci.platform import host
from pyrun.store import gc, index
from pyrun.store.layout import Layout
from tests.support.command_line import CommandLine
from tests.support.registry_hostile import HostileRegistry, blob, digest_of, document, status
from tests.support.store_images import FORM, Image, contents, fetch, new_layout, read_layer, tar_of

HERE = host().architecture
THERE = "s390x" if HERE != "s390x" else "amd64"
SHARED, OWN, OTHER = tar_of(shared=b"s"), tar_of(own=b"o"), tar_of(other=os.urandom(5000))


@pytest.fixture
def registry() -> Iterator[HostileRegistry]:
    with HostileRegistry() as found:
        yield found


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return new_layout(tmp_path)


def serve(registry: HostileRegistry, image: Image, *tags: str) -> str:
    """Serve an image by tags and by its digest, which is returned."""
    digest, answer = document(image.manifest)
    for name in (*tags, digest):
        registry.on(f"/v2/x/manifests/{name}", answer)
    for data in (image.config, *image.layers):
        registry.on(f"/v2/x/blobs/{digest_of(data)}", blob(data))
    return digest


def serve_index(registry: HostileRegistry, *given: Image, tag: str = "multi") -> str:
    """Serve an index of images for these platforms, and an attestation, as buildkit makes one."""
    entries: list[dict[str, Any]] = []
    for image in given:
        digest = serve(registry, image)
        architecture = json.loads(image.config)["architecture"]
        size = len(json.dumps(image.manifest).encode())
        platform = {"os": "linux", "architecture": architecture}
        entries.append({"mediaType": media_types.OCI_MANIFEST, "digest": digest, "size": size, "platform": platform})
    proof = Image(tar_of(attestation=b"{}"))
    digest, size = serve(registry, proof), len(json.dumps(proof.manifest).encode())
    nobody = {"os": "unknown", "architecture": "unknown"}
    entries.append({"mediaType": media_types.OCI_MANIFEST, "digest": digest, "size": size, "platform": nobody})
    found, answer = document({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries},
                             media_types.OCI_INDEX)  # fmt: skip
    registry.on(f"/v2/x/manifests/{tag}", answer)
    registry.on(f"/v2/x/manifests/{found}", answer)
    return found


MINE, THEIRS = Image(SHARED, OWN, architecture=HERE), Image(SHARED, OTHER, architecture=THERE)


# When the registry is asked


@pytest.mark.parametrize("what", ["x:1", "x@DIGEST", "x:1@DIGEST", "x:multi"])
def test_what_has_not_moved_costs_one_request(registry: HostileRegistry, layout: Layout, what: str) -> None:
    digest = serve(registry, MINE, "1")
    name = f"{registry.domain}/{what.replace('DIGEST', digest)}"
    if "multi" in what:
        digest = serve_index(registry, THEIRS, MINE)
    assert not fetch(layout, name).up_to_date
    registry.seen.clear()
    again = fetch(layout, name)
    assert [seen.method for seen in registry.seen] == ["HEAD"]
    assert (again.up_to_date, again.digest, again.image_id) == (True, digest, digest_of(MINE.config))


@pytest.mark.parametrize("answer", [status(405), status(401), status(200, b"{}")])
def test_a_registry_that_does_not_tell_is_asked_for_all(registry: HostileRegistry, layout: Layout, answer: Any) -> None:
    """By HEAD twice: what the short way (registry/plain_head.py) has no digest from, the client asks in its own."""
    serve(registry, MINE, "1")
    whole = document(MINE.manifest)[1]
    registry.on("/v2/x/manifests/1", whole, answer, answer, whole)
    fetch(layout, f"{registry.domain}/x:1")
    again = fetch(layout, f"{registry.domain}/x:1")
    assert again.up_to_date
    assert [seen.method for seen in registry.asked("manifests")] == ["GET", "HEAD", "HEAD", "GET"]
    assert len(registry.asked("blobs")) == 3, "config and layers, once"


def test_a_missing_layer_or_blob_is_noticed(registry: HostileRegistry, layout: Layout) -> None:
    serve(registry, MINE, "1")
    fetch(layout, f"{registry.domain}/x:1")
    os.unlink(layout.blob(digest_of(MINE.layers[1])))
    fetch(layout, f"{registry.domain}/x:1")
    assert os.path.exists(layout.blob(digest_of(MINE.layers[1])))


def test_a_damaged_record_is_written_anew_and_stops_no_other_pull(registry: HostileRegistry, layout: Layout) -> None:
    serve(registry, MINE, "1")
    record = layout.image(fetch(layout, f"{registry.domain}/x:1").manifest)
    whole = Path(record).read_bytes()
    Path(record).write_bytes(whole + b"x")
    serve(registry, Image(OTHER, architecture=HERE), "2")
    fetch(layout, f"{registry.domain}/x:2")
    fetch(layout, f"{registry.domain}/x:1")
    assert Path(record).read_bytes() == whole


def test_a_tag_that_moves_leaves_the_old_image_without_it(registry: HostileRegistry, layout: Layout) -> None:
    serve(registry, MINE, "1")
    fetch(layout, f"{registry.domain}/x:1")
    new = Image(SHARED, OWN, architecture=HERE, salt="new")
    serve(registry, new, "1")
    registry.seen.clear()
    moved = fetch(layout, f"{registry.domain}/x:1")
    assert (moved.up_to_date, moved.image_id) == (False, digest_of(new.config))
    assert [seen.path for seen in registry.asked("blobs")] == [f"/v2/x/blobs/{digest_of(new.config)}"]
    rows = {(row.repository, row.tag, row.id) for row in images.list_images(layout)}
    assert {(row[1], row[2]) for row in rows} == {("1", digest_of(new.config)), ("", digest_of(MINE.config))}


def test_by_digest_is_those_bytes_or_an_error(registry: HostileRegistry, layout: Layout) -> None:
    digest = serve(registry, MINE, "1")
    other = Image(OWN, architecture=HERE)
    registry.on(f"/v2/x/manifests/{digest}", document(other.manifest)[1])
    with pytest.raises(DigestMismatchError, match=digest):
        fetch(layout, f"{registry.domain}/x:1@{digest}")
    assert index.entries(layout) == []


def test_the_digest_wins_over_the_tag(registry: HostileRegistry, layout: Layout) -> None:
    digest = serve(registry, MINE)
    serve(registry, Image(OWN, architecture=HERE), "1")
    found = fetch(layout, f"{registry.domain}/x:1@{digest}")
    assert found.image_id == digest_of(MINE.config)
    assert [row.tag for row in images.list_images(layout)] == [""]


def test_policies(registry: HostileRegistry, layout: Layout) -> None:
    name = f"{registry.domain}/x:1"
    with pytest.raises(ImageNotFoundError):
        fetch(layout, name, policy="never")
    with pytest.raises(ManifestUnknownError):
        fetch(layout, name, policy="newer")
    serve(registry, MINE, "1")
    assert not fetch(layout, name, policy="newer").up_to_date
    registry.seen.clear()
    for policy in ("missing", "never"):
        assert fetch(layout, name, policy=policy).up_to_date
    assert registry.seen == []
    new = Image(OWN, architecture=HERE)
    serve(registry, new, "1")
    assert fetch(layout, name, policy="newer").image_id == digest_of(new.config)
    with pytest.raises(InvalidInputError, match="'sometimes'"):
        fetch(layout, name, policy="sometimes")


def test_newer_takes_what_is_here_where_nobody_answers(layout: Layout) -> None:
    with HostileRegistry() as gone:
        serve(gone, MINE, "1")
        fetch(layout, f"{gone.domain}/x:1")
    assert fetch(layout, f"{gone.domain}/x:1", policy="newer").up_to_date
    with pytest.raises(RegistryUnreachableError):
        fetch(layout, f"{gone.domain}/x:1")


# Platforms


def test_the_platform_that_is_here_may_not_be_the_one_that_is_wanted(registry: HostileRegistry, layout: Layout) -> None:
    serve_index(registry, THEIRS, MINE)
    assert fetch(layout, f"{registry.domain}/x:multi", platform=f"linux/{THERE}").image_id == digest_of(THEIRS.config)
    mine = fetch(layout, f"{registry.domain}/x:multi")
    assert (mine.up_to_date, mine.image_id) == (False, digest_of(MINE.config))
    with pytest.raises(NoMatchingPlatformError):
        fetch(layout, f"{registry.domain}/x:multi", platform="linux/ppc64le")


def test_all_platforms(registry: HostileRegistry, layout: Layout) -> None:
    before = contents(layout).keys()
    digest = serve_index(registry, THEIRS, MINE)
    name = f"{registry.domain}/x:multi"
    fetch(layout, name)
    assert not os.path.exists(layout.blob(digest_of(THEIRS.layers[1])))
    found = fetch(layout, name, all_platforms=True)
    assert (found.digest, found.image_id) == (digest, digest_of(MINE.config))
    for path in {seen.path for seen in registry.seen}:
        kept = path.rpartition("/")[2].replace("multi", digest)
        assert os.path.exists(layout.blob(kept)), kept
    assert read_layer(layout, digest_of(OWN), "own") == b"o"
    assert not os.path.exists(layout.layer(digest_of(OTHER), FORM)), "the blob is enough"
    (row,) = images.list_images(layout)
    assert (row.id, row.size) == (digest_of(MINE.config), 2)
    assert image_inspect.image_inspect(layout, name, form=FORM)["Architecture"] == HERE
    registry.seen.clear()
    assert fetch(layout, name, all_platforms=True).up_to_date
    assert fetch(layout, name).up_to_date
    assert [seen.method for seen in registry.seen] == ["HEAD", "HEAD"]
    gc.collect(layout)
    assert os.path.exists(layout.blob(digest_of(THEIRS.layers[1])))
    rmi.remove_image(layout, name)
    assert contents(layout).keys() == before


def test_another_platform_of_all_needs_no_registry(registry: HostileRegistry, layout: Layout) -> None:
    serve_index(registry, THEIRS, MINE)
    name = f"{registry.domain}/x:multi"
    fetch(layout, name, all_platforms=True)
    registry.seen.clear()
    shown = image_inspect.image_inspect(layout, name, form=FORM, platform=f"linux/{THERE}")
    assert (shown["Id"], shown["Architecture"], shown["RepoTags"]) == (digest_of(THEIRS.config), THERE, [name])
    assert shown["GraphDriver"]["Data"] == {}, "it is not unpacked"
    (step, *_) = history.history(layout, name, f"linux/{THERE}")
    assert (step.id, step.size) == (digest_of(THEIRS.config), len(THEIRS.layers[1]))
    assert history.history(layout, name)[0].id == digest_of(MINE.config)
    found = fetch(layout, name, platform=f"linux/{THERE}", policy="never")
    assert found.image_id == digest_of(THEIRS.config)
    assert registry.seen == []
    assert len(read_layer(layout, digest_of(OTHER), "other")) == 5000
    ensure_form(layout, found.record, FORM, spawn=pyrun_tree.spawn_here)
    # And it still has what is needed to push all of it.
    (entry,) = [item for item in index.entries(layout) if index.ref_name(item)]
    assert index.notes_of(entry)[index.ALL_PLATFORMS] == "true"
    assert digest_of(MINE.layers[1]) in found.record["keep"]


def test_all_platforms_stay_where_one_comes_again_by_its_own_digest(registry: HostileRegistry, layout: Layout) -> None:
    serve_index(registry, THEIRS, MINE)
    name = f"{registry.domain}/x:multi"
    record = fetch(layout, name, all_platforms=True).record
    os.unlink(layout.blob(digest_of(MINE.layers[1])))  # so that it is fetched
    fetch(layout, f"{registry.domain}/x@{record['manifest']}")
    gc.collect(layout)
    assert os.path.exists(layout.blob(digest_of(THEIRS.layers[1])))
    assert fetch(layout, name, all_platforms=True).record["keep"] == record["keep"]


def test_all_platforms_of_an_image_that_does_not_run_here(registry: HostileRegistry, layout: Layout) -> None:
    serve_index(registry, THEIRS)
    assert fetch(layout, f"{registry.domain}/x:multi", all_platforms=True).image_id == digest_of(THEIRS.config)


def test_all_platforms_of_a_single_manifest(registry: HostileRegistry, layout: Layout) -> None:
    serve(registry, MINE, "1")
    assert not fetch(layout, f"{registry.domain}/x:1", all_platforms=True).up_to_date
    assert fetch(layout, f"{registry.domain}/x:1", all_platforms=True).up_to_date


# Tags, and what the command line says


def test_all_tags(registry: HostileRegistry, layout: Layout) -> None:
    serve(registry, MINE, "1", "2")
    registry.on("/v2/x/tags/list", status(200, b'{"name":"x","tags":["1","2"]}'))
    asked: list[str] = []

    def each(name: str) -> Any:
        asked.append(name)
        return fetch(layout, name)

    assert len(pull_all_tags(layout, f"{registry.domain}/x", each)) == 2
    assert asked == [f"{registry.domain}/x:1", f"{registry.domain}/x:2"]
    registry.on("/v2/x/tags/list", status(200, b'{"name":"x","tags":null}'))
    with pytest.raises(ManifestUnknownError, match="no tags"):
        pull_all_tags(layout, f"{registry.domain}/x", each)


def test_dockers_lines(registry: HostileRegistry, pyrun: CommandLine) -> None:
    digest = serve(registry, MINE, "1", "latest")
    registry.on("/v2/x/tags/list", status(200, b'{"name":"x","tags":["1","latest"]}'))
    name = f"{registry.domain}/x"
    low, high = (digest_of(layer)[7:19] for layer in MINE.layers)
    lines = pyrun.ok("pull", name).splitlines()
    assert lines[:2] == ["Using default tag: latest", "latest: Pulling from x"]
    assert sorted(lines[2:-3]) == sorted(
        f"{layer}: {words}" for layer in (low, high) for words in ("Pulling fs layer", "Pull complete")
    )
    assert lines[-3:] == [f"Digest: {digest}", f"Status: Downloaded newer image for {name}:latest", f"{name}:latest"]
    lines = pyrun.ok("pull", "-a", name).splitlines()
    assert [*lines[:1], *sorted(lines[1:3]), *lines[3:]] == [
        "1: Pulling from x", *sorted((f"{low}: Already exists", f"{high}: Already exists")), f"Digest: {digest}",
        "latest: Pulling from x", f"Digest: {digest}", f"Status: Downloaded newer image for {name}", name,
    ]  # fmt: skip
    assert pyrun.ok("pull", "-aq", name).splitlines() == [name]
    assert pyrun.ok("pull", f"{name}@{digest}").splitlines() == [
        f"{name}@{digest}: Pulling from x", f"Digest: {digest}", f"Status: Image is up to date for {name}@{digest}",
        f"{name}@{digest}",
    ]  # fmt: skip
    assert pyrun.ok("pull", "-q", "--policy=missing", name).splitlines() == [f"{name}:latest"]
    assert "tag can't be used with --all-tags/-a" in pyrun.fails(1, "pull", "-a", f"{name}:1")
    assert "cannot be given together" in pyrun.fails(1, "pull", "--all-platforms", "--platform", "linux", name)
    assert "invalid pull policy: 'x'" in pyrun.fails(1, "pull", "--policy", "x", name)
    pyrun.ok("rmi", f"{name}:1", f"{name}:latest")
