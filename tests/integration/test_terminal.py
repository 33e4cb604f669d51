"""A real terminal at the caller's end: keys, window sizes, detaching, and signals to the client."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import termios
from typing import TYPE_CHECKING

import pexpect

from tests.support.boxes import following
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

CTRL_C, CTRL_P, CTRL_Q, CTRL_BACKSLASH = "\x03", "\x10", "\x11", "\x1c"
KEYS = """
    trap 'echo int' INT; trap 'echo size $(stty size)' WINCH; trap 'echo quit; exit 18' QUIT
    stty -echo; stty size; echo up; while :; do sleep 0.05; done
"""
TRAP = "trap 'echo term; exit 21' TERM; trap 'echo int; exit 22' INT; echo up; while :; do sleep 0.05; done"


@contextlib.contextmanager
def terminal(box: Box, *arguments: str) -> Iterator[pexpect.spawn]:
    """Run the command on a terminal of 30 rows and 90 columns."""
    program, *rest = box.pyrun.program
    child = pexpect.spawn(
        program, [*rest, *arguments], env=box.pyrun.environment, cwd=str(box.pyrun.home), dimensions=(30, 90),
        encoding="utf-8", timeout=60,
    )  # fmt: skip
    child.delaybeforesend = None
    try:
        yield child
    finally:
        child.close(force=True)


def ended(child: pexpect.spawn) -> int | None:
    child.expect(pexpect.EOF)
    child.wait()
    code: int | None = child.exitstatus
    return code


def run(box: Box, *options: str) -> tuple[str, ...]:
    return ("run", "--network", "none", *options, box.image)


def test_a_shell(box: Box) -> None:
    with terminal(box, *run(box, "--rm", "-it"), "sh") as child:
        saved = termios.tcgetattr(child.child_fd)
        child.expect_exact("# ")
        assert termios.tcgetattr(child.child_fd) != saved
        child.sendline("tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all three")
        child.expect("/dev/(console|pts/0)")
        child.expect_exact("30 90")
        child.expect_exact("all three\r\n")
        child.expect_exact("# ")
        child.sendline("exit 17")
        assert ended(child) == 17
        assert termios.tcgetattr(child.child_fd)[:4] == saved[:4]


def check_keys_and_sizes(child: pexpect.spawn) -> None:
    """The other end runs KEYS: a script, as an interactive shell's line editor heeds traps only at the next line."""
    child.expect_exact("30 90\r\nup\r\n")
    child.send(CTRL_C)
    child.expect_exact("int\r\n")
    child.setwinsize(41, 101)
    child.expect_exact("size 41 101\r\n")
    child.send(CTRL_BACKSLASH)
    child.expect_exact("quit\r\n")
    assert ended(child) == 18


def test_keys_and_sizes(box: Box) -> None:
    with terminal(box, *run(box, "--rm", "-it"), "sh", "-c", KEYS) as child:
        check_keys_and_sizes(child)
    box.start("host")
    with terminal(box, "exec", "-it", "host", "sh", "-c", KEYS) as child:
        check_keys_and_sizes(child)
    with terminal(box, "exec", "-t", "host", "stty", "size") as child:
        child.expect_exact("30 90")


def test_detach_and_go_on(box: Box) -> None:
    for options, keys in (((), CTRL_P + CTRL_Q), (("--detach-keys", "ctrl-a,d"), "\x01d")):
        name = f"left{len(options)}"
        with terminal(box, *run(box, "-it", "--name", name, *options), "sh") as child:
            saved = termios.tcgetattr(child.child_fd)
            child.expect_exact("# ")
            # A begun sequence that goes on otherwise reaches the shell whole.
            child.send(keys[0] + "x")
            child.send("\x15echo still here\r")
            child.expect_exact("\r\nstill here\r\n")
            child.expect_exact("# ")
            child.send(keys)
            assert ended(child) == 0
            assert termios.tcgetattr(child.child_fd)[:4] == saved[:4]
        assert box.status(name) == "running"
        assert box.pyrun.ok("exec", name, "echo", "in") == "in"


