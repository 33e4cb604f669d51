"""`logs` and `--log-driver`: every line once and in order, from each driver, while it is written and after it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.boxes import following, wait_pid
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

DRIVERS = ("json-file", "k8s-file", "local")
SMALL = ("--log-opt", "max-size=20k", "--log-opt", "max-file=3")


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_driver_that_can_be_read(box: Box, driver: str) -> None:
    box.start("con", "--log-driver", driver, command=("sh", "-c", "echo err >&2; sleep 0.1; seq 5; printf end"))
    assert box.pyrun.ok("wait", "con") == "0"
    done = box.pyrun("logs", "con")
    assert (done.stdout, done.stderr) == ("1\n2\n3\n4\n5\nend", "err\n")
    assert box.pyrun.ok("logs", "-n", "2", "con") == "5\nend"
    stamped = box.pyrun.ok("logs", "-t", "--details", "--tail", "1", "con")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z  end", stamped)
    # The time of a line is a bound that it is within, exactly.
    moment = stamped.split()[0]
    assert box.pyrun.ok("logs", "--since", moment, "--until", moment, "con").endswith("end")
    assert box.pyrun.ok("logs", "--since", "-1h", "con") == ""
    assert box.pyrun.ok("logs", "--since", "1h", "--until", "1m", "con") == ""
    assert box.pyrun.ok("logs", "-f", "--since", "1h", "con").endswith("5\nend")
    config = box.inspect("con")["HostConfig"]["LogConfig"]
    limits = {"max-file": "5", "max-size": "20m"} if driver == "local" else {"max-file": "3", "max-size": "10m"}
    assert config == {"Type": driver, "Config": limits}
    path = box.inspect("con")["LogPath"]
    assert os.path.isfile(path) if driver != "local" else path == ""


def test_both_streams_in_the_order_of_writing(box: Box) -> None:
    script = "for i in 1 2 3; do echo out $i; sleep 0.05; echo err $i >&2; sleep 0.05; done"
    box.start("con", command=("sh", "-c", script))
    box.pyrun.ok("wait", "con")
    with box.pyrun.popen("logs", "con", stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        assert process.stdout.read().decode().split("\n") == [
            "out 1", "err 1", "out 2", "err 2", "out 3", "err 3", "",
        ]  # fmt: skip


def monitor_of(box: Box) -> int:
    """Return the pid of the only running container's monitor."""
    (state,) = (path for kind in ("containers", "ephemeral") for path in (box.pyrun.root / kind).glob("*/state"))
    monitor: int = json.loads(state.read_text())["monitor"]
    return monitor


@contextmanager
def paced(box: Box, name: str, *options: str, lines: int) -> Iterator[Any]:
    """A container that writes `lines` lines each time it is told: what is between two rotations is then known."""
    go = Path(box.pyrun.directory, "go")
    os.mkfifo(go)
    script = f"n=0; while read x; do seq $n $((n+{lines - 1})); n=$((n+{lines})); done < /go"
    box.start(name, "-v", f"{go}:/go", *options, command=("sh", "-c", script))
    with open(go, "wb", buffering=0) as pipe:
        yield pipe


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("ephemeral", [False, True])
def test_following_a_flood_across_rotations(box: Box, driver: str, ephemeral: bool) -> None:
    """Bursts of up to two files, 60 of them: no line is lost or doubled while it is followed."""
    options = ("--log-driver", driver, *SMALL, *(["--rm"] if ephemeral else []))
    burst = 400 if driver == "json-file" else 600
    with paced(box, "con", *options, lines=burst) as go, following(box.pyrun, "con") as lines:
        for number in range(60):
            go.write(b"go\n")
            assert [next(lines) for _ in range(burst)] == [str(number * burst + line) for line in range(burst)]
        # The last burst and the end together: a --rm container's log is read to its end before it goes.
        monitor = monitor_of(box)
        go.write(b"go\n")
        go.close()
        assert list(lines) == [str(60 * burst + line) for line in range(burst)]
    wait_pid(monitor)
    if not ephemeral:
        kept = [int(word) for word in box.pyrun.ok("logs", "con").split()]
        assert kept == list(range(kept[0], 61 * burst))
        assert box.pyrun.ok("logs", "-n", "700", "con").split() == [str(number) for number in kept[-700:]]
    assert (box.names("-a") == []) is ephemeral


