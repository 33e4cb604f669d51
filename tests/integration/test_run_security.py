"""`run`: what a container may do and see by default, and what the options change."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import push_layers
from tests.support.catalogue import busybox_layer
from tests.support.features import requires
from tests.support.images import directory, entry, layer, symlink

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.boxes import Box
    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "subids", "overlay", "seccomp")

# Docker's fourteen.
DEFAULT = 0x00000000A80425FB
NET_ADMIN, CHOWN = 1 << 12, 1 << 0


def status(box: Box, *options: str) -> dict[str, str]:
    lines = box.run(*options, command=("cat", "/proc/self/status")).split("\n")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def bounding(box: Box, *options: str) -> int:
    return int(status(box, *options)["CapBnd"], 16)


def test_capabilities(shared_box: Box) -> None:
    seen = status(shared_box)
    assert [int(seen[name], 16) for name in ("CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb")] == [
        DEFAULT, DEFAULT, DEFAULT, 0, 0,
    ]  # fmt: skip
    assert bounding(shared_box, "--cap-add", "NET_ADMIN", "--cap-drop=CHOWN") == (DEFAULT | NET_ADMIN) & ~CHOWN
    assert bounding(shared_box, "--cap-add", "cap_net_admin") == DEFAULT | NET_ADMIN
    assert bounding(shared_box, "--cap-drop", "ALL") == 0
    assert bounding(shared_box, "--cap-drop", "ALL", "--cap-add", "CHOWN") == CHOWN
    assert bounding(shared_box, "--cap-add", "ALL", "--cap-drop", "NET_ADMIN") & (NET_ADMIN | 1 << 21) == 1 << 21
    assert bounding(shared_box, "--privileged") & DEFAULT == DEFAULT
    assert bounding(shared_box, "--privileged") & (1 << 21)
    assert "NOSUCH" in shared_box.fails(125, "--cap-add", "NOSUCH")
    user = status(shared_box, "-u", "alice")
    assert [int(user[name], 16) for name in ("CapBnd", "CapPrm", "CapEff")] == [DEFAULT, 0, 0]


def test_signals_are_as_init_would_have_them(shared_box: Box) -> None:
    for options in ((), ("-t",), ("--init",)):
        seen = status(shared_box, *options)
        assert (int(seen["SigIgn"], 16), int(seen["SigBlk"], 16)) == (0, 0), options


def test_no_descriptor_but_three(shared_box: Box) -> None:
    # ls itself opens the directory: 3.
    assert shared_box.run(command=("ls", "/proc/self/fd")).split() == ["0", "1", "2", "3"]
    assert shared_box.run("-t", command=("ls", "/proc/self/fd")).split() == ["0", "1", "2", "3"]
    assert shared_box.sh("ls /proc/1/fd; true", "--init").split()[:3] == ["0", "1", "2"]


def test_seccomp(shared_box: Box, tmp_path: Path) -> None:
    assert status(shared_box)["Seccomp"] == "2"
    assert status(shared_box, "--security-opt", "seccomp=unconfined")["Seccomp"] == "0"
    assert status(shared_box, "--privileged")["Seccomp"] == "0"
    profile = tmp_path / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    option = ("--security-opt", f"seccomp={profile}")
    assert "Function not implemented" in shared_box.sh("mkdir /x 2>&1; true", *option)
    assert "/no/such" in shared_box.fails(125, "--security-opt", "seccomp=/no/such")
    profile.write_text("{")
    assert str(profile) in shared_box.fails(125, *option)
    # What the default profile forbids: a user namespace in the container.
    assert "Operation not permitted" in shared_box.sh("unshare -U true 2>&1; true")


def test_security_options(shared_box: Box) -> None:
    assert status(shared_box)["NoNewPrivs"] == "0"
    assert status(shared_box, "--security-opt", "no-new-privileges")["NoNewPrivs"] == "1"
    assert status(shared_box, "--security-opt=no-new-privileges=true", "-u", "alice")["NoNewPrivs"] == "1"
    assert 'invalid --security-opt: "what"' in shared_box.fails(125, "--security-opt", "what")
    assert "apparmor" in shared_box.fails(125, "--security-opt", "apparmor=mine")


def test_proc_and_sys(shared_box: Box) -> None:
    script = """
        for path in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do
            [ -e $path ] || continue
            [ "$(wc -c < $path)" = 0 ] && [ "$(stat -c %t:%T $path)" = 1:3 ] || echo $path is not masked
        done
        for path in /proc/acpi /proc/scsi /sys/firmware; do
            [ ! -e $path ] || [ -z "$(ls -A $path)" ] || echo $path is not masked
        done
        for path in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/x /proc/bus/x; do
            (echo > $path) 2>/dev/null && echo $path is writable
        done
        mkdir /sys/fs/cgroup/x 2>/dev/null && echo cgroup is writable
        (echo > /sys/kernel/uevent_helper) 2>/dev/null && echo sys is writable
        umount /proc/kcore 2>/dev/null && echo umounted
        true
    """
    assert shared_box.sh(script) == ""
    assert shared_box.sh("head -c 4 /proc/interrupts | wc -c", "--privileged") == "4"


def test_devices(shared_box: Box) -> None:
    names = "console core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split()
    plain = shared_box.sh("ls /dev").split()
    assert plain == [name for name in names if name != "console"]
    assert shared_box.sh("ls -1 /dev", "-t").split() == names
    script = "echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c; echo x > /dev/full; true"
    done = shared_box.pyrun("run", "--rm", "--network", "none", shared_box.image, "sh", "-c", script)
    assert done.stdout.split() == ["3", "5"]
    assert "No space left" in done.stderr
    # Neither a node of one's own, nor a mounted file system with one.
    assert "not permitted" in shared_box.sh("mknod /x b 8 0 2>&1; true")


def test_own_namespaces(shared_box: Box) -> None:
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    inside = shared_box.sh("for kind in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$kind; done").split()
    assert [text.partition(":")[0] for text in inside] == list(kinds)
    for kind, text in zip(kinds, inside, strict=True):
        assert text != os.readlink(f"/proc/self/ns/{kind}")
    pid, *groups = shared_box.sh("echo $$; cat /proc/self/cgroup").split("\n")
    assert pid == "1"
    assert all(line.endswith(":/") for line in groups), groups


def test_ulimits(shared_box: Box) -> None:
    options = ("--ulimit", "nofile=100:200", "--ulimit", "core=0")
    assert shared_box.sh("ulimit -n; ulimit -Hn; ulimit -c", *options).split() == ["100", "200", "0"]
    assert "ulimit" in shared_box.fails(125, "--ulimit", "nosuch=1")


@pytest.mark.parametrize("userns", ["host", None])
def test_user_namespace_maps_the_user_to_root(shared_box: Box, userns: str | None) -> None:
    options = ("--userns", userns) if userns else ()
    rows = [line.split() for line in shared_box.run(*options, command=("cat", "/proc/self/uid_map")).split("\n")]
    assert rows[0][0] == "0"
    assert rows[0][2] == "1"
    assert sum(int(row[2]) for row in rows) >= 65536


def test_keep_id(box: Box) -> None:
    host = box.pyrun.directory / "host"
    host.mkdir()
    uid, gid = os.geteuid(), os.getegid()
    script = "id -u; id -g; touch /mnt/mine; stat -c %u:%g /mnt /mnt/mine; stat -c %u:%g /bin/busybox /home/alice"
    seen = box.sh(script, "--userns=keep-id", "-v", f"{host}:/mnt").split()
    assert seen == [str(uid), str(gid), f"{uid}:{gid}", f"{uid}:{gid}", "0:0", "1000:1000"]
    assert (host / "mine").stat().st_uid == uid
    assert box.sh("id -u; touch /x && stat -c %u /x", "--userns=keep-id", "-u", "0").split() == ["0", "0"]
    assert "invalid --userns" in box.fails(125, "--userns=nonsense")


def test_a_directory_replaced_by_a_symlink_between_layers(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    """Neither the unpacker of the third layer nor the look for a user goes through the second's link to the host."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "passwd").write_text("alice:x:7:7::/:/bin/sh\n")
    layers = [
        busybox_layer(),
        layer([directory("d"), entry("d/old", b"x")]),
        layer([symlink("d", str(outside)), symlink("etc", str(outside))]),
        layer([entry("d/new", b"y")]),
    ]
    image = push_layers(registry, tmp_path, "turned", layers, {})
    assert pyrun.ok("run", "--rm", "--network", "none", image, "ls", "/d/") == "new"
    assert os.listdir(outside) == ["passwd"]
    assert "alice" in pyrun.fails(125, "run", "--rm", "--network", "none", "-u", "alice", image, "true")
