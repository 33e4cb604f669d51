"""`pyrun-tree unpack` under AFL++: built with ASan and UBSan from the sources, in a namespace where it may chown."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native"
TARGETS = ("unpack-full", "unpack-flat")
_ENVIRONMENT = {
    "AFL_USE_ASAN": "1",
    "AFL_USE_UBSAN": "1",
    "AFL_QUIET": "1",
    "AFL_NO_UI": "1",
    "AFL_SKIP_CPUFREQ": "1",
    "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1",
    "AFL_NO_AFFINITY": "1",
    "ASAN_OPTIONS": "abort_on_error=1:symbolize=0:detect_leaks=0",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:symbolize=0",
}
# Words that no bit flip finds: overlay's and our own marks, pax keys, names that lead out.
_WORDS = (
    "SCHILY.xattr.user.overlay.opaque=y", "SCHILY.xattr.trusted.overlay.redirect=/",
    "SCHILY.xattr.security.capability=",
    "LIBARCHIVE.xattr.user.overlay.metacopy=", "GNU.sparse.map=", "GNU.sparse.offset=", "GNU.sparse.numbytes=",
    "GNU.sparse.realsize=", "GNU.sparse.name=", "path=", "linkpath=", "size=", "uid=", "mtime=", ".wh.", ".wh..wh..opq",
    ".wh...", "../outside/file", "../outside", "/../", "..",
)  # fmt: skip


def fuzz(name: str, work: Path, seconds: int) -> tuple[list[bytes], list[Path]]:
    """Run AFL++ on one form; return the inputs that together reach what all reached, and those that broke it."""
    form = name.removeprefix("unpack-")
    sandbox = Path("/dev/shm") / f"pyrun-fuzz-{os.getpid()}-{form}"
    sandbox.mkdir()
    (sandbox / "box").mkdir()
    (work / "words").write_text("".join(f'"{word}"\n' for word in _WORDS))
    environment = {**os.environ, **_ENVIRONMENT, "AFL_TMPDIR": str(sandbox)}
    # Root of a namespace of its own, where only the user himself is: chown works as it does for an image's files.
    wrap = ["unshare", "--user", "--map-root-user"]
    command = [str(_program(work, environment)), str(sandbox / "box"), form]
    common = ["-m", "none", "-t", "2000"]
    try:
        done = subprocess.run(
            [*wrap, "afl-fuzz", *common, "-i", str(work / "in"), "-o", str(work / "out"), "-x", str(work / "words"),
             "-V", str(seconds), "--", *command],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise SystemExit(f"fuzz: {name}: afl-fuzz ended with {done.returncode}:\n{done.stdout[-3000:]}")
        _summary(name, work / "out/default/fuzzer_stats")
        kept = work / "kept"
        subprocess.run(
            [*wrap, "afl-cmin", *common, "-i", str(work / "out/default/queue"), "-o", str(kept), "--", *command],
            env=environment, capture_output=True, check=False,
        )  # fmt: skip
    finally:
        shutil.rmtree(sandbox, ignore_errors=True)
    broken = [
        path
        for kind in ("crashes", "hangs")
        for path in sorted((work / "out/default" / kind).iterdir())
        if path.name.startswith("id")
    ]
    return [with_checksums(path.read_bytes()) for path in sorted(kept.iterdir()) if path.is_file()], broken


def with_checksums(archive: bytes) -> bytes:
    """Make the headers valid, which the build for the fuzzer does not ask for, as far as their sizes lead to them."""
    data = bytearray(archive)
    at = 0
    while at + 512 <= len(data):
        block = data[at : at + 512]
        if any(block):
            block[148:156] = b" " * 8
            data[at + 148 : at + 156] = f"{sum(block):06o}".encode() + b"\0 "
        digits = bytes(block[124:136]).strip(b" \0")
        size = int(digits, 8) if digits and not digits.strip(b"01234567") else 0
        at += 512 + (size + 511) // 512 * 512
    return bytes(data)


def _program(work: Path, environment: dict[str, str]) -> Path:
    """Build the harness; main.c gives only its helper functions, _exit goes by way of the harness."""
    built = work / "fuzz-unpack"
    compiler = ["afl-clang-fast", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", f"-I{NATIVE}/tree", f"-I{NATIVE}/plan"]
    main = work / "main.o"
    subprocess.run(
        [*compiler, "-Dmain=tree_main", "-c", f"{NATIVE}/tree/main.c", "-o", str(main)], env=environment, check=True
    )
    sources = [*(NATIVE / "tree").glob("*.c"), *(NATIVE / "plan").glob("*.c"), NATIVE / "fuzz/unpack.c"]
    others = sorted(str(path) for path in sources if path != NATIVE / "tree/main.c")
    subprocess.run([*compiler, "-Wl,--wrap=_exit", *others, str(main), "-o", str(built)], env=environment, check=True)
    return built


def _summary(name: str, path: Path) -> None:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    stats = {key.strip(): value.strip() for key, _, value in lines}
    keys = ("run_time", "execs_done", "execs_per_sec", "corpus_count", "edges_found", "saved_crashes", "saved_hangs")
    print(f"{name}:", "; ".join(f"{key} {stats.get(key, '?')}" for key in keys), flush=True)