def test_follow_until_a_moment(box: Box) -> None:
    box.start("con", command=("sh", "-c", "echo up; sleep 1000"))
    with following(box.pyrun, "con") as lines:
        assert next(lines) == "up"
    assert box.pyrun.ok("logs", "-f", "--until", "-0.3s", "con") == "up"
    assert box.status("con") == "running"


def test_follow_ends_with_a_killed_monitor(box: Box) -> None:
    box.start("con", command=("sh", "-c", "echo up; sleep 1000"))
    with following(box.pyrun, "con") as lines:
        assert next(lines) == "up"
        monitor = monitor_of(box)
        os.kill(monitor, 9)
        assert list(lines) == []
        wait_pid(monitor)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--log-driver", "foo"], "logger: no log driver named 'foo' is registered"),
        (["--log-driver", "syslog"], "log driver syslog is not supported"),
        (["--log-driver", "none", "--log-opt", "max-size=1"], "invalid logging opts for driver none"),
        (["--log-opt", "foo=bar"], "unknown log opt 'foo' for json-file log driver"),
        (["--log-driver", "local", "--log-opt", "tag=x"], "unknown log opt 'tag' for log driver local"),
        (["--log-driver", "k8s-file", "--log-opt", "max-size=xx"], "invalid size: 'xx'"),
        (["--log-opt", "max-size=0"], "max-size must be a positive number"),
        (["--log-opt", "max-file=0"], "max-file cannot be less than 1"),
        (["--log-opt", "max-file=x"], 'strconv.Atoi: parsing "x": invalid syntax'),
        (["--log-opt", "mode=foo"], "logger: logging mode not supported: foo"),
        (
            ["--log-opt", "max-buffer-size=1m"],
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        (["--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=9g"], "invalid log opt max-buffer-size: 9g"),
        (["--log-opt", "compress=true"], "log opt compress is not supported"),
        (["--log-opt", "tag={{.Foo}}"], "invalid log tag"),
        (["--log-opt", "labels-regex=("], "invalid log opt labels-regex"),
        (["--log-opt", "path=/nowhere/x"], "invalid log path"),
        (["--log-driver", "passthrough", "-t"], "the '--log-driver passthrough' option cannot be used with -t"),
    ],
)
def test_options_that_are_refused(shared_box: Box, options: list[str], sentence: str) -> None:
    assert sentence in shared_box.fails(125, *options)
    assert shared_box.names("-a") == []


def test_attributes_and_details(box: Box) -> None:
    options = [
        "-l", "app=a&b", "-l", "other=1", "-l", "app.x=2", "-e", "TIER=é", "-e", "SECRET=1",
        "--log-opt", "labels=app", "--log-opt", "labels-regex=x$", "--log-opt", "env=TIER",
        "--log-opt", "tag={{.Name}}/{{.ID}}",
    ]  # fmt: skip
    container_id = box.start("con", *options, command=("sh", "-c", "echo one; echo two"))
    box.pyrun.ok("wait", "con")
    tag = f"con/{container_id[:12]}"
    record = json.loads(Path(box.inspect("con")["LogPath"]).read_text().splitlines()[0])
    assert record["attrs"] == {"TIER": "é", "app": "a&b", "app.x": "2", "tag": tag}
    prefix = f"TIER=%C3%A9,app=a%26b,app.x=2,tag={tag.replace('/', '%2F')}"
    assert box.pyrun.ok("logs", "--details", "con").splitlines() == [f"{prefix} one", f"{prefix} two"]
    assert box.pyrun.ok("logs", "con") == "one\ntwo"


def test_a_path_of_ones_own(box: Box) -> None:
    path = box.pyrun.directory / "my.log"
    box.start("con", "--log-driver", "k8s-file", "--log-opt", f"path={path}", command=("echo", "there"))
    box.pyrun.ok("wait", "con")
    assert path.read_text().endswith(" stdout F there\n")
    assert box.inspect("con")["LogPath"] == str(path)
    assert box.pyrun.ok("logs", "con") == "there"


def test_no_log(box: Box) -> None:
    assert box.run("--log-driver", "none", command=("echo", "seen")) == "seen"
    box.start("con", "--log-driver", "none")
    assert "configured logging driver does not support reading" in box.pyrun.fails(1, "logs", "con")
    assert box.inspect("con")["LogPath"] == ""
    assert not list((box.pyrun.root / "containers").glob("*/logs/*"))


