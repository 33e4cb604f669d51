"""fsck finds every kind of damage, --repair makes it right again, and nothing is deleted."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "skopeo", "registry")


@pytest.fixture
def store(pyrun: CommandLine, images: Catalogue) -> CommandLine:
    pyrun.ok("pull", "-q", images.rich)
    return pyrun


def check(pyrun: CommandLine, *options: str, code: int | None = None) -> list[dict[str, Any]]:
    done = pyrun("fsck", "--format", "json", *options)
    assert "Traceback" not in done.stderr, done.stderr
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["Clean"] else 1)
    assert code is None or done.returncode == code, document
    found: list[dict[str, Any]] = document["Findings"]
    return found


def damage(pyrun: CommandLine, *options: str) -> list[str]:
    return [f"{item['Kind']} {item['Subject']}: {item['Problem']}" for item in check(pyrun, *options) if item["Damage"]]


def repair(pyrun: CommandLine) -> list[dict[str, Any]]:
    """Repair; all that is found must be mended, and nothing be found afterwards."""
    found = check(pyrun, "--repair", code=0)
    assert all(item["Mended"] for item in found if item["Damage"]), found
    assert damage(pyrun) == []
    return found


def as_owner(script: str) -> None:
    """Do what only the owners of a layer's files may."""
    subprocess.run(["unshare", "--map-root-user", "--map-auto", "sh", "-ec", script], check=True)


def flip(path: Path, at: int, bit: int = 0) -> None:
    mode = path.stat().st_mode
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)
    path.chmod(mode & 0o7777)


def trees(pyrun: CommandLine, form: str = "full") -> Iterator[Path]:
    return (path for path in pyrun.root.glob(f"layers/sha256/*/{form}/tree") if ".patch-" not in path.parent.name)


def tree_with(pyrun: CommandLine, name: str, form: str = "full") -> Path:
    for tree in trees(pyrun, form):
        done = subprocess.run(
            ["unshare", "--map-root-user", "--map-auto", "test", "-e", f"{tree}/{name}", "-o", "-L", f"{tree}/{name}"],
            check=False,
        )
        if done.returncode == 0:
            return tree
    raise AssertionError(name)


def test_clean(store: CommandLine) -> None:
    assert check(store, code=0) == []
    assert check(store, "--quick", code=0) == []
    assert store.ok("system", "check").startswith("no damage: 1 images, 4 layers, 4 blobs of ")


