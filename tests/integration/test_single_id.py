"""Real work of a distribution, with all subordinate ids and with none: a package of three owners, su, useradd."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import Box
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "overlay", "dpkg-deb")

CONTROL = (
    "Package: three-owners\nVersion: 1\nArchitecture: all\nMaintainer: Test <test@example.org>\nDescription: test\n"
)
POSTINST = """#!/bin/sh
set -e
chown www-data:www-data /opt/three/web
chown -R games:video /opt/three/play
chmod 2750 /opt/three/play
mknod /opt/three/null c 1 3 || exit 9
touch /opt/three/configured
chown 4321:5432 /opt/three/configured
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A .deb with three owners, made by tar as root would."""
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(CONTROL)
    (tree / "DEBIAN" / "postinst").write_text(POSTINST)
    (tree / "DEBIAN" / "postinst").chmod(0o755)
    for name in ("web", "play", "mail"):
        (tree / "opt" / "three" / name).mkdir(parents=True)
        (tree / "opt" / "three" / name / "file").write_text(f"{name}\n")
    archive = tmp_path / "three-owners.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(tree), str(archive)], check=True, capture_output=True)
    return archive


def prepare(pyrun: CommandLine, images: Catalogue, package: Path) -> tuple[str, ...]:
    pyrun.ok("pull", "-q", images.debian)
    return ("run", "--rm", "--network", "none", "-v", f"{package}:/three.deb:ro", images.debian)


@requires("subids")
def test_full_map(pyrun: CommandLine, images: Catalogue, package: Path) -> None:
    run = prepare(pyrun, images, package)
    script = """
        set -e
        dpkg -i /three.deb >/dev/null
        dpkg-query -W -f '${Status}\n' three-owners
        stat -c '%U:%G %a %n' /opt/three/web /opt/three/play /opt/three/play/file /opt/three/mail
        stat -c '%u:%g' /opt/three/configured
        useradd -m -u 1234 bob
        su bob -c 'id -un; touch ~/mine; stat -c %U ~/mine'
        su -s /bin/sh nobody -c 'id -u; cat /etc/shadow' 2>&1 || true
        apt-get --version | head -1 | cut -c1-3
    """
    done = pyrun(*run, "bash", "-c", script)
    # A node cannot be made in a user namespace: the postinst says so, and dpkg with it.
    assert done.returncode != 0
    repack = "dpkg-deb -R /three.deb /x && sed -i /mknod/d /x/DEBIAN/postinst && dpkg-deb -b /x /y.deb >/dev/null"
    script = script.replace("dpkg -i /three.deb", f"{repack} && dpkg -i /y.deb")
    assert pyrun.ok(*run, "bash", "-c", script).split("\n") == [
        "install ok installed",
        "www-data:www-data 755 /opt/three/web", "games:video 2750 /opt/three/play",
        "games:video 644 /opt/three/play/file", "root:root 755 /opt/three/mail", "4321:5432",
        "bob", "bob", "65534", "cat: /etc/shadow: Permission denied", "apt",
    ]  # fmt: skip


SINGLE = {"PYRUN_SINGLE_ID": "1"}


@pytest.fixture
def alone(pyrun: CommandLine) -> CommandLine:
    """The command line of a user without subordinate ids."""
    pyrun.environment |= SINGLE
    return pyrun


def test_one_id_runs(alone: CommandLine, images: Catalogue) -> None:
    alone.ok("pull", "-q", images.busybox)
    box = Box(alone, images.busybox)
    rows = box.run(command=("cat", "/proc/self/uid_map")).split()
    assert rows[0::2] == ["0", "1"]
    assert box.sh("id -u; touch /x; stat -c %u:%g /x", "-u", "1000:100").split() == ["1000", "1000:100"]
    assert box.run("-u", "1000", command=("cat", "/proc/self/uid_map")).split()[0] == "1000"
    script = (
        "touch /x; chown 5:6 /x && chmod 640 /x && stat -c '%u:%g %a' /x; chown -R 7 /home && mknod /n c 1 3; echo $?"
    )
    assert box.sh(script).split("\n") == ["0:0 640", "0"]
    box.start("kept", "-v", "/home")
    assert box.pyrun.ok("exec", "kept", "id", "-u") == "0"
    box.pyrun.ok("rm", "-f", "-v", "kept")


def test_one_id_does_not_lie_about_who_one_is(alone: CommandLine, images: Catalogue) -> None:
    alone.ok("pull", "-q", images.busybox)
    box = Box(alone, images.busybox)
    done = alone("run", "--rm", "--network", "none", images.busybox, "su", "alice", "-c", "id -un")
    assert done.returncode != 0
    assert done.stdout == ""
    assert box.sh("su root -c 'id -un'") == "root"


def test_one_id_installs_a_package(alone: CommandLine, images: Catalogue, package: Path) -> None:
    run = prepare(alone, images, package)
    script = """
        set -e
        dpkg -i /three.deb >/dev/null
        dpkg-query -W -f '${Status}\n' three-owners
        cat /opt/three/play/file
        useradd -m bob
        getent passwd bob | cut -d: -f1
        su bob -c 'id -un' 2>/dev/null || echo honest
        apt-config dump APT::Sandbox::User
    """
    assert alone.ok(*run, "bash", "-c", script).split("\n") == [
        "install ok installed", "play", "bob", "honest", 'APT::Sandbox::User "root";',
    ]  # fmt: skip
