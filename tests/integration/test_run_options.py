"""Options of `run` and `create`, one by one: what the container is, what inspect shows, what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import Box, following, push
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "subids", "overlay")

SYSCTL = "sysctl 'kernel.hostname=x' is not allowed"
OWN_SCORE = int(Path("/proc/self/oom_score_adj").read_text())


@pytest.mark.parametrize(("size", "kibibytes"), [("1m", 1024), ("2.5MB", 2560), ("0", 65536), ("1048576", 1024)])
def test_shm_size(shared_box: Box, size: str, kibibytes: int) -> None:
    assert shared_box.sh("df -k /dev/shm | tail -1", "--shm-size", size).split()[1] == str(kibibytes)


def test_shm_size_shown(box: Box) -> None:
    box.pyrun.ok("create", "--name", "sized", "--shm-size", "128k", box.image)
    box.pyrun.ok("create", "--name", "plain", box.image)
    assert box.inspect("sized")["HostConfig"]["ShmSize"] == 131072
    assert box.inspect("plain")["HostConfig"]["ShmSize"] == 67108864


def test_sysctls(box: Box) -> None:
    names = ("net.ipv4.ip_forward", "net.ipv4.ping_group_range", "net.core.somaxconn")
    options = ("--sysctl", f"{names[0]}=1", "--sysctl", f"{names[1]}=0 5", "--sysctl=net.core.somaxconn=77")
    assert box.sh(f"sysctl -n {' '.join(names)}", *options).split() == ["1", "0", "5", "77"]
    box.start("tuned", *options)
    assert box.inspect("tuned")["HostConfig"]["Sysctls"] == {names[0]: "1", names[1]: "0 5", names[2]: "77"}
    assert box.pyrun.ok("exec", "tuned", "sysctl", "-n", names[0]) == "1"


@pytest.mark.parametrize("score", [OWN_SCORE, OWN_SCORE + 10, 1000])
def test_oom_score(box: Box, score: int) -> None:
    box.start("scored", "--oom-score-adj", str(score))
    assert box.pyrun.ok("exec", "scored", "cat", "/proc/1/oom_score_adj", "/proc/self/oom_score_adj").split() == [
        str(score)
    ] * 2  # fmt: skip
    assert box.inspect("scored")["HostConfig"]["OomScoreAdj"] == score
    # The monitor must not be the first to go.
    monitor = Path(box.inspect("scored")["HostsPath"]).with_name("state").read_text().partition('"monitor":')[2]
    assert int(Path(f"/proc/{monitor.partition(',')[0]}/oom_score_adj").read_text()) == OWN_SCORE


def test_oom_score_below_what_the_user_may(shared_box: Box) -> None:
    message = shared_box.fails(125, "--oom-score-adj", "-1000")
    assert (
        "--oom-score-adj=-1000 is not available: only the machine's root may go below what this user's processes have"
        in message
    )
    assert int(Path("/proc/self/oom_score_adj").read_text()) == OWN_SCORE


def test_names(box: Box) -> None:
    script = "hostname; hostname -d; cat /proc/sys/kernel/domainname; tail -1 /etc/hosts"
    seen = box.sh(script, "--hostname", "boat", "--domainname", "sea.example").split()
    assert seen[0] == "boat"
    assert "sea.example" in seen
    assert seen[-2:] == ["boat.sea.example", "boat"]
    box.pyrun.ok("create", "--name", "named", "--domainname", "sea.example", box.image)
    assert box.inspect("named")["Config"]["Domainname"] == "sea.example"


def test_annotations(box: Box) -> None:
    box.pyrun.ok("create", "--name", "noted", "--annotation", "a.b=c=d", "--annotation", "bare", box.image)
    assert box.inspect("noted")["HostConfig"]["Annotations"] == {"a.b": "c=d", "bare": ""}
    config = Path(box.inspect("noted")["HostsPath"]).with_name("config.json").read_text()
    assert '"a.b":"c=d"' in config.replace(" ", "")


def test_groups(box: Box) -> None:
    twice = ("--group-add", "users", "--group-add", "77", "--group-add", "77")
    assert box.sh("id -G", *twice) == "0 77 100"
    assert box.sh("id -G", "-u", "alice", "--group-add", "5") == "1000 5 100"
    box.start("grouped", "--group-add", "users")
    assert box.pyrun.ok("exec", "grouped", "id", "-G").split() == ["0", "100"]
    assert box.inspect("grouped")["HostConfig"]["GroupAdd"] == ["users"]
    assert "unable to find group nobodies: no matching entries in group file" in box.fails(
        125, "--group-add", "nobodies"
    )
    both = box.fails(125, "--group-add", "keep-groups", "--group-add", "users")
    assert "the '--group-add keep-groups' option is not allowed with any other --group-add options" in both


def test_keep_groups(box: Box) -> None:
    """The caller's groups stay, though the container has no names for them."""

    def groups(*options: str) -> str:
        return box.sh("grep ^Groups /proc/self/status", *options).partition(":")[2].strip()

    others = [gid for gid in os.getgroups() if gid != os.getgid()]
    kept = groups("--group-add", "keep-groups").split()
    assert len(kept) == len(os.getgroups())
    assert kept.count("65534") == len(others)
    box.start("kept", "--group-add", "keep-groups")
    assert box.pyrun.ok("exec", "kept", "grep", "^Groups", "/proc/self/status").split()[1:] == kept


