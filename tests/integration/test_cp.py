"""`cp`, both ways, on running and stopped containers, on every kind of root file system."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.boxes import Box

pytestmark = requires("userns", "overlay")

SETUP = """
mkdir -p /d/sub /srv; echo one >/d/one; echo two >/d/sub/two; chmod 640 /d/one; chmod 1777 /d/sub
ln -s /d /absolute; ln -s d/sub relative; ln -s one /d/link; ln -s nowhere /broken; ln /d/one /d/again
mkfifo /d/fifo; echo t >/memory/file; echo v >/volume/file; echo ready; exec sleep 1000
"""
WAYS = [
    "overlay", pytest.param("fuse", marks=requires("fuse", "fuse-overlayfs")), "copy", "flat",
    *(pytest.param(mode, marks=requires("subids", "unprivileged")) for mode in ("nomap", "keep-id")),
]  # fmt: skip


@pytest.fixture(params=WAYS)
def way(box: Box, request: pytest.FixtureRequest) -> str:
    """How the root file system is made: the command line is told by its environment, a container remembers."""
    if request.param == "flat":
        box.pyrun.environment["PYRUN_SINGLE_ID"] = "1"
    elif request.param in ("overlay", "fuse", "copy"):
        box.pyrun.environment["PYRUN_ROOTFS"] = request.param
    way: str = request.param
    return way


@pytest.fixture(params=["running", "stopped"])
def con(box: Box, way: str, request: pytest.FixtureRequest) -> str:
    """A container with something of everything, in a state."""
    ids = ("-u", "0", "--userns", way) if way in ("nomap", "keep-id") else ()
    box.start("con", *ids, "-v", "kept:/volume", "--tmpfs", "/memory", command=("sh", "-c", SETUP))
    wait_for_line(box, "con", "ready")
    if request.param == "stopped":
        box.pyrun.ok("stop", "-t", "0", "con")
    state: str = request.param
    return state


def wait_for_line(box: Box, name: str, line: str) -> None:
    process = box.pyrun.popen("logs", "-f", name, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as stream:
        assert any(text.decode().strip() == line for text in stream)
    process.kill()
    process.wait()


def listing(box: Box, path: str, *options: str) -> dict[str, tarfile.TarInfo]:
    """Return what `cp PATH -` sends, by name."""
    done = subprocess.run(
        [*box.pyrun.program, "cp", *options, f"con:{path}", "-"], env=box.pyrun.environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        return {member.name: member for member in tar}


def tree(path: Path) -> dict[str, str]:
    """Return files and their content, links and their targets, directories."""
    found = {}
    for one in sorted(path.rglob("*")):
        name = str(one.relative_to(path))
        found[name] = f"-> {os.readlink(one)}" if one.is_symlink() else one.read_text() if one.is_file() else "."
    return found


def test_out_and_in_again(box: Box, con: str, tmp_path: Path) -> None:
    box.pyrun.ok("cp", "con:/d", str(tmp_path / "out"))
    expected = {"again": "one\n", "fifo": ".", "link": "-> one", "one": "one\n", "sub": ".", "sub/two": "two\n"}
    assert tree(tmp_path / "out") == expected
    assert (tmp_path / "out" / "one").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "out" / "sub").stat().st_mode & 0o7777 == 0o1777
    assert (tmp_path / "out" / "one").stat().st_nlink == 2
    assert (tmp_path / "out" / "one").stat().st_uid == os.geteuid()
    box.pyrun.ok("cp", str(tmp_path / "out"), "con:/srv/back")
    box.pyrun.ok("cp", "con:/srv/back", str(tmp_path / "again"))
    assert tree(tmp_path / "again") == expected
    assert (tmp_path / "again" / "one").stat().st_mtime_ns == (tmp_path / "out" / "one").stat().st_mtime_ns


def test_what_is_mounted(box: Box, con: str, tmp_path: Path) -> None:
    """Volumes are there in both states; memory only while somebody has it; what the runtime mounts never is."""
    (tmp_path / "new").write_text("new\n")
    box.pyrun.ok("cp", str(tmp_path / "new"), "con:/volume/")
    assert sorted(listing(box, "/volume")) == ["volume", "volume/file", "volume/new"]
    assert sorted(listing(box, "/memory")) == (["memory", "memory/file"] if con == "running" else ["memory"])
    assert "could not find the file /proc/self" in box.pyrun.fails(1, "cp", "con:/proc/self", "-")
    whole = listing(box, "/")
    assert "./volume/new" in whole
    assert not [name for name in whole if name.startswith(("./proc/", "./sys/", "./dev/"))]
    box.pyrun.ok("cp", "con:/etc/hosts", str(tmp_path / "hosts"))
    assert "localhost" in (tmp_path / "hosts").read_text()


def test_owners(box: Box, con: str, way: str, tmp_path: Path) -> None:
    """Into a container: its root's, with -a the caller's numbers; a single-id map knows but one owner."""
    (tmp_path / "file").write_text("x")
    box.pyrun.ok("cp", str(tmp_path / "file"), "con:/srv/plain")
    box.pyrun.ok("cp", "-a", str(tmp_path / "file"), "con:/srv/same")
    found = listing(box, "/srv/.")
    numbers = (0, 0) if way == "flat" else (os.geteuid(), os.getegid())
    assert (found["./plain"].uid, found["./plain"].gid) == (0, 0)
    assert (found["./same"].uid, found["./same"].gid) == numbers


@pytest.mark.parametrize("con", ["running"], indirect=True)
@pytest.mark.parametrize("way", ["overlay"], indirect=True)
class TestNames:
    """Docker's rules for slashes and links."""

    def test_archives(self, box: Box, con: str) -> None:
        assert sorted(listing(box, "/d/sub")) == ["sub", "sub/two"]
        assert sorted(listing(box, "/d/sub/")) == ["sub", "sub/two"]
        assert sorted(listing(box, "/d/sub/.")) == [".", "./two"]
        assert sorted(listing(box, "d/../d/sub")) == ["sub", "sub/two"]
        assert listing(box, "/relative")["relative"].linkname == "d/sub"
        assert sorted(listing(box, "/relative/")) == ["relative", "relative/two"]
        assert sorted(listing(box, "/absolute/sub")) == ["sub", "sub/two"]
        assert sorted(listing(box, "/relative", "-L")) == ["relative", "relative/two"]
        assert listing(box, "/d/link", "-L")["link"].isreg()
        assert listing(box, "/broken")["broken"].issym()

    def test_out(self, box: Box, con: str, tmp_path: Path) -> None:
        (tmp_path / "dir").mkdir()
        (tmp_path / "link").symlink_to("dir")
        (tmp_path / "file").write_text("old")
        (tmp_path / "dangling").symlink_to("made")
        box.pyrun.ok("cp", "con:/d/sub", str(tmp_path / "link"))
        box.pyrun.ok("cp", "con:/d/one", str(tmp_path / "dir") + "/")
        box.pyrun.ok("cp", "con:/d/one", str(tmp_path / "file"))
        box.pyrun.ok("cp", "con:/d/one", str(tmp_path / "dangling"))
        box.pyrun.ok("cp", "con:/d/sub/.", str(tmp_path / "dir"))
        assert tree(tmp_path) == {
            "dangling": "-> made", "made": "one\n", "dir": ".", "dir/one": "one\n", "dir/sub": ".",
            "dir/sub/two": "two\n", "dir/two": "two\n", "file": "one\n", "link": "-> dir",
        }  # fmt: skip

    def test_into(self, box: Box, con: str, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("f\n")
        (tmp_path / "l").symlink_to("f")
        sh = ("exec", "con", "sh", "-c")
        box.pyrun.ok("cp", str(tmp_path / "f"), "con:/relative")
        box.pyrun.ok("cp", str(tmp_path / "f"), "con:/d/link")
        box.pyrun.ok("cp", str(tmp_path / "l"), "con:/srv")
        box.pyrun.ok("cp", "-L", str(tmp_path / "l"), "con:/srv/followed")
        box.pyrun.ok("cp", str(tmp_path / "f"), "con:/broken")
        look = "cat /d/sub/f /d/one /srv/followed /nowhere; for l in /d/link /srv/l /broken; do readlink $l; done"
        assert box.pyrun.ok(*sh, look) == "f\nf\nf\nf\none\nf\nnowhere"

    def test_refusals(self, box: Box, con: str, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("f\n")
        (tmp_path / "dir" / "one").mkdir(parents=True)
        file, directory = str(tmp_path / "f"), str(tmp_path / "dir")
        for words, expected in [
            (("con:/none", file), "could not find the file /none in container con"),
            (("con:/d/one/", file), "not a directory"),
            (("con:/d/one/x", file), "could not find the file /d/one/x"),
            (("con:/d", file), "cannot copy directory"),
            (("con:/d/one", "/nosuch/x"), 'invalid output path: directory "/nosuch" does not exist'),
            (("con:/d/one", "/dev/null"), '"/dev/null" must be a directory or a regular file'),
            (("con:/d/one", str(tmp_path / "x") + "/"), "no such directory"),
            ((file, "con:/none/x"), "could not find the file /none in container con"),
            ((file, "con:/none/"), "no such directory"),
            ((file, "con:/d/fifo"), 'destination "con:/d/fifo" must be a directory or a regular file'),
            ((directory, "con:/d/one"), "cannot copy directory"),
            ((directory + "/.", "con:/d"), "cannot overwrite non-directory with directory"),
            ((file + "/", "con:/d"), "not a directory"),
            (("/nosuch", "con:/d"), "no such file or directory"),
            (("con:/d", "con:/srv"), "copying between containers is not supported"),
            ((file, directory), "must specify at least one container source"),
            ((file, "con:"), "path cannot be empty"),
            ((file, "nobody:/x"), "no such container: nobody"),
        ]:
            assert expected in box.pyrun.fails(1, "cp", *words), words
        (tmp_path / "two").mkdir()
        assert "cannot overwrite directory with non-directory" in box.pyrun.fails(
            1, "cp", "con:/d/sub/two", str(tmp_path)
        )

    def test_a_stream_into_it(self, box: Box, con: str, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("f\n")
        for flags in ("-c", "-cz"):
            archive = subprocess.run(["tar", flags, "-C", str(tmp_path), "f"], capture_output=True, check=True).stdout
            words = [*box.pyrun.program, "cp", "-", "con:/srv"]
            subprocess.run(words, input=archive, env=box.pyrun.environment, check=True)
            assert box.pyrun.ok("exec", "con", "sh", "-c", "cat /srv/f; stat -c %u /srv/f; rm /srv/f") == "f\n0"
        assert 'destination "con:/d/one" must be a directory' in box.pyrun.fails(1, "cp", "-", "con:/d/one", input="")
        assert "cannot copy to con:/srv" in box.pyrun.fails(1, "cp", "-", "con:/srv", input="no archive" * 100)

    def test_summary(self, box: Box, con: str, tmp_path: Path) -> None:
        assert box.pyrun("cp", "con:/d/one", str(tmp_path / "x")).stderr == ""
        said = box.pyrun("cp", "--quiet=false", "con:/d/one", str(tmp_path / "x"))
        assert said.stderr == f"Successfully copied 4B (transferred 3.07kB) to {tmp_path}/x\n"
        said = box.pyrun("cp", "--quiet=false", str(tmp_path / "x"), "con:/srv")
        assert said.stderr == "Successfully copied 4B (transferred 3.07kB) to con:/srv\n"


@pytest.mark.parametrize("state", ["running", "created"])
def test_what_is_read_only(box: Box, tmp_path: Path, state: str) -> None:
    (tmp_path / "f").write_text("f\n")
    verb = ("run", "-d") if state == "running" else ("create",)
    volumes = ("-v", "rw:/rw", "-v", "ro:/ro:ro", "--tmpfs", "/tmp")
    box.pyrun.ok(*verb, "--network", "none", "--name", "con", "--read-only", *volumes, box.image, "sleep", "1000")
    assert "container rootfs is marked read-only" in box.pyrun.fails(1, "cp", str(tmp_path / "f"), "con:/etc/f")
    assert "mounted volume is marked read-only: /ro" in box.pyrun.fails(1, "cp", str(tmp_path / "f"), "con:/ro/f")
    box.pyrun.ok("cp", str(tmp_path / "f"), "con:/rw/f")
    box.pyrun.ok("cp", "con:/rw/f", str(tmp_path / "back"))
    if state == "running":
        box.pyrun.ok("cp", str(tmp_path / "f"), "con:/tmp/f")
        assert box.pyrun.ok("exec", "con", "cat", "/tmp/f", "/rw/f") == "f\nf"


def test_a_container_that_never_ran(box: Box, tmp_path: Path) -> None:
    """A configuration is put into it before the first start: the reason why many use `create` and `cp`."""
    (tmp_path / "motd").write_text("hello\n")
    for options in ((), ("--rm",)):
        created = ("create", "--network", "none", "--name", "con", *options, box.image, "cat", "/etc/motd")
        box.pyrun.ok(*created)
        box.pyrun.ok("cp", str(tmp_path / "motd"), "con:/etc")
        assert box.pyrun.ok("start", "-a", "con") == "hello"
        box.pyrun("rm", "-f", "con")


@requires("unprivileged")
def test_the_first_container_ends_before_the_copy(box: Box, tmp_path: Path) -> None:
    """The engine namespace is found by the process that made it; who stays in it must be found all the same."""
    box.start("first")
    box.start("second", command=("sh", "-c", "echo x >/f; echo ready; exec sleep 1000"))
    wait_for_line(box, "second", "ready")
    box.pyrun.ok("rm", "-f", "first")
    box.pyrun.ok("cp", "second:/f", str(tmp_path / "f"))
    box.pyrun.ok("cp", str(tmp_path / "f"), "second:/g")
    assert box.pyrun.ok("exec", "second", "cat", "/g") == "x"


def test_a_start_waits_for_a_copy(box: Box, tmp_path: Path) -> None:
    """Two mounts of one upper directory must not be: while the archive is still coming, nobody starts it."""
    box.pyrun.ok("create", "--network", "none", "--name", "con", box.image, "cat", "/late")
    (tmp_path / "late").write_text("late\n")
    archive = subprocess.run(["tar", "-c", "-C", str(tmp_path), "late"], capture_output=True, check=True).stdout
    copy = box.pyrun.popen("cp", "-", "con:/", stdin=subprocess.PIPE)
    assert copy.stdin is not None
    copy.stdin.write(archive[:512])
    copy.stdin.flush()
    lock = box.pyrun.root / "containers" / box.inspect("con")["Id"] / "copying"
    while not lock.exists():
        os.sched_yield()
    start = box.pyrun.popen("start", "-a", "con", stdout=subprocess.PIPE)
    assert start.stdout is not None
    copy.stdin.write(archive[512:])
    copy.stdin.close()
    assert copy.wait(30) == 0
    assert start.stdout.read() == b"late\n"
    start.stdout.close()
    assert start.wait(30) == 0
