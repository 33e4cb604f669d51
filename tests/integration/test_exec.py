"""`exec`: further processes in a running container; how they begin, how they end, what goes through them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

from tests.support.boxes import following, wait_pid
from tests.support.features import requires
from tests.support.groups import leave, new_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

DETACH = "\x10\x11"
# What an exec must find: the container's root, its filter, its host name, its init, and where it is in the cgroups.
LOOK = """
    ls /proc/1/root/ | tr '\\n' ' '; hostname; grep -h ^Seccomp: /proc/self/status; cat /proc/self/cgroup
    readlink /proc/1/exe
"""


def begins_at_once(box: Box, times: int) -> None:
    """An exec right after `run -d` finds what one finds a while later."""
    box.start("steady", "--hostname", "boat")
    wanted = box.pyrun.ok("exec", "steady", "sh", "-c", LOOK)
    assert "bin " in wanted
    assert "boat" in wanted
    assert "\nSeccomp:\t2\n" in wanted
    for _ in range(times):
        box.pyrun.ok(
            "run", "-d", "--rm", "--name", "fresh", "--hostname", "boat", "--network=none", box.image, "sleep", "9"
        )
        assert box.pyrun.ok("exec", "fresh", "sh", "-c", LOOK) == wanted
        box.pyrun.ok("kill", "fresh")
        box.pyrun("wait", "fresh")


def test_at_once(box: Box) -> None:
    begins_at_once(box, 10)


@pytest.mark.full
def test_at_once_again_and_again(box: Box) -> None:
    begins_at_once(box, 200)


@requires("freezer")
def test_in_the_containers_group(box: Box) -> None:
    """It counts and is limited as the container is, also when it comes from somewhere else."""
    with new_group() as group:
        box.start("con")
        leave(group)
        look = ("exec", "con", "grep", "^0::", "/proc/self/cgroup", "/proc/1/cgroup")
        assert box.pyrun.ok(*look).split() == ["/proc/self/cgroup:0::/", "/proc/1/cgroup:0::/"]
        (group / "cgroup.procs").chmod(0o444)  # nobody may come from elsewhere
        assert "/proc/self/cgroup:0::/.." in box.pyrun.ok(*look)
        (group / "cgroup.procs").chmod(0o644)
        box.pyrun.ok("rm", "-f", "con")


def test_many_with_their_own_codes(box: Box) -> None:
    box.start("host")
    running = [box.pyrun.popen("exec", "host", "sh", "-c", f"exit {code}") for code in range(20)]
    assert [process.wait(60) for process in running] == list(range(20))


def test_sixteen_megabytes_both_ways_at_once(box: Box) -> None:
    box.start("host")
    data = os.urandom(1 << 20) * 16
    process = box.pyrun.popen("exec", "-i", "host", "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    out, sink = process.stdout, process.stdin

    def feed() -> None:
        sink.write(data)
        sink.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    with out:
        assert out.read() == data
    feeder.join()
    assert process.wait(60) == 0


def test_through_files(box: Box, tmp_path: Path) -> None:
    """A file is not handed over but pumped: the container could open it again with other rights."""
    box.start("host")
    data = os.urandom(3 << 20)
    (tmp_path / "in").write_bytes(data)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        process = box.pyrun.popen("exec", "-i", "host", "cat", stdin=source, stdout=target)
        assert process.wait(60) == 0
    assert (tmp_path / "out").read_bytes() == data


def test_end_of_input_is_not_the_end(box: Box) -> None:
    box.start("host")
    assert box.pyrun.ok("exec", "-i", "host", "sh", "-c", "cat; echo after", input="before\n") == "before\nafter"
    assert box.pyrun.ok("exec", "host", "sh", "-c", "cat; echo no input", input="unread\n") == "no input"


def test_options(box: Box, tmp_path: Path) -> None:
    box.start("host", "-e", "COLOUR=red", "-u", "alice")
    (tmp_path / "env").write_text("SHAPE=file\nSIZE=file\n")
    options = ("--env-file", str(tmp_path / "env"), "-e", "SIZE=flag", "-e", "COLOUR", "-w", "/etc")
    script = "echo $COLOUR $SHAPE $SIZE; pwd; id -u"
    assert box.pyrun.ok("exec", *options, "host", "sh", "-c", script).split("\n") == ["file flag", "/etc", "1000"]
    assert box.pyrun.ok("exec", "-u", "0:users", "host", "sh", "-c", "id -u; id -g").split() == ["0", "100"]
    held = box.pyrun.ok("exec", "--privileged", "-u", "0", "host", "grep", "^CapEff", "/proc/self/status")
    assert held > box.pyrun.ok("exec", "-u", "0", "host", "grep", "^CapEff", "/proc/self/status")
    assert "absolute path" in box.pyrun.fails(125, "exec", "-w", "etc", "host", "true")
    assert "/nosuch" in box.pyrun.fails(127, "exec", "-w", "/nosuch", "host", "true")


@pytest.mark.parametrize("options", [(), ("-d",), ("-t",), ("-dt",)], ids=" ".join)
def test_what_cannot_be_executed(box: Box, options: tuple[str, ...]) -> None:
    box.start("host")
    assert "executable file not found in $PATH" in box.pyrun.fails(127, "exec", *options, "host", "nosuch")
    assert "permission denied" in box.pyrun.fails(126, "exec", *options, "host", "/etc")
    assert box.status("host") == "running"


def test_where_nothing_runs(box: Box) -> None:
    assert "no such container: nobody" in box.pyrun.fails(1, "exec", "nobody", "true")
    box.pyrun.ok("create", "--name", "made", "--network", "none", box.image, "true")
    assert "it is not running" in box.pyrun.fails(1, "exec", "made", "true")
    box.pyrun.ok("start", "-a", "made")
    assert "it is not running" in box.pyrun.fails(1, "exec", "-d", "made", "true")


def test_while_it_is_stopping(box: Box) -> None:
    """Until its first process has ended the container runs; then those that came later are ended too."""
    at_term = "echo stopping; while [ ! -e /go ]; do sleep 0.05; done; exit 4"
    script = f"trap '{at_term}' TERM; echo up; while :; do sleep 0.05; done"
    box.start("slow", command=("sh", "-c", script))
    with following(box.pyrun, "slow") as lines:
        assert next(lines) == "up"
        stopping = box.pyrun.popen("stop", "-t", "60", "slow", stdout=subprocess.DEVNULL)
        assert next(lines) == "stopping"
        later = box.pyrun.popen("exec", "slow", "sleep", "1000")
        box.exec_end("slow", "/go")
    assert stopping.wait(60) == 0
    assert later.wait(60) in (1, 137)  # 1: it came too late to begin
    assert box.pyrun.ok("wait", "slow") == "4"


def test_killed_with_the_container(box: Box) -> None:
    box.start("host")
    process = box.pyrun.popen("exec", "host", "sh", "-c", "echo in; exec sleep 1000", stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        box.pyrun.ok("kill", "host")
        assert process.wait(60) == 137


def on_a_terminal(box: Box, *arguments: str) -> pexpect.spawn:
    program, *rest = box.pyrun.program
    child = pexpect.spawn(
        program, [*rest, *arguments], env=box.pyrun.environment, cwd=str(box.pyrun.home), encoding="utf-8", timeout=60
    )
    child.delaybeforesend = None
    return child


def test_what_is_detached_from_goes_on(box: Box) -> None:
    box.start("host")
    script = "echo $$ > /pid; echo up; while :; do echo more; echo . >> /ticks; sleep 0.01; done"
    child = on_a_terminal(box, "exec", "-it", "host", "sh", "-c", script)
    child.expect_exact("up")
    child.send(DETACH)
    child.expect(pexpect.EOF)
    child.wait()  # the leader of the caller's session has gone, its terminal too
    assert child.exitstatus == 0
    child.close()
    # It writes more than the terminal holds: somebody reads.
    count = int(box.pyrun.ok("exec", "host", "sh", "-c", "wc -l < /ticks"))
    box.pyrun.ok("exec", "host", "sh", "-c", f"while [ $(wc -l < /ticks) -lt {count + 50} ]; do sleep 0.05; done")
    box.pyrun.ok("exec", "host", "sh", "-c", "kill -9 $(cat /pid)")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_what_is_on_a_terminal_outlives_a_killed_caller(box: Box, number: int) -> None:
    box.start("host")
    child = on_a_terminal(box, "exec", "-it", "host", "sh", "-c", "echo $$ > /pid; echo up; exec yes")
    child.expect_exact("up")
    child.kill(number)
    child.close(force=True)
    # `yes` is stopped by a terminal that nobody reads, and ended by one that nobody holds.
    used = "$(cut -d' ' -f14,15 /proc/$(cat /pid)/stat)"
    script = f'one={used}; while [ "{used}" = "$one" ]; do :; done'
    box.pyrun.ok("exec", "host", "sh", "-c", script)
    box.pyrun.ok("exec", "host", "sh", "-c", "kill -9 $(cat /pid)")


def test_detached_on_a_terminal_of_its_own(box: Box) -> None:
    box.start("host")
    box.pyrun.ok("exec", "-dt", "host", "sh", "-c", "tty > /name; echo $$ > /pid; yes")
    box.pyrun.ok("exec", "host", "sh", "-c", "while [ ! -s /pid ]; do sleep 0.05; done; kill -0 $(cat /pid)")
    assert box.pyrun.ok("exec", "host", "cat", "/name").startswith("/dev/pts/")
    box.pyrun.ok("exec", "host", "sh", "-c", "kill -9 $(cat /pid)")


def test_signals_end_the_caller_alone(box: Box) -> None:
    """As in docker: no signal is handed on; the process goes on."""
    box.start("host")
    process = box.pyrun.popen(
        "exec", "host", "sh", "-c", "echo $$ > /pid; echo in; exec sleep 1000", stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (-signal.SIGTERM, 143)
        assert box.pyrun.ok("exec", "host", "sh", "-c", "kill -0 $(cat /pid); echo alive") == "alive"
        pid = int(box.inspect("host")["State"]["Pid"])
        box.pyrun.ok("kill", "host")
        wait_pid(pid)


def test_detached_ones_are_reaped_and_their_ends_recorded(box: Box) -> None:
    """By somebody outside: this container's first process reaps nothing."""
    box.start("host")
    for script in ("exit 7", "exit 8"):
        box.pyrun.ok("exec", "-d", "host", "sh", "-c", script)
    box.pyrun.fails(127, "exec", "-d", "host", "nonesuch")
    box.pyrun.ok("exec", "-d", "host", "sleep", "1000")
    told = ("--since", "1h", "--filter", "event=exec_die", "--format", "{{.Actor.Attributes.exitCode}}")
    follower = box.pyrun.popen("events", *told, stdout=subprocess.PIPE)
    with follower:
        assert follower.stdout is not None
        assert [follower.stdout.readline() for _ in range(2)] == [b"7\n", b"8\n"]
        states = box.pyrun.ok("exec", "host", "sh", "-c", "grep -h ^State: /proc/[0-9]*/status")
        assert "zombie" not in states
        assert states.count("sleeping") == 2
        box.pyrun.ok("kill", "host")
        assert [follower.stdout.readline() for _ in range(2)] == [b"0\n", b"137\n"]
        follower.kill()


