"""Known escapes from other runtimes, each by its number: the attack is made, and nothing of the host is reached."""

from __future__ import annotations

import ctypes
import fcntl
import os
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.errors import CommandError, PyrunError, SyscallError
from tests.support.features import ROOT, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.bundle import Bundle

_RENAME_EXCHANGE = 2


@pytest.fixture
def host_directory() -> Iterator[int]:
    """A descriptor of the host's root that the caller has left open, for all to inherit."""
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(fd, True)
    yield fd
    os.close(fd)


def test_cve_2024_21626_working_directory_by_a_descriptor(box: Bundle, host_directory: int) -> None:
    for number in range(3, max(40, host_directory + 1)):
        config = box.config("ls", "../../../../../..")
        config["process"]["cwd"] = f"/proc/self/fd/{number}"
        with pytest.raises(PyrunError):
            print(number, box.run(config=config))


def test_cve_2024_21626_working_directory_of_exec(box: Bundle, host_directory: int) -> None:
    running = box.start("sleep", "1000")
    for number in range(3, max(40, host_directory + 1)):
        with pytest.raises(PyrunError):
            print(number, box.exec(running, "ls", "../../..", changes={"cwd": f"/proc/self/fd/{number}"}))
    running.kill()
    running.wait()


@pytest.mark.parametrize("init", [False, True])
def test_cve_2024_21626_program_by_a_descriptor(box: Bundle, host_directory: int, init: bool) -> None:
    # With CLOEXEC alone the descriptor is still open while execve(2) looks the path up: a host's program would run.
    box.init = init
    for number in range(3, max(40, host_directory + 1)):
        with pytest.raises(CommandError):
            print(number, box.run(f"/proc/self/fd/{number}/bin/busybox", "true"))
        with pytest.raises(CommandError):
            print(number, box.run(f"/proc/self/fd/{number}/../../../../../../bin/busybox", "true"))


def test_cve_2024_21626_program_of_exec_by_a_descriptor(box: Bundle, host_directory: int) -> None:
    running = box.start("sleep", "1000")
    for number in range(3, max(40, host_directory + 1)):
        with pytest.raises(CommandError):
            print(number, box.exec(running, f"/proc/self/fd/{number}/bin/busybox", "true"))
    running.kill()
    running.wait()


@requires("gcc")
def test_cve_2019_5736_and_cve_2016_9962_nothing_of_ours_can_be_had_from_inside(box: Bundle) -> None:
    source, program = ROOT / "tests/support/prober.c", box.lower + "/bin/prober"
    subprocess.run(["gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", program, str(source)], check=True)
    config = box.config("prober")
    # An attacker with more than the default: ptrace of everything that the kernel does not forbid.
    held = [*config["process"]["capabilities"]["bounding"], "CAP_SYS_PTRACE"]
    config["process"]["capabilities"] = {"bounding": held, "effective": held, "permitted": held}
    running = box.start(config=config)
    running.until(b"probing")
    for _ in range(150):
        assert box.exec(running, "true").code == 0
    running.kill(15)
    result = running.wait()
    *found, last = result.out.splitlines()[1:]
    assert found == [], "\n".join(found)
    words = last.split()
    assert int(words[1]) > 150, last
    assert int(words[3]) > 0, "it never saw one of the processes that came in: the test proves nothing"
    assert int(words[5]) > 0, "it could attach to none at all, also not to the container's own: the test proves nothing"


