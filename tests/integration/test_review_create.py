"""Containers that are made and not started at once, and the files that name them."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")


def test_a_created_rm_container_waits_for_its_start(box: Box) -> None:
    """Its maker has ended: to a sweep it looked like what a killed `run --rm` leaves."""
    box.pyrun.ok("create", "--rm", "--name", "later", box.image, "echo", "now")
    box.pyrun.ok("create", "--name", "other", box.image, "true")
    box.pyrun.ok("rm", "other")  # sweeps
    assert box.pyrun.ok("start", "--attach", "later") == "now"
    assert box.pyrun.ok("ps", "--all", "--quiet") == ""


def test_an_id_file_is_claimed_before_anything_is_made(box: Box, tmp_path: Path) -> None:
    message = box.pyrun.fails(125, "create", "--cidfile", str(tmp_path / "none" / "id"), box.image)
    assert "cannot write container ID file" in message
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    assert "container ID file found" in box.pyrun.fails(125, "create", "--cidfile", str(link), box.image)
    assert box.pyrun.ok("ps", "--all", "--quiet") == ""


def test_an_id_file_of_what_was_not_made_is_gone(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "id"
    box.pyrun.fails(125, "create", "--cidfile", str(file), "--user", "nobody-knows-him", box.image)
    assert not file.exists()
    made = box.pyrun.ok("create", "--cidfile", str(file), box.image)
    assert file.read_text() == made
    assert "container ID file found" in box.pyrun.fails(125, "create", "--cidfile", str(file), box.image)
    assert file.read_text() == made


def test_a_label_file_that_is_no_text(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_bytes(b"a=\xff\n")
    assert "invalid utf8 bytes" in box.pyrun.fails(125, "create", "--label-file", str(file), box.image)


def test_a_hostname_adds_no_lines_to_hosts(box: Box) -> None:
    message = box.fails(125, "--hostname", "a\n192.0.2.6 evil")
    assert "invalid hostname format" in message
    assert box.pyrun.ok("ps", "--all", "--quiet") == ""


def test_one_that_is_refused_takes_its_filled_volume_with_it(box: Box, tmp_path: Path) -> None:
    """Its files are a subordinate id's: what could not remove them was told instead of the reason."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("seed")
    tar = subprocess.run(
        ["tar", "-c", "-C", tmp_path, "--owner=5", "--group=5", "data"], capture_output=True, check=True
    ).stdout
    (tmp_path / "image.tar").write_bytes(tar)
    box.pyrun.ok("import", "-c", "VOLUME /data", "-c", 'CMD ["x"]', str(tmp_path / "image.tar"), "seeded:1")
    box.pyrun.ok("create", "--name", "taken", box.image)
    assert "already in use by container" in box.pyrun.fails(125, "create", "--name", "taken", "seeded:1")
    assert "invalid container name (c)" in box.pyrun.fails(125, "create", "--name", "c", "seeded:1")
    assert [os.listdir(box.pyrun.root / part) for part in ("volumes", "trash")] == [[], []]
