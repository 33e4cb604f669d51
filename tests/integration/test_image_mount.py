"""`image mount`: what the user's own programs see of an image, and what ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import push_layers, wait_pid
from tests.support.features import requires
from tests.support.images import directory, entry, hardlink, layer, symlink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "subids", "fuse")

LOWER = [
    directory("etc"), entry("etc/gone", b"x"), entry("etc/passwd", b"lower"), directory("replaced"),
    entry("replaced/old", b"x"),
    directory("private", mode=0o700, owner=(7, 8)), entry("private/secret", b"closed", mode=0o600, owner=(1000, 1001)),
]  # fmt: skip
UPPER = [
    entry("etc/.wh.gone"), entry("etc/passwd", b"upper" * 100_000),
    entry("etc/capable", b"x", xattrs={"user.note": b"kept"}),
    directory("replaced"), entry("replaced/.wh..wh..opq"), entry("replaced/new", b"n", mode=0o4755),
    hardlink("etc/same", "etc/passwd"), symlink("link", "etc/passwd"),
    directory("many"), *(entry(f"many/{number:04}", b"%d" % number) for number in range(600)),
]  # fmt: skip


@pytest.fixture
def image(pyrun: CommandLine, registry: str, tmp_path: Path) -> Iterator[str]:
    name = push_layers(registry, tmp_path, "mounted", [layer(LOWER), layer(UPPER)], {})
    pyrun.ok("pull", "-q", name)
    yield name
    pyrun.ok("image", "unmount", "--all", "--force")


def _served() -> dict[int, str]:
    """The helper and the fusermount3 that waits for its end, each by its pid: children of ours, as orphans are."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            words = status.read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        if words[words.index("PPid:") + 1] == str(os.getpid()) and words[1] in ("pyrun-tree", "fusermount3"):
            found[int(words[words.index("Pid:") + 1])] = words[1]
    return found


def test_host_tools_read_the_image(pyrun: CommandLine, image: str, tmp_path: Path) -> None:
    where = pyrun.ok("image", "mount", image)
    assert pyrun.ok("image", "mount", image) == where
    assert pyrun.ok("image", "mount") == f"{image}\t{where}"
    root = Path(where)
    assert sorted(os.listdir(root)) == ["etc", "link", "many", "private", "replaced"]
    assert sorted(os.listdir(root / "etc")) == ["capable", "passwd", "same"]
    assert os.listdir(root / "replaced") == ["new"]
    assert (root / "link").read_bytes() == b"upper" * 100_000
    # Of another owner, in a directory closed to all but a third.
    assert (root / "private" / "secret").read_text() == "closed"
    found = (root / "private" / "secret").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1000, 1001, 0o600)
    assert (root / "etc/passwd").stat().st_ino == (root / "etc/same").stat().st_ino
    assert (root / "replaced/new").stat().st_mode & 0o7777 == 0o4755
    assert os.getxattr(root / "etc/capable", "user.note") == b"kept"
    assert sorted(os.listdir(root / "many")) == [f"{number:04}" for number in range(600)]
    with pytest.raises(OSError, match="Read-only"):
        (root / "etc/new").write_text("x")
    assert not (root / "etc/gone").exists()
    archive = tmp_path / "all.tar"
    subprocess.run(["tar", "--numeric-owner", "-C", where, "-cf", archive, "."], check=True)
    with tarfile.open(archive) as tar:
        assert len(tar.getmembers()) == 611
        assert tar.getmember("./private").uid == 7
        assert tar.getmember("./etc/same").islnk() or tar.getmember("./etc/passwd").islnk()


def test_what_is_mounted_is_not_removed(pyrun: CommandLine, image: str) -> None:
    where = pyrun.ok("image", "mount", image)
    for verb in (("rmi", image), ("rmi", "-f", image)):
        assert f"it is mounted at {where}" in pyrun.fails(1, *verb)
    # Without its name it would be garbage: a tag that moves takes it.
    pyrun.ok("system", "prune", "-a", "-f")
    assert Path(where, "link").exists()
    listed = json.loads(pyrun.ok("image", "mount", "--format", "json"))
    assert [(row["mountpoint"], row["Repositories"]) for row in listed] == [(where, [image])]
    # A program has its working directory there.
    with subprocess.Popen(["sleep", "1000"], cwd=where) as busy:
        assert "a program uses it" in pyrun.fails(1, "image", "unmount", image)
        assert len(pyrun.ok("image", "unmount", "--force", image)) == 64
        busy.kill()
    assert not os.path.exists(where)
    assert "it is not mounted" in pyrun.fails(1, "image", "unmount", image)
    pyrun.ok("rmi", image)


@pytest.mark.parametrize("also_fusermount", [False, True])
def test_a_killed_helper_leaves_nothing_that_blocks(pyrun: CommandLine, image: str, also_fusermount: bool) -> None:
    before = _served()
    where = pyrun.ok("image", "mount", image)
    new = {name: pid for pid, name in _served().items() if pid not in before}
    fusermount, helper = new["fusermount3"], new["pyrun-tree"]
    if also_fusermount:
        os.kill(fusermount, signal.SIGKILL)
        wait_pid(fusermount)
    os.kill(helper, signal.SIGKILL)
    wait_pid(helper)
    wait_pid(fusermount)
    assert pyrun.ok("image", "mount") == ""
    again = pyrun.ok("image", "mount", image)
    assert again != where
    assert Path(again, "etc/passwd").exists()
    assert not os.path.lexists(where)
    pyrun.ok("image", "unmount", image)
    pyrun.ok("rmi", image)


def test_without_fuse_a_copy(pyrun: CommandLine, image: str) -> None:
    copied = pyrun("image", "mount", image, environment={"PYRUN_ROOTFS": "copy"})
    assert copied.returncode == 0
    assert "the image was copied; owners and devices are not the image's" in copied.stderr
    root = Path(copied.stdout.strip())
    assert (root / "private/secret").read_text() == "closed"
    assert (root / "private/secret").stat().st_uid == os.geteuid()
    assert sorted(os.listdir(root / "etc")) == ["capable", "passwd", "same"]
    assert "it is mounted at" in pyrun.fails(1, "rmi", image)
    # As after a reboot.
    record = root.parent / "mount.json"
    words = json.loads(record.read_text())
    machine, _, rest = words["made"].split("-", 2)
    record.write_text(json.dumps({**words, "made": f"{machine}-{'0' * 12}-{rest}"}))
    assert pyrun.ok("image", "mount") == ""
    pyrun.ok("rmi", image)
    assert not root.exists()


def test_what_is_not_an_image(pyrun: CommandLine, image: str) -> None:
    assert "no such image: nobody" in pyrun.fails(1, "image", "mount", "nobody")
    assert "unknown --format" in pyrun.fails(1, "image", "mount", "--format", "xml")
    assert "may not pass any image names" in pyrun.fails(1, "image", "mount", "--all", image)
    assert "name the images" in pyrun.fails(1, "image", "unmount")
    assert pyrun.ok("image", "mount") == ""
    assert len(pyrun.ok("image", "mount", "--all").split("\n")) == 1
