"""What pyrun does without a feature, and the command that would mend it.

It must not try anything itself except reading the knobs that explain a refusal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrun.linux import probe_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.linux.probe_calls import Outcome

PROGRAMS = ("newuidmap", "newgidmap", "getsubids", "pasta", "slirp4netns", "fuse-overlayfs")
# Knob: the value that forbids user namespaces, the value that allows them.
USERNS_KNOBS = {
    "kernel.unprivileged_userns_clone": (0, "1"),  # Debian's and Arch's patch
    "kernel.apparmor_restrict_unprivileged_userns": (1, "0"),  # Ubuntu since 23.10, AppArmor 4
    "user.max_user_namespaces": (0, "15000"),  # RHEL 7 shipped 0
}
_SINGLE = "the single-id map: the user alone is mapped, ownership is kept beside the files"

ORDER = (
    "user namespaces", "nested user namespace", "no_new_privs", "newuidmap", "newgidmap", "subordinate uids",
    "subordinate gids", "full id map", "mount namespace", "private mounts", "pid namespace", "ipc namespace",
    "network namespace", "uts namespace", "cgroup namespace", "time namespace", "overlay lowerdir+",
    "overlay userxattr", "overlay data-only layers", "idmapped mounts", "new mount API", "mount_setattr",
    "openat2", "clone3", "procfs", "sysfs", "mqueue", "devpts gid=5", "cgroup2 mount", "cgroup delegation",
    "freezer", "seccomp", "landlock", "session keyring", "/dev/net/tun", "/dev/fuse", "pasta", "slirp4netns",
    "fuse-overlayfs", "python-prctl",
)  # fmt: skip

_NEWER_KERNEL = "boot a kernel that has it: sudo apt install -t bookworm-backports linux-image-amd64"
# name: (what is used instead, the command that mends it)
_FIXED = {
    "nested user namespace": ("--userns=host only", "sudo sysctl -w user.max_user_namespaces=15000"),
    "no_new_privs": (
        _SINGLE,
        "start pyrun from a process without it: docker run --security-opt no-new-privileges=false",
    ),
    "newuidmap": (_SINGLE, "sudo apt install --reinstall uidmap"),
    "newgidmap": (_SINGLE, "sudo apt install --reinstall uidmap"),
    "time namespace": ("the host's clocks; time offsets are refused", _NEWER_KERNEL),
    "overlay lowerdir+": ("mount(2) with lowerdir=/proc/self/fd/N, up to 127 layers", _NEWER_KERNEL),
    "overlay data-only layers": ("a copy of the layer where another id map needs one", _NEWER_KERNEL),
    "idmapped mounts": ("ids are written into each layer's own form", ""),
    "new mount API": ("mount(2)", _NEWER_KERNEL),
    "mount_setattr": ("a remount of each mount by itself", _NEWER_KERNEL),
    "openat2": ("O_NOFOLLOW, one path component at a time", _NEWER_KERNEL),
    "clone3": ("clone(2)", _NEWER_KERNEL),
    "procfs": (
        "a bind of the present /proc",
        "docker run --security-opt systempaths=unconfined (for the outer container)",
    ),
    "sysfs": ("a read-only bind of the present /sys", ""),
    "mqueue": ("a tmpfs on /dev/mqueue", "sudo modprobe mqueue"),
    "cgroup2 mount": ("a bind of the present cgroup directory", "sudo mount -t cgroup2 none /sys/fs/cgroup"),
    "seccomp": ("nothing: containers are refused unless --security-opt seccomp=unconfined is given", ""),
    "landlock": ("nothing: pyrun does not depend on it", "add landlock to lsm= on the kernel command line"),
    "session keyring": (
        "the caller's keyring, as long as the filter forbids keyctl",
        "sudo sysctl -w kernel.keys.maxkeys=2000 kernel.keys.maxbytes=200000",
    ),
    "slirp4netns": ("pasta", "sudo apt install slirp4netns"),
    "pasta": ("slirp4netns", "sudo apt install passt"),
    "fuse-overlayfs": ("overlay of the kernel, else a copied tree", "sudo apt install fuse-overlayfs"),
    "python-prctl": ("/proc/self/status and plain prctl(2)", "sudo apt install libcap-dev && pip install python-prctl"),
}


def advice(name: str, outcomes: dict[str, Outcome]) -> tuple[str, str]:
    """Return (what is used instead, what would mend it); both empty for what is there."""
    ok, detail = outcomes[name]
    if ok:
        return "", ""
    special = _SPECIAL.get(name)
    if special is not None:
        return special(detail, outcomes)
    return _FIXED.get(name, ("", ""))


def _user_namespaces(detail: str, _outcomes: dict[str, Outcome]) -> tuple[str, str]:
    if detail.startswith("not tried"):
        return "", ""
    wrong = [
        f"{knob}={allowing}"
        for knob, (forbidding, allowing) in USERNS_KNOBS.items()
        if probe_host.sysctl(knob) == forbidding
    ]
    remedy = f"sudo sysctl -w {' '.join(wrong)}" if wrong else (
        "no knob of this kernel forbids it: a seccomp filter or LSM around this process does; inside docker:"
        " docker run --security-opt seccomp=unconfined"
    )  # fmt: skip
    return "nothing: without user namespaces only root can run containers", remedy


def _subordinate(_detail: str, outcomes: dict[str, Outcome]) -> tuple[str, str]:
    options = []
    for name, option, kind in (
        ("subordinate uids", "--add-subuids", "subuid"),
        ("subordinate gids", "--add-subgids", "subgid"),
    ):
        if not outcomes[name][0]:
            first = free_range(kind)
            options.append(f"{option} {first}-{first + 65535}")
    return _SINGLE, f"sudo usermod {' '.join(options)} {probe_host.user_name()}"


def free_range(kind: str) -> int:
    """Return the first id above every range that anybody has (and not below 100000, useradd's own first)."""
    highest = 100000
    try:
        with open(f"/etc/{kind}", encoding="utf-8") as file:
            for line in file:
                entry = line.strip().split(":")
                if len(entry) == 3 and entry[1].isdigit() and entry[2].isdigit():
                    highest = max(highest, int(entry[1]) + int(entry[2]))
    except FileNotFoundError:
        return highest
    return highest


def _full_map(_detail: str, outcomes: dict[str, Outcome]) -> tuple[str, str]:
    """Name the first cause that has a remedy of its own."""
    for cause in ("user namespaces", "newuidmap", "newgidmap", "subordinate uids", "subordinate gids", "no_new_privs"):
        if cause in outcomes and not outcomes[cause][0]:
            return advice(cause, outcomes)
    return _SINGLE, ""


def _overlay(_detail: str, outcomes: dict[str, Outcome]) -> tuple[str, str]:
    if outcomes.get("overlay lowerdir+", (False, ""))[0]:
        return "fsconfig lowerdir+", ""
    if outcomes["fuse-overlayfs"][0] and outcomes.get("/dev/fuse", (False, ""))[0]:
        return "fuse-overlayfs", "put the store on ext4, xfs, btrfs or tmpfs: pyrun --root DIRECTORY"
    return "a copied tree for each container", "sudo apt install fuse-overlayfs"


def _devpts(_detail: str, outcomes: dict[str, Outcome]) -> tuple[str, str]:
    remedy = advice("full id map", outcomes)[1] if "full id map" in outcomes else ""
    return "devpts without gid=5: terminals belong to the user's group", remedy


def _tun(detail: str, _outcomes: dict[str, Outcome]) -> tuple[str, str]:
    if not os.path.exists("/dev/net/tun"):
        mend = "sudo modprobe tun (inside docker: docker run --device /dev/net/tun)"
    elif "denied" in detail.lower():
        mend = "sudo chmod 0666 /dev/net/tun"
    else:
        mend = "sudo modprobe tun"
    return "--network none or host: neither pasta nor slirp4netns works without it", mend


def _fuse(detail: str, _outcomes: dict[str, Outcome]) -> tuple[str, str]:
    mend = "sudo chmod 0666 /dev/fuse" if "denied" in detail.lower() else "sudo modprobe fuse"
    return "overlay of the kernel, else a copied tree", mend


def _cgroup(detail: str, _outcomes: dict[str, Outcome]) -> tuple[str, str]:
    user = probe_host.user_name()
    if "no controllers" in detail:
        # A cgroup hands on what its parent's subtree_control names (cgroup-v2.rst "Enabling and Disabling").
        parent = os.path.dirname("/sys/fs/cgroup" + detail.partition(":")[0].rstrip("/"))
        mend = f"sudo sh -c 'echo +cpu +memory +pids > {parent}/cgroup.subtree_control' (first in those above it)"
    elif os.path.isdir("/run/systemd/system"):
        mend = (
            "systemd-run --user --scope -p Delegate=yes pyrun …"
            if os.path.exists(f"/run/user/{os.getuid()}/bus")
            else f"sudo loginctl enable-linger {user}"
        )
    else:
        directory = f"/sys/fs/cgroup/{user}"
        mend = f"sudo sh -c 'mkdir -p {directory} && chown -R {os.getuid()} {directory}'"
    return "no limits of memory, cpu and pids; rlimits still hold", mend


def _freezer(_detail: str, outcomes: dict[str, Outcome]) -> tuple[str, str]:
    mend = advice("cgroup delegation", outcomes)[1] if "cgroup delegation" in outcomes else ""
    return "`pause` sends SIGSTOP to each process: one that has armed a timer with SIGCONT continues itself", mend


_SPECIAL: dict[str, Callable[[str, dict[str, Outcome]], tuple[str, str]]] = {
    "user namespaces": _user_namespaces,
    "subordinate uids": _subordinate,
    "subordinate gids": _subordinate,
    "full id map": _full_map,
    "overlay userxattr": _overlay,
    "devpts gid=5": _devpts,
    "/dev/net/tun": _tun,
    "/dev/fuse": _fuse,
    "cgroup delegation": _cgroup,
    "freezer": _freezer,
}
