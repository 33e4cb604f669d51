"""Namespaces that are the host's or another container's, and that such a container ends whole, whoever is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.boxes import following, wait_pid
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

KINDS = ("pid", "ipc", "uts", "net", "cgroup", "user", "mnt")
NAMESPACES = "cd /proc/self/ns; for kind in pid ipc uts net cgroup user mnt; do readlink $kind; done"
# The first process has become another user by itself; one child has left its session, one is an orphan.
FAMILY = """
    setsid sleep 1001 &
    (setsid sleep 1002 &)
    echo up
    exec su alice -c 'exec sleep 1003'
"""


def namespaces_of(text: str) -> dict[str, str]:
    return dict(zip(KINDS, text.split(), strict=True))


def host_namespaces() -> dict[str, str]:
    return {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS}


def in_container(box: Box, *options: str) -> dict[str, str]:
    run = ("run", "--rm", *([] if "--network" in options else ["--network", "none"]), *options)
    return namespaces_of(box.pyrun.ok(*run, box.image, "sh", "-c", NAMESPACES))


def same(first: dict[str, str], second: dict[str, str]) -> list[str]:
    return [kind for kind in KINDS if first[kind] == second[kind]]


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        ((), []),
        (("--pid", "private", "--ipc", "private", "--uts", "private", "--cgroupns", "private"), []),
        (("--pid", "host"), ["pid"]),
        (("--ipc", "host"), ["ipc"]),
        (("--uts", "host"), ["uts"]),
        (("--cgroupns", "host"), ["cgroup"]),
        (("--network", "host"), ["net"]),
        (("--pid=host", "--ipc=host", "--uts=host", "--network", "host"), ["pid", "ipc", "uts", "net"]),
    ],
)
def test_those_of_the_host(box: Box, options: tuple[str, ...], shared: list[str]) -> None:
    assert same(in_container(box, *options), host_namespaces()) == shared


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        (("--pid", "container:donor"), ["pid", "user"]),
        (("--ipc", "container:donor"), ["ipc", "user"]),
        (("--uts", "container:donor"), ["uts", "user"]),
        (("--network", "container:donor"), ["net", "user"]),
        (("--userns", "container:donor"), ["user"]),
        (
            ("--pid", "container:donor", "--ipc", "container:donor", "--network", "container:donor"),
            ["pid", "ipc", "net", "user"],
        ),
    ],
)
def test_those_of_another_container(box: Box, options: tuple[str, ...], shared: list[str]) -> None:
    identity = box.start("donor", "--ipc", "shareable")
    donor = namespaces_of(box.pyrun.ok("exec", "donor", "sh", "-c", NAMESPACES))
    assert same(in_container(box, *options), donor) == shared
    # By id, too; and a further process is where the first one is.
    by_id = [word.replace("donor", identity[:12]) for word in options]
    network = [] if "--network" in options else ["--network", "none"]
    box.pyrun.ok("run", "-d", "--name", "guest", *network, *by_id, box.image, "sleep", "1000")
    first = namespaces_of(box.pyrun.ok("exec", "guest", "sh", "-c", NAMESPACES))
    assert same(first, donor) == shared
    host_config = box.inspect("guest")["HostConfig"]
    modes = [host_config[key] for key in ("PidMode", "IpcMode", "UTSMode", "NetworkMode", "UsernsMode")]
    assert f"container:{identity}" in modes


def test_processes_of_the_other(box: Box) -> None:
    box.start("donor", command=("sleep", "1234"))
    seen = box.sh("ps -o pid,args; kill -9 $(pgrep -f 'sleep 4321'); echo killed", "--pid", "container:donor")
    assert "1 sleep 1234" in [" ".join(line.split()) for line in seen.split("\n")]
    # Capabilities count there: the user namespace is the same.
    assert box.sh("cat /proc/1/environ | tr '\\0' '\\n'", "--pid=container:donor", "--cap-add=SYS_PTRACE").count(
        "PATH="
    )
    assert box.sh("echo $$", "--pid", "container:donor") != "1"


def test_shared_memory(box: Box) -> None:
    box.start("donor", "--ipc", "shareable", command=("sh", "-c", "echo there > /dev/shm/word; exec sleep 1000"))
    assert box.sh("cat /dev/shm/word; echo back > /dev/shm/answer", "--ipc", "container:donor") == "there"
    assert box.pyrun.ok("exec", "donor", "cat", "/dev/shm/answer") == "back"
    assert box.sh("ls /dev/shm", "--ipc", "shareable") == ""
    assert "No such file" in box.fails(1, "--ipc", "none", command=("ls", "/dev/shm"))
    box.start("private")
    message = box.fails(125, "--ipc", "container:private")
    assert "cannot join the ipc namespace of container: private: it is not shareable" in message
    assert "--ipc shareable" in message


def test_a_prepared_shm(box: Box) -> None:
    """The donor's root has put something else there: it is not followed."""
    script = "umount /dev/shm && rmdir /dev/shm && ln -s /etc /dev/shm && echo up && exec sleep 1000"
    box.start("donor", "--ipc", "shareable", "--privileged", command=("sh", "-c", script))
    with following(box.pyrun, "donor") as lines:
        assert next(lines) == "up"
    message = box.fails(125, "--ipc", "container:donor")
    assert "cannot share /dev/shm of the other container" in message
    assert "too many levels of symbolic links" in message


