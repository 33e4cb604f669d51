"""The filters that podman and crun make, as crun leaves them in its status directory (seccomp.bpf)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any


def _run(*command: str, directory: Path | None = None) -> str:
    # Files, not pipes: the container's init inherits them and would keep a pipe open.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, timeout=60, check=False, cwd=directory
        ).returncode
        output.seek(0)
        errors.seek(0)
        if status:
            raise RuntimeError(f"{' '.join(command)}: {status}: {errors.read().strip()}")
        return output.read().strip()


def root_file_system(directory: Path) -> Path:
    """Make a directory that a container can start from: one static program."""
    busybox = shutil.which("busybox")
    assert busybox, "busybox-static is missing"
    (directory / "bin").mkdir(parents=True)
    shutil.copy(busybox, directory / "bin" / "busybox")
    for name in ("proc", "dev", "sys", "etc"):
        (directory / name).mkdir()
    return directory


def podman(root: Path, caps: list[str]) -> bytes:
    """Return the filter of a podman container with exactly these capabilities (["ALL"]: all)."""
    options = ["--cap-drop", "ALL", *(part for cap in caps for part in ("--cap-add", cap))]
    if caps == ["ALL"]:
        options = ["--cap-add", "ALL"]
    if os.getuid() == 0:
        options += ["--cgroups", "disabled"]
    create = ["podman", "create", "--network", "none", *options, "--rootfs", str(root), "/bin/busybox", "true"]
    name = _run(*create).splitlines()[-1]
    try:
        _run("podman", "init", name)
        # crun as root: /run/crun
        place = Path("/run/crun" if os.getuid() == 0 else os.environ["XDG_RUNTIME_DIR"] + "/crun")
        return (place / name / "seccomp.bpf").read_bytes()
    finally:
        _run("podman", "rm", "--force", name)


def crun(directory: Path, root: Path, seccomp: dict[str, Any]) -> bytes:
    """Return the filter that crun makes of a runtime-spec seccomp object."""
    bundle = directory / "bundle"
    bundle.mkdir(exist_ok=True)
    (bundle / "config.json").unlink(missing_ok=True)
    _run("crun", "spec", "--rootless", directory=bundle)
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"args": ["/bin/busybox", "true"], "terminal": False}
    config["root"] = {"path": str(root), "readonly": True}
    config["linux"]["seccomp"] = seccomp
    config["mounts"] = [mount for mount in config["mounts"] if mount["type"] in ("proc", "tmpfs")]
    (bundle / "config.json").write_text(json.dumps(config))
    state = directory / "state"
    base = ["crun", "--root", str(state), "--cgroup-manager", "disabled"]
    name = f"filter-{os.getpid()}"
    _run(*base, "create", "--bundle", str(bundle), name)
    try:
        return (state / name / "seccomp.bpf").read_bytes()
    finally:
        _run(*base, "delete", "--force", name)
