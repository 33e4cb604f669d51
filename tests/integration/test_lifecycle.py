"""Containers that stay: create, start, stop, kill, wait, rm, ps, logs, inspect, exec, and what a crash leaves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.boxes import following, wait_pid
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")


def state(box: Box, name: str) -> tuple[str, int]:
    found = box.inspect(name)["State"]
    return found["Status"], found["ExitCode"]


def test_create_start_wait_rm(box: Box) -> None:
    pyrun = box.pyrun
    script = "echo ran >> /file; wc -l < /file; exit 3"
    identity = pyrun.ok("create", "--name", "made", "--network", "none", box.image, "sh", "-c", script)
    assert re.fullmatch("[0-9a-f]{64}", identity)
    assert state(box, "made") == ("created", 0)
    assert box.names() == []
    assert box.names("-a") == ["made"]
    assert pyrun.ok("start", "made") == "made"
    assert pyrun.ok("wait", "made") == "3"
    assert state(box, "made") == ("exited", 3)
    # Started again it finds its files.
    done = pyrun("start", "-a", "made")
    assert (done.returncode, done.stdout.strip()) == (3, "2")
    assert pyrun.ok("logs", "made").split() == ["1", "2"]
    assert pyrun.ok("rm", identity[:12]) == identity[:12]
    assert box.names("-a") == []
    assert "no such container: made" in pyrun.fails(1, "rm", "made")


def test_columns_of_ps(box: Box) -> None:
    box.start("shown", command=("sleep", "1000"))
    head, row = box.pyrun.ok("ps").split("\n")
    assert head.split() == "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES".split()
    columns = re.split(r"\s{2,}", row)
    assert re.fullmatch("[0-9a-f]{12}", columns[0])
    assert columns[1:3] == [box.image, '"sleep 1000"']
    assert columns[3].endswith("ago")
    assert columns[4].startswith("Up ")
    assert columns[-1] == "shown"
    box.pyrun.ok("stop", "-t", "0", "shown")
    assert re.search(r"Exited \(137\) .* ago", box.pyrun.ok("ps", "-a"))
    assert box.pyrun.ok("ps", "-q") == ""
    assert box.pyrun.ok("ps", "-aq", "--no-trunc") == box.inspect("shown")["Id"]


def test_names_and_prefixes(box: Box) -> None:
    identities = [box.start(f"n{number}", command=("true",)) for number in range(17)]
    first = sorted(identities)
    # 17 ids, 16 first digits: two of them are alike.
    twice = next(one[0] for one, other in pairwise(first) if one[0] == other[0])
    assert "multiple" in box.pyrun.fails(1, "inspect", twice).lower() or "ambiguous" in box.pyrun.fails(
        1, "inspect", twice
    )
    assert box.inspect(identities[0][:10])["Name"] == "/n0"
    message = box.pyrun.fails(125, "run", "-d", "--name", "n1", box.image, "true")
    assert "n1" in message
    assert "in use" in message
    assert "invalid" in box.pyrun.fails(125, "create", "--name", "no/slash", box.image).lower()
    box.pyrun.ok("wait", *identities)
    assert len(box.pyrun.ok("rm", *identities).split()) == 17


def test_filters(box: Box) -> None:
    box.start("red", "-l", "colour=red")
    box.start("green", "-l", "colour=green", "-v", "vol:/v", command=("sh", "-c", "exit 3"))
    box.pyrun.ok("create", "--name", "blue", box.image)
    box.pyrun.ok("wait", "green")
    for text, names in (
        ("status=running", "red"), ("status=exited", "green"), ("status=created", "blue"), ("exited=3", "green"),
        ("label=colour", "green red"), ("label=colour=red", "red"), ("name=ee", "green"), ("volume=vol", "green"),
        (f"ancestor={box.image}", "blue green red"), ("before=green", "red"), ("since=green", "blue"),
    ):  # fmt: skip
        assert sorted(box.names("-a", "-f", text)) == names.split(), text
    assert box.names("-l") == ["blue"]
    assert box.names("-n", "2") == box.names("-n", "2", "-l") == ["blue", "green"]
    box.pyrun.ok("commit", "-c", "LABEL a=b", "red", "child:1")
    box.pyrun.ok("create", "--name", "kid", "--tmpfs", "/t", "-v", "vol:/v", "child:1")
    assert sorted(box.names("-a", "-f", f"ancestor={box.image}")) == ["blue", "green", "kid", "red"]
    assert box.names("-a", "-f", "ancestor=child:1") == ["kid"]
    assert box.pyrun.ok("ps", "-lq", "--no-trunc") == box.pyrun.ok("inspect", "-f", "{{.Id}}", "kid")
    assert box.pyrun.ok("ps", "-l", "--format", "{{.Mounts}}") == "vol"  # what --tmpfs made has no name
    assert box.pyrun.ok("inspect", "-f", "json", "kid", "red").startswith('[{"Id":"')
    assert "invalid filter" in box.pyrun.fails(1, "ps", "-f", "what=ever")


def test_stop_and_its_timeout(box: Box) -> None:
    box.start("polite", command=("sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done"))
    with following(box.pyrun, "polite") as lines:
        assert next(lines) == "up"
    assert box.pyrun.ok("stop", "polite") == "polite"
    assert state(box, "polite") == ("exited", 7)
    box.start("deaf", "--stop-timeout", "0")
    box.pyrun.ok("stop", "deaf")
    assert state(box, "deaf") == ("exited", 137)
    assert box.pyrun.ok("stop", "deaf") == "deaf"
    box.start("chosen", "--stop-signal", "KILL")
    box.pyrun.ok("stop", "chosen")
    assert state(box, "chosen") == ("exited", 137)


def test_kill(box: Box) -> None:
    box.start(
        "target", command=("sh", "-c", "trap 'echo hup' HUP; trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done")
    )
    with following(box.pyrun, "target") as lines:
        assert next(lines) == "up"
        box.pyrun.ok("kill", "-s", "HUP", "target")
        assert next(lines) == "hup"
    box.pyrun.ok("kill", "--signal=SIGUSR1", "target")
    assert box.pyrun.ok("wait", "target") == "9"
    assert "not running" in box.pyrun.fails(1, "kill", "target")
    assert "invalid signal" in box.pyrun.fails(1, "kill", "-s", "NOPE", "target").lower()


def test_wait_in_another_process(box: Box) -> None:
    box.start("slow", "-i", command=("sh", "-c", "trap 'exit 12' TERM; echo up; while :; do sleep 0.05; done"))
    with following(box.pyrun, "slow") as lines:
        assert next(lines) == "up"
    with box.pyrun.popen("wait", "slow", stdout=subprocess.PIPE) as waiter:
        assert waiter.poll() is None
        box.pyrun.ok("kill", "-s", "TERM", "slow")
        assert waiter.communicate(timeout=30)[0] == b"12\n"


def test_rm_of_a_running_one(box: Box) -> None:
    box.start("busy")
    message = box.pyrun.fails(1, "rm", "busy")
    assert "running" in message
    assert "pyrun stop busy" in message
    assert box.status("busy") == "running"
    pid = box.inspect("busy")["State"]["Pid"]
    assert box.pyrun.ok("rm", "-f", "busy") == "busy"
    assert not os.path.exists(f"/proc/{pid}")
    assert box.names("-a") == []


def test_detached_rm_removes_itself(box: Box) -> None:
    box.pyrun.ok(
        "run",
        "-d",
        "--rm",
        "--name",
        "brief",
        "--network",
        "none",
        "-v",
        "/v",
        box.image,
        "sh",
        "-c",
        "sleep 0.2; exit 5",
    )
    assert box.pyrun.ok("wait", "brief") == "5"
    assert box.names("-a") == []
    assert not [*(box.pyrun.root / "ephemeral").glob("*"), *(box.pyrun.root / "volumes").glob("*")]


def test_run_d_knows_what_execve_said(box: Box) -> None:
    done = box.pyrun("run", "-d", "--name", "none", "--network", "none", box.image, "nosuch")
    assert (done.returncode, done.stdout) == (127, "")
    assert "nosuch" in done.stderr
    assert box.pyrun("run", "-d", "--network", "none", box.image, "/etc/passwd").returncode == 126
    assert state(box, "none")[0] == "created"


def test_exec(box: Box) -> None:
    pyrun = box.pyrun
    box.start("host", "-e", "COLOUR=red", "-w", "/tmp", "--hostname", "boat")
    assert pyrun.ok("exec", "host", "sh", "-c", "pwd; id -u; echo $COLOUR; hostname").split() == [
        "/tmp",
        "0",
        "red",
        "boat",
    ]
    options = ("-e", "COLOUR=blue", "-u", "alice", "-w", "/home/alice")
    assert pyrun.ok("exec", *options, "host", "sh", "-c", "pwd; id -u; echo $COLOUR $HOME").split() == [
        "/home/alice", "1000", "blue", "/home/alice",
    ]  # fmt: skip
    assert pyrun.ok("exec", "-i", "host", "cat", input="through\n") == "through"
    pyrun.fails(3, "exec", "host", "sh", "-c", "exit 3")
    pyrun.fails(137, "exec", "host", "sh", "-c", "kill -9 $$")
    assert "nosuch" in pyrun.fails(127, "exec", "host", "nosuch")
    pyrun.fails(126, "exec", "host", "/etc")
    assert pyrun.ok("exec", "-d", "host", "sh", "-c", "mkfifo /tmp/f; echo done > /tmp/f") == ""
    assert pyrun.ok("exec", "host", "sh", "-c", "while ! [ -p /tmp/f ]; do :; done; cat /tmp/f") == "done"
    seen = pyrun.ok(
        "exec", "host", "grep", "-E", "^(Sig(Blk|Ign)|Cap(Bnd|Eff|Inh)|Seccomp|NoNewPrivs):", "/proc/self/status"
    )
    fields = dict(line.split() for line in seen.split("\n"))
    assert fields == {
        "SigBlk:": "0" * 16, "SigIgn:": "0" * 16, "CapInh:": "0" * 16, "CapEff:": "00000000a80425fb",
        "CapBnd:": "00000000a80425fb", "NoNewPrivs:": "0", "Seccomp:": "2",
    }  # fmt: skip
    assert pyrun.ok("exec", "host", "ls", "/proc/self/fd").split() == ["0", "1", "2", "3"]


def test_exec_where_nothing_runs(box: Box) -> None:
    """Docker's code here is 1, not 125."""
    assert "no such container: absent" in box.pyrun.fails(1, "exec", "absent", "true")
    box.pyrun.ok("create", "--name", "idle", box.image)
    assert "not running" in box.pyrun.fails(1, "exec", "idle", "true")


