"""What a test may require of the machine: one vocabulary, each word answered by trying.

`@requires("userns", "overlay")` skips a test whose machine lacks something, and names it. The environment variable
PYRUN_MUST lists what a machine has promised: there the skip is a failure.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent.parent

requires = pytest.mark.requires

_PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def command(name: str) -> str | None:
    """Return the path of a program; runc and friends are in sbin, which an ordinary user's PATH leaves out."""
    return shutil.which(name, path=_PATH)


def _succeeds(*argv: str) -> str:
    """Return "" if the command succeeds, else what it said."""
    if command(argv[0]) is None:
        return f"no {argv[0]}"
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"{argv[0]}: exit code {done.returncode}"])[-1]


def _opens(path: str) -> str:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return str(error)
    return ""


def _program(*names: str) -> Callable[[], str]:
    def look() -> str:
        missing = [name for name in names if command(name) is None]
        return f"not installed: {', '.join(missing)}" if missing else ""

    return look


def _overlay() -> str:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{directory}/{name}")
        options = f"lowerdir={directory}/lower,upperdir={directory}/upper,workdir={directory}/work,userxattr"
        # The kernel makes work/work with mode 0: only a namespace's root may remove it again.
        script = f"mount -t overlay none -o {options} {directory}/merged && umount {directory}/merged"
        return _succeeds("unshare", "-Urm", "sh", "-c", f"{script}; s=$?; rm -rf {directory}/work/work; exit $s")


def _small_disk() -> str:
    """A tmpfs whose files may have attributes of users (since 6.6), as overlay wants of an upper directory."""
    script = "cd /mnt && mkdir lower upper work merged && mount -t overlay none -o $0 merged && touch merged/x"
    options = "lowerdir=lower,upperdir=upper,workdir=work,userxattr"
    mounts = f"mount -t tmpfs none /mnt && {script}"
    return _succeeds("unshare", "--map-root-user", "--map-auto", "-m", "sh", "-c", mounts, options)


def _cgroup() -> str:
    """A pure cgroup2 in which this user may make groups."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        lines = file.read().splitlines()
    if len(lines) != 1 or not lines[0].startswith("0::"):
        return "not a pure cgroup2"
    parent = os.path.dirname("/sys/fs/cgroup" + lines[0][3:].rstrip("/"))
    return "" if os.access(parent, os.W_OK) else f"{parent} is not delegated to this user"


def _freezer() -> str:
    """Whether this user may make groups of cgroup2 below the one that he is in."""
    group = own_group()
    if not os.path.exists(f"{group}/cgroup.freeze"):
        return "no cgroup2 on /sys/fs/cgroup"
    return "" if os.access(group, os.W_OK) else f"{group} is not delegated to this user"


def own_group() -> str:
    """Return the directory of this process's group of cgroup2."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        path = next((line[3:] for line in file.read().splitlines() if line.startswith("0::")), "")
    return "/sys/fs/cgroup" + path.rstrip("/")


def _sanitizers() -> str:
    return "" if (ROOT / "build/sanitize/pyrun-tree").exists() else "run scripts/dev-build --sanitize"


def _imports(module: str) -> Callable[[], str]:
    return lambda: _succeeds(sys.executable, "-c", f"import {module}")


VOCABULARY: dict[str, Callable[[], str]] = {
    "userns": lambda: _succeeds("unshare", "-Ur", "true"),
    "subids": lambda: _succeeds("unshare", "--map-root-user", "--map-auto", "true"),
    "overlay": _overlay,
    "small-disk": _small_disk,
    "cgroup": _cgroup,
    "freezer": _freezer,
    "seccomp": _imports("pyrun._seccomp"),
    "native": _imports("pyrun._native"),
    "prctl": _imports("prctl"),
    "sanitizers": _sanitizers,
    "tun": lambda: _opens("/dev/net/tun"),
    "fuse": lambda: _opens("/dev/fuse"),
    "root": lambda: "" if os.geteuid() == 0 else "not root",
    "unprivileged": lambda: "" if os.geteuid() != 0 else "root",
    "registry": _program("docker-registry"),
    "busybox": lambda: "" if os.path.exists("/bin/busybox") else "no static /bin/busybox",
    "tar": _program("tar"),
    "gcc": _program("gcc"),
    "atheris": _imports("atheris"),
    **{
        name: _program(name)
        for name in (
            "podman", "buildah", "crun", "runc", "skopeo", "umoci", "bwrap", "strace", "mmdebstrap", "pasta",
            "slirp4netns", "fuse-overlayfs", "newuidmap", "setfattr", "setcap", "git", "ip", "dpkg-deb",
            "afl-fuzz",
        )
    },
}  # fmt: skip


@functools.cache
def missing(feature: str) -> str:
    """Return why `feature` is not to be had here, or ""."""
    return VOCABULARY[feature]()


def promised() -> frozenset[str]:
    """Return the features of PYRUN_MUST."""
    return frozenset(filter(None, os.environ.get("PYRUN_MUST", "").replace(" ", "").split(",")))


def check(*features: str) -> None:
    """Skip the running test if a feature is missing; fail it if the feature was promised."""
    for feature in features:
        if feature not in VOCABULARY:
            pytest.fail(f"no feature {feature!r} in the vocabulary of tests/support/features.py", pytrace=False)
        reason = missing(feature)
        if reason and feature in promised():
            pytest.fail(f"PYRUN_MUST promises {feature}: {reason}", pytrace=False)
        if reason:
            pytest.skip(f"needs {feature}: {reason}")
