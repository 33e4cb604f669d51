"""`attach`: several terminals at one container, detaching and coming back, signals, and who cannot be attached to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

from tests.integration.test_terminal import CTRL_C, CTRL_P, CTRL_Q, ended, terminal
from tests.support.boxes import following
from tests.support.features import requires

if TYPE_CHECKING:
    import pexpect

    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

TRAP = "trap 'echo term; exit 21' TERM; trap 'echo int; exit 22' INT; while :; do echo here; sleep 0.05; done"
SIZES = "stty -echo; trap 'echo size $(stty size)' WINCH; echo up; while :; do sleep 0.05; done"


def shell(box: Box, name: str = "con") -> None:
    box.start(name, "-it", command=("sh",))


def detach(child: pexpect.spawn, keys: str = CTRL_P + CTRL_Q) -> None:
    child.send(keys)
    assert ended(child) == 0


def test_two_terminals_at_once(box: Box) -> None:
    shell(box)
    with terminal(box, "attach", "con") as one, terminal(box, "container", "attach", "con") as two:
        for child in (one, two):  # attached, both of them
            child.sendline()
            child.expect_exact("# ")
        for number, writer in enumerate((one, two, one)):
            writer.sendline(f"echo hello-$((40+{number}))")
            for reader in (one, two):
                reader.expect_exact(f"\r\nhello-{40 + number}\r\n")
                reader.expect_exact("# ")
        one.sendline("exit 7")
        assert (ended(one), ended(two)) == (7, 7)


def test_the_size_is_the_last_ones_and_what_was_drawn_is_drawn_again(box: Box) -> None:
    box.start("con", "-it", command=("sh", "-c", SIZES))
    with terminal(box, "attach", "con") as one:
        # One more, then back: what draws only when the size changes draws for who has just come, too.
        one.expect_exact("size 30 90\r\n")
        with terminal(box, "attach", "con") as two:
            two.expect_exact("size 30 90\r\n")
            two.setwinsize(40, 100)
            for reader in (one, two):
                reader.expect_exact("size 40 100\r\n")
            one.setwinsize(20, 70)
            for reader in (one, two):
                reader.expect_exact("size 20 70\r\n")
    # One that has no terminal changes nothing.
    with box.pyrun.popen("attach", "--no-stdin", "con", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as third:
        assert box.pyrun.ok("exec", "con", "sh", "-c", "stty size < /dev/console") == "20 70"
        third.kill()


def test_detach_and_come_back_without_loss(box: Box) -> None:
    script = "stty -echo; while read n; do i=0; while [ $i -lt $n ]; do i=$((i+1)); echo $n/$i; done; done"
    box.start("con", "-it", command=("sh", "-c", script))
    for turn in range(1, 4):
        with terminal(box, "attach", "con") as child:
            child.sendline(f"{turn}00")
            child.expect_exact(f"{turn}00/{turn}00\r\n")
            detach(child)
    # While nobody was there, too.
    with terminal(box, "attach", "--detach-keys", "ctrl-x,x", "con") as child:
        child.sendline("20000")
        child.expect_exact("20000/100\r\n")
        detach(child, "\x18x")
    with terminal(box, "attach", "con") as child:
        child.sendline("3")
        child.expect_exact("3/3\r\n")
        detach(child)
    wanted = [f"{n}/{i}" for n in (100, 200, 300, 20000, 3) for i in range(1, n + 1)]
    assert box.pyrun.ok("logs", "con").split() == wanted


def test_keys_that_only_begin_the_sequence_reach_the_program(box: Box) -> None:
    box.start(
        "con",
        "-it",
        command=("sh", "-c", "stty raw -echo; while :; do dd bs=1 count=1 2>/dev/null | od -An -tx1; done"),
    )
    with terminal(box, "attach", "con") as child:
        child.send(CTRL_P + "a")
        child.expect_exact(" 10")
        child.expect_exact(" 61")
        # The first of three keys is let go; the other two are the sequence.
        detach(child, CTRL_P + CTRL_P + CTRL_Q)
    assert box.status("con") == "running"
    with following(box.pyrun, "con") as lines:
        assert [next(lines).strip() for _ in range(3)] == ["10", "61", "10"]


def test_ctrl_c_is_the_programs_key_or_the_clients_signal(box: Box) -> None:
    box.start("con", "-it", command=("sh", "-c", TRAP))
    with terminal(box, "attach", "con") as child:
        child.expect_exact("here\r\n")
        child.send(CTRL_C)
        child.expect_exact("int\r\n")
        assert ended(child) == 22
    box.start("plain", command=("sh", "-c", TRAP))
    with terminal(box, "attach", "plain") as child:
        child.expect_exact("here\r\n")
        child.send(CTRL_C)
        child.expect_exact("int\r\n")
        assert ended(child) == 22


def test_watching_only(box: Box) -> None:
    shell(box)
    with terminal(box, "attach", "con") as one, terminal(box, "attach", "--no-stdin", "con") as watcher:
        one.sendline("while sleep 0.1; do echo tick; done &")
        for child in (one, watcher):  # attached, both of them
            child.expect("\r\ntick\r+\n")
        watcher.sendline("echo not-mine-$((1+1))")
        one.sendline("echo mine-$((1+1)); exit 3")
        watcher.expect_exact("mine-2")
        assert "not-mine-2" not in watcher.before
        assert (ended(watcher), ended(one)) == (3, 3)


def test_signals_to_the_client(box: Box) -> None:
    box.start("con", command=("sh", "-c", TRAP))
    with box.pyrun.popen("attach", "--sig-proxy=false", "con", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.terminate()
        assert process.wait(30) in (-signal.SIGTERM, 128 + signal.SIGTERM)
    assert box.status("con") == "running"
    with box.pyrun.popen("attach", "con", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.terminate()
        assert process.stdout.read().endswith(b"term\n")
        assert process.wait(30) == 21


def test_streams_that_are_pipes(box: Box) -> None:
    box.start("con", "-i", command=("sh", "-c", "read x; echo out $x; echo err >&2; cat; exit 9"))
    done = box.pyrun("attach", "con", input="word\nrest\n")
    assert (done.returncode, done.stdout, done.stderr) == (9, "out word\nrest\n", "err\n")
    assert box.pyrun.ok("logs", "con") == "out word\nrest"


def test_more_output_than_input_does_not_stand_still(box: Box) -> None:
    """The end of the input has to wait for the container, which waits for its output to be read."""
    data = os.urandom(1 << 20)
    path = box.pyrun.directory / "data"
    path.write_bytes(data)
    with open(path, "rb") as file:
        argv = ("run", "--rm", "-i", "--network", "none", box.image, "od", "-v", "-An", "-tx1", "-w1")
        with box.pyrun.popen(*argv, stdin=file, stdout=subprocess.PIPE) as process:
            out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert bytes.fromhex(out.decode().replace("\n", "")) == data


def test_who_cannot_be_attached_to(box: Box) -> None:
    attach = box.pyrun
    assert "no such container: con" in attach.fails(1, "attach", "con")
    stopped = "cannot attach to a stopped container, start it first"
    attach.ok("create", "--name", "con", "--network", "none", box.image, "true")
    assert stopped in attach.fails(1, "attach", "con")
    attach.ok("start", "con")
    attach.ok("wait", "con")
    assert stopped in attach.fails(1, "attach", "con")
    box.start("tty", "-it", command=("sh",))
    assert "the input device is not a TTY" in attach.fails(1, "attach", "tty")
    with box.pyrun.popen(
        "run", "-d", "--name", "through", "--network", "none", "--log-driver", "passthrough", box.image, "sleep", "99",
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.wait(60) == 0
    assert "'passthrough' log driver, cannot attach" in attach.fails(1, "attach", "through")
    assert "invalid detach keys" in attach.fails(1, "attach", "--detach-keys", "ctrl-ü", "tty")


def test_a_paused_one(box: Box) -> None:
    box.start("con")
    box.pyrun.ok("pause", "con")
    sentence = "cannot attach to a paused container, unpause it first"
    assert sentence in box.pyrun.fails(1, "attach", "con")
    box.pyrun.ok("unpause", "con")


def test_one_that_waits_for_its_next_run(box: Box) -> None:
    # docker's back-off doubles from 0.1 s: by its sixth run there are seconds to ask in.
    box.start("con", "--restart", "always", command=("false",))
    with box.pyrun.popen("events", "--filter", "event=die", stdout=subprocess.PIPE) as events:
        assert events.stdout is not None
        for _ in range(5):
            events.stdout.readline()
        sentence = "cannot attach to a restarting container, wait until it is running"
        assert sentence in box.pyrun.fails(1, "attach", "con")
        events.kill()


def test_more_terminals_than_there_is_room_for(box: Box) -> None:
    box.start("con", "-i", command=("cat",))
    (path,) = box.pyrun.runtime.glob("**/sock/*")
    clients = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(16)]
    for client in clients:
        client.connect(str(path))
        assert client.recv(10) == b"H\x01"
    assert "too many terminals are attached to it" in box.pyrun.fails(1, "attach", "con")
    clients[3].close()
    with box.pyrun.popen("attach", "con", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.communicate(b"through\n", timeout=60)[0] == b"through\n"
        assert process.returncode == 0
    for client in clients:
        client.close()
