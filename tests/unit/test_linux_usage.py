"""What is read of a cgroup, of a machine's files written by hand; and of this very process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrun.linux import processes, usage

if TYPE_CHECKING:
    from pathlib import Path


def group(path: Path, **files: str) -> str:
    for name, content in files.items():
        (path / name.replace("_", ".")).write_text(content)
    return str(path)


def own() -> processes.Process:
    found = processes.read(os.getpid())
    assert found is not None
    return found


def test_of_a_process() -> None:
    found = usage.of([own()])
    assert found.source == "proc"
    assert found.cpu_ns >= 10_000_000
    assert 1 << 20 < found.memory < found.limit
    assert found.pids >= 1
    assert (found.received, found.sent) == (0, 0), "the host's network is not the container's"


def test_two_that_share_pages_are_not_counted_twice() -> None:
    alone = usage.of([own()]).memory
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), 19)
        os._exit(0)
    try:
        os.waitpid(pid, os.WUNTRACED)
        child = processes.read(pid)
        assert child is not None
        assert usage.of([own(), child]).memory < 1.5 * alone
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_of_a_group(tmp_path: Path) -> None:
    directory = group(
        tmp_path,
        cpu_stat="usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n",
        memory_current="1048576\n",
        memory_stat="anon 4096\ninactive_file 48576\n",
        memory_max="2097152\n",
        io_stat="8:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=11 wbytes=2 rios=1 wios=1\n",
    )
    found = usage.of([own()], directory)
    assert (found.source, found.cpu_ns, found.memory, found.limit) == ("cgroup", 1_500_000, 1_000_000, 2_097_152)
    assert (found.read, found.written) == (111, 22)


def test_of_a_group_without_limit_or_controllers(tmp_path: Path) -> None:
    directory = group(tmp_path, cpu_stat="usage_usec 7\n", memory_current="4096\n", memory_max="max\n")
    found = usage.of([own()], directory)
    assert (found.cpu_ns, found.memory) == (7000, 4096)
    assert found.limit == usage.of([own()]).limit
    (tmp_path / "memory.current").unlink()
    assert usage.of([own()], directory).memory > 1 << 20
