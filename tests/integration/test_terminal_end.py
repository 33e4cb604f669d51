"""The end of the caller's terminal, and of who is on it: what is left to the shell, and what to the container."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import termios
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

PROMPT = b"here> "
SHELL = ("sh", "-c", "printf 'here> '; cat")
TELLS = ("sh", "-c", "while printf 'here> '; do sleep 0.1; done")


def at_prompt(box: Box, *arguments: str) -> tuple[subprocess.Popen[bytes], int, int]:
    """Run the command on a new terminal until it shows PROMPT; return it, our end and its own."""
    ours, theirs = pty.openpty()
    process = box.pyrun.popen(*arguments, stdin=theirs, stdout=theirs, stderr=theirs)
    seen = b""
    while PROMPT not in seen:
        seen += os.read(ours, 1000)
    return process, ours, theirs


@pytest.fixture
def host(box: Box) -> Box:
    box.pyrun.ok("run", "-dit", "--name", "host", "--network", "none", box.image, *TELLS)
    return box


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("verb", [("attach", "host"), ("exec", "-it", "host", *SHELL)], ids=["attach", "exec"])
def test_a_signal_gives_the_terminal_back(host: Box, verb: tuple[str, ...], number: int) -> None:
    process, ours, theirs = at_prompt(host, *verb)
    assert not termios.tcgetattr(theirs)[3] & termios.ICANON
    process.send_signal(number)
    assert process.wait(30) == -number
    assert termios.tcgetattr(theirs)[3] & termios.ICANON
    os.close(ours)
    os.close(theirs)
    assert host.status("host") == "running"


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_nobody_stays_on_a_terminal_that_is_closed(host: Box, verb: str) -> None:
    arguments = (
        ("exec", "-it", "host")
        if verb == "exec"
        else ("run", "-it", "--name", "guest", "--network", "none", host.image)
    )
    process, ours, theirs = at_prompt(host, *arguments, *SHELL)
    os.close(theirs)
    os.close(ours)
    assert process.wait(30) == 0
    assert host.status("host" if verb == "exec" else "guest") == "running"


def test_output_that_does_not_block(box: Box) -> None:
    """As a parent makes it that shares its pipe (node.js does)."""
    for verb in (("run", "--rm", "--network", "none", box.image), ("logs",)):
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        words = ("--name", "noisy") if verb[0] == "logs" else ()
        if words:
            box.pyrun("run", *words, "--network", "none", box.image, "seq", "50000")
        process = box.pyrun.popen(*verb, *(("seq", "50000") if not words else ("noisy",)), stdout=writer)
        os.close(writer)
        with open(reader, "rb") as output:
            assert output.read().split()[-1] == b"50000"
        assert process.wait(30) == 0


def test_signals_of_every_kind_reach_the_program(box: Box) -> None:
    numbers = [signal.SIGALRM, signal.SIGTSTP, signal.SIGRTMIN + 3]
    traps = " ".join(f"trap 'echo {int(number)}' {int(number)};" for number in numbers)
    run = ("run", "--rm", "--network", "none", box.image, "sh", "-c", f"{traps} echo up; while :; do sleep 0.02; done")
    process = box.pyrun.popen(*run, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        for number in numbers:
            process.send_signal(number)
            assert int(process.stdout.readline()) == number
        box.pyrun.ok("rm", "-f", *box.names())


def test_what_the_caller_ignores_is_not_handed_on(box: Box) -> None:
    """As nohup(1) does, and a script's `&`."""
    run = (
        "run",
        "--rm",
        "--network",
        "none",
        box.image,
        "sh",
        "-c",
        "trap 'echo hup' HUP; trap 'echo term; exit 3' TERM; echo up; while :; do sleep 0.02; done",
    )
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = box.pyrun.popen(*run, stdout=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGHUP, old)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"term\n"
        assert process.wait(30) == 3


def test_detach_keys_of_dockers_configuration(box: Box, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"detachKeys": "ctrl-e,x"}')
    box.pyrun.environment["DOCKER_CONFIG"] = str(tmp_path)
    process, ours, theirs = at_prompt(box, "run", "-it", "--name", "guest", "--network", "none", box.image, *SHELL)
    os.write(ours, b"\x05x")
    assert process.wait(30) == 0
    os.close(ours)
    os.close(theirs)
    assert box.status("guest") == "running"


def test_ctrl_c_while_python_starts(box: Box) -> None:
    """It waits, blocked by the launcher, until somebody can answer it without a traceback."""

    def interrupted() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        os.kill(os.getpid(), signal.SIGINT)

    process = box.pyrun.popen("ps", stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=interrupted)
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 130
