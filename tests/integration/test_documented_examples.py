"""Every `$ … pyrun …` line of README.md is executed, in its order, with images that need no network.

tests/unit/test_shown_commands.py says which test runs each of the other command lines that a document shows.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

from tests.support import images
from tests.support.boxes import push
from tests.support.features import ROOT

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine

pytestmark = pytest.mark.requires("unprivileged", "userns", "overlay", "tun", "skopeo", "registry", "busybox")

README = (ROOT / "README.md").read_text()
LINES = re.findall(r"^ *\$ \.venv/bin/pyrun (.+)$", README, re.MULTILINE)
OS_RELEASE = b'PRETTY_NAME="an example"\n'


def free_port() -> str:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return str(chosen.getsockname()[1])


def test_every_example_of_the_readme(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    assert len(LINES) >= 15
    system = images.layer([images.directory("etc"), images.entry("etc/os-release", OS_RELEASE)])
    server = {"Cmd": ["sh", "-c", "echo ready; exec httpd -f -p 80 -h /"]}
    stand_ins = {
        "debian:12": push(registry, tmp_path, "debian", {"Cmd": ["sh"]}, system),
        "nginx": push(registry, tmp_path, "nginx", server, system),
        "8080:80": f"127.0.0.1:{free_port()}:80",
        "registry.example/team/base:1": f"{registry}/team/base:1",
        "base.tar": str(tmp_path / "base.tar"),
    }
    for line in LINES:
        words = [stand_ins.get(word, word) for word in line.split()]
        if "-it" in words:
            _in_a_terminal(pyrun, words)
            continue
        answer = pyrun.ok(*words)
        if words[0] == "ps":
            assert [row.split()[-1] for row in answer.splitlines()] == ["NAMES", "web"]
        elif words[0] == "exec":
            assert answer == OS_RELEASE.decode().strip()
        elif words[0] == "logs":
            assert answer == "ready"
        elif words[0] == "images":
            assert f"{registry}/team/base" in answer
        elif "pyrun.local/hello" in words:
            _as_printed(answer)
    assert "web" not in pyrun.ok("ps", "-a", "--format", "{{.Names}}").split()


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_scripts_of_the_readme(tmp_path: Path) -> None:
    """In a copy of the tree: they build it. Needs what pip needs: an index of packages, or a cache."""
    copy, store = tmp_path / "pyrun", tmp_path / "store"
    left_out = shutil.ignore_patterns(
        ".git", ".venv", "build", "__pycache__", "*.so", "libexec", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, copy, ignore=left_out, symlinks=True)
    environment = {**os.environ, "PYRUN_ROOT": str(store), "XDG_RUNTIME_DIR": str(tmp_path)}

    def typed(*words: str) -> str:
        done = subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        _as_printed(typed("scripts/quickstart"))
        assert "Features:" in typed(".venv/bin/pyrun", "info")
        assert typed("scripts/setup").startswith("ready: .venv/bin/pyrun")
        assert typed("scripts/dev-build", ".venv/bin/python").startswith("built in place")
        _as_printed(typed(*".venv/bin/pyrun run --rm pyrun.local/hello".split()))
        typed(*".venv/bin/python -m pytest -q tests/unit/test_style.py".split())
    finally:
        subprocess.run(["unshare", "--map-root-user", "--map-auto", "rm", "-rf", str(store)], check=True)


def _in_a_terminal(pyrun: CommandLine, words: list[str]) -> None:
    argv = [*pyrun.program, *words]
    child = pexpect.spawn(argv[0], argv[1:], env=pyrun.environment, timeout=60, encoding="utf-8", cwd=pyrun.home)
    child.logfile_read = sys.stdout
    child.expect("[#$] ")
    child.sendline("echo from-$((40 + 2)); exit 3")
    child.expect("from-42")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


def _as_printed(answer: str) -> None:
    """What the README shows of the first container is what it says: the same headings and words, other numbers."""
    shown = README.split("pyrun.local/hello\n", 1)[1].split("\n\nAfter that", 1)[0]
    wanted = [line.strip() for line in shown.splitlines() if line.startswith("    ") and line.strip()]
    headings = [line for line in wanted if not line[:1].islower() and "  " not in line]
    assert len(headings) >= 5
    for heading in headings:
        assert heading.split(" (")[0] in answer, heading
