"""Mutated archives against the ASan/UBSan build: no crash, nothing outside the destination, always an end."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from pyrun.layers import pyrun_tree
from tests.fuzz import corpus, seeds
from tests.fuzz.targets import TARGETS
from tests.support import tar_build as tar
from tests.support.features import ROOT
from tests.support.tar_tree import program, snapshot, unpack, verify

KEPT = corpus.load("unpack-full") + corpus.load("unpack-flat")
ROUNDS = int(os.environ.get("PYRUN_FUZZ_ROUNDS", "100"))


def _fix_checksum(archive: bytearray, at: int) -> None:
    """Most mutations of headers would only show that checksums work."""
    block = archive[at : at + 512]
    block[148:156] = b" " * 8
    archive[at + 148 : at + 156] = f"{sum(block):06o}".encode() + b"\0 "


def _start(rng: random.Random) -> bytearray:
    if rng.random() < 0.3:  # most of them are refused
        return bytearray(rng.choice(KEPT))
    members = seeds.tar_members()
    rng.shuffle(members)
    # Most of them short and hardly touched: most of the long ones are refused early.
    count = rng.randint(1, 3) if rng.random() < 0.7 else rng.randint(1, len(members))
    return bytearray(b"".join(members[:count]) + tar.END)


def _mutate(rng: random.Random) -> bytes:
    archive = _start(rng)
    for _ in range(rng.randint(0, 1 if rng.random() < 0.7 else 4)):
        at = rng.randrange(0, len(archive) // 512) * 512
        kind = rng.randrange(5)
        if kind == 0:
            archive[rng.randrange(len(archive))] ^= 1 << rng.randrange(8)
            continue
        offset, size = rng.choice(
            [(0, 100), (100, 8), (108, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155)]
        )
        field = rng.choice([
            rng.randbytes(size), b"\xff" * size, b"\x80" + rng.randbytes(size - 1), b"7" * size, bytes(size),
            (b"../" * 60)[:size], (b"/up/../s/" * 20)[:size],
            bytes([rng.choice(b"0123456SxgLKVDX7")]) + bytes(size - 1),
        ])  # fmt: skip
        archive[at + offset : at + offset + size] = field[:size]
        _fix_checksum(archive, at)
    if rng.random() < 0.2:
        del archive[rng.randrange(len(archive)) :]
    return bytes(archive)


def test_mutations(tmp_path: Path) -> None:
    seed = int(os.environ.get("PYRUN_FUZZ_SEED", str(random.SystemRandom().randrange(1 << 32))))
    print(f"PYRUN_FUZZ_SEED={seed}")
    rng = random.Random(seed)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("unharmed")
    before = snapshot(str(outside))
    dest = tmp_path / "dest"
    endings = {0: 0, 1: 0}
    for number in range(ROUNDS):
        dest.mkdir()
        form = rng.choice(["full", "flat"])
        archive = _mutate(rng)
        beside = str(tmp_path / "sidecar")
        result = unpack(archive, str(dest), "--max-bytes", "100000000", form=form, sidecar=beside, sanitized=True)
        assert result.status in endings, f"seed {seed} round {number}: {result.status}\n{result.stderr}"
        assert "Sanitizer" not in result.stderr, f"seed {seed} round {number}: {result.stderr}"
        endings[result.status] += 1
        assert (result.status == 1) == bool(result.error)
        if result.status == 0:
            found = verify(archive, str(dest), form=form, sidecar=beside, sanitized=True)
            assert found == [], f"seed {seed} round {number}"
        os.unlink(beside)
        assert snapshot(str(outside)) == before
        assert sorted(os.listdir(tmp_path)) == ["dest", "outside"]
        pyrun_tree.run(["remove", str(dest)], spawn=pyrun_tree.spawn_here, program_path=program(sanitized=True))
    # Mutations that are all refused, or all taken, would test little. Some ten of a hundred are taken.
    assert min(endings.values()) > 0, f"seed {seed}: {endings}"


def test_the_sanitizer_would_see(tmp_path: Path) -> None:
    source = tmp_path / "bad.c"
    source.write_text("#include <stdlib.h>\nint main(void) { volatile char *p = malloc(1); return p[1]; }\n")
    subprocess.run(["gcc", "-fsanitize=address", str(source), "-o", str(tmp_path / "bad")], check=True)
    done = subprocess.run([str(tmp_path / "bad")], capture_output=True, text=True, check=False)
    if "AddressSanitizer" not in done.stderr:
        pytest.fail("the sanitizer does not work here")


@pytest.mark.full
@pytest.mark.parametrize(
    "target",
    [
        pytest.param("unpack-flat", marks=pytest.mark.requires("userns", "afl-fuzz")),
        pytest.param("unpack-full", marks=pytest.mark.requires("userns", "afl-fuzz")),
        *(pytest.param(name, marks=pytest.mark.requires("atheris")) for name in TARGETS),
    ],
)
def test_a_minute_of_each_campaign(target: str) -> None:
    minutes = os.environ.get("PYRUN_FUZZ_MINUTES", "1")
    subprocess.run([sys.executable, "scripts/fuzz", "--minutes", minutes, target], cwd=ROOT, check=True)