def test_cve_2019_5736_the_init_program_is_nobodys_file(box: Bundle) -> None:
    box.init = True
    script = (
        "readlink /proc/1/exe; (echo overwritten > /proc/1/exe) 2>/dev/null && echo WRITTEN; "
        "(: >> /proc/1/exe) 2>/dev/null && echo APPENDED; ls /proc/1/fd 2>/dev/null && echo LISTED; sleep 1000"
    )
    running = box.start("sh", "-c", script + " & wait")
    result = box.exec(running, "sh", "-c", script.replace("sleep 1000", "true"))
    # From outside, the user may look: it is a memory file that nobody can ever write again.
    assert os.readlink(f"/proc/{running.pid}/exe").startswith("/memfd:pyrun-init")
    with open(f"/proc/{running.pid}/exe", "rb") as program:
        seals = fcntl.fcntl(program, fcntl.F_GET_SEALS)
        assert os.fstat(program.fileno()).st_mode & 0o222 == 0
    assert seals == fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    running.kill()
    running.wait()
    # Not dumpable: not even the link can be read.  Its descriptors' numbers can, and there are no others.
    assert result.out in ("", "0\n1\n2\nLISTED\n"), result
    # The same words from the container's own first process.
    assert "WRITTEN" not in running.out.decode()
    assert "APPENDED" not in running.out.decode()


