"""`system prune --blobs`: what a registry has goes, knowingly; push and save bring it back, or say why they cannot."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from pyrun.oci.platform import host
from tests.support.features import requires
from tests.support.registry_hostile import digest_of
from tests.support.registry_real import push
from tests.support.registry_taking import TakingRegistry
from tests.support.store_images import Image, tar_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "overlay")
IMAGE = Image(tar_of(base=b"1"), tar_of(top=b"2"), architecture=host().architecture)
DIFF_ID = digest_of(IMAGE.tars[0]).partition(":")[2]
BASE, TOP = (digest_of(layer) for layer in IMAGE.layers)


@pytest.fixture
def elsewhere() -> Iterator[TakingRegistry]:
    with TakingRegistry() as running:
        yield running


@pytest.fixture
def name(pyrun: CommandLine, registry: str) -> str:
    """An image that was pulled, and whose blobs were dropped then."""
    push(registry, "dropped/app", "1", IMAGE.manifest, IMAGE.config, *IMAGE.layers)
    name = f"{registry}/dropped/app:1"
    pyrun.ok("pull", "-q", name)
    lines = pyrun.ok("system", "prune", "-f", "--blobs").splitlines()
    assert lines[:1] + sorted(lines[1:3]) == ["Deleted Blobs:", *sorted(f"dropped: {digest}" for digest in (BASE, TOP))]
    return name


def has(pyrun: CommandLine, digest: str) -> bool:
    return (pyrun.root / "oci/blobs" / digest.replace(":", "/")).exists()


def test_what_is_dropped_is_no_damage_and_not_missed(pyrun: CommandLine, name: str) -> None:
    assert not has(pyrun, BASE)
    assert not has(pyrun, TOP)
    done = pyrun("fsck")
    assert done.returncode == 0
    assert f"note {TOP}: was dropped by `system prune --blobs`: its files are not checked; " in done.stdout
    assert "no damage: " in done.stdout
    assert "Status: Image is up to date" in pyrun.ok("pull", name)
    assert pyrun.ok("system", "prune", "-f", "--blobs") == "Total reclaimed space: 0B"
    assert pyrun.fails(1, "system", "prune", "-f", "--blobs", "--filter", "until=1h") == (
        'pyrun: filters are not supported with "--blobs"\n'
    )
    assert pyrun.ok("rmi", "-f", name)
    assert os.listdir(pyrun.root / "dropped") == []


def test_push_fetches_what_it_has_to_send(
    pyrun: CommandLine, name: str, registry: str, elsewhere: TakingRegistry
) -> None:
    pyrun.ok("push", name, f"{registry}/dropped/copy:1")  # mounted: nothing is fetched for it
    assert not has(pyrun, TOP)
    pyrun.ok("push", name, f"{elsewhere.domain}/app:1")
    assert all(elsewhere.blobs["app", digest] == layer for digest, layer in zip((BASE, TOP), IMAGE.layers, strict=True))
    assert has(pyrun, TOP)
    assert os.listdir(pyrun.root / "dropped") == []
    assert pyrun.ok("fsck").startswith("no damage: ")


def test_save_fetches_all_or_nothing_is_written(pyrun: CommandLine, name: str) -> None:
    link = pyrun.root / "dropped" / TOP.partition(":")[2]
    place = os.readlink(link)
    link.unlink()
    link.symlink_to("127.0.0.1:1/gone")
    error = pyrun.fails(1, "save", "-o", "archive", name)
    assert error.startswith(
        "pyrun: cannot fetch again what `system prune --blobs` dropped: cannot reach registry: 127.0.0.1:1: "
    )
    assert os.listdir(pyrun.home) == []
    link.unlink()
    link.symlink_to(f"127.0.0.1:1/gone {place}")  # the next one that had it
    pyrun.ok("save", "-o", "archive", name)
    with tarfile.open(pyrun.home / "archive") as archive:
        assert {f"blobs/{digest.replace(':', '/')}" for digest in (BASE, TOP)} <= set(archive.getnames())


def test_an_image_made_on_top_is_pushed_with_it(
    pyrun: CommandLine, name: str, registry: str, elsewhere: TakingRegistry
) -> None:
    pyrun.ok("create", "--name", "con", name, "true")
    pyrun.ok("commit", "con", "mine:1")
    pyrun.ok("rm", "con")
    pyrun.ok("rmi", name)
    assert f"{DIFF_ID[:12]}: Mounted from dropped/app" in pyrun.ok("push", "mine:1", f"{registry}/dropped/mine:1")
    assert not has(pyrun, BASE)
    pyrun.ok("push", "mine:1", f"{elsewhere.domain}/app:1")
    assert elsewhere.blobs["app", BASE] == IMAGE.layers[0]


def test_another_image_that_has_a_layer_of_it(pyrun: CommandLine, name: str, registry: str) -> None:
    other = Image(IMAGE.tars[0], tar_of(other=b"3"), architecture=host().architecture)
    push(registry, "dropped/other", "1", other.manifest, other.config, *other.layers)
    pyrun.ok("pull", "-q", f"{registry}/dropped/other:1")
    assert not has(pyrun, BASE)
    assert has(pyrun, digest_of(other.layers[1]))
    pyrun.ok("save", "-o", "archive", f"{registry}/dropped/other:1")
    assert has(pyrun, BASE)
    # An archive has the bytes: it brings them back.
    pyrun.ok("system", "prune", "-f", "--blobs")
    pyrun.ok("load", "-q", "-i", "archive")
    assert has(pyrun, BASE)


def test_what_no_registry_has_stays(pyrun: CommandLine, name: str) -> None:
    (pyrun.home / "root.tar").write_bytes(tar_of(file=b"x"))
    pyrun.ok("import", "root.tar", "here:1")
    assert pyrun.ok("system", "prune", "-f", "--blobs") == "Total reclaimed space: 0B"
    pyrun.ok("save", "-o", "archive", "here:1")