def test_network_of_another(box: Box) -> None:
    script = "httpd -p 127.0.0.1:8080 -h /etc; echo up; exec sleep 1000"
    box.start("donor", "--hostname", "harbour", "--add-host", "mast:10.1.2.3", command=("sh", "-c", script))
    with following(box.pyrun, "donor") as lines:
        assert next(lines) == "up"
    join = ("--network", "container:donor")
    run = ("run", "--rm", *join, box.image, "sh", "-c")
    assert box.pyrun.ok(*run, "wget -qO - http://localhost:8080/group | head -1") == "root:x:0:"
    assert box.pyrun.ok(*run, "hostname; cat /etc/hostname; grep -c 10.1.2.3 /etc/hosts").split() == [
        "harbour", "harbour", "1",
    ]  # fmt: skip
    # The file is the same one, so what the one adds the other sees.
    box.pyrun.ok("exec", "donor", "sh", "-c", "echo 10.9.9.9 late >> /etc/hosts")
    assert "10.9.9.9 late" in box.pyrun.ok(*run, "cat /etc/hosts")
    third = ("run", "--rm", "--network", "container:guest", box.image, "cat", "/etc/hosts")
    box.pyrun.ok("run", "-d", "--name", "guest", *join, box.image, "sleep", "1000")
    assert "10.9.9.9 late" in box.pyrun.ok(*third)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--pid", "nobody"), "--pid: invalid PID mode: nobody"),
        (("--pid", "container:"), "--pid: invalid PID mode: container:"),
        (("--ipc", "nobody"), "invalid IPC mode: nobody"),
        (("--uts", "nobody"), "--uts: invalid UTS mode: nobody"),
        (("--cgroupns", "nobody"), "--cgroupns: invalid CGROUP mode: nobody"),
        (("--pid", "container:missing"), "no such container: missing"),
        (("--uts", "host", "--hostname", "boat"), "conflicting options: hostname and the UTS mode"),
        (("--network=container:donor", "--hostname=boat"), "conflicting options: hostname and the network mode"),
        (("--network=container:donor", "--dns=10.0.0.1"), "conflicting options: dns and the network mode"),
        (
            ("--network=container:donor", "--add-host=a:10.0.0.1"),
            "conflicting options: custom host-to-IP mapping and the network mode",
        ),
        (
            ("--network=container:donor", "-p", "8080:80"),
            "conflicting options: port publishing and the container type network mode",
        ),
    ],
)
def test_refused(box: Box, options: tuple[str, ...], words: str) -> None:
    if "container:donor" in " ".join(options):
        box.pyrun.ok("create", "--name", "donor", box.image)
    assert words in box.pyrun.fails(125, "run", "--rm", *options, box.image, "true")


@requires("pasta")
def test_a_network_beside_what_is_anothers(box: Box) -> None:
    """pasta opens the namespace while init, which comes from within the other's, cannot be looked at yet."""
    box.start("donor")
    for _ in range(5):  # it was a race
        box.pyrun.ok("run", "--rm", "--uts", "container:donor", box.image, "true")