@contextmanager
def ends_of(box: Box) -> Iterator[Callable[[], dict[str, str]]]:
    """Follow the record: each call waits for the next end of an exec and returns its attributes."""
    words = ("events", "--since", "1h", "--filter", "event=exec_die", "--format", "{{json .Actor.Attributes}}")
    process = box.pyrun.popen(*words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    stdout = process.stdout
    try:
        yield lambda: json.loads(stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_the_end_of_a_detached_one_is_recorded(box: Box) -> None:
    box.start("host", "--label", "tier=web")
    with ends_of(box) as next_end:
        box.pyrun.ok("exec", "-d", "host", "sh", "-c", "exit 5")
        end = next_end()
        started = box.pyrun.ok(
            "events", "--since", "1h", "--until", "0s", "--filter", "event=exec_start", "--format",
            "{{.Actor.Attributes.execID}}",
        )  # fmt: skip
        assert end == {"execID": started, "exitCode": "5", "image": box.image, "name": "host", "tier": "web"}
        box.pyrun.ok("exec", "-d", "host", "sh", "-c", "kill -TERM $$")
        assert next_end()["exitCode"] == "143"
        box.pyrun.ok("exec", "-d", "host", "sleep", "1000")
        box.pyrun.ok("kill", "host")
        assert next_end()["exitCode"] == "137"


def test_the_end_is_recorded_when_the_caller_was_killed(box: Box) -> None:
    box.start("host")
    with ends_of(box) as next_end:
        script = "echo in; while [ ! -e /go ]; do sleep 0.05; done; exit 6"
        process = box.pyrun.popen("exec", "host", "sh", "-c", script, stdout=subprocess.PIPE)
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"in\n"
            process.kill()
        box.pyrun.ok("exec", "host", "touch", "/go")
        assert sorted(next_end()["exitCode"] for _ in range(2)) == ["0", "6"]


def test_no_interpreter_stays_with_what_is_detached_from(box: Box) -> None:
    box.start("host")
    before = set(attendants())
    box.pyrun.ok("exec", "-d", "host", "sleep", "1000")
    child = on_a_terminal(box, "exec", "-it", "host", "sh", "-c", "echo up; exec yes")
    child.expect_exact("up")
    child.send(DETACH)
    child.expect(pexpect.EOF)
    child.close()
    memory = {pid: kilobytes for pid, kilobytes in attendants().items() if pid not in before}
    assert len(memory) == 4  # for each: who waits outside, and who has joined the pid namespace
    # 16, and what the kernel's counters may be wrong by: they are kept in batches (proc(5)). An interpreter has 4,000.
    assert max(memory.values()) < 1000
    box.pyrun.ok("kill", "host")


def attendants() -> dict[str, int]:
    """Return the memory of their own, in kB, of all that wait for an exec, by pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text() == "pyrun-exec\n":
                status = (entry / "status").read_text()
                found[entry.name] = int(status.partition("RssAnon:")[2].split()[0])
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue
    return found
