"""Where the kernel's overlay is refused: fuse-overlayfs, else a copied tree; each forced, and a real refusal."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import Box
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "subids", "overlay")

FUSE = pytest.param("fuse", marks=requires("fuse", "fuse-overlayfs"))
WAYS = [FUSE, "copy"]
ROOT_TYPE = "awk '$2 == \"/\" {print $3}' /proc/mounts"

# What tests/support/catalogue.py puts into its layers, seen by the container's root.
LOOK = """
cd /srv
for name in deleted-directory opaque/hidden replaced-by-directory/file; do [ -e $name ] && echo there: $name; done
cat opaque/visible replaced-by-file deleted-file changed-mode
stat -c '%u:%g %a %h' owners/997 link-a set-uid set-gid sticky changed-mode read-only/file
readlink absolute-link; stat -c %F fifo; ls | wc -l; ls -a opaque
"""

LOOK_AGAIN = """
rm /etc/group; >/etc/shadow; rm -r /home; mkdir /home
while read device place type rest; do [ $place = / ] && echo $type; done </proc/mounts | tail -n 1
ls /etc | grep -E "passwd|group|shadow"; ls -A /home; echo end
"""


@pytest.fixture
def fallback(box: Box, request: pytest.FixtureRequest) -> Box:
    """A command line all of whose commands get the root file system that the test's parameter names."""
    box.pyrun.environment["PYRUN_ROOTFS"] = request.param
    return box


def daemons() -> set[int]:
    """This user's processes of fuse-overlayfs."""
    found = set()
    ours = f"\nUid:\t{os.getuid()}\t"
    for entry in Path("/proc").iterdir():
        try:
            status = (entry / "status").read_text() if entry.name.isdigit() else ""
            if status.startswith("Name:\tfuse-overlayfs\n") and ours in status:
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def monitor_of(box: Box, name: str) -> int:
    directory = box.pyrun.root / "containers" / box.inspect(name)["Id"]
    number: int = json.loads((directory / "state").read_text())["monitor"]
    return number


@requires("fuse", "fuse-overlayfs")
@pytest.mark.parametrize("fallback", ["fuse"], indirect=True)
def test_fuse_is_what_the_root_is(fallback: Box) -> None:
    before = daemons()
    assert fallback.sh(f"{ROOT_TYPE}; echo a > /new; mv /new /newer; cat /newer") == "fuse.fuse-overlayfs\na"
    assert daemons() == before


@pytest.mark.parametrize("way", WAYS)
def test_an_image_with_everything_looks_the_same(pyrun: CommandLine, images: Catalogue, way: str) -> None:
    pyrun.ok("pull", "-q", images.rich)
    box = Box(pyrun, images.rich)
    kernel = box.sh(LOOK, "-u", "0", "-v", "/srv/data")
    assert "there:" not in kernel.replace("there: replaced-by-directory/file", "")
    assert box.sh(LOOK, "-u", "0", PYRUN_ROOTFS=way) == kernel
    assert box.sh("id -u; id -g; cat /srv/owners/997 || echo closed", PYRUN_ROOTFS=way) == "1000\n1000\nclosed"


@pytest.mark.parametrize("fallback", WAYS, indirect=True)
def test_files_stay_over_stop_and_start(fallback: Box) -> None:
    fallback.start("stays")
    script = (
        "rm -r /home /etc/group; mkdir /home; echo kept > /home/file; chown 7:8 /home/file; ln /home/file /home/two"
    )
    fallback.pyrun.ok("exec", "stays", "sh", "-c", script)
    fallback.pyrun.ok("stop", "-t", "0", "stays")
    # Without being told: a container stays with what it was begun on.
    del fallback.pyrun.environment["PYRUN_ROOTFS"]
    fallback.pyrun.ok("start", "stays")
    look = "cat /home/two; ls -A /home; stat -c %u:%g:%h /home/file; [ -e /etc/group ] || echo gone"
    assert fallback.pyrun.ok("exec", "stays", "sh", "-c", look) == "kept\nfile\ntwo\n7:8:2\ngone"
    assert fallback.pyrun.ok("exec", "-u", "alice", "stays", "id", "-u") == "1000"


@pytest.mark.parametrize("fallback", WAYS, indirect=True)
def test_nothing_is_left_of_rm(fallback: Box) -> None:
    before = daemons()
    assert fallback.sh("echo x > /file; chown 9:9 /file; exec cat /file") == "x"
    assert fallback.fails(126, command=("/etc/passwd",))
    assert daemons() == before
    assert not any((fallback.pyrun.root / "ephemeral").iterdir())


@pytest.mark.parametrize("fallback", WAYS, indirect=True)
def test_read_only_and_terminal(fallback: Box) -> None:
    assert "Read-only file system" in fallback.sh("echo x 2>&1 > /file || true", "--read-only").replace("read-only", "")
    assert fallback.sh("echo x > /dev/shm/file; cat /dev/shm/file", "--read-only") == "x"
    assert fallback.run("-t", command=("tty",)).strip() == "/dev/pts/0"


@requires("fuse", "fuse-overlayfs")
@pytest.mark.parametrize("fallback", ["fuse"], indirect=True)
@pytest.mark.parametrize("victim", ["monitor", "daemon"])
def test_a_death_takes_the_rest_along(fallback: Box, victim: str) -> None:
    before = daemons()
    fallback.start("dies")
    (daemon,) = daemons() - before
    monitor = monitor_of(fallback, "dies")
    both = [os.pidfd_open(pid) for pid in (monitor, daemon)]
    os.kill(monitor if victim == "monitor" else daemon, signal.SIGKILL)
    for pidfd in both:
        assert select.select([pidfd], [], [], 30)[0], f"the {victim} was killed, another goes on"
        os.close(pidfd)
    assert daemons() == before
    assert fallback.status("dies") == "exited"
    fallback.pyrun.ok("start", "dies")
    assert fallback.pyrun.ok("exec", "dies", "cat", "/etc/passwd").startswith("root:")