def test_the_other_must_run(box: Box) -> None:
    box.pyrun.ok("create", "--name", "donor", "--network", "none", box.image, "sleep", "1000")
    box.pyrun.ok(
        "create", "--name", "guest", "--network", "none", "--pid", "container:donor", box.image, "sleep", "1000"
    )
    message = box.pyrun.fails(1, "start", "guest")
    assert "cannot join the pid namespace of container: donor: it is not running" in message
    for _ in range(2):  # whichever its init is now
        box.pyrun.ok("start", "donor")
        box.pyrun.ok("start", "guest")
        assert "sleep 1000" in box.pyrun.ok("exec", "guest", "ps", "-o", "args").split("\n")[1]
        box.pyrun.ok("kill", "donor")
        assert box.pyrun.ok("wait", "guest") == "137"  # the kernel ends all in that namespace
    box.pyrun.ok("rm", "donor")
    assert "no such container" in box.pyrun.fails(1, "start", "guest")


def test_a_pid_that_is_somebody_elses_by_now(box: Box) -> None:
    """Between our look and the monitor's the other may have ended: a process with its pid is not it."""
    box.start("donor")
    path = Path(box.inspect("donor")["HostsPath"]).with_name("state")
    content = path.read_text()
    starttime = json.loads(content)["starttime"]
    path.write_text(content.replace(f'"starttime":{starttime},', f'"starttime":{starttime - 1},', 1))
    message = box.fails(125, "--pid", "container:donor")
    path.write_text(content)
    assert "cannot join the namespaces of another container: it has just ended" in message
    assert box.names("-a") == ["donor"]


def test_two_others(box: Box) -> None:
    box.start("one")
    box.start("two")
    both = ("run", "--rm", "--pid", "container:one", "--network", "container:two", box.image, "true")
    message = box.pyrun.fails(125, *both)
    assert "cannot join the namespaces of containers: one and two: each has a user namespace of its own" in message
    box.pyrun.ok("rm", "-f", "two")
    box.start("two", "--userns", "container:one")
    box.pyrun.ok(*both)


def test_map_of_the_other(box: Box) -> None:
    box.start("donor", "--userns", "keep-id")
    whoami = box.sh("id -u; cat /proc/self/uid_map", "--pid", "container:donor").split()
    assert whoami[0] == "0"
    assert whoami[1:] == box.pyrun.ok("exec", "donor", "cat", "/proc/self/uid_map").split()
    assert box.sh("id -u", "--pid", "container:donor", "-u", str(os.getuid())) == str(os.getuid())
    box.start("plain")
    message = box.fails(125, "--pid", "container:plain", "--userns", "keep-id")
    assert "cannot share the namespaces of container: plain: it was not run with --userns=keep-id" in message


def test_single_id(box: Box) -> None:
    environment = {"PYRUN_SINGLE_ID": "1"}
    for kind in ("pid", "ipc", "uts"):
        text = box.sh(NAMESPACES, f"--{kind}", "host", **environment)
        assert same(namespaces_of(text), host_namespaces()) == [kind]
    run = ("run", "-d", "--network", "none", "--name", "donor", box.image, "sleep", "1000")
    box.pyrun.ok(*run, environment=environment)
    donor = namespaces_of(box.pyrun.ok("exec", "donor", "sh", "-c", NAMESPACES, environment=environment))
    guest = namespaces_of(box.sh(NAMESPACES, "--pid", "container:donor", **environment))
    assert same(guest, donor) == ["pid", "user"]


def state_of(box: Box, name: str) -> Any:
    path = box.inspect(name)["HostsPath"].replace("/hosts", "/state")
    return json.loads(Path(path).read_text())


