"""layers/recompress.py: it ends where it is told to."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest

from pyrun.layers.recompress import recompress


class EndError(Exception):
    """Enough."""


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_it_is_not_wanted_any_more(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "blob"
    calls: list[int] = []
    source.write_bytes(gzip.compress(os.urandom(3_000_000), 1))

    def go_on() -> None:
        calls.append(len(calls))
        if len(calls) == 2:
            raise EndError

    with open(tmp_path / "packed", "wb") as file, pytest.raises(EndError):
        recompress(str(source), file.fileno(), kind, None, "", go_on)
    assert len(calls) == 2
    assert "pyrun-pack" not in [thread.name for thread in threading.enumerate()]