@requires("fuse", "fuse-overlayfs")
def test_what_fuse_cannot_do_is_said(pyrun: CommandLine) -> None:
    root = pyrun.root / "with:colon"
    arguments = ("run", "--rm", "--network", "none", "pyrun.local/hello")
    done = pyrun(*arguments, environment={"PYRUN_ROOT": str(root), "PYRUN_ROOTFS": "fuse"})
    assert (done.returncode, done.stdout) == (125, "")
    assert "fuse-overlayfs is not available: its options cannot name the directories of this store" in done.stderr
    pyrun.ok(*arguments, environment={"PYRUN_ROOT": str(root)})


def test_a_failing_program_is_remembered_and_the_tree_copied(box: Box, tmp_path: Path) -> None:
    """Overlay has been refused; fuse-overlayfs is there and fails: the start still comes to its end."""
    broken = tmp_path / "fuse-overlayfs"
    broken.write_text("#!/bin/sh\necho it is broken >&2\nexit 1\n")
    broken.chmod(0o755)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")[:12]
    (box.pyrun.root / "cache").mkdir(exist_ok=True)
    (box.pyrun.root / "cache" / "overlay-refused").write_text(f"{boot}\noverlay\tfsconfig(create): invalid argument")
    box.pyrun.environment["PATH"] = f"{tmp_path}:{box.pyrun.environment['PATH']}"
    assert box.sh(ROOT_TYPE) not in ("overlay", "fuse.fuse-overlayfs")
    driver = json.loads(box.pyrun.ok("info", "--format", "json"))["Storage Driver"]
    assert driver.startswith(
        "copied tree (overlay was refused here: fsconfig(create): invalid argument; fuse-overlayfs: "
    )
    assert "it is broken" in driver
    # The forced one says it instead.
    assert "it is broken" in box.pyrun("run", "--rm", box.image, "true", environment={"PYRUN_ROOTFS": "fuse"}).stderr


def on_overlay(pyrun: CommandLine, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script with a store that lies on an overlay."""
    for name in ("lower", "upper", "work", "merged"):
        (pyrun.directory / name).mkdir()
    prepare = f"""
        set -e
        cd {pyrun.directory}
        mount -t overlay overlay -o userxattr,lowerdir=lower,upperdir=upper,workdir=work merged
        mkdir -m 700 merged/root merged/run
        export PYRUN_ROOT=$PWD/merged/root XDG_RUNTIME_DIR=$PWD/merged/run
    """
    own = [] if os.geteuid() == 0 else ["--map-root-user", "--map-auto"]
    argv = ["unshare", *own, "--mount", "sh", "-c", prepare + script]
    done = subprocess.run(argv, capture_output=True, text=True, env=pyrun.environment, cwd="/")
    assert done.returncode == 0, done.stderr + done.stdout
    return done


@requires("fuse", "fuse-overlayfs")
def test_a_store_on_overlay(pyrun: CommandLine, images: Catalogue) -> None:
    """A real refusal: overlay cannot hold the upper directory of another one. It refuses our whiteouts as well, so the
    program has to make its own kind."""
    program = " ".join(pyrun.program)
    run = f"{program} run --rm --network host {images.busybox} sh -c"
    script = f"""
        {program} pull -q {images.busybox}
        {run} '{LOOK_AGAIN}'
        {run} '{LOOK_AGAIN}'
        {program} info --format json >merged/info
        PYRUN_ROOTFS=copy {run} '{LOOK_AGAIN}'
        PYRUN_ROOTFS=overlay {run} true || echo exit $?
        cat merged/info
    """
    done = on_overlay(pyrun, script)
    expected = "passwd\nshadow\nend\n"
    on_fuse, copied = f"fuse.fuse-overlayfs\n{expected}", f"overlay\n{expected}"
    outputs, _, info = done.stdout.partition("exit 125\n")
    assert outputs == f"{images.busybox}\n{on_fuse}{on_fuse}{copied}", done.stderr
    assert "the overlay of" in done.stderr
    assert json.loads(info)["Storage Driver"].startswith("fuse-overlayfs (overlay was refused here: ")


def test_an_image_with_whiteouts_in_a_store_on_overlay(pyrun: CommandLine, images: Catalogue) -> None:
    """Overlay refuses the device 0:0, so they are attributes there, which fuse-overlayfs does not know."""
    pyrun.ok("pull", "-q", images.rich)
    kernel = Box(pyrun, images.rich).sh(LOOK, "-u", "0")
    program = " ".join(pyrun.program)
    run = f"{program} run --rm --network host -u 0 {images.rich} sh -c"
    script = f"""
        {program} pull -q {images.rich} >merged/out
        {run} "$LOOK"
        {run} "$TYPE"
        PYRUN_ROOTFS=fuse {run} true || echo exit $?
    """
    pyrun.environment |= {"LOOK": LOOK, "TYPE": ROOT_TYPE}
    done = on_overlay(pyrun, script)
    assert done.stdout == f"{kernel}\noverlay\nexit 125\n", done.stderr
    assert "whiteouts of this store are attributes, which it does not know" in done.stderr
