"""What a container outlives: the runtime directory, a reboot, a clock that jumps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import wait_pid
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "overlay")


@pytest.mark.parametrize("options", [(), ("--rm",), ("--restart", "always")])
def test_the_runtime_directory_is_removed(box: Box, options: tuple[str, ...]) -> None:
    """By a cleaner of /tmp, or with the last session of its user."""
    pyrun = box.pyrun
    script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"
    box.start("one", "-i", *options, command=("sh", "-c", script))
    shutil.rmtree(pyrun.runtime / "pyrun")
    assert box.names() == ["one"]
    assert box.status("one") == "running"
    assert pyrun.ok("exec", "one", "echo", "in") == "in"
    assert "up" in pyrun.ok("logs", "one")
    shutil.rmtree(pyrun.runtime / "pyrun")
    assert pyrun.ok("rename", "one", "two") == ""
    waiting = pyrun.popen("wait", "two", stdout=subprocess.PIPE)
    # The socket is there again when somebody waits through it: with --rm and restart policies.
    if options:
        while not [*(pyrun.runtime / "pyrun").rglob("sock/*")]:
            assert waiting.poll() is None
        connected(waiting.pid)
    pyrun.ok("stop", "two")
    assert waiting.communicate()[0] == b"7\n"
    assert box.names() == []
    if "--rm" not in options:
        assert box.inspect("two")["State"]["ExitCode"] == 7
        pyrun.ok("start", "two")
        pyrun.ok("rm", "-f", "two")
    assert box.names("-a") == []


def connected(pid: int) -> None:
    """Wait until a process has a connected Unix socket: inode and state 03 in /proc/net/unix."""
    while True:
        links = []
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it is closed meanwhile
                links.append(os.readlink(path))
        inodes = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
        lines = [line.split() for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]]
        if any(words[6] in inodes and words[5] == "03" for words in lines):
            return


def forge_boot(box: Box, name: str) -> None:
    """Let the container's records be of another boot, after which nothing of it is left."""
    directory = Path(box.pyrun.root / "names" / name).resolve()
    state = directory / "state"
    if state.exists():
        record = json.loads(state.read_text())
        monitor = record["monitor"]
        os.kill(monitor, signal.SIGKILL)
        wait_pid(monitor)
        wait_pid(record["pid"])
        record["boot_id"] = "00000000-0000-0000-0000-000000000000"
        state.write_text(json.dumps(record))
    link = directory / "owner"
    if link.is_symlink():
        parts = os.readlink(link).split("-")
        link.unlink()
        link.symlink_to("-".join([parts[0], "0" * 12, *parts[2:]]))


def test_another_boot(box: Box) -> None:
    pyrun = box.pyrun
    box.start("running")
    box.start("paused")
    pyrun.ok("pause", "paused")
    box.start("brief", "--rm")
    pyrun.ok("create", "--name", "created", "--network", "none", box.image, "true")
    pyrun.ok("create", "--rm", "--name", "unused", "--network", "none", box.image, "true")
    pyrun("run", "--name", "exited", "--network", "none", box.image, "sh", "-c", "exit 5")
    for name in ("running", "paused", "brief", "unused"):
        forge_boot(box, name)
    shutil.rmtree(pyrun.runtime / "pyrun")
    assert box.names() == []
    listed = dict(
        line.split(" ", 1) for line in pyrun.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}").splitlines()
    )
    assert listed.keys() == {"running", "paused", "created", "exited", "unused"}
    assert listed["running"].startswith("Exited (137)")
    assert listed["paused"].startswith("Exited (137)")
    assert listed["created"] == listed["unused"] == "Created"
    assert listed["exited"].startswith("Exited (5)")
    box.start("brief")  # the name is free
    pyrun.ok("start", "running", "paused", "created")
    assert set(box.names()) >= {"brief", "running", "paused"}
    assert box.status("paused") == "running"


def test_a_clock_that_jumps(box: Box) -> None:
    """Records that lie in the future, as if the clock had been set back since."""
    pyrun = box.pyrun
    pyrun("run", "--name", "ended", "--network", "none", box.image, "echo", "said")
    box.start("runs")
    for name in ("ended", "runs"):
        directory = Path(pyrun.root / "names" / name).resolve()
        for path in (directory / "container.json", directory / "state", directory / "exit"):
            path.write_bytes(path.read_bytes().replace(year(), b"2099-"))
    record = pyrun.root / "events/record"
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    for line in lines:
        line["timeNano"] += 10**18  # thirty years
    record.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    shown = pyrun.ok("ps", "-a", "--format", "{{.Names}}|{{.Status}}|{{.RunningFor}}")
    assert "-" not in shown, shown
    assert "Up Less than a second" in shown, shown
    assert box.inspect("runs")["State"]["Running"]
    assert pyrun.ok("logs", "--since", "1h", "ended") == "said"
    pyrun.ok("stop", "-t", "0", "runs")
    # What lies in the future is not within the last hour, and hides nothing that is.
    events = pyrun.ok(
        "events", "--since", "1h", "--until", "0s", "--filter", "container=runs", "--format", "{{.Action}}"
    )
    assert events.split() == ["kill", "kill", "die", "stop"] or events.split() == ["kill", "die", "stop"]
    pyrun.ok("rm", "ended", "runs")


def year() -> bytes:
    import time

    return time.strftime("%Y-").encode()
