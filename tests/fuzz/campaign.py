"""The command line of scripts/fuzz: runs one engine after the other, says what was reached, keeps what was found."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from tests.fuzz import archive_reader, corpus, seeds
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/fuzz"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="see the head of scripts/fuzz")
    parser.add_argument("targets", nargs="+", choices=["all", *archive_reader.TARGETS, *TARGETS], metavar="TARGET")
    parser.add_argument("--minutes", type=float, default=30, help="for each target (30)")
    parser.add_argument("--keep", action="store_true", help="write the minimised inputs to tests/corpora/fuzz")
    given = parser.parse_args(argv)
    names = [*archive_reader.TARGETS, *TARGETS] if "all" in given.targets else given.targets
    broken = []
    for name in names:
        work = BUILD / name
        inputs = work / "in"
        shutil.rmtree(work, ignore_errors=True)
        inputs.mkdir(parents=True)
        for number, data in enumerate([*corpus.load(name), *seeds.of(name)]):
            (inputs / f"{number:05}").write_bytes(data)
        run = archive_reader.fuzz if name in archive_reader.TARGETS else _fuzz_python
        found, crashes = run(name, work, int(given.minutes * 60))
        for path in crashes:
            print(f"{name}: BROKEN BY {path}", flush=True)
        broken += crashes
        if given.keep and found:
            print(f"{name}: kept {len(found)} inputs in {corpus.save(name, found)}", flush=True)
    return 1 if broken else 0


def _fuzz_python(name: str, work: Path, seconds: int) -> tuple[list[bytes], list[Path]]:
    """Run one target under atheris; return the inputs that reached what none had before, and those that broke it."""
    crashes, new = work / "crashes", work / "new"
    crashes.mkdir()
    new.mkdir()
    limits = ["-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-verbosity=0", "-print_final_stats=1"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.python_target", name, str(new), str(work / "in"),
         f"-artifact_prefix={crashes}/", f"-max_total_time={seconds}", *limits],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    words = ("executed_units", "new_units", "peak_rss")
    print(f"{name}:", "; ".join(line[6:] for line in done.stderr.splitlines() if any(word in line for word in words)))
    broken = sorted(crashes.iterdir())
    if done.returncode != 0:
        sys.stderr.write(done.stdout[-4000:] + done.stderr[-1000:])
        if not broken:
            raise SystemExit(f"fuzz: {name}: atheris ended with {done.returncode} and no input to blame")
    return [*corpus.load(name), *(path.read_bytes() for path in sorted(new.iterdir()))], broken
