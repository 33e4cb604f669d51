"""`cp` with a container that wants out: links exchanged during the copy, libraries that are not what they seem."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_cp import wait_for_line
from tests.support.features import ROOT, requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.boxes import Box

pytestmark = requires("userns", "overlay")

ROUNDS = 60
HELPER = ROOT / "pyrun" / "libexec" / "pyrun-tree"


@pytest.fixture
def prey(box: Box) -> Path:
    """A directory of the host that a container must neither read nor write; its path is the same inside."""
    made = box.pyrun.directory / "prey"
    made.mkdir()
    (made / "secret").write_text("the host's")
    return made


@pytest.fixture
def exchanging(box: Box, prey: Path, tmp_path: Path) -> Path:
    """/swap is a directory with PREY below it at one instant, a link to / at the next."""
    program = tmp_path / "exchange"
    subprocess.run(["gcc", "-static", "-O2", str(ROOT / "tests/support/exchange.c"), "-o", str(program)], check=True)
    script = f"mkdir -p /swap{prey}; echo own >/swap{prey}/secret; ln -s / /other; exec /x/exchange /swap /other"
    box.start("con", "-v", f"{tmp_path}:/x:ro", command=("sh", "-c", script))
    wait_for_line(box, "con", "ready")
    return prey


def test_cve_2018_15664_reading(box: Box, exchanging: Path, tmp_path: Path) -> None:
    """A directory when it is looked at and a link to / when it is opened: it leads to nothing of the host."""
    seen = set()
    for number in range(ROUNDS):
        target = tmp_path / f"out{number % 2}"
        done = box.pyrun("cp", f"con:/swap{exchanging}/secret", str(target))
        if done.returncode == 0:
            seen.add(target.read_text())
            target.unlink()
        else:
            assert "Traceback" not in done.stderr, done.stderr
            seen.add("error")
    assert seen <= {"own\n", "error"}, seen


def test_cve_2018_15664_reading_a_tree(box: Box, exchanging: Path, tmp_path: Path) -> None:
    for _ in range(ROUNDS // 3):
        done = subprocess.run(
            [*box.pyrun.program, "cp", "con:/swap", "-"], env=box.pyrun.environment, capture_output=True
        )
        assert b"the host's" not in done.stdout


def test_cve_2018_15664_writing(box: Box, exchanging: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "secret").write_text("attack")
    (tmp_path / "tree" / "more").write_text("attack")
    for _ in range(ROUNDS):
        done = box.pyrun("cp", f"{tmp_path}/tree/.", f"con:/swap{exchanging}")
        assert "Traceback" not in done.stderr, done.stderr
        assert sorted(os.listdir(exchanging)) == ["secret"]
        assert (exchanging / "secret").read_text() == "the host's"


def test_links_in_an_archive_lead_to_the_container(box: Box, prey: Path, tmp_path: Path) -> None:
    """An archive that brings a link and a file behind it: what the link names is the container's."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link").symlink_to(prey)
    (tmp_path / "b" / "link").mkdir(parents=True)
    (tmp_path / "b" / "link" / "new").write_text("x")
    box.start("con")
    box.pyrun.ok("exec", "con", "mkdir", "-p", str(prey))
    for directory, members in (("a", "link"), ("b", "link/new")):
        archive = subprocess.run(["tar", "-c", "-C", str(tmp_path / directory), members], capture_output=True).stdout
        words = [*box.pyrun.program, "cp", "-", "con:/srv"]
        box.pyrun.ok("exec", "con", "mkdir", "-p", "/srv")
        subprocess.run(words, input=archive, env=box.pyrun.environment, check=True)
    assert sorted(os.listdir(prey)) == ["secret"]
    assert box.pyrun.ok("exec", "con", "ls", str(prey)) == "new"


def test_names_that_lead_up_are_refused(box: Box, tmp_path: Path) -> None:
    box.start("con")
    (tmp_path / "f").write_text("x")
    archive = subprocess.run(
        ["tar", "-c", "-P", "--transform", "s,^,../../,", "-C", str(tmp_path), "f"], capture_output=True
    ).stdout
    words = [*box.pyrun.program, "cp", "-", "con:/tmp"]
    done = subprocess.run(words, input=archive, env=box.pyrun.environment, capture_output=True)
    assert done.returncode == 1
    assert b'".." component' in done.stderr


@requires("gcc")
def test_cve_2019_14271(box: Box, prey: Path, tmp_path: Path) -> None:
    """The helper that works on a container's root loads nothing of it: it is static, and executes nothing."""
    source = tmp_path / "evil.c"
    source.write_text(
        "#include <fcntl.h>\n__attribute__((constructor)) static void run(void)"
        f' {{ creat("{prey}/owned", 0600); creat("/owned", 0600); }}\n'
    )
    library = tmp_path / "libnss_files.so.2"
    subprocess.run(["gcc", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    box.start("con")
    for directory in ("/lib", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib"):
        box.pyrun.ok("exec", "con", "mkdir", "-p", directory)
        for name in ("libnss_files.so.2", "libnss_compat.so.2", "libc.so.6", "libdl.so.2"):
            box.pyrun.ok("cp", str(library), f"con:{directory}/{name}")
    box.pyrun.ok("exec", "con", "sh", "-c", "echo 'passwd: files compat' >/etc/nsswitch.conf")
    box.pyrun.ok("cp", "con:/etc", str(tmp_path / "etc"))
    box.pyrun.ok("cp", "-a", str(tmp_path / "etc"), "con:/again")
    assert os.listdir(prey) == ["secret"]
    assert box.pyrun("exec", "con", "ls", "/owned").returncode != 0
    dynamic = subprocess.run(["readelf", "-l", str(HELPER)], capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in dynamic


def test_a_file_that_changes_its_size(box: Box, tmp_path: Path) -> None:
    """The archive's header has said a size: it is kept to, whatever the container does."""
    script = "echo ready; while :; do head -c 300000 /dev/zero >/f; : >/f; done"
    box.start("con", command=("sh", "-c", script))
    wait_for_line(box, "con", "ready")
    for _ in range(20):
        done = box.pyrun("cp", "con:/f", str(tmp_path / "f"))
        assert done.returncode == 0 or "could not find" in done.stderr, done.stderr