def test_50_execs_at_once(box: Box) -> None:
    box.start("host")
    processes = [
        box.pyrun.popen("exec", "host", "sh", "-c", f"echo {n}; exit {n}", stdout=subprocess.PIPE) for n in range(50)
    ]
    for number, process in enumerate(processes):
        with process:
            assert process.communicate(timeout=60)[0] == f"{number}\n".encode()
            assert process.returncode == number


def test_monitor_killed(box: Box) -> None:
    identity = box.start("orphan", "-u", "alice", command=("sh", "-c", "echo kept > /tmp/file; echo up; sleep 1000"))
    with following(box.pyrun, "orphan") as lines:
        assert next(lines) == "up"
    import json

    record = json.loads((box.pyrun.root / "containers" / identity / "state").read_text())
    os.kill(record["monitor"], signal.SIGKILL)
    wait_pid(record["monitor"])
    wait_pid(record["pid"])
    assert state(box, "orphan") == ("exited", 137)
    assert box.names() == []
    assert box.names("-a") == ["orphan"]
    assert box.pyrun.ok("wait", "orphan") == "137"
    box.pyrun.ok("start", "orphan")
    assert box.pyrun.ok("exec", "orphan", "cat", "/tmp/file") == "kept"
    box.pyrun.ok("rm", "-f", "orphan")


