"""The inputs that are kept: one compressed archive per target, members named by their hash.

An archive, not a directory: hundreds of tiny files whose only reader is a fuzzer would drown the tree.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

DIRECTORY = Path(__file__).parents[1] / "corpora/fuzz"


def load(target: str) -> list[bytes]:
    """Return the inputs of one target, in a fixed order."""
    path = DIRECTORY / f"{target}.tar.xz"
    if not path.exists():
        return []
    with tarfile.open(path) as archive:
        return [archive.extractfile(member).read() for member in archive if member.isfile()]  # type: ignore[union-attr]


def save(target: str, inputs: Iterable[bytes]) -> Path:
    """Write the inputs, each once; the same inputs make the same bytes."""
    DIRECTORY.mkdir(exist_ok=True)
    path = DIRECTORY / f"{target}.tar.xz"
    with tarfile.open(path, "w:xz", format=tarfile.USTAR_FORMAT) as archive:
        for data in sorted(set(inputs), key=lambda item: (len(item), item)):
            member = tarfile.TarInfo(hashlib.sha256(data).hexdigest()[:16])
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path
