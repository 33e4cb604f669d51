"""`run`: what goes in and what comes out, byte for byte, and in the end the exit code."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from typing import TYPE_CHECKING

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

RUN = ("run", "--rm", "--network", "none")


def test_two_streams_apart(shared_box: Box) -> None:
    done = shared_box.pyrun(*RUN, shared_box.image, "sh", "-c", "echo out; echo err >&2; exit 4")
    assert (done.returncode, done.stdout, done.stderr) == (4, "out\n", "err\n")


def test_without_i_there_is_no_input(shared_box: Box) -> None:
    done = shared_box.pyrun(*RUN, shared_box.image, "cat", input="not for it\n")
    assert (done.returncode, done.stdout) == (0, "")


def test_20_megabytes_there_and_back(shared_box: Box) -> None:
    data = os.urandom(1 << 20) * 20
    argv = (*RUN, "-i", shared_box.image, "cat")
    with shared_box.pyrun.popen(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        back, _ = process.communicate(data, timeout=60)
    assert process.returncode == 0
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()


def test_end_of_input_leaves_the_output_open(shared_box: Box) -> None:
    assert shared_box.sh("cat > /x; wc -c < /x; echo after", input="twelve bytes") == "12\nafter"


def test_input_that_nobody_reads(shared_box: Box) -> None:
    argv = (*RUN, "-i", shared_box.image, "sh", "-c", "exit 5")
    with shared_box.pyrun.popen(*argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            process.stdin.write(bytes(8 << 20))
        except BrokenPipeError:
            pass
        assert process.wait(60) == 5
        assert process.stderr.read() == b""
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass


def test_output_that_nobody_reads(shared_box: Box) -> None:
    """As `pyrun run … | head`: the client must not wait for ever, and nothing is left running."""
    process = shared_box.pyrun.popen(*RUN, shared_box.image, "sh", "-c", "seq 200000; exit 6", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read(4) == b"1\n2\n"
    process.stdout.close()
    assert process.wait(60) == 6


def test_50_megabytes_attached_and_logged(box: Box) -> None:
    script = "dd if=/dev/urandom bs=1M count=2 2>/dev/null | od -An -tx1 -v | head -c 5000000 > /x; for i in 0 1 2 3 4 5 6 7 8 9; do cat /x; done; sha256sum < /x > /sum; sleep 1000"  # noqa: E501 # fmt: skip
    argv = ("run", "--name", "loud", "--network", "none", box.image, "sh", "-c", script)
    with box.pyrun.popen(*argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        received = process.stdout.read(50_000_000)
        part = received[:5_000_000]
        expected = box.pyrun.ok(
            "exec", "loud", "sh", "-c", "while ! [ -s /sum ]; do sleep 0.05; done; cat /sum"
        ).split()[0]
        assert hashlib.sha256(part).hexdigest() == expected
        assert received == part * 10
        box.pyrun.ok("kill", "loud")
        assert process.wait(30) == 137
    # Three files of 10 MB at most; what they hold is the end, without a gap.
    logs = sorted((box.pyrun.root / "containers").glob("*/logs/json.log*"))
    assert 1 < len(logs) <= 3
    assert all(path.stat().st_size <= 10_100_000 for path in logs)
    logged = box.pyrun("logs", "loud").stdout.encode()
    assert len(logged) > 5_000_000
    assert received.endswith(logged)


def test_a_long_line_and_every_byte_in_logs(box: Box) -> None:
    script = (
        "head -c 100000 /dev/zero | tr '\\0' x; echo; printf 'caf\\303\\251 \"q\" \\\\ \\t'; echo err >&2; printf tail"
    )
    box.start("lines", command=("sh", "-c", script))
    assert box.pyrun.ok("wait", "lines") == "0"
    done = box.pyrun("logs", "lines")
    assert done.stdout == "x" * 100000 + '\ncafé "q" \\ \ttail'
    assert done.stderr == "err\n"
    file = next((box.pyrun.root / "containers").glob("*/logs/json.log*"))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {row["stream"] for row in rows} == {"stdout", "stderr"}
    assert max(len(row["log"]) for row in rows) == 16384