class Swapper(threading.Thread):
    """Exchanges two names for as long as it runs: renameat2(2)."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(daemon=True)
        self.names = one.encode(), other.encode()
        self.swaps = 0
        self.over = threading.Event()

    def run(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        while not self.over.is_set():
            assert libc.renameat2(-100, self.names[0], -100, self.names[1], _RENAME_EXCHANGE) == 0
            self.swaps += 1


def test_cve_2021_30465_a_mount_point_swapped_for_a_link(box: Bundle) -> None:
    # Another container shares the volume and swaps a directory of it for a link to the host's; then a mount goes there.
    volume, escape = box.base + "/volume", box.base + "/escape"
    os.makedirs(volume + "/target")
    os.mkdir(escape)
    os.symlink("/../../../../../../.." + escape, volume + "/link")
    swapper = Swapper(volume + "/target", volume + "/link")
    swapper.start()
    seen = set()
    refused = 0
    try:
        for tries in range(500):
            if tries >= 60 and escape in seen:
                break
            config = box.config("sh", "-c", "touch /x; cat /proc/self/mountinfo")
            config["mounts"] += [
                {"destination": "/volume", "source": volume, "type": "bind", "options": ["rbind"]},
                {"destination": "/volume/target", "type": "tmpfs", "options": ["nosuid", "size=3k"]},
            ]
            try:
                result = box.run(config=config)
            except SyscallError:
                refused += 1  # it may see neither, in the middle of a swap: that stops a start, and nothing more
                continue
            points = [line.split()[4] for line in result.out.splitlines() if "size=4k" in line]
            # Inside, or it would be gone with the old root: on the directory, or where the link leads in this root.
            assert len(points) == 1, result
            assert points[0] in ("/volume/target", "/volume/link", escape), result
            seen.add(points[0])
    finally:
        swapper.over.set()
        swapper.join()
    assert swapper.swaps > 60
    assert os.listdir(escape) == []
    assert refused < tries // 2
    if escape not in seen:
        pytest.skip("the race was never lost on this machine: nothing was proved")


def test_cve_2025_31133_a_null_device_that_is_none(box: Bundle) -> None:
    os.mkdir(box.base + "/attack")
    Path(box.base, "attack/secret").write_text("not for masks")
    box.places = f"mount --bind {box.base}/attack/secret /dev/null"
    config = box.config("true")
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] != "/dev/null"]
    config["linux"]["maskedPaths"] = ["/proc/version"]
    with pytest.raises(SyscallError, match="cannot mask /proc/version: fstat: no such device"):
        box.run(config=config)


def test_cve_2025_31133_an_images_own_null_device_masks_nothing(box: Bundle) -> None:
    # /dev is a volume that the attacker prepared: null is a link to what should be hidden.
    device = box.base + "/dev"
    os.mkdir(device)
    os.symlink("/proc/version", device + "/null")
    config = box.config("sh", "-c", "cat /proc/version | wc -c; test -c /proc/version")
    config["mounts"] = [mount for mount in config["mounts"] if not mount["destination"].startswith("/dev")]
    config["mounts"].append({"destination": "/dev", "source": device, "type": "bind", "options": ["rbind"]})
    config["linux"]["maskedPaths"] = ["/proc/version"]
    result = box.run(config=config)
    assert (result.code, result.out) == (0, "0\n"), result


@pytest.mark.parametrize("target", ["/proc/sys/kernel/core_pattern", "/proc/version", "../../../../../../etc"])
def test_cve_2025_52565_a_console_that_is_a_link(box: Bundle, target: str) -> None:
    device = box.base + "/dev"
    os.makedirs(device + "/pts")
    os.symlink(target, device + "/console")
    config = box.config("cat", "/proc/self/mountinfo", terminal=True)
    pts = next(mount for mount in config["mounts"] if mount["destination"] == "/dev/pts")
    config["mounts"] = [mount for mount in config["mounts"] if not mount["destination"].startswith("/dev")]
    config["mounts"] += [{"destination": "/dev", "source": device, "type": "bind", "options": ["rbind"]}, pts]
    with pytest.raises(SyscallError, match=r"cannot open a terminal: .*too many levels of symbolic links"):
        box.run(config=config)


def test_cve_2025_52565_a_pts_that_is_no_devpts(box: Bundle) -> None:
    device = box.base + "/dev"
    os.makedirs(device + "/pts")
    Path(device, "pts/ptmx").write_text("")
    config = box.config("true", terminal=True)
    config["mounts"] = [mount for mount in config["mounts"] if not mount["destination"].startswith("/dev")]
    config["mounts"].append({"destination": "/dev", "source": device, "type": "bind", "options": ["rbind"]})
    with pytest.raises(SyscallError, match="cannot open a terminal: fstatfs: invalid cross-device link"):
        box.run(config=config)


def test_cve_2025_52881_sysctls_are_written_to_procfs_alone(box: Bundle) -> None:
    attack = box.base + "/kernel"
    os.mkdir(attack)
    Path(attack, "domainname").write_text("untouched")
    config = box.config("true")
    config["mounts"].append({"destination": "/proc/sys/kernel", "source": attack, "type": "bind", "options": ["rbind"]})
    config["linux"]["sysctl"] = {"kernel.domainname": "written"}
    with pytest.raises(SyscallError, match=r"cannot set sysctl .*domainname to written: openat2: invalid cross-device"):
        box.run(config=config)
    assert Path(attack, "domainname").read_text() == "untouched"


def test_cve_2025_52881_no_link_redirects_a_sysctl(box: Bundle) -> None:
    attack = box.base + "/kernel"
    os.mkdir(attack)
    # To another file of procfs: there the kernel would do what the number says.
    os.symlink("../../oom_score_adj", attack + "/domainname")
    os.symlink("../../self/oom_score_adj", attack + "/hostname")
    for name in ("domainname", "hostname"):
        config = box.config("cat", "/proc/self/oom_score_adj")
        config["mounts"].append(
            {"destination": "/proc/sys/kernel", "source": attack, "type": "bind", "options": ["rbind"]}
        )
        config["linux"]["sysctl"] = {"kernel." + name: "999"}
        with pytest.raises(SyscallError, match="cannot set sysctl"):
            box.run(config=config)


def test_cve_2025_52881_masks_are_not_led_elsewhere(box: Bundle) -> None:
    # /proc is a directory of the attacker's with links to the real one's neighbours; no procfs: nothing is masked.
    attack = box.base + "/proc"
    os.mkdir(attack)
    os.symlink("../tmp", attack + "/kcore")
    config = box.config("true")
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] != "/proc"]
    config["mounts"].append({"destination": "/proc", "source": attack, "type": "bind", "options": ["rbind"]})
    with pytest.raises(SyscallError, match="cannot mask /proc/kcore: fstatfs: invalid cross-device link"):
        box.run(config=config)


def test_cve_2025_52881_a_part_of_proc_is_not_proc(box: Bundle) -> None:
    config = box.config("true")
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] != "/proc"]
    config["mounts"].append({"destination": "/proc", "source": "/proc/self", "type": "bind", "options": ["rbind"]})
    with pytest.raises(SyscallError, match="cannot mask /proc/kcore: fstat: invalid cross-device link"):
        box.run(config=config)
