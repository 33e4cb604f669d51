"""Whiteouts as devices, and as files with an attribute where a file system refuses the device: all see the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyrun.layers.lowerdir import TREE
from pyrun.layers.view import View
from tests.support import tar_build as tar
from tests.support.features import ROOT, requires
from tests.support.tar_tree import Result, program, unpack

pytestmark = requires("userns", "overlay")

LACKING = [sys.executable, f"{ROOT}/tests/support/no_syscall.py", "mknodat=EPERM", "--"]
WAYS = pytest.mark.parametrize("wrap", [(), LACKING], ids=["device", "attribute"])

LOW = (
    *(tar.directory(name) for name in (b"d", b"e", b"f", b"g")),
    *(tar.file(name, b"low") for name in (b"d/x", b"d/y", b"e/z", b"e/v", b"f/w", b"g/u", b"gone", b"stays")),
)
HIGH = (
    tar.file(b".wh.gone"),
    tar.file(b"d/.wh.x"),
    tar.file(b"e/.wh.z"),  # before it is known that the directory is opaque
    tar.file(b"e/.wh..wh..opq"),
    tar.file(b"e/new", b"new"),
    tar.file(b".wh.f"),
    tar.directory(b"f"),  # beside its whiteout: nothing of the lower one
    tar.file(b"g/.wh.u"),
    tar.file(b"g/u", b"new"),
    tar.file(b"empty"),
)
SEEN = ["d", "d/y", "e", "e/new", "empty", "f", "g", "g/u", "stays"]


@pytest.fixture
def base() -> object:
    import shutil
    import tempfile

    # A disk: overlay wants user xattrs, which tmpfs has since 6.6 only.
    path = Path(tempfile.mkdtemp(prefix="pyrun-kernel-", dir="/var/tmp"))
    yield path
    subprocess.run(["unshare", "-r", "rm", "-rf", str(path)], check=False)
    shutil.rmtree(path, ignore_errors=True)


def layer(base: Path, name: str, *members: bytes, wrap: tuple[str, ...] | list[str] = ()) -> Result:
    (base / name / TREE).mkdir(parents=True)
    os.chmod(base / name / TREE, 0o755)
    return unpack(b"".join(members) + tar.END, str(base / name / TREE), form="flat", wrap=wrap)


def layers(base: Path, wrap: tuple[str, ...] | list[str]) -> list[str]:
    assert layer(base, "low", *LOW).status == 0
    result = layer(base, "high", *HIGH, wrap=wrap)
    assert result.status == 0, result.reason
    assert result.report.number("whiteouts") == 5
    assert result.report.number("marked_whiteouts") == (5 if wrap else 0)
    return [str(base / "high" / TREE), str(base / "low" / TREE)]


@WAYS
def test_as_the_kernel_sees_them(base: Path, wrap: list[str]) -> None:
    lowers = layers(base, wrap)
    if wrap:
        version = tuple(int(word) for word in os.uname().release.split("-")[0].split(".")[:2])
        if version < (6, 7):
            pytest.skip("kernel older than 6.7")
    (base / "merged").mkdir()
    script = (
        f"mount -t overlay overlay -o ro,userxattr,lowerdir={':'.join(lowers)} {base}/merged && "
        f"cd {base}/merged && find . -mindepth 1 | sort && cat e/new g/u && ! cat gone d/x e/z e/v f/w"
    )
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*(f"./{name}" for name in SEEN), "newnew"]
    assert done.stderr.count("No such file") == 5, done.stderr


@WAYS
def test_as_the_view_sees_them(base: Path, wrap: list[str]) -> None:
    view = View(layers(base, wrap))
    found = []
    waiting = ["/"]
    while waiting:
        at = waiting.pop()
        for name in view.listdir(at) or []:
            path = f"{at.rstrip('/')}/{name}"
            found.append(path[1:])
            waiting += [path] if view.is_dir(path) else []
    assert sorted(found) == SEEN
    assert [view.read(path, 10) for path in ("/e/new", "/g/u", "/empty", "/gone")] == [b"new", b"new", b"", None]


@WAYS
def test_as_a_copied_tree(base: Path, wrap: list[str]) -> None:
    high, low = layers(base, wrap)
    target = base / "copy"
    target.mkdir()
    for source in (low, high):
        fds = [os.open(path, os.O_RDONLY) for path in (source, str(target))]
        subprocess.run(
            [program(), "copy", "--overlay", "--from-fd", str(fds[0]), "--to-fd", str(fds[1])], pass_fds=fds, check=True
        )
        for fd in fds:
            os.close(fd)
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*")) == SEEN
    assert not [path for path in target.rglob("*") if os.listxattr(path)]


def test_no_hard_link_to_a_whiteout(base: Path) -> None:
    result = layer(base, "bad", tar.file(b".wh.x"), tar.header(b"y", b"1", link=b"x"), wrap=LACKING)
    assert (result.status, result.error) == (1, "unsafe")
    assert "directory or a whiteout" in result.reason