class TestLayers:
    def test_every_kind_of_difference(self, store: CommandLine) -> None:
        base = tree_with(store, "bin/busybox")
        as_owner(f"""
            cd {base}; printf X | dd of=bin/busybox bs=1 seek=5000 conv=notrunc status=none
            chmod 0640 etc/passwd; chown 7:8 etc/group; touch bin/strange; rm bin/ls; mkdir etc/more
        """)
        found = damage(store)
        told = "\n".join(found)
        for problem in (
            "/bin/busybox has other content", "/etc/passwd has mode 0640, not 0644",
            "/etc/group has owner 7:8, not 0:0", "/bin/strange is not in its archive", "/bin/ls is missing",
            "/etc/more is not in its archive",
        ):  # fmt: skip
            assert problem in told, told
        mended = repair(store)
        assert any("unpacked again from its blob" in item["Mended"] for item in mended)
        assert any(item["Kind"] == "quarantined" for item in check(store))
        assert store.ok("fsck", "--drop-quarantine")
        assert check(store, code=0) == []

    def test_attributes_links_marks_and_what_is_beside(self, store: CommandLine) -> None:
        lower, middle = tree_with(store, "srv/link-a"), tree_with(store, "srv/opaque/visible")
        top = tree_with(store, "srv/data/added-on-top")
        as_owner(f"""
            cd {lower}/srv; setfattr -n user.colour -v red with-xattr; setfattr -x security.capability with-capability
            setfattr -n user.overlay.redirect -v /etc set-uid; ln -sfn elsewhere dangling-link
            cp -a link-b new; mv new link-b; touch -d 2001-01-01 set-gid; rm fifo
            cd {middle}/srv; rm deleted-directory; setfattr -x user.overlay.opaque opaque
            cd {top.parent}; printf X | dd of=sidecar bs=1 seek=20 conv=notrunc status=none
        """)
        patch = next(store.root.glob("layers/sha256/*/full.patch-*"))
        as_owner(f"chmod 0711 {patch}/tree/srv")
        told = "\n".join(damage(store))
        for problem in (
            "/srv/with-xattr has another value of the attribute user.colour",
            "/srv/with-capability has nothing in the sidecar", "/srv/dangling-link leads to elsewhere",
            "/srv/set-uid has the attribute user.overlay.redirect", "/srv/link-a has 2 names on disk, not 3",
            "/srv/set-gid was modified at", "/srv/fifo is missing", "/srv/deleted-directory is missing",
            "/srv/opaque does not hide what is below", "in the sidecar", "/srv has mode 0711, not 0755",
        ):  # fmt: skip
            assert problem in told, (problem, told)
        repair(store)

    @pytest.mark.full
    def test_forms(self, store: CommandLine) -> None:
        """A store of one id, later of many, and back: each form is made once, checked, mended, and goes with rmi."""
        (image,) = store.ok("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
        run = ("run", "--rm", "--network", "none", "--pull", "never")
        assert store.ok(*run, image, "cat", "/srv/data/seed", environment={"PYRUN_SINGLE_ID": "1"}) == "from the image"
        store.ok(*run, "--userns=keep-id", image, "true")
        store.ok(*run, "--userns=auto:size=2000", "--user", "0", image, "true")
        forms = {path.parent.name for form in ("flat", "full", "keep-*", "shift-*") for path in trees(store, form)}
        assert {name.partition("-")[0] for name in forms} == {"flat", "full", "keep", "shift"}
        assert damage(store) == []
        for form in forms:
            as_owner(f"chmod 0600 {tree_with(store, 'srv/link-a', form)}/srv/set-gid")
        assert len(damage(store)) == 4
        repair(store)
        # With a single id the owners of the other forms look alike: told, not taken for damage.
        done = store("fsck", environment={"PYRUN_SINGLE_ID": "1"})
        assert (done.returncode, done.stdout.count("it wants subordinate ids")) == (0, 12), done.stdout
        store.ok("fsck", "--drop-quarantine")
        store.ok("rmi", image)
        assert list(store.root.glob("layers/sha256/*")) == []


class TestDocuments:
    @pytest.mark.parametrize("flips", [1, pytest.param(6, marks=pytest.mark.full)])
    def test_each_file_of_json(self, store: CommandLine, flips: int) -> None:
        files = [store.root / name for name in ("version", "oci/oci-layout", "oci/index.json")]
        files += (store.root / "images").iterdir()
        for path in files:
            whole = path.read_bytes()
            for at in range(len(whole) // flips // 2, len(whole), len(whole) // flips):
                flip(path, at)
                found = [item for item in check(store, "--quick") if item["Kind"] not in ("quarantined", "orphan")]
                assert found, (path, at)
                if any(item["Damage"] for item in found):
                    check(store, "--quick", "--repair", code=0)
                path.write_bytes(whole)
            assert damage(store) == [], path

    def test_blobs_are_fetched_again(self, store: CommandLine) -> None:
        for path in sorted((store.root / "oci/blobs/sha256").iterdir()):
            flip(path, 0)
            flip(path, path.stat().st_size // 2, bit=5)
            flip(path, path.stat().st_size - 1, bit=7)
        found = check(store, "--repair")
        assert all("fetched again from" in item["Mended"] for item in found if item["Kind"] == "blob"), found
        assert damage(store) == []


def test_a_damaged_record_is_not_run(store: CommandLine) -> None:
    """A record says how a container is started: its checksum is compared at each start."""
    (image,) = store.ok("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    (record,) = (store.root / "images").iterdir()
    whole = record.read_bytes()
    for at in range(0, len(whole), 97):
        flip(record, at)
        assert "cannot read image record" in store.fails(125, "run", "--rm", "--pull", "never", image, "true"), at
        record.write_bytes(whole)
    flip(record, whole.index(b"RICH"))
    store.fails(125, "run", "--rm", "--pull", "never", image, "true")
    repair(store)
    assert record.read_bytes() == whole


def test_containers(store: CommandLine) -> None:
    (image,) = store.ok("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    container = store.ok("create", "--name", "kept", image, "true")
    assert damage(store, "--quick") == []
    directory = store.root / "containers" / container
    (store.root / "names/kept").unlink()
    for name in ("container.json", "rootfs.json", "config.json"):
        whole = (directory / name).read_bytes()
        flip(directory / name, 0)
        assert f"container {container[:12]}: " in "\n".join(damage(store, "--quick"))
        (directory / name).write_bytes(whole)
    found = repair(store)
    assert [item["Mended"] for item in found] == [f"given to {container[:12]} again"]
    assert store.ok("rm", "kept") == "kept"


def test_a_container_that_runs_keeps_its_files(store: CommandLine) -> None:
    (image,) = store.ok("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    store.ok("run", "-d", "--name", "up", "--network", "none", image, "sleep", "1000")
    as_owner(f"printf X >> {tree_with(store, 'etc/passwd')}/etc/group")
    found = repair(store)
    assert any("keep the old files until they are started again" in item["Mended"] for item in found)
    assert store.ok("exec", "up", "cat", "/srv/data/seed") == "from the image"
    store.ok("rm", "-f", "up")


def test_what_cannot_be_had_again(store: CommandLine, images: Catalogue) -> None:
    """No registry has it: it stays where it is, unless --force is given; and it is never deleted."""
    index = store.root / "oci/index.json"
    document = json.loads(index.read_text().replace(images.host, "127.0.0.1:1"))
    del document["crc32"]  # as another tool that rewrites the file
    index.write_text(json.dumps(document))
    (blob,) = [path for path in (store.root / "oci/blobs/sha256").iterdir() if path.stat().st_size > 100_000]
    flip(blob, 1000)
    (found,) = [item for item in check(store, "--repair", code=1) if item["Damage"]]
    assert "not mended: " in found["Problem"]
    assert blob.exists()
    (found,) = [item for item in check(store, "--repair", "--force", code=0) if item["Damage"]]
    assert "it cannot be had again, the damaged one is kept as " in found["Mended"]
    assert not blob.exists()
    assert len(list((store.root / "quarantine").iterdir())) == 1


def test_orphans(store: CommandLine) -> None:
    """What nobody needs is listed with its size; --repair leaves it, prune removes it."""
    (store.root / "oci/blobs/sha256" / ("0" * 64)).write_bytes(bytes(10000))
    (store.root / "images" / ("sha256:" + "1" * 64)).write_text("{}")
    told = store.ok("fsck", "--quick", "--repair")
    assert f"orphan sha256:{'0' * 64}: blob that no image has (12.3kB)" in told
    assert f"orphan sha256:{'1' * 64}: record that no image has" in told
    assert "orphan" not in store.ok("fsck", "--quick", "--max", "1h")
    store.ok("system", "prune", "-f")
    store.ok("rmi", *store.ok("images", "-q").splitlines())
    assert "orphan" not in store.ok("fsck")