def members(mounts: str) -> dict[int, str]:
    """Processes in a mount namespace."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/ns/mnt") == mounts:
                found[int(pid)] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    return found


def family(box: Box, *options: str) -> tuple[Any, dict[int, str]]:
    """Start a container of several processes, one of them by exec; return its state and who they are."""
    network = [] if "--network" in options else ["--network", "none"]
    box.pyrun.ok("run", "-d", "--name", "family", *network, *options, box.image, "sh", "-c", FAMILY)
    with following(box.pyrun, "family") as lines:
        assert next(lines) == "up"
    box.pyrun.ok("exec", "-d", "family", "sleep", "1004")
    now = state_of(box, "family")
    while True:  # until su has become sleep
        found = members(os.readlink(f"/proc/{now['pid']}/ns/mnt"))
        if sorted(found.values()) == [f"sleep {number}" for number in range(1001, 1005)]:
            return now, found


def guard_of(monitor: int) -> int:
    """Return the monitor's parent, which ends what a killed one leaves."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{monitor}/status").read_text().splitlines())
    guard = int(status["PPid"])
    assert Path(f"/proc/{guard}/comm").read_text() == "pyrun-guard\n"
    return guard


SHARED_PIDS = [("--pid", "host"), ("--pid", "container:donor"), ("--pid", "host", "--network", "private")]


@pytest.mark.parametrize("options", SHARED_PIDS, ids=" ".join)
def test_all_end_with_the_monitor(box: Box, options: tuple[str, ...]) -> None:
    box.start("donor")
    now, found = family(box, *options)
    os.kill(now["monitor"], signal.SIGKILL)
    for pid in found:
        wait_pid(pid)
    assert box.pyrun.ok("wait", "family") == "137"
    assert box.status("family") == "exited"
    assert box.status("donor") == "running"
    box.pyrun.ok("start", "family")


@pytest.mark.parametrize("options", SHARED_PIDS[:2], ids=" ".join)
def test_all_end_with_the_first_process(box: Box, options: tuple[str, ...]) -> None:
    box.start("donor")
    _, found = family(box, *options)
    box.pyrun.ok("kill", "family")
    for pid in found:
        wait_pid(pid)
    assert box.pyrun.ok("wait", "family") == "137"
    assert box.status("family") == "exited"
    assert box.status("donor") == "running"


def test_without_a_guard_it_ends(box: Box) -> None:
    now, found = family(box, "--pid", "host")
    os.kill(guard_of(now["monitor"]), signal.SIGKILL)
    for pid in (now["monitor"], *found):
        wait_pid(pid)
    assert box.status("family") == "exited"
    assert box.pyrun.ok("wait", "family") == "137"


def test_monitor_and_guard_at_once(box: Box) -> None:
    """What no guard ends is ended by PDEATHSIG; what has become another user lives, and is not taken for dead."""
    box.start("plain", "--pid", "host")
    now = state_of(box, "plain")
    for pid in (guard_of(now["monitor"]), now["monitor"]):
        os.kill(pid, signal.SIGKILL)
    wait_pid(now["pid"])
    assert box.status("plain") == "exited"
    now, _ = family(box, "--pid", "host")
    guard = guard_of(now["monitor"])
    os.kill(guard, signal.SIGSTOP)
    for pid in (now["monitor"], guard):
        os.kill(pid, signal.SIGKILL)
        wait_pid(pid)
    assert box.status("family") == "running"
    assert "it is running" in box.pyrun.fails(1, "rm", "family")
    for pid in members(os.readlink(f"/proc/{now['pid']}/ns/mnt")):
        if pid != now["pid"]:
            os.kill(pid, signal.SIGKILL)  # whoever is the user above the container's user namespace may
    box.pyrun.ok("kill", "family")
    wait_pid(now["pid"])
    assert box.status("family") == "exited"


def test_no_look_at_the_one_that_comes(box: Box) -> None:
    """A guest's init has the host's file system at first, which the donor must not reach (CVE-2016-9962)."""
    marker = box.pyrun.directory / "marker"
    marker.touch()
    script = (
        f"echo up; while :; do for p in /proc/[0-9]*; do ls -d $p/root{marker} $p/cwd{marker}; done 2>/dev/null; done"
    )
    box.start("donor", "--privileged", "--ipc", "shareable", command=("sh", "-c", script))
    with following(box.pyrun, "donor") as lines:
        assert next(lines) == "up"
    run = ("run", "--rm", "--pid", "container:donor", "--ipc", "container:donor", box.image, "true")
    for _ in range(10):
        box.pyrun.ok(*run)
    assert box.pyrun.ok("logs", "donor") == "up"
