"""Containers without the upper half of pyrun: a bundle whose root file system holds busybox alone.

``Bundle`` compiles a config, starts it under a real monitor and gives what it wrote and how it ended. The engine
namespace is the test's own, so that what one test kills is not another's.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pyrun.linux import capabilities
from pyrun.runtime import compile as compiler
from pyrun.runtime import engine_ns, job, launch, state
from pyrun.runtime.failure import Failure, to_error
from pyrun.runtime.join import join
from tests.support.features import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyrun.runtime.launch import Monitor
    from pyrun.runtime.plan import Plan

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
NAMESPACES = ("pid", "mount", "ipc", "uts", "network", "cgroup")
MASKED = ("/proc/kcore", "/proc/acpi", "/proc/timer_list", "/proc/scsi", "/sys/firmware")
READONLY = ("/proc/bus", "/proc/sys", "/proc/sysrq-trigger")
PATIENCE_SECONDS = 60


class Result:
    """What a container wrote, and its exit code."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.out = out.decode(errors="surrogateescape")
        self.err = err.decode(errors="surrogateescape")

    def __repr__(self) -> str:
        return f"Result(code={self.code}, out={self.out!r}, err={self.err!r})"


class Running:
    """A container whose program has been executed."""

    def __init__(self, bundle: Bundle, monitor: Monitor, plan: Plan, command: str) -> None:
        self.bundle = bundle
        self.monitor = monitor
        self.plan = plan
        self.out = self.err = b""
        self.code: int | None = None
        launch.wait_started(monitor, plan, command)
        now = state.status(bundle.directory)
        self.pid = monitor.pid
        self.monitor_pid = now.monitor

    def take(self) -> bool:
        """Take one frame; False when the monitor has gone."""
        ready, _, _ = select.select([self.monitor.fd], [], [], PATIENCE_SECONDS)
        assert ready, f"the monitor says nothing: {self.out!r} {self.err!r}"
        kind, content = self.monitor.receive()
        if kind == "O":
            self.out += content
        elif kind == "E":
            self.err += content
        elif kind == "X":
            self.code = int.from_bytes(content, "little")
        return kind != ""

    def until(self, text: bytes) -> None:
        """Wait until the container has written `text`."""
        while text not in self.out:
            assert self.take(), f"ended before {text!r}: {self.out!r} {self.err!r}"

    def wait(self) -> Result:
        """Wait for the end of the container and of its monitor."""
        while self.take():
            pass
        assert self.monitor.process is not None
        self.monitor.process.wait()
        self.monitor.close()
        assert self.code is not None, f"no exit frame: {self.out!r} {self.err!r}"
        return Result(self.code, self.out, self.err)

    def wait_monitor(self) -> int:
        """Wait for the end of the monitor; return its exit status."""
        self.monitor.close()
        assert self.monitor.process is not None
        return self.monitor.process.wait()

    def kill_monitor(self) -> None:
        """SIGKILL the monitor and reap it: by then the kernel has ended all that it led."""
        assert self.monitor.process is not None
        os.kill(self.monitor_pid, 9)
        self.monitor.process.wait()
        self.monitor.close()

    def kill(self, signal: int = 9) -> None:
        os.kill(self.pid, signal)


