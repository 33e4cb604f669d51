"""The short run of tests/fuzz: every input that is kept, and a few mutations of each. scripts/fuzz is the long one."""

from __future__ import annotations

import os
import random

import pytest

from tests.fuzz import corpus, seeds
from tests.fuzz.targets import TARGETS

MUTATIONS = int(os.environ.get("PYRUN_FUZZ_ROUNDS", "400"))


def _mutated(rng: random.Random, inputs: list[bytes]) -> bytes:
    data = bytearray(rng.choice(inputs))
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randint(0, len(data)), rng.randint(1, 8)
        other = rng.choice(inputs)
        start = rng.randint(0, len(other))
        data[at : at + rng.choice((0, size))] = rng.choice((b"", rng.randbytes(size), other[start : start + 20]))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_takes_or_refuses(name: str) -> None:
    inputs = [*corpus.load(name), *seeds.of(name)]
    assert len(inputs) > 3
    for data in inputs:
        TARGETS[name](data)
    seed = int(os.environ.get("PYRUN_FUZZ_SEED", str(random.SystemRandom().randrange(1 << 32))))
    print(f"PYRUN_FUZZ_SEED={seed}")
    rng = random.Random(seed)
    for _ in range(MUTATIONS):
        data = _mutated(rng, inputs)
        try:
            TARGETS[name](data)
        except Exception as error:
            raise AssertionError(f"{name}: {data!r}") from error


def test_a_reader_that_fails_otherwise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> None:
        if b"linux" in data:
            raise KeyError(data)

    monkeypatch.setitem(TARGETS, "platform", broken)
    with pytest.raises(KeyError):
        test_takes_or_refuses("platform")
