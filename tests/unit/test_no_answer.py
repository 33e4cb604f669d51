"""A process that has no descriptor left knows nothing of anybody: it must not take what is alive for dead."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.store_images import new_layout

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os, resource, sys
from pyrun.errors import PyrunError, is_no_answer
from pyrun.linux import processes
from pyrun.runtime import state
from pyrun.engine import lifecycle, restart_policy
from pyrun.store import containers, gc, index, leases, owner, sweep
from pyrun.store.layout import Layout

layout = Layout(sys.argv[1], sys.argv[1])
directory = layout.container("a" * 64)
os.mkdir(directory)
for name, content in (("lock", ""), ("state", "{}"), ("exit", "1 5 0 x"), ("restart", "always 0")):
    with open(f"{directory}/{name}", "w") as file:
        file.write(content)
mine = owner.token()
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    found = eval(sys.argv[2])
except OSError as error:
    assert is_no_answer(error), error
else:
    print(found)
"""


@pytest.mark.parametrize(
    "question",
    [
        "owner.is_dead(mine)",
        "owner.machine()",
        "owner.boot()",
        "owner.start_time(os.getpid())",
        "state.status(directory)",
        "state.is_locked(directory)",
        "state.start_time(os.getpid())",
        "lifecycle.open_process(os.getpid(), 1)",
        "restart_policy.read(directory)",
        "processes.read(os.getpid())",
        "gc.needs(layout, 'sha256:' + 'b' * 64)",
    ],
)
def test_without_a_descriptor(tmp_path: Path, question: str) -> None:
    layout = new_layout(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, layout.root, question], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
