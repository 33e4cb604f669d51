"""Every class of errors.py has a row; exit codes and sentences are docker's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pyrun import errors
from pyrun.cli import app, main
from pyrun.cli.errors import EXIT_CODES, report

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PyrunError)]


def test_every_class_is_in_the_table() -> None:
    assert {kind.__name__ for kind in ALL} == {kind.__name__ for kind in EXIT_CODES}


@pytest.mark.parametrize(
    ("error", "verb", "code"),
    [
        (errors.ImageNotFoundError("x"), "run", 125),
        (errors.ImageNotFoundError("x"), "create", 125),
        (errors.ContainerNotFoundError("x"), "exec", 1),
        (errors.ContainerNotFoundError("x"), "rm", 1),
        (errors.CommandNotFoundError("x", "no such file"), "run", 127),
        (errors.CommandNotExecutableError("x", "permission denied"), "run", 126),
        (errors.CommandNotExecutableError("x", "permission denied"), "start", 1),
        (errors.UnsupportedFlagError("--x"), "ps", 125),
        (KeyboardInterrupt(), "run", 130),
        (FileNotFoundError(2, "No such file or directory", "/x"), "run", 125),
        (ValueError("bad"), "ps", 1),
    ],
)
def test_exit_codes(error: BaseException, verb: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(error, verb=verb, debug=False) == code
    assert "Traceback" not in capsys.readouterr().err


def test_sentence_hint_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.PyrunError("cannot do: x: why", hint="do y")
    error.add_note("and z failed too")
    assert report(error, verb="ps", debug=False) == 1
    assert capsys.readouterr().err == "pyrun: cannot do: x: why\nand z failed too\nhint: do y\n"


def test_what_a_terminal_would_obey_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    report(errors.PyrunError("no image: there is \x1b]0;x\x07/\x9b2J\nand", hint="é\udcff"), verb="ps", debug=False)
    assert capsys.readouterr().err == ("pyrun: no image: there is \\x1b]0;x\\x07/\\u009b2J\nand\nhint: é\\xff\n")


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise errors.PyrunError("broken")
    except errors.PyrunError as error:
        report(error, verb="ps", debug=True)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["run", "--memory", "1g", "x"], 125, "pyrun: flag --memory is not supported yet\n"),
        (["run", "--nonesuch", "x"], 125, "pyrun: unknown flag: --nonesuch\nhint: see `pyrun run --help`\n"),
        (["rm", "--nonesuch", "x"], 125, "pyrun: unknown flag: --nonesuch\nhint: see `pyrun rm --help`\n"),
        (["run"], 1, "pyrun: 'pyrun run' requires at least 1 argument\nhint: see `pyrun run --help`\n"),
        (["rm"], 1, "pyrun: 'pyrun rm' requires at least 1 argument\nhint: see `pyrun rm --help`\n"),
        (["ps", "x"], 1, "pyrun: 'pyrun ps' accepts no arguments\nhint: see `pyrun ps --help`\n"),
        (["tag", "x"], 1, "pyrun: 'pyrun tag' requires 2 arguments\nhint: see `pyrun tag --help`\n"),
        (
            ["port"],
            1,
            "pyrun: 'pyrun port' requires at least 1 and at most 2 arguments\nhint: see `pyrun port --help`\n",
        ),
        (
            ["volume", "create", "a", "b"],
            1,
            "pyrun: 'pyrun volume create' requires at most 1 argument\nhint: see `pyrun volume create --help`\n",
        ),
        (["build", "."], 125, "pyrun: command build is not supported yet\nhint: see `pyrun --help`\n"),
        (["frobnicate"], 1, "pyrun: unknown command: pyrun frobnicate\nhint: see `pyrun --help`\n"),
        (["volume", "x"], 1, "pyrun: unknown command: pyrun volume x\nhint: see `pyrun volume --help`\n"),
        (
            ["volume", "create", "-d", "nfs", "x"],
            1,
            "pyrun: no volume driver 'nfs': pyrun has no plugins\nhint: it is local\n",
        ),
    ],
)
def test_usage_errors(argv: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(argv) == code
    captured = capsys.readouterr()
    assert (captured.err, captured.out) == (words, "")


_GROUPED = [f"container {verb}" for verb in app.CONTAINER_VERBS] + [f"image {verb}" for verb in app.IMAGE_VERBS]


@pytest.mark.parametrize("verb", [*app.VERBS, *_GROUPED])
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([*verb.split(), "--help"]) == 0
    assert f"Usage: pyrun {verb} [OPTIONS]" in capsys.readouterr().out


def test_a_closed_pipe_is_quiet() -> None:
    script = "import os, sys; from pyrun.cli.main import main; os.close(os.dup(1)); sys.exit(main(['--help']))"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
