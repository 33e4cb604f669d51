"""A store on a small tmpfs that runs full: the error says so, and the store is clean and usable after it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from pathlib import Path
from pyrun.errors import StorageFullError
from pyrun.store import containers, index, new_container
from tests.support.registry_hostile import HostileRegistry, blob, digest_of, document
from tests.support.store_images import Image, contents, directories, fetch, new_layout, tar_of

layout = new_layout(Path(sys.argv[1]))
before = contents(layout).keys(), directories(layout)
image = Image(tar_of(small=b"x"), tar_of(large=bytes(int(sys.argv[2]))))
with HostileRegistry() as registry:
    registry.on("/v2/x/manifests/1", document(image.manifest)[1])
    for data in (image.config, *image.layers):
        registry.on(f"/v2/x/blobs/{digest_of(data)}", blob(data))
    try:
        fetch(layout, f"{registry.domain}/x:1")
    except StorageFullError as error:
        assert error.hint, error
        print("full:", error.message)
    else:
        print("pulled")
        sys.exit()
assert (contents(layout).keys(), directories(layout)) == before
assert index.entries(layout) == []
# To the last byte: a container cannot be made, and what was begun is gone.
free = os.statvfs(layout.root)
Path(layout.cache, "filler").write_bytes(bytes(free.f_bavail * free.f_frsize))
before = contents(layout).keys(), directories(layout)
try:
    new_container.create(layout, {"id": "a" * 64, "name": "web"}, {"config.json": bytes(9000)})
except StorageFullError:
    print("no container")
assert (contents(layout).keys(), directories(layout)) == before
assert containers.list(layout) == []
"""


def run_on_tmpfs(directory: Path, size: str, content: int) -> subprocess.CompletedProcess[str]:
    program = directory / "program.py"
    program.write_text(PROGRAM)
    disk = directory / "disk"
    disk.mkdir()
    prefix = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    command = (
        f"mount -t tmpfs -o size={size},nr_inodes=4k none {disk} && exec {sys.executable} {program} {disk} {content}"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run([*prefix, "sh", "-c", command], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(("size", "content"), [("3m", 64_000_000), ("600k", 40_000_000)])
def test_a_full_disk_while_unpacking(tmp_path: Path, size: str, content: int) -> None:
    result = run_on_tmpfs(tmp_path, size, content)
    assert result.returncode == 0, result.stderr
    said, container = result.stdout.splitlines()
    assert said.startswith("full: cannot ")
    assert container == "no container"


def test_the_same_with_room_enough(tmp_path: Path) -> None:
    result = run_on_tmpfs(tmp_path, "200m", 64_000_000)
    assert (result.returncode, result.stdout) == (0, "pulled\n"), result.stderr
