"""Callers as they come: no room on standard output, few descriptors, ignored signals, no directory to be in."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.boxes import Box

pytestmark = requires("userns", "overlay", "native")


def called(box: Box, *argv: str, prepare: Callable[[], Any] | None = None, **options: Any) -> tuple[int, str]:
    """Return exit code and standard error of a command that a caller of this kind has started."""
    options = {"env": box.pyrun.environment, "cwd": box.pyrun.home, "stdout": subprocess.DEVNULL, **options}
    done = subprocess.run(
        [*box.pyrun.program, *argv], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60,
        preexec_fn=prepare, check=False, **options,
    )  # fmt: skip
    assert "internal error" not in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def test_output_that_cannot_be_written(box: Box) -> None:
    said = "pyrun: cannot write the output: no space left on device\nhint: free some space where it goes to\n"
    with open("/dev/full", "w", encoding="ascii") as full:
        # Hot, cold, with threads, and by descriptor.
        for code, *argv in ((1, "ps"), (1, "images"), (1, "--help"), (1, "image-inspect", box.image)):
            assert called(box, *argv, stdout=full) == (code, said)
        run = ("run", "--rm", "--network", "none", box.image, "echo", "said")
        assert called(box, *run, stdout=full) == (125, said)
    assert box.names("-a") == []


def test_few_descriptors(box: Box) -> None:
    """Whatever it cannot find out, it does not remove what is alive."""
    box.start("one")
    for count in (4, 5, 6, 8, 12, 20):

        def limit(count: int = count) -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))

        for argv in (("rm", "one"), ("rm", "-f", "nobody-at-all"), ("system", "prune", "-f")):
            code, said = called(box, *argv, prepare=limit)
            assert code == 0 or said.startswith("pyrun: "), said
        code, said = called(box, "run", "--rm", "--network", "none", box.image, "true", prepare=limit)
        assert code == 0 or "hint: " in said
    assert box.names("-a") == ["one"]
    assert box.pyrun.ok("exec", "one", "echo", "fine") == "fine"


def test_a_caller_that_ignores_and_blocks_signals(box: Box, tmp_path: Path) -> None:
    def ignore() -> None:
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    box.start("one")
    for argv in (
        ("exec", "one", "grep", "-q", "SigIgn:.*00000000$", "/proc/self/status"),
        ("cp", "one:/etc/passwd", str(tmp_path)),
        ("commit", "one", "other:1"),
        ("rmi", "other:1"),
        ("stop", "-t", "0", "one"),
        ("rm", "one"),
    ):
        assert called(box, *argv, prepare=ignore) == (0, ""), argv


def test_no_place_to_be(box: Box, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    removed: dict[str, Any] = {"cwd": gone, "prepare": gone.rmdir}
    assert called(box, "ps", **removed) == (0, "")
    gone.mkdir()
    code, said = called(box, "--root", "relative", "ps", **removed)
    assert (code, said.splitlines()[0]) == (1, "pyrun: cannot find the current directory: it was removed")
    environment = {key: value for key, value in box.pyrun.environment.items() if key != "PYRUN_ROOT"}
    code, said = called(box, "ps", env={**environment, "HOME": "/proc"})
    assert (code, said.splitlines()[0].rpartition(": ")[2]) == (1, "no such file or directory")


def test_a_runtime_directory_that_others_may_write(box: Box, tmp_path: Path) -> None:
    """Somebody else could have made the directory in it that we would use."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    environment = {**box.pyrun.environment, "XDG_RUNTIME_DIR": str(open_to_all)}
    assert called(box, "ps", env=environment) == (0, "")
    assert os.listdir(open_to_all) == []


def test_a_label_that_is_no_text(box: Box) -> None:
    label = os.fsdecode(b"a=\xff")
    box.pyrun.ok("create", "--name", "one", "--label", label, "--network", "none", box.image)
    said = box.pyrun.fails(1, "commit", "one", "other:1")
    assert said.startswith("pyrun: cannot make the image: "), said
    assert "is not UTF-8" in said


@pytest.mark.parametrize("verb", [("ps", "-a"), ("images",), ("logs", "one")])
def test_a_reader_that_goes(box: Box, verb: tuple[str, ...]) -> None:
    box.pyrun("run", "--name", "one", "--network", "none", box.image, "seq", "1", "20000")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert called(box, *verb, stdout=writing) == (141, "")
    finally:
        os.close(writing)