def test_after_a_reboot(box: Box) -> None:
    """Power was lost: another boot id, no exit record, and perhaps a process with the same pid."""
    identity = box.start("before")
    directory = box.pyrun.root / "containers" / identity
    running = (directory / "state").read_text()
    box.pyrun.ok("kill", "before")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert boot in running
    fake = re.sub(r'"pid":\d+,"starttime":\d+', f'"pid":{os.getpid()},"starttime":{_start_time()}', running)
    (directory / "state").write_text(fake.replace(boot, "00000000-0000-4000-8000-000000000000"))
    (directory / "exit").write_bytes(bytes(64))
    assert state(box, "before") == ("exited", 137)
    assert box.names() == []
    box.pyrun.ok("start", "before")
    assert box.status("before") == "running"


def _start_time() -> int:
    with open("/proc/self/stat", encoding="utf-8") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def test_attached_starts_at_once(box: Box) -> None:
    """One starts it, the others are attached to it, or start it once more."""
    box.pyrun.ok("create", "--name", "one", "--network", "none", box.image, "sh", "-c", "sleep 0.3; echo done; exit 4")
    at_once = [box.pyrun.popen("start", "-a", "one", stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in "abc"]
    for process in at_once:
        assert process.communicate(timeout=60)[0] == b"done\n"
        assert process.returncode == 4


def test_a_directory_is_no_input(box: Box) -> None:
    directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    process = box.pyrun.popen("ps", "-q", stdin=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(directory)
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 0
