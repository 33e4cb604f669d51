"""The competitors: how each is asked for the same work. One that is not installed is left out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchlib.timing import CommandFailedError, run

SLEEP = "98765"  # names the containers' own processes in /proc: nothing else sleeps as long
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def find(name: str) -> str | None:
    """Return the path of a program; runc is in sbin, which an ordinary user's PATH leaves out."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_PATH}")


def remove_tree(path: Path) -> None:
    """Remove a tree that may hold files of subordinate owners."""
    if not path.exists():
        return
    done = subprocess.run(
        ["unshare", "--map-root-user", "--map-auto", "rm", "-rf", str(path)], capture_output=True, check=False
    )
    if done.returncode != 0 or path.exists():
        subprocess.run(["rm", "-rf", str(path)], check=False, capture_output=True)


class Engine:
    """An engine with docker's command line and a store of its own below ``directory``."""

    name = ""

    def __init__(self, program: str, directory: Path, log: Path) -> None:
        self.program = program
        self.log = log
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("PYRUN_")}
        self.set_store(directory)

    def set_store(self, directory: Path) -> None:
        """Use another store from now on."""
        raise NotImplementedError

    def argv(self, *words: str) -> list[str]:
        return [self.program, *words]

    def pull_words(self, reference: str) -> Sequence[str]:
        return ("pull", "-q", reference)

    def push_words(self, reference: str, target: str) -> Sequence[str]:
        return ("push", "-q", reference, target)

    def call(self, *words: str) -> str:
        """Run a command that is not timed. Raises: CommandFailedError."""
        run(self.argv(*words), self.environment, self.log)
        return self.log.read_text(errors="replace")

    def pull(self, reference: str) -> None:
        self.call(*self.pull_words(reference))

    def fill(self, archive: Path, layer: Path, _count: int) -> None:
        """Bring many images: of an archive, or of the layer that they share. Raises: CommandFailedError."""
        self.call("load", "-q", "-i", str(archive))

    def sleeper(self, name: str, reference: str) -> None:
        """Start a detached container that does nothing."""
        self.call("run", "-d", "--name", name, "--network", "none", reference, "/bin/busybox", "sleep", SLEEP)

    def remove(self, names: Sequence[str]) -> None:
        # One second, then KILL: pid 1 of a container ignores TERM unless it asks for it.
        run(self.argv("rm", "-f", *names), self.environment, self.log)

    def end(self) -> None:
        """Leave no process behind."""


class Pyrun(Engine):
    name = "pyrun"

    def set_store(self, directory: Path) -> None:
        self.environment["PYRUN_ROOT"] = str(directory)


class Podman(Engine):
    """podman with cgroupfs and a file of events: systemd's are not there for everybody, and cost it more."""

    name = "podman"

    def set_store(self, directory: Path) -> None:
        # Without a session keyring for each container, of which a user may have 200: rm-200 and ps-1000 need more.
        settings = self.log.with_name("containers.conf")
        settings.write_text("[containers]\nkeyring = false\n")
        self.environment["CONTAINERS_CONF"] = str(settings)
        # Options, not CONTAINERS_STORAGE_CONF: podman 4.3 does not obey it without root.
        self.options = ["--root", f"{directory}/graph", "--runroot", f"{directory}/run", "--storage-driver", "overlay"]
        self.options += ["--cgroup-manager", "cgroupfs", "--events-backend", "file"]

    def argv(self, *words: str) -> list[str]:
        return [self.program, *self.options, *words]

    def pull_words(self, reference: str) -> Sequence[str]:
        return ("pull", "-q", "--tls-verify=false", reference)

    def push_words(self, reference: str, target: str) -> Sequence[str]:
        return ("push", "-q", "--tls-verify=false", reference, target)

    def fill(self, _archive: Path, layer: Path, count: int) -> None:
        # Its load of 500 images from one archive was given up on; an import takes 0.1 s.
        for number in range(count):
            self.call("import", "-q", "--change", f"LABEL number={number}", str(layer), f"localhost/many:{number}")

    def remove(self, names: Sequence[str]) -> None:
        run(self.argv("rm", "-f", "-t", "0", *names), self.environment, self.log)

    def end(self) -> None:
        # It ends the process that keeps podman's user namespace.
        subprocess.run(self.argv("system", "migrate"), env=self.environment, capture_output=True, check=False)


class Runtime:
    """crun or runc on a bundle that is ready: what is left when nobody decides anything."""

    def __init__(self, name: str, program: str, directory: Path, root_file_system: Path, log: Path) -> None:
        self.name = name
        self.program = program
        self.bundle = directory / f"{name}-bundle"
        self.state = directory / f"{name}-state"
        self.log = log
        self.environment = dict(os.environ)
        self._count = 0
        self.bundle.mkdir()
        subprocess.run([program, "spec", "--rootless"], cwd=self.bundle, check=True, capture_output=True)
        self._adjust(root_file_system)
        self.options = self._working_options()

    def argv(self, *words: str) -> list[str]:
        return [self.program, *self.options, *words]

    def run_words(self) -> list[str]:
        self._count += 1
        return self.argv("run", "--bundle", str(self.bundle), f"bench{self._count}")

    def start(self, name: str) -> None:
        """Start a container that sleeps, detached."""
        document = json.loads((self.bundle / "config.json").read_text())
        args = document["process"]["args"]
        document["process"]["args"] = ["/bin/busybox", "sleep", SLEEP]
        (self.bundle / "config.json").write_text(json.dumps(document))
        try:
            run(self.argv("run", "--detach", "--bundle", str(self.bundle), name), self.environment, self.log)
        finally:
            document["process"]["args"] = args
            (self.bundle / "config.json").write_text(json.dumps(document))

    def remove(self, name: str) -> None:
        subprocess.run(self.argv("delete", "--force", name), capture_output=True, check=False)

    def _adjust(self, root_file_system: Path) -> None:
        document = json.loads((self.bundle / "config.json").read_text())
        document["process"]["terminal"] = False
        document["process"]["args"] = ["/bin/busybox", "true"]
        document["root"] = {"path": str(root_file_system), "readonly": True}
        kinds = [namespace["type"] for namespace in document["linux"]["namespaces"]]
        if "network" not in kinds:
            document["linux"]["namespaces"].append({"type": "network"})
        (self.bundle / "config.json").write_text(json.dumps(document))

    def _working_options(self) -> list[str]:
        """Return global options with which it can run here: with cgroups if it can, as podman drives it."""
        problem: Exception | None = None
        choices = [["--cgroup-manager=cgroupfs"], ["--cgroup-manager=disabled"]] if self.name == "crun" else [[]]
        for choice in choices:
            self.options = ["--root", str(self.state), *choice]
            try:
                run(self.run_words(), self.environment, self.log)
            except CommandFailedError as error:
                problem = error
            else:
                return self.options
        assert problem is not None
        raise problem


def bubblewrap(program: str, root_file_system: Path) -> list[str]:
    """Return bwrap's command line for the same: all namespaces, uid 0, the file system read-only."""
    words = ["--unshare-all", "--die-with-parent", "--uid", "0", "--gid", "0", "--proc", "/proc", "--dev", "/dev"]
    return [program, "--ro-bind", str(root_file_system), "/", *words, "/bin/busybox", "true"]
