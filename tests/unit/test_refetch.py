"""engine/refetch.py: what was stopped before it began ends as well."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.engine import refetch
from pyrun.errors import RegistryError, RegistryUnreachableError
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.digest import of
from pyrun.store import dropped
from pyrun.store.layout import Layout
from pyrun.store.version import open_store

if TYPE_CHECKING:
    from collections.abc import Generator


class Place:
    """Gives without end, until it is told to stop."""

    def __init__(self) -> None:
        self.is_aborted = False

    def chunks(self, descriptor: Descriptor, offset: int = 0) -> Generator[bytes, None, None]:
        while not self.is_aborted:
            yield b"x"
            assert offset < 1_000_000, "nobody stops it"
            offset += 1
        raise RegistryUnreachableError("stopped", registry="x")

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        pass


def test_stopped_before_it_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "run"))
    open_store(layout)
    wanted = Descriptor("application/vnd.oci.image.layer.v1.tar", of(b"x"), 1 << 40)
    dropped.remember(layout, wanted.digest, ["host.example/name"])
    monkeypatch.setattr("pyrun.engine.sources.source_of", lambda *_, **__: Place())
    bringing = refetch.Refetch(layout)
    bringing.abort()
    with pytest.raises(RegistryError, match="stopped"):
        bringing.bring([wanted])
