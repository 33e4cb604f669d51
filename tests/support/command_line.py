"""Runs the `pyrun` command as a user would: a process, its own --root, its own runtime directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.features import ROOT, missing

LAUNCHER = Path(sys.prefix) / "bin" / "pyrun"
_AS_THEIR_ROOT = ["unshare", "--map-root-user", "--map-auto"]


class CommandLine:
    """`pyrun("run", "--rm", image, "true")` returns the CompletedProcess; `pyrun.ok(…)` its output, or fails."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "root"
        self.runtime = directory / "run"
        self.home = directory / "home"
        for made in (self.root, self.runtime, self.home):
            made.mkdir(mode=0o700, exist_ok=True)
        # Nothing of the caller's settings reaches the command, except what the machine needs.
        self.environment = {
            "HOME": str(self.home),
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "PYRUN_ROOT": str(self.root),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }
        self.program = [str(LAUNCHER)] if LAUNCHER.exists() else [sys.executable, "-m", "pyrun"]
        if not LAUNCHER.exists():
            self.environment["PYTHONPATH"] = str(ROOT)

    def __call__(
        self,
        *arguments: str,
        input: str | None = None,
        environment: dict[str, str] | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.program, *arguments],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=timeout,
            env=self.environment | (environment or {}),
            cwd=self.home,
        )

    def ok(self, *arguments: str, input: str | None = None, environment: dict[str, str] | None = None) -> str:
        """Return standard output without its last newline; fail with standard error unless the exit code is 0."""
        done = self(*arguments, input=input, environment=environment)
        assert done.returncode == 0, f"pyrun {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}{done.stdout}"
        return done.stdout.removesuffix("\n")

    def fails(self, code: int, *arguments: str, input: str | None = None) -> str:
        """Return standard error; fail unless the exit code is `code` and there is no traceback in it."""
        done = self(*arguments, input=input)
        assert done.returncode == code, (
            f"pyrun {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}{done.stdout}"
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.stderr

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start the command and return at once; the caller waits for it."""
        return subprocess.Popen(
            [*self.program, *arguments],
            env=self.environment,
            cwd=self.home,
            **options,
        )

    def take_store_of(self, other: CommandLine) -> None:
        """Copy another's store, owners and attributes too: a fifth of what it costs to pull its images again."""
        script = ["cp", "--archive", f"{other.root}/.", str(self.root)]
        # Files of subordinate ids keep their owners only where these ids are ours.
        by_owner = os.geteuid() != 0 and not missing("subids")
        subprocess.run([*_AS_THEIR_ROOT, *script] if by_owner else script, check=True)

    def remove_everything(self) -> subprocess.CompletedProcess[bytes]:
        """Remove all files (some may be owned by subordinate ids)."""
        script = ["rm", "-rf", "--one-file-system", str(self.directory)]
        done = subprocess.run(script, capture_output=True)
        if done.returncode:
            # Directories of other ids: only a namespace in which these ids are ours may remove them.
            done = subprocess.run([*_AS_THEIR_ROOT, *script], capture_output=True)
        return done
