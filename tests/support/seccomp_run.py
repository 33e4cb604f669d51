"""Run system calls in a process under a filter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pyrun.linux import capabilities, seccomp

CHILD = str(Path(__file__).parent / "seccomp_child.py")


def run(program: bytes | None, calls: list[list[Any]], directory: Path, *options: str) -> list[tuple[int, int]]:
    """Return (result, errno) of each call in a process under the filter."""
    assert program
    path = directory / "filter.bpf"
    path.write_bytes(program)
    command = [sys.executable, "-I", CHILD, str(path), *options]
    result = subprocess.run(command, input=json.dumps(calls), capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, (result.returncode, result.stderr)
    return [(value, error) for value, error in json.loads(result.stdout)]


def default(directory: Path, **options: Any) -> bytes | None:
    return seccomp.compiled(str(directory / "cache"), "default", capabilities.DEFAULT, **options)