class Bundle:
    """One container's directory, and how it shall be started."""

    def __init__(self, *, single_id: bool = False) -> None:
        # A disk: overlay wants user xattrs in its upper directory, tmpfs has them since 6.6 only.
        self.base = tempfile.mkdtemp(prefix="pyrun-kernel-", dir="/var/tmp")
        os.chmod(self.base, 0o755)
        self.directory = self.base + "/container"
        self.lower = self.base + "/lower"
        self.id = "c" * 64
        self.engine = engine_ns.engine_map()
        if single_id and self.engine.size:
            self.engine = engine_ns.EngineMap(1, f"0 {os.getuid()} 1", f"0 {os.getgid()} 1", None, None)
        self.uid_map: str | None = None
        if self.engine.size:
            self.uid_map = "0 0 1" if self.engine.size == 1 else f"0 0 1\n1 1 {self.engine.size - 1}"
        self.flags = job.LOG
        self.filters: list[bytes] = []
        self.lacking = ""  # system calls the kernel shall seem not to have: tests/support/no_syscall.py
        self.places = ""  # shell commands that prepare the monitor's mount namespace: another engine's container
        self.init = False
        self.job_changes: Callable[[job.Job], None] = lambda orders: None
        self.plan_changes: Callable[[Plan], None] = lambda plan: None
        self.socket = self.base + "/sock/" + self.id
        self._make()

    def _make(self) -> None:
        for name in ("container/upper", "container/work", "container/rootfs", "sock", "live"):
            os.makedirs(f"{self.base}/{name}")
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "root"):
            os.makedirs(f"{self.lower}/{name}")
        os.chmod(self.lower + "/tmp", 0o1777)
        shutil.copy("/bin/busybox", self.lower + "/bin/busybox")
        names = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
        for name in names:
            if name != "busybox":
                os.symlink("busybox", f"{self.lower}/bin/{name}")
        Path(self.lower, "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")
        self.fresh_records()

    def fresh_records(self) -> None:
        """What store/new_container.py makes for each container."""
        Path(self.directory, "lock").write_bytes(b"")
        Path(self.directory, "exit").write_bytes(bytes(64))

    def program(self, name: str, script: str) -> None:
        """Put a shell script into the image."""
        path = Path(self.lower, "bin", name)
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    def config(self, *args: str, uid: int = 0, terminal: bool = False) -> dict[str, Any]:
        """Return a config as `pyrun run` writes it; tests change it before `start`."""
        held = capabilities.names(capabilities.DEFAULT)
        effective = held if uid == 0 else []
        kinds = [*NAMESPACES, *(["user"] if self.engine.size else [])]
        return {
            "process": {
                "terminal": terminal,
                "user": {"uid": uid, "gid": uid, "additionalGids": [] if self.engine.size != 1 else None},
                "args": list(args), "env": ["PATH=/bin", "HOME=/"], "cwd": "/",
                "capabilities": {"bounding": held, "effective": effective, "permitted": effective},
            },
            "root": {}, "hostname": "box", "mounts": self._mounts(),
            "linux": {
                "namespaces": [{"type": kind} for kind in kinds],
                "maskedPaths": list(MASKED), "readonlyPaths": list(READONLY),
            },
        }  # fmt: skip

    @staticmethod
    def _mounts() -> list[dict[str, Any]]:
        quiet = ["nosuid", "noexec", "nodev"]
        table: list[tuple[str, str, list[str]]] = [
            ("/proc", "proc", quiet),
            ("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            ("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            ("/dev/shm", "tmpfs", [*quiet, "mode=1777", "size=65536k"]),
            ("/dev/mqueue", "mqueue", quiet),
            ("/sys", "sysfs", [*quiet, "ro"]),
            ("/sys/fs/cgroup", "cgroup", [*quiet, "ro"]),
        ]
        mounts: list[dict[str, Any]] = [{"destination": d, "type": t, "options": o} for d, t, o in table]
        return mounts + [
            {"destination": f"/dev/{name}", "source": f"/dev/{name}", "type": "bind", "options": ["bind"]}
            for name in DEVICES
        ]

    def compile(self, config: dict[str, Any]) -> Plan:
        """Return the plan of a config."""
        rootfs = {
            "lowerdirs": [self.lower], "upper": self.directory + "/upper", "work": self.directory + "/work",
            "volatile": False, "form": self.engine.form,
        }  # fmt: skip
        plan = compiler.compile_start(
            config, rootfs, self.directory + "/rootfs", self.filters, init=self.init,
            wait=bool(self.flags & job.NETWORK),
        )  # fmt: skip
        self.plan_changes(plan)
        return plan

    def orders(self, config: dict[str, Any]) -> job.Job:
        """Return the monitor's orders."""
        if self.init and "PYRUN_TEST_LIBEXEC" in os.environ and os.environ["PYRUN_TEST_LIBEXEC"] != launch.LIBEXEC:
            pytest.skip("a sanitized monitor is not static: no init program for an image without its libraries")
        orders = job.Job(self.id, self.directory)
        orders.flags = self.flags | (job.INIT if self.init else 0)
        if config["process"]["terminal"]:
            orders.flags |= job.TTY
        orders.clone_flags = compiler.clone_flags(config)
        orders.uid_map = orders.gid_map = self.uid_map
        orders.socket_path = self.socket
        orders.boot_id = state.boot_id()
        self.job_changes(orders)
        return orders

    def launch(self, config: dict[str, Any]) -> tuple[Monitor, Plan]:
        """Start the monitor and return without waiting for anything."""
        plan = self.compile(config)
        with self._monitor_program():
            return launch.start_monitor(self.base + "/engine", self.engine, self.orders(config), plan), plan

    @contextlib.contextmanager
    def _monitor_program(self) -> Iterator[None]:
        """The real one; under a filter if system calls shall be lacking; a sanitized one if the caller's environment
        names its directory."""
        real = os.environ.get("PYRUN_TEST_LIBEXEC", launch.LIBEXEC)
        if not self.lacking and not self.places and real == launch.LIBEXEC:
            yield
            return
        start = f"{real}/pyrun-monitor"
        if self.lacking:
            start = f"{sys.executable} {ROOT}/tests/support/no_syscall.py {self.lacking} -- {start}"
        if self.places:
            start = f"unshare -m sh -ec '{self.places}\nexec {start}'"
        Path(self.base, "pyrun-monitor").write_text(
            f"#!/bin/sh\nexport PYTHONPATH={ROOT} ASAN_OPTIONS=detect_leaks=0:log_path=/tmp/pyrun-asan\n"
            "export UBSAN_OPTIONS=log_path=/tmp/pyrun-ubsan:halt_on_error=1\n"
            f"exec {start}\n"
        )
        os.chmod(self.base + "/pyrun-monitor", 0o755)
        before, launch.LIBEXEC = launch.LIBEXEC, self.base
        try:
            yield
        finally:
            launch.LIBEXEC = before

    def start(self, *args: str, config: dict[str, Any] | None = None, **options: Any) -> Running:
        """Start and wait for execve; raises what `pyrun run` would."""
        config = config or self.config(*args, **options)
        monitor, plan = self.launch(config)
        try:
            return Running(self, monitor, plan, config["process"]["args"][0])
        except BaseException:
            monitor.close()
            raise

    def run(self, *args: str, config: dict[str, Any] | None = None, **options: Any) -> Result:
        """Run to the end."""
        return self.start(*args, config=config, **options).wait()

    def sh(self, script: str, **options: Any) -> Result:
        """Run a shell script."""
        return self.run("/bin/sh", "-c", script, **options)

    def exec(self, running: Running, *args: str, changes: dict[str, Any] | None = None) -> Result:
        """Run a further process, as `pyrun exec` does."""
        config = self.config(*args)
        config["process"] |= changes or {}
        plan = compiler.compile_exec(config["process"], self.filters)
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        out, err = os.pipe(), os.pipe()
        pidfd = os.pidfd_open(running.pid)
        try:
            joined = join(
                pidfd,
                compiler.clone_flags(config),
                plan,
                [null, out[1], err[1]],
                has_console=False,
                events="",
                event="",
            )
        finally:
            for fd in (null, out[1], err[1], pidfd):
                os.close(fd)
        with open(out[0], "rb") as stdout, open(err[0], "rb") as stderr:
            if joined.failure:
                joined.has_failed()
                raise to_error(Failure.decode(joined.failure), plan, args[0])
            written = stdout.read(), stderr.read()
        joined.close()
        return Result(joined.process.wait(), *written)

    def log(self) -> list[dict[str, str]]:
        """Return the records of the current log file."""
        import json

        return [json.loads(line) for line in Path(self.directory, "logs/json.log").read_text().splitlines()]

    def remove(self) -> None:
        """Remove everything; files of subordinate ids are removed by a root that they belong to."""
        engine_ns.spawn_in(
            self.base + "/engine", self.engine, ["/bin/busybox", "rm", "-rf", self.directory, self.lower]
        ).wait()
        shutil.rmtree(self.base)


@contextlib.contextmanager
def bundle(*, single_id: bool = False) -> Iterator[Bundle]:
    """A bundle for one test, which must leave no process behind."""
    from tests.support import leftovers

    leftovers.adopt_orphans()
    before = leftovers.Before()
    made = Bundle(single_id=single_id)
    try:
        yield made
        left = before.leftovers()
    finally:
        made.remove()
    assert not left, "left behind:\n" + "\n".join(left)
