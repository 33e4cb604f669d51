"""pyrun-tree for tests: what was built from the sources beside it, or is built now where they are newer."""

from __future__ import annotations

import functools
import glob
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

from pyrun.layers import pyrun_tree
from pyrun.runtime import launch

NATIVE = os.path.join(os.path.dirname(__file__), "../../native")
_STATIC = ["-static", "-O2"]
_SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def program(*, sanitized: bool = False) -> str:
    """Return the path of a build of native/tree, which links native/plan."""
    return _program(sanitized or "PYRUN_TEST_LIBEXEC" in os.environ)  # kernel/test_sanitized.py


@functools.cache
def _program(sanitized: bool) -> str:
    directory = tempfile.mkdtemp(prefix="pyrun-tree-")
    os.chmod(directory, 0o755)
    built = f"{directory}/pyrun-tree"
    sources = sorted([*glob.glob(f"{NATIVE}/tree/*.c"), *glob.glob(f"{NATIVE}/plan/*.c")])
    headers = glob.glob(f"{NATIVE}/**/*.h", recursive=True)
    ready = f"{NATIVE}/../build/sanitize/pyrun-tree" if sanitized else f"{launch.LIBEXEC}/pyrun-tree"
    if os.path.exists(ready) and all(
        os.stat(ready).st_mtime_ns > os.stat(name).st_mtime_ns for name in sources + headers
    ):
        shutil.copy(ready, built)  # other users of a test's namespaces may not reach it where it is
        return built
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", *(_SANITIZED if sanitized else _STATIC)]
    subprocess.run(["gcc", *flags, *sources, "-o", built], check=True)
    return built


class Result:
    """How one run ended."""

    def __init__(self, status: int, report: pyrun_tree.Report, stderr: str) -> None:
        self.status = status
        self.report = report
        self.stderr = stderr

    @property
    def error(self) -> str:
        return self.report.text("error")

    @property
    def entry(self) -> str:
        return self.report.text("entry")

    @property
    def reason(self) -> str:
        return self.report.text("reason")


def unpack(tar: bytes, dest: str, *options: str, form: str = "full", sanitized: bool = False,
           sidecar: str | None = None, wrap: Sequence[str] = ()) -> Result:  # fmt: skip
    """Run the verb on an archive in memory."""
    dest_fd = os.open(dest, os.O_RDONLY | os.O_DIRECTORY)
    side = os.open(sidecar or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    read_end, write_end = os.pipe()
    try:
        argv = [*wrap, program(sanitized=sanitized), "unpack", "--dest-fd", str(dest_fd), "--form", form,
                "--sidecar-fd", str(side), "--report-fd", str(write_end), *options]  # fmt: skip
        done = subprocess.run(argv, input=tar, capture_output=True, pass_fds=[dest_fd, side, write_end], check=False)
    finally:
        os.close(write_end)
        os.close(dest_fd)
        os.close(side)
    report = pyrun_tree.read_report(read_end)
    os.close(read_end)
    return Result(done.returncode, report, done.stderr.decode(errors="replace"))


def verify(
    tar: bytes, dest: str, *options: str, form: str = "full", sanitized: bool = False, sidecar: str | None = None
) -> list[str]:
    """Compare a tree, and its sidecar if that is given, with an archive; return what differs, ``PATH: WHAT``."""
    dest_fd = os.open(dest, os.O_PATH | os.O_DIRECTORY)
    wanted = os.memfd_create("wanted")
    try:
        argv = [program(sanitized=sanitized), "verify", "--dest-fd", str(dest_fd), "--form", form,
                "--sidecar-fd", str(wanted), *options]  # fmt: skip
        done = subprocess.run(argv, input=tar, capture_output=True, pass_fds=[dest_fd, wanted], check=False)
        beside = os.pread(wanted, 1 << 24, 0)
    finally:
        os.close(dest_fd)
        os.close(wanted)
    if done.returncode:
        return [done.stderr.decode(errors="replace")]
    words = done.stdout.decode(errors="surrogateescape").split("\0")
    found = [f"{path}: {what}" for path, what in zip(words[:-1:2], words[1::2], strict=True)]
    if sidecar is not None:
        with open(sidecar, "rb") as file:
            there = file.read()
        found += [] if there == beside else [f"sidecar: {there!r}, not {beside!r}"]
    return found


def snapshot(root: str, *, content: bool = True, directory_links: bool = False) -> dict[str, tuple[object, ...]]:
    """Describe every entry: type and mode, owner, size, mtime, link count, device, link target, xattrs, digest."""
    found: dict[str, tuple[object, ...]] = {}
    for parent, directories, files in os.walk(root):
        for name in [*directories, *files, *([""] if parent == root else [])]:
            path = os.path.join(parent, name)
            state = os.lstat(path)
            is_directory = os.path.isdir(path) and not os.path.islink(path)
            link = os.readlink(path) if os.path.islink(path) else ""
            xattrs = {
                key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
            }
            digest = ""
            if content and os.path.isfile(path) and not link and state.st_size < 1 << 26:
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
            found[os.path.relpath(path, root)] = (
                oct(state.st_mode), state.st_uid, state.st_gid, 0 if is_directory else state.st_size, state.st_mtime_ns,
                0 if is_directory and not directory_links else state.st_nlink, state.st_rdev, link, xattrs, digest,
            )  # fmt: skip
    return found
