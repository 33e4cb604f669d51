"""Small images made on the spot, and a store to pull them into with the real helper program."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pyrun.engine.pull import PullResult, pull
from pyrun.layers import pyrun_tree
from pyrun.store.layout import Layout
from pyrun.store.version import open_store
from tests.support.registry_hostile import digest_of, manifest_of

FORM = "full" if os.geteuid() == 0 else "flat"


def tar_of(**members: bytes) -> bytes:
    """Make a tar of regular files; a name with ``__`` for each slash."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(data)
            info.uid, info.gid = os.geteuid(), os.getegid()
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


class Image:
    """Bytes of an image: config, compressed layers, manifest."""

    def __init__(self, *tars: bytes, architecture: str = "amd64", salt: str = "") -> None:
        self.tars = tars
        self.layers = [gzip.compress(tar, 1, mtime=0) for tar in tars]
        self.config = json.dumps(
            {
                "architecture": architecture,
                "os": "linux",
                "created": "2024-05-06T07:08:09Z",
                "config": {"Cmd": ["/bin/true"], "Env": ["A=1"], "Labels": {"salt": salt}},
                "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
            }
        ).encode()
        self.manifest: dict[str, Any] = manifest_of(self.config, *self.layers)


def new_layout(path: Path) -> Layout:
    """Make a store below a directory."""
    if not os.path.exists(pyrun_tree.program()):
        pytest.fail("pyrun-tree is not built: run scripts/dev-build")
    layout = Layout(str(path / "root"), str(path / "run"))
    open_store(layout)
    return layout


def fetch(layout: Layout, reference: str, **options: Any) -> PullResult:
    """Pull without a namespace: as root all owners are ours, else the flat form needs none."""
    return pull(layout, reference, **{"form": FORM, "spawn": pyrun_tree.spawn_here, **options})


def contents(layout: Layout) -> dict[str, int]:
    """Return every file below the root but locks, logs and caches, with its size: what `du` would see."""
    found = {}
    for parent, _, names in os.walk(layout.root):
        for name in names:
            path = f"{parent}/{name}"
            if path not in (layout.refs_log, layout.events, layout.index_lock, layout.gc_lock, layout.names_lock):
                found[path] = os.lstat(path).st_size
    return found


def directories(layout: Layout) -> list[str]:
    """Return every directory below the root."""
    return sorted(f"{parent}/{name}" for parent, names, _ in os.walk(layout.root) for name in names)


def read_layer(layout: Layout, diff_id: str, name: str) -> bytes:
    """Read a file of an unpacked layer."""
    return Path(layout.layer(diff_id, FORM), "tree", name).read_bytes()
