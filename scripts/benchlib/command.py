"""The command line of scripts/bench; as root it starts itself again as an unprivileged user."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchlib import report, tools
from benchlib.row import Row
from benchlib.rows import ROWS, SAMPLES
from benchlib.scene import set_up
from benchlib.timing import CommandFailedError

ROOT = Path(__file__).resolve().parent.parent.parent
USER = "pyrun-bench"


def main(arguments: list[str]) -> int:
    """Run what was asked for; 0 if every goal that was measured was reached, else 1."""
    options = parse(arguments)
    if os.geteuid() == 0 and not options.as_root:
        return _as_user(options, arguments)
    if not options.as_root and not (shutil.which("mmdebstrap") or options.debian_tar):
        raise SystemExit("bench: mmdebstrap is not installed: sudo apt install mmdebstrap, or give --debian-tar FILE")
    print("preparing: a registry, two images, the engines", flush=True)
    rows = []
    with set_up(
        pyrun=options.pyrun or _own_pyrun(),
        disk=options.directory,
        containers=options.containers,
        debian_tar=options.debian_tar,
        mirror=options.mirror,
        only=options.only,
    ) as scene:
        for name, reason in scene.left_out.items():
            print(f"left out: {name}: {reason}")
        for name in options.rows:
            rows.append(_row(name, scene, options.samples))
            report.show(rows[-1])
            sys.stdout.flush()
        content = report.document(rows, scene.left_out)
    if options.output:
        report.write(Path(options.output), content)
    return 0 if all(good for row in rows for _, good in row.checks) else 1


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rows", type=_names, default=list(ROWS), help=f"which of {','.join(ROWS)}")
    parser.add_argument("--samples", type=int, default=0, help="samples of each command, instead of each row's own")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=[], help="competitors, with pyrun: pyrun,podman"
    )
    parser.add_argument("--containers", type=int, default=100, help="detached containers of the row `memory`")
    parser.add_argument("--pyrun", default="", help="the program; default .venv/bin/pyrun, else that of PATH")
    parser.add_argument("--directory", default="/var/tmp", help="where the stores on disk are made (and removed)")
    parser.add_argument("--debian-tar", default="", help="a root file system to use or, if absent, to make and keep")
    parser.add_argument("--mirror", default="", help="where mmdebstrap takes Debian from; default: its own")
    parser.add_argument("--output", default="", help="write all figures as JSON")
    parser.add_argument("--as-root", action="store_true", help="as root: stay root")
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in ROWS:
            raise argparse.ArgumentTypeError(f"no row {name}; there are {', '.join(ROWS)}")
    return names


def _row(name: str, scene: object, samples: int) -> Row:
    try:
        return ROWS[name](scene, samples or SAMPLES[name])  # type: ignore[arg-type]
    except CommandFailedError as error:
        row = Row(name, "not measured")
        row.failures["setting up"] = str(error)
        return row


def _own_pyrun() -> str:
    built = ROOT / ".venv" / "bin" / "pyrun"
    # An editable build lies in the source tree, which a new copy has replaced.
    is_built = built.exists() and any((ROOT / "pyrun").glob("_native*.so"))
    found = str(built) if is_built else None if built.exists() else tools.find("pyrun")
    if found is None:
        if not (ROOT / "scripts" / "setup").exists():
            raise SystemExit("bench: no pyrun: give --pyrun PROGRAM")
        print("building pyrun: scripts/setup", flush=True)
        subprocess.run([ROOT / "scripts" / "setup"], check=True, cwd=ROOT)
        return str(built)
    return found


def _as_user(options: argparse.Namespace, arguments: list[str]) -> int:
    """Run as USER by scripts/as-user, in a private mount namespace with a cgroup2 of its own."""
    inner = [word for word in arguments if not word.startswith("--output=")]
    if "--output" in inner:
        place = inner.index("--output")
        del inner[place : place + 2]
    argv = [str(ROOT / "scripts" / "as-user"), "--own-cgroup", USER]
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)  # the user writes its figures here
        figures = Path(directory, "figures.json")
        code = subprocess.run([*argv, "scripts/bench", *inner, "--output", str(figures)], check=False).returncode
        if options.output and figures.exists():
            shutil.copyfile(figures, options.output)
    return code