def test_passthrough_is_the_callers_own(box: Box) -> None:
    argv = ("run", "--rm", "--network", "none", "--log-driver", "passthrough", box.image, "sh", "-c")
    script = "cat; echo err >&2; readlink /proc/self/fd/1; exit 7"
    with box.pyrun.popen(*argv, script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None
        inode = os.fstat(run.stdout.fileno()).st_ino
        out, err = run.communicate(b"in\n", timeout=60)
    assert (run.returncode, out.decode(), err) == (7, f"in\npipe:[{inode}]\n", b"err\n")
    # Detached, as under a service manager: what it writes is all that its reader gets, and ends with it.
    detached = ("run", "-d", "--name", "con", "--network", "none", "--log-driver", "passthrough", box.image)
    with box.pyrun.popen(
        *detached, "sh", "-c", "read x; echo $x", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as run:
        assert run.communicate(b"hello\n", timeout=60)[0] == b"hello\n"
    assert "configured logging driver does not support reading" in box.pyrun.fails(1, "logs", "con")


def test_passthrough_gets_no_terminal(box: Box) -> None:
    import pty

    master, slave = pty.openpty()
    argv = ("run", "--rm", "--network", "none", "--log-driver", "passthrough", box.image, "true")
    try:
        process = box.pyrun.popen(*argv, stdin=slave, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        _, err = process.communicate(timeout=60)
    finally:
        os.close(master)
        os.close(slave)
    assert process.returncode == 125
    assert b"the '--log-driver passthrough' option cannot be used on a TTY" in err


def test_a_full_disk_is_counted_and_does_not_stop_the_container(box: Box) -> None:
    """The log on a small tmpfs: what fits is kept, the loss is told, and once there is room it goes on."""
    disk, pyrun = box.pyrun.directory / "disk", box.pyrun.program[0]
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size=256k none {disk}
        head -c 100000 /dev/zero > {disk}/filler
        mkfifo {disk}/../go
        {pyrun} pull -q {box.image}
        {pyrun} run -d --name con --network none --log-opt path={disk}/x.log -v {disk}/../go:/go {box.image} \\
            sh -c 'seq 1 20000; echo flooded > /go; read x < /go; seq 30001 30010; exit 5'
        cat {disk}/../go
        {pyrun} logs con
        rm {disk}/filler
        echo go > {disk}/../go
        {pyrun} wait con
        {pyrun} logs con
        {pyrun} rm -v con
    """
    environment = {**box.pyrun.environment, "PYRUN_ROOT": f"{disk}/../other"}
    argv = ["unshare", "-Urm", "--map-auto", "sh", "-ec", script]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    head, first, second = re.split(r"\nflooded\n|\n5\n(?=1\n)", done.stdout)
    assert head
    kept = first.split()
    assert 100 < len(kept) < 10000
    assert kept == [str(number) for number in range(1, len(kept) + 1)]
    numbers = [str(number) for number in range(30001, 30011)]
    assert second.split() == [*kept, *numbers, "con"]
    told = re.findall(r"pyrun: (\d+) lines of output were not logged from \S+Z to \S+Z: no space left", done.stderr)
    assert told == [str(20000 - len(kept))] * 2


def logs_of(box: Box) -> Iterator[Path]:
    return (box.pyrun.root / "containers").glob("*/logs/json.log*")


def flood(box: Box, megabytes: int) -> None:
    """Memory, disk and the answer of others stay bounded, however much is written."""
    script = f"yes 0123456789012345678901234567890123456789 | head -c {megabytes}000000; echo; echo last; sleep 1000"
    box.start("con", command=("sh", "-c", script))
    monitor, largest = monitor_of(box), 0
    with following(box.pyrun, "con") as lines:
        for number, line in enumerate(lines):
            if number % 50000 == 0:
                sizes = [path.stat().st_size for path in logs_of(box) if path.exists()]
                largest = max(largest, sum(sizes))
            if line == "last":
                break
    assert largest < 31_000_000
    status = Path(f"/proc/{monitor}/status").read_text()
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])
    assert peak < 3000, "kilobytes: a read, a buffer of records, the program itself"
    assert box.pyrun.ok("logs", "-n", "1", "con") == "last"


def test_a_flood(box: Box) -> None:
    flood(box, 60)


@pytest.mark.full
def test_a_flood_of_a_gigabyte(box: Box) -> None:
    flood(box, 1000)
