"""Each mount step, and each fallback, in real namespaces: what the container sees is what is asserted."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.errors import SyscallError
from pyrun.runtime import plan as plans
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.bundle import Bundle


def mounts(text: str) -> dict[str, tuple[str, str, str]]:
    """mountinfo → {mount point: (file system, mount options, super options)}; of several the topmost."""
    found = {}
    for line in text.splitlines():
        head, _, tail = line.partition(" - ")
        words, rest = head.split(), tail.split()
        found[words[4]] = (rest[0], words[5], rest[2])
    return found


def mounts_of(box: Bundle, **options: object) -> dict[str, tuple[str, str, str]]:
    result = box.run("cat", "/proc/self/mountinfo", **options)  # type: ignore[arg-type]
    assert result.code == 0, result
    return mounts(result.out)


def test_overlay_by_the_new_calls(box: Bundle) -> None:
    Path(box.lower, "etc/below").write_text("below")
    result = box.sh("cat /etc/below; echo above > /etc/above; rm /etc/passwd; grep ' / / ' /proc/self/mountinfo")
    assert result.code == 0, result
    assert result.out.startswith("below"), result
    # What fsconfig(2) was given is shown as it was given: one `lowerdir+` a layer.
    assert "lowerdir+=" in result.out, result
    assert ",userxattr" in result.out
    assert Path(box.directory, "upper/etc/above").read_text() == "above\n"
    assert not os.path.exists(box.directory + "/upper/etc/below")


@pytest.mark.parametrize("lacking", ["fsopen", "fsopen,fsconfig,fsmount,clone3"])
def test_overlay_by_mount_2_where_fsopen_is_missing(box: Bundle, lacking: str) -> None:
    box.lacking = lacking
    Path(box.lower, "etc/below").write_text("below")
    result = box.sh("cat /etc/below; echo above > /etc/above; grep ' / / ' /proc/self/mountinfo; touch /dev/shm/x")
    assert result.code == 0, result
    assert re.search(r"lowerdir=/proc/self/fd/\d+,", result.out), result
    assert Path(box.directory, "upper/etc/above").read_text() == "above\n"


def test_overlay_by_mount_2_takes_127_layers(box: Bundle) -> None:
    layers = [box.lower]
    for number in range(126):
        layers.append(f"{box.base}/layer-with-a-name-that-would-not-fit-into-one-page-of-options-{number}")
        os.mkdir(layers[-1])
        Path(layers[-1], "one").write_text(str(number))

    def old(plan: plans.Plan) -> None:
        (step,) = (step for step in plan.steps if step.op == plans.OP_OVERLAY)
        step.a |= plans.OVERLAY_OLD_API
        step.count = len(layers)
        step.strings = (step.strings[0], layers, *step.strings[2:])

    box.plan_changes = old
    assert box.run("cat", "/one").out == "0", "the highest layer wins"


def test_the_usual_mounts(box: Bundle) -> None:
    found = mounts_of(box)
    assert found["/proc"][0] == "proc"
    assert found["/dev"][0] == "tmpfs"
    assert found["/dev/pts"][0] == "devpts"
    assert found["/dev/mqueue"][0] == "mqueue"
    assert found["/sys"][:1] == ("sysfs",)
    assert found["/sys"][1].startswith("ro,")
    assert found["/sys/fs/cgroup"][0] == "cgroup2"
    assert found["/proc/sys"][1].startswith("ro,")
    for path in ("/proc", "/dev/pts", "/dev/mqueue", "/dev/shm"):
        assert "nosuid" in found[path][1], path


def test_nothing_of_the_host_is_mounted_but_devices(box: Bundle) -> None:
    result = box.run("cat", "/proc/self/mountinfo")
    host = {line.split()[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    shared = {line.split()[4] for line in result.out.splitlines() if line.split()[2] in host}
    assert all(
        path.startswith("/dev/") or path in ("/proc/kcore", "/proc/timer_list", "/sys/fs/cgroup") for path in shared
    )


def test_masked_paths_are_empty_and_cannot_be_written(box: Bundle) -> None:
    result = box.sh(
        "cat /proc/kcore | wc -c; ls -A /proc/acpi /sys/firmware | grep -v : | wc -w; touch /sys/firmware/x"
    )
    assert result.out.split() == ["0", "0"], result
    assert "Read-only" in result.err, result


def test_read_only_paths_cannot_be_written(box: Bundle) -> None:
    result = box.sh("echo x > /proc/sys/kernel/domainname")
    assert (result.code, result.out) == (1, "")
    assert "Read-only" in result.err, result


def test_a_missing_masked_path_is_no_error(box: Bundle) -> None:
    config = box.config("true")
    config["linux"]["maskedPaths"] += ["/proc/not-there", "/sys/not/there", "/not-there"]
    assert box.run(config=config).code == 0


def test_read_only_root_leaves_volumes_writable(box: Bundle) -> None:
    volume = box.base + "/volume"
    os.mkdir(volume)
    config = box.config("sh", "-c", "touch /volume/x && ! touch /y 2>/dev/null && ! touch /dev/../y 2>/dev/null")
    config["root"]["readonly"] = True
    config["mounts"].append({"destination": "/volume", "source": volume, "type": "bind", "options": ["rbind"]})
    assert box.run(config=config).code == 0
    assert os.path.exists(volume + "/x")


def test_bind_of_a_file_and_its_options(box: Bundle) -> None:
    source = box.base + "/source"
    Path(source).write_text("content")
    config = box.config("sh", "-c", "cat /new/place/file; echo x > /new/place/file")
    options = ["bind", "ro", "nosuid"]
    config["mounts"].append({"destination": "/new/place/file", "source": source, "type": "bind", "options": options})
    result = box.run(config=config)
    assert (result.code, result.out) == (1, "content"), result
    assert Path(source).read_text() == "content"


def test_a_missing_source_is_named(box: Bundle) -> None:
    config = box.config("true")
    config["mounts"].append({"destination": "/x", "source": "/not/there", "type": "bind", "options": ["rbind"]})
    with pytest.raises(SyscallError, match=r"cannot bind /not/there on /x: open_tree: no such file") as caught:
        box.run(config=config)
    assert caught.value.errno == 2


@requires("unprivileged")
def test_sysfs_without_an_own_network_is_the_hosts(box: Bundle) -> None:
    config = box.config("sh", "-c", "cat /proc/self/mountinfo; ls /sys/class/net >&2")
    config["linux"]["namespaces"] = [item for item in config["linux"]["namespaces"] if item["type"] != "network"]
    result = box.run(config=config)
    assert result.code == 0, result
    found = mounts(result.out)
    assert found["/sys"][0] == "sysfs"
    assert found["/sys"][1].startswith("ro,"), "the fallback must be as tight as what it stands for"
    assert found["/sys/firmware"][0] == "tmpfs"


@requires("unprivileged")
def test_proc_partly_hidden_by_another_engine_is_bound(box: Bundle) -> None:
    # As in docker: parts of /proc and /sys are masked, so the kernel refuses a new one (mount_too_revealing).
    box.places = (
        "mount -t tmpfs none /proc/acpi; mount --bind /dev/null /proc/version; mount -t tmpfs none /sys/firmware"
    )
    config = box.config("sh", "-c", "cat /proc/self/mountinfo; wc -c < /proc/version >&2; ls -A /proc/acpi | wc -l >&2")
    config["linux"]["maskedPaths"].append("/proc/version")
    result = box.run(config=config)
    assert result.code == 0, result
    assert result.err.split() == ["0", "0"]
    found = mounts(result.out)
    assert found["/proc"][0] == "proc"
    assert found["/proc/sys"][1].startswith("ro,")


def test_devpts_without_a_gid_in_the_single_id_map(single: Bundle) -> None:
    found = mounts_of(single)
    assert found["/dev/pts"][0] == "devpts"
    assert "gid=5" not in found["/dev/pts"][2]
    assert "ptmxmode=666" in found["/dev/pts"][2]


@requires("subids")
def test_devpts_with_its_gid_in_the_full_map(box: Bundle) -> None:
    if box.engine.size == 1:
        pytest.skip("no subordinate ids")
    assert "gid=" in mounts_of(box)["/dev/pts"][2]


@requires("unprivileged")
@pytest.mark.parametrize(("kind", "path"), [("ipc", "/dev/mqueue"), ("cgroup", "/sys/fs/cgroup")])
def test_what_needs_an_own_namespace_is_an_empty_tmpfs_without(box: Bundle, kind: str, path: str) -> None:
    config = box.config("sh", "-c", f"cat /proc/self/mountinfo >&2; ls -A {path}")
    config["linux"]["namespaces"] = [item for item in config["linux"]["namespaces"] if item["type"] != kind]
    result = box.run(config=config)
    assert (result.code, result.out) == (0, ""), result
    assert mounts(result.err)[path][0] == "tmpfs"


def test_images_links_do_not_lead_mounts_out(box: Bundle) -> None:
    outside = box.base + "/outside"
    os.mkdir(outside)
    os.rmdir(box.lower + "/tmp")
    os.symlink(f"../../../../../../..{outside}", box.lower + "/tmp")
    config = box.config("sh", "-c", "grep tmpfs /proc/self/mountinfo | grep outside")
    config["mounts"].append({"destination": "/tmp/deep", "type": "tmpfs", "options": ["nosuid"]})
    result = box.run(config=config)
    assert f" {outside}/deep " in result.out, result
    assert os.listdir(outside) == []


def test_a_dangling_link_is_followed_inside_the_root(box: Bundle) -> None:
    """As runc: images bring /etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf, and nothing below /run."""
    outside = box.base + "/outside"
    os.symlink(f"../../../../../../..{outside}", box.lower + "/etc/hosts")
    Path(box.base, "hosts").write_text("found")
    config = box.config("cat", "/etc/hosts", outside)
    source = box.base + "/hosts"
    config["mounts"].append({"destination": "/etc/hosts", "source": source, "type": "bind", "options": ["bind"]})
    assert box.run(config=config).out == "foundfound"
    assert not os.path.lexists(outside)


def test_a_link_that_never_ends_is_no_place_for_a_file(box: Bundle) -> None:
    os.symlink("hosts", box.lower + "/etc/hosts")
    Path(box.base, "hosts").write_text("x")
    config = box.config("cat", "/etc/hosts")
    source = box.base + "/hosts"
    config["mounts"].append({"destination": "/etc/hosts", "source": source, "type": "bind", "options": ["bind"]})
    with pytest.raises(SyscallError, match="cannot bind"):
        box.run(config=config)