def test_devices(box: Box) -> None:
    device = ("--device", "/dev/fuse", "--device", "/dev/net/tun:/dev/mine:rw", "--device=/dev/net:/dev/all")
    listed = box.sh("cd /dev; ls -l fuse mine all/tun", *device).split("\n")
    assert [line.split()[0][0] for line in listed] == ["c"] * 3
    assert ["10,", "229"] in [line.split()[4:6] for line in listed]
    # It can be opened and written; its mode and owner are the host's, and stay.
    assert box.sh(
        "exec 3<>/dev/fuse && echo open; chmod 600 /dev/fuse 2>&1 | grep -c -i read-only", *device
    ).split() == ["open", "1"]
    box.pyrun.ok("create", "--name", "with", *device, box.image)
    assert box.inspect("with")["HostConfig"]["Devices"][:2] == [
        {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"},
        {"PathOnHost": "/dev/net/tun", "PathInContainer": "/dev/mine", "CgroupPermissions": "rw"},
    ]


def test_environment_of_the_host(registry: str, pyrun: CommandLine, tmp_path: Path) -> None:
    reference = push(registry, tmp_path, "hostenv", {"Env": ["PATH=/bin", "COLOUR=image"]})
    pyrun.ok("pull", "-q", reference)
    run = ("run", "--rm", "--network", "none", "--env-host", "-e", "SHAPE=flag", reference, "env")
    seen = pyrun.ok(*run, environment={"COLOUR": "host", "SHAPE": "host", "OTHER": "host"}).split("\n")
    assert {"PATH=/bin", "COLOUR=image", "SHAPE=flag", "OTHER=host", f"HOME={pyrun.home}"} <= set(seen)
    assert "OTHER=host" not in pyrun.ok(*run[:4], reference, "env", environment={"OTHER": "host"})


def test_exposed_ports(box: Box) -> None:
    options = ("--expose", "80", "--expose", "8000-8002/udp")
    box.pyrun.ok("create", "--name", "exposed", *options, box.image)
    assert set(box.inspect("exposed")["Config"]["ExposedPorts"]) == {"80/tcp", "8000/udp", "8001/udp", "8002/udp"}
    box.pyrun.ok("run", "-d", "--name", "published", "--expose", "80", "-P", box.image, "sleep", "1000")
    published = box.inspect("published")["NetworkSettings"]["Ports"]
    assert list(published) == ["80/tcp"]
    assert int(published["80/tcp"][0]["HostPort"]) > 0


@pytest.mark.parametrize("path", ["both", "slirp4netns"])
def test_mac_address(box: Box, path: str, tmp_path: Path) -> None:
    environment = {}
    if path != "both":
        features = "/usr/bin/slirp4netns"
        (tmp_path / "slirp4netns").symlink_to(features)
        environment["PATH"] = str(tmp_path)
    run = ("run", "--rm", "--mac-address", "92-d0-c6-0A-29-33", box.image, "cat", "/sys/class/net/eth0/address")
    assert box.pyrun.ok(*run, environment=environment) == "92:d0:c6:0a:29:33"


def test_volumes_from(box: Box, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the host\n")
    mounts = ("-v", "named:/named", "-v", "/anonymous", "-v", f"{tmp_path}:/host:ro", "--tmpfs", "/scratch")
    box.pyrun.ok("create", "--name", "donor", "--network", "none", *mounts, box.image, "sleep", "1000")
    box.sh("echo one > /named/word; echo two > /anonymous/word", "--volumes-from", "donor")
    assert box.sh("cat /named/word /anonymous/word /host/file", "--volumes-from", "donor:ro").split("\n") == [
        "one", "two", "of the host",
    ]  # fmt: skip
    for place, mode in (("/named", "donor:ro"), ("/host", "donor"), ("/host", "donor:rw")):
        assert "ead-only" in box.fails(1, "--volumes-from", mode, command=("touch", f"{place}/x"))
    assert "No such file" in box.fails(1, "--volumes-from", "donor", command=("ls", "/scratch"))
    # One's own wins.
    assert box.sh("ls /named", "--volumes-from", "donor", "-v", "other:/named") == ""
    box.pyrun.ok(
        "run", "-d", "--network", "none", "--name", "guest", "--volumes-from", "donor", box.image, "sleep", "1000"
    )
    assert box.inspect("guest")["HostConfig"]["VolumesFrom"] == ["donor"]
    box.pyrun.ok("rm", "-v", "donor")
    assert box.pyrun.ok("exec", "guest", "cat", "/anonymous/word") == "two"


def test_replace(box: Box) -> None:
    first = box.start("boat")
    assert "is already in use" in box.pyrun.fails(125, "run", "--name", "boat", box.image, "true")
    second = box.start("boat", "--replace")
    assert first != second
    assert box.names("-a") == ["boat"]
    third = box.pyrun.ok("create", "--replace", "--name", "boat", box.image, "true")
    assert box.inspect("boat")["Id"] == third
    assert box.start("fresh", "--replace") != third
    message = box.pyrun.fails(125, "run", "--replace", box.image, "true")
    assert "cannot replace container without --name being set" in message
    # What cannot be made takes nothing away.
    box.pyrun.fails(125, "run", "--replace", "--name", "boat", "-u", "nobodyhere", box.image, "true")
    assert box.inspect("boat")["Id"] == third


def test_attached_streams(box: Box) -> None:
    run = ("run", "--rm", "--network", "none")
    script = "echo out; echo err >&2"
    for words, out, err in (
        (("stdout",), "out\n", ""),
        (("STDERR",), "", "err\n"),
        (("stdout", "stderr"), "out\n", "err\n"),
    ):
        options = [option for word in words for option in ("-a", word)]
        done = box.pyrun(*run, *options, box.image, "sh", "-c", script)
        assert (done.returncode, done.stdout, done.stderr) == (0, out, err)
    done = box.pyrun(*run, "-i", "-a", "stdout", box.image, "cat", input="in\n")
    assert done.stdout == "in\n"
    box.pyrun.ok("create", "-a", "stderr", "--name", "half", box.image)
    config = box.inspect("half")["Config"]
    assert [config[f"AttachStd{name}"] for name in ("in", "out", "err")] == [False, False, True]


def test_attached_input_only(box: Box) -> None:
    """The id is said, the input given, and the container goes on."""
    run = ("run", "-i", "-a", "stdin", "--name", "eater", "--network", "none", box.image)
    identity = box.pyrun.ok(*run, "sh", "-c", "cat; echo end; exec sleep 1000", input="eaten\n")
    assert identity == box.inspect("eater")["Id"]
    with following(box.pyrun, "eater") as lines:
        assert [next(lines), next(lines)] == ["eaten", "end"]
    assert box.status("eater") == "running"


def test_quiet_and_no_content_trust(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    reference = push(registry, tmp_path, "quiet", {"Cmd": ["true"]})
    done = pyrun("run", "--rm", "-q", "--disable-content-trust", "--network", "none", reference, "echo", "fine")
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
    pyrun.ok("rmi", reference)
    done = pyrun("create", "--quiet", reference)
    assert (done.returncode, done.stderr) == (0, "")
    message = pyrun.fails(125, "run", "--disable-content-trust=false", reference, "true")
    assert "flag --disable-content-trust=false is not supported yet" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--shm-size", "big"), "invalid argument \"big\" for \"--shm-size\" flag: invalid size: 'big'"),
        (("--shm-size", "-1"), "invalid size: '-1'"),
        (("--shm-size", "1"), "smaller than a page"),
        (("--sysctl", "kernel.hostname=x"), SYSCTL),
        (("--sysctl", "net.core.somaxconn"), "sysctl 'net.core.somaxconn' is not allowed"),
        (("--sysctl", "vm.swappiness=1"), "sysctl 'vm.swappiness=1' is not allowed"),
        (("--sysctl", "net.../../kernel/hostname=x"), "cannot set sysctl"),
        (("--sysctl", "net.ipv4.no_such=1"), "cannot set sysctl /proc/sys/net/ipv4/no_such to 1"),
        (("--sysctl=net.core.somaxconn=1", "--network=host"), "the network namespace is the host's"),
        (("--sysctl=kernel.msgmax=1", "--ipc=host"), "the ipc namespace is the host's"),
        (("--oom-score-adj", "1001"), "Invalid value 1001, range for oom score adj is [-1000, 1000]"),
        (("--domainname", "a b"), "invalid domainname format"),
        (("--domainname", "a" * 65), "invalid domainname format"),
        (("--uts=host", "--domainname=x"), "conflicting options: domainname and the UTS mode"),
        (("--annotation", "org.pyrun.seccomp=unconfined"), "invalid annotation"),
        (("--annotation", "=x"), "invalid annotation"),
        (("--device", "/dev/nosuch"), 'adding custom device "/dev/nosuch": no such file or directory'),
        (("--device", "/etc/passwd"), 'adding custom device "/etc/passwd": not a device node'),
        (("--device", "dev/fuse"), "dev/fuse is not an absolute path"),
        (("--device", "/dev/fuse:/x:rwx"), "bad mode specified: rwx"),
        (("--device", "/a:/b:r:w"), "invalid device specification: /a:/b:r:w"),
        (("--device", "/dev/fuse:r"), "--device with mode r is not available"),
        (("--device", "vendor.com/gpu=all"), "flag --device vendor.com/gpu=all is not supported yet"),
        (("--expose", "80:80"), "invalid port format for --expose: 80:80"),
        (("--expose", "90-80"), "invalid range format for --expose: 90-80"),
        (("--mac-address", "nonsense"), "nonsense is not a valid mac address"),
        (("--network=private", "--mac-address=01:00:00:00:00:01"), "is not the address of one interface"),
        (("--mac-address", "92:d0:c6:0a:29:33", "--network", "none"), "mac-address and the network mode"),
        (("--volumes-from", "nobody"), "no such container: nobody"),
        (("--volumes-from", ":ro"), "volumes-from specification cannot be an empty string"),
        (("--volumes-from", "x:nocopy"), "invalid mode: nocopy"),
        (("-a", "output"), "\"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR"),
        (("--label", "=x"), "invalid label '=x': empty name"),
        (("--memory", "1g"), "flag --memory is not supported yet"),
        (("--cpus", "1"), "flag --cpus is not supported yet"),
        (("--pids-limit", "1"), "flag --pids-limit is not supported yet"),
        (("--blkio-weight", "1"), "flag --blkio-weight is not supported yet"),
        (("--cgroup-parent", "/x"), "flag --cgroup-parent is not supported yet"),
        (("--device-cgroup-rule", "c 1:1 r"), "flag --device-cgroup-rule is not supported yet"),
        (("--gpus", "all"), "flag --gpus is not supported yet"),
        (("--link", "x"), "flag --link is not supported yet"),
        (("--storage-opt", "size=1G"), "flag --storage-opt is not supported yet"),
        (("--runtime", "crun"), "flag --runtime is not supported yet"),
    ],
)  # fmt: skip
def test_refused(shared_box: Box, options: tuple[str, ...], words: str) -> None:
    network = (
        [] if any("--network" in option for option in options) or "--mac-address" in options else ["--network=none"]
    )
    if "--mac-address" in options and "--network" in options:
        network = []
    message = shared_box.pyrun.fails(125, "run", "--rm", *network, *options, shared_box.image, "true")
    assert words in message
    assert shared_box.names("-a") == []


def test_the_only_isolation_there_is(box: Box) -> None:
    box.pyrun.ok("run", "--rm", "--network", "none", "--isolation", "default", box.image, "true")
    words = box.pyrun.fails(125, "run", "--rm", "--isolation", "hyperv", box.image, "true")
    assert "--isolation hyperv" in words


def test_ports_that_nobody_publishes(box: Box) -> None:
    for verb in ("run", "create"):
        done = box.pyrun(verb, "--network", "host", "-p", "80:80", box.image, "true")
        assert done.returncode == 0
        assert "published ports are discarded when using host network mode" in done.stderr


def test_refused_by_the_client(shared_box: Box) -> None:
    message = shared_box.pyrun.fails(1, "run", "-a", "stdout", "-d", shared_box.image, "true")
    assert "Conflicting options: -a and -d" in message
    assert shared_box.names("-a") == []