def test_detach_keys_that_are_none(box: Box) -> None:
    assert "invalid detach keys" in box.pyrun.fails(125, *run(box, "--detach-keys", "ctrl-ü"), "true")
    assert box.names("-a") == []


def test_exec_on_a_terminal(box: Box) -> None:
    box.start("host")
    with terminal(box, "exec", "-it", "host", "sh") as child:
        child.expect_exact("# ")
        child.sendline("echo $TERM; stty size; tty")
        child.expect_exact("xterm\r\n30 90\r\n")
        child.expect(r"/dev/(pts/\d+|console)")
        child.expect_exact("# ")
        child.sendline("exit 18")
        assert ended(child) == 18
    with terminal(box, "exec", "-it", "host", "cat") as child:
        child.sendline("ping")
        child.expect_exact("ping\r\nping\r\n")
        child.send(CTRL_P + CTRL_Q)
        assert ended(child) == 0
    assert box.status("host") == "running"


def test_terminal_without_input(box: Box) -> None:
    with terminal(box, *run(box, "--rm", "-t"), "sh", "-c", f"stty size; {TRAP}") as child:
        child.expect("30 90\r+\nup\r+\n")
        # The caller's terminal is its own still: Ctrl-C is a signal to the client, which hands it on.
        child.send(CTRL_C)
        child.expect("int\r+\n")
        assert ended(child) == 22


def test_ctrl_c_without_a_terminal_inside(box: Box) -> None:
    with terminal(box, *run(box, "--rm"), "sh", "-c", TRAP) as child:
        child.expect_exact("up\r\n")
        child.send(CTRL_C)
        child.expect_exact("int\r\n")
        assert ended(child) == 22


def test_no_terminal_at_all(box: Box) -> None:
    for verb in (run(box, "--rm", "-it"), ("exec", "-it", box.start("host"))):
        assert "not a TTY" in box.pyrun.fails(1, *verb, "sh")
    # -t alone needs none here: the container's is its own.
    assert box.sh("test -t 1 && echo yes", "-t").strip() == "yes"


def test_signals_to_the_client(box: Box) -> None:
    process = box.pyrun.popen(*run(box, "--rm"), "sh", "-c", TRAP, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.terminate()
        assert process.stdout.read() == b"term\n"
        assert process.wait(30) == 21


def test_start_again_attached(box: Box) -> None:
    box.pyrun.ok("create", "-it", "--name", "again", "--network", "none", box.image, "sh")
    for _ in range(2):
        with terminal(box, "start", "-ai", "again") as child:
            child.expect_exact("# ")
            child.sendline("stty size; exit 4")
            child.expect_exact("30 90\r\n")
            assert ended(child) == 4
    box.pyrun.ok("create", "-i", "--name", "pipe", "--network", "none", box.image, "cat")
    assert box.pyrun.ok("start", "-i", "pipe", input="through\n") == "through"


def test_no_sig_proxy(box: Box) -> None:
    process = box.pyrun.popen(
        *run(box, "--name", "alone", "--sig-proxy=false"), "sh", "-c", TRAP, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.terminate()
        assert process.wait(30) in (-signal.SIGTERM, 128 + signal.SIGTERM)
    assert box.status("alone") == "running"
    with following(box.pyrun, "alone") as lines:
        assert next(lines) == "up"
    assert box.pyrun.ok("stop", "alone") == "alone"
    assert box.pyrun.ok("wait", "alone") == "21"


def test_attached_to_what_runs(box: Box) -> None:
    with terminal(box, *run(box, "-it", "--name", "left"), "sh") as child:
        child.expect_exact("# ")
        child.send(CTRL_P + CTRL_Q)
        assert ended(child) == 0
    with terminal(box, "start", "-ai", "left") as child:
        child.sendline("echo back; exit 6")
        child.expect_exact("\r\nback\r\n")
        assert ended(child) == 6
