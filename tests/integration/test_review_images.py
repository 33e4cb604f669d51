"""Images that real tools make, and images made to hurt: both end in a container or in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.boxes import following, push
from tests.support.features import requires
from tests.support.images import directory, entry, layer, symlink

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "subids", "overlay")


def test_an_image_of_a_machine_with_systemd_resolved(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    link = layer([directory("etc"), symlink("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")])
    image = push(registry, tmp_path, "resolved", {}, link)
    script = "cat /etc/resolv.conf; ls -l /etc/resolv.conf"
    seen = pyrun.ok("run", "--rm", "--dns", "192.0.2.53", image, "sh", "-c", script)
    assert "nameserver 192.0.2.53" in seen
    assert "-> ../run/systemd/resolve/stub-resolv.conf" in seen


def test_keep_id_mends_a_form_that_was_cut_short(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    """A directory that the top layer only implies has its mode from below: the patch, made after the layers."""
    below, top = layer([directory("closed", mode=0o751, owner=(7, 8))]), layer([entry("closed/file", b"x")])
    image = push(registry, tmp_path, "implied", {}, below, top)
    command = (
        "run",
        "--rm",
        "--network",
        "none",
        "--userns=keep-id",
        "-u",
        "0",
        image,
        "stat",
        "-c",
        "%a %u",
        "/closed",
    )
    assert pyrun.ok(*command) == "751 7"
    patches = list((pyrun.root / "layers").glob("sha256/*/keep-*.patch-*"))
    assert len(patches) == 1
    # As if its maker had been killed between the layers and the patch.
    patches[0].rename(patches[0].with_name("away"))
    assert pyrun.ok(*command) == "751 7"


def test_a_root_directory_that_is_closed_to_us(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    """Owned by another id of the map, mode 0700: nothing can be looked up in it, and it runs."""
    image = push(registry, tmp_path, "closed", {}, layer([directory("./", mode=0o700, owner=(1000, 1000))]))
    assert pyrun.ok("run", "--rm", "--network", "none", image, "echo", "runs") == "runs"
    message = pyrun.fails(125, "run", "--rm", "--network", "none", "-u", "ann", image, "id")
    assert "unable to find user ann" in message
    script = "chown 5 / && chmod 700 / && echo done; exec sleep 1000"
    pyrun.ok("run", "-d", "--network", "none", "--name", "own", image, "sh", "-c", script)
    with following(pyrun, "own") as lines:
        assert next(lines) == "done"
    assert pyrun.ok("exec", "-u", "0", "own", "id", "-u") == "0"
