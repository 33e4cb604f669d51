"""`diff`, `export` and `commit` on every kind of root: the same answers, read back by other tools."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.test_cp import WAYS, wait_for_line
from tests.support.boxes import Box
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "overlay")

# What changes in the rich image: every kind of change, in files of several layers and owners.
SCRIPT = """
cd /srv
rm link-a opaque/visible; rm -r read-only 2>/dev/null; chmod 600 changed-mode
rm -r opaque; mkdir opaque; echo new >opaque/new
mkdir -p made/below; echo x >made/below/file; ln made/below/file made/twice; ln -s below made/link; mkfifo made/pipe
chmod 2755 made; echo more >>replaced-by-file; touch -d 2001-01-01 made/below/file
echo ready; exec sleep 1000
"""


def tar_of(box: Box, *words: str) -> dict[str, tarfile.TarInfo]:
    done = subprocess.run([*box.pyrun.program, *words], env=box.pyrun.environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        return {member.name: member for member in tar}


def essence(members: dict[str, tarfile.TarInfo]) -> dict[str, Any]:
    """Return what must be the same of two archives; directories on the way may have other times."""
    return {
        name: (
            one.type, oct(one.mode), one.uid, one.gid, one.size, one.linkname, one.devmajor, one.devminor,
            0 if one.isdir() else one.mtime, sorted(key for key in one.pax_headers if "xattr" in key),
        )
        for name, one in members.items()
    }  # fmt: skip


def document(box: Box, digest: str) -> Any:
    return json.loads((box.pyrun.root / "oci/blobs" / digest.replace(":", "/")).read_bytes())


def entry_of(box: Box, image_id: str) -> Any:
    index = json.loads((box.pyrun.root / "oci/index.json").read_bytes())
    return next(one for one in index["manifests"] if one["annotations"]["org.pyrun.config.digest"] == image_id)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    way: str = request.param
    return way


@pytest.fixture
def changed(pyrun: CommandLine, images: Catalogue, way: str) -> Box:
    """A running container of the rich image that has changed much."""
    if way == "flat":
        pyrun.environment["PYRUN_SINGLE_ID"] = "1"
    elif way in ("overlay", "fuse", "copy"):
        pyrun.environment["PYRUN_ROOTFS"] = way
    pyrun.ok("pull", "-q", images.rich)
    box = Box(pyrun, images.rich)
    ids = ("--userns", way) if way in ("nomap", "keep-id") else ()
    box.start("con", "-u", "0", *ids, "-v", "kept:/srv/data", command=("sh", "-c", SCRIPT))
    wait_for_line(box, "con", "ready")
    return box


def test_an_image_of_the_changes(changed: Box, way: str, tmp_path: Path) -> None:
    """commit, in the store and out of it: the tree that `export` shows of the container is the image's."""
    pyrun = changed.pyrun
    diff = pyrun.ok("diff", "con").split("\n")
    assert {"A /srv/made", "A /srv/made/pipe", "C /srv/opaque", "A /srv/opaque/new", "D /srv/link-a"} <= set(diff)
    assert "C /srv/changed-mode" in diff
    assert not [line for line in diff if line[2:].startswith(("/proc", "/sys", "/dev", "/srv/data/"))]
    assert diff == sorted(diff, key=lambda line: line[2:])
    exported = tar_of(changed, "export", "con")
    first = pyrun.ok("commit", "con", "img:1")
    pyrun.ok("stop", "-t", "0", "con")
    assert pyrun.ok("diff", "con").split("\n") == diff
    assert essence(tar_of(changed, "export", "con")) == essence(exported)
    second = pyrun.ok("commit", "-m", "again", "con")
    layers = [document(changed, entry_of(changed, one)["digest"])["layers"] for one in (first, second)]
    assert layers[0] == layers[1]
    assert document(changed, second)["history"][-1]["comment"] == "again"
    # A container of the new image has the same files, and nothing is changed in it yet.
    pyrun.ok("create", "--network", "none", "--name", "new", "img:1")
    found = essence(tar_of(changed, "export", "new"))
    assert found == {name: value for name, value in essence(exported).items() if name in found}
    assert not [name for name in exported if name not in found and not name.startswith(("dev", "proc", "sys", "etc"))]
    assert pyrun.ok("diff", "new") == ""


@requires("skopeo", "umoci")
@pytest.mark.parametrize("way", ["overlay", "flat"], indirect=True)
def test_other_tools_read_it(changed: Box, way: str, tmp_path: Path) -> None:
    """skopeo copies the image out of the store, umoci unpacks it: the tree is the container's."""
    changed.pyrun.ok("commit", "con", "img:1")
    root = changed.pyrun.root / "oci"
    copy = ["skopeo", "copy", "--quiet", "--insecure-policy"]
    subprocess.run([*copy, f"oci:{root}:docker.io/library/img:1", f"oci:{tmp_path}/out:1"], check=True)
    unpack = ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/out:1", f"{tmp_path}/bundle"]
    subprocess.run(unpack, check=True, capture_output=True)
    exported = tar_of(changed, "export", "con")
    rootfs = tmp_path / "bundle/rootfs"
    there = {
        os.path.relpath(os.path.join(parent, name), rootfs)
        for parent, directories, files in os.walk(rootfs)
        for name in (*directories, *files)
    }
    own = ("dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf")
    # Without privilege umoci makes an empty file of a device.
    assert there == {name for name in exported if not name.startswith(own) or name in there}
    for name, one in exported.items():
        if name in there and one.isreg():
            assert (rootfs / name).stat().st_size == one.size, name
    layer = (
        changed.pyrun.root
        / "oci/blobs"
        / document(changed, entry_of_tag(changed))["layers"][-1]["digest"].replace(":", "/")
    )
    with tarfile.open(layer) as tar:
        names = tar.getnames()
        assert "srv/opaque/.wh..wh..opq" in names
        assert "srv/.wh.link-a" in names
        assert not [key for one in tar for key in one.pax_headers if "overlay" in key or "atime" in key]


def entry_of_tag(box: Box) -> str:
    index = json.loads((box.pyrun.root / "oci/index.json").read_bytes())
    name = "org.opencontainers.image.ref.name"
    digest: str = next(
        one["digest"] for one in index["manifests"] if one["annotations"].get(name) == "docker.io/library/img:1"
    )
    return digest


def test_export_equals_the_tree(box: Box, tmp_path: Path) -> None:
    """What tar sees inside the container is what export writes."""
    box.start("con", command=("sh", "-c", "mkdir /x; echo a >/x/b; rm /etc/group; echo ready; exec sleep 1000"))
    wait_for_line(box, "con", "ready")
    inside = box.pyrun.ok("exec", "con", "sh", "-c", "find / -xdev | sort")
    exported = {"/" + name for name in tar_of(box, "export", "con")} | {"/"}
    # Where something is mounted find does not go, and lists the place.
    assert exported == set(inside.split("\n"))
    box.pyrun.ok("export", "-o", str(tmp_path / "out.tar"), "con")
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert {"/" + name for name in tar.getnames()} | {"/"} == exported
    assert os.listdir(tmp_path) == ["out.tar"]
    imported = tmp_path / "imported"
    imported.mkdir()
    subprocess.run(["tar", "-xf", str(tmp_path / "out.tar"), "-C", str(imported)], check=True)
    assert (imported / "x/b").read_text() == "a\n"


def test_export_refusals(box: Box, tmp_path: Path) -> None:
    box.pyrun.ok("create", "--network", "none", "--name", "con", box.image)
    ours, theirs = pty.openpty()
    process = box.pyrun.popen("export", "con", stdout=theirs, stderr=subprocess.PIPE)
    _, said = process.communicate()
    os.close(ours)
    os.close(theirs)
    assert (process.returncode, said) == (
        1, b"pyrun: cowardly refusing to save to a terminal. Use the -o flag or redirect\n",
    )  # fmt: skip
    assert "no such container: none" in box.pyrun.fails(1, "export", "none")
    assert 'directory "/nosuch" does not exist' in box.pyrun.fails(1, "export", "-o", "/nosuch/x", "con")
    script = f"{box.pyrun.program[0]} export con | head -c 1000 | wc -c; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], env=box.pyrun.environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("1000\n", "", 141)


def test_commit_of_no_change(box: Box) -> None:
    """No layer, as docker: a step of the history that is marked empty."""
    box.pyrun.ok("create", "--network", "none", "--name", "con", box.image)
    image_id = box.pyrun.ok("commit", "con")
    manifest = document(box, entry_of(box, image_id)["digest"])
    assert len(manifest["layers"]) == 1
    assert document(box, image_id)["history"][-1]["empty_layer"] is True


def test_what_a_commit_says(box: Box) -> None:
    options = ("-e", "A=1", "-l", "x=y", "-w", "/srv", "-p", "80", "--entrypoint", "", "--hostname", "here", "-t")
    create = ("create", "--name", "con", *options, "-v", "/vol", box.image, "sh", "-c", "true")
    box.pyrun.ok(*create)
    changes = ("-c", 'ENTRYPOINT ["echo"]', "-c", "ENV B=$A", "-c", "LABEL q=r")
    image_id = box.pyrun.ok("commit", "-a", "me <me@x>", "-m", "why", *changes, "con", "r/img")
    config = document(box, image_id)
    assert (config["author"], config["history"][-1]["comment"]) == ("me <me@x>", "why")
    assert config["history"][-1]["created_by"] == "sh -c true"
    settings = config["config"]
    assert "Cmd" not in settings
    assert settings["Entrypoint"] == ["echo"]
    assert [item for item in settings["Env"] if not item.startswith("PATH=")] == ["A=1", "B=1"]
    assert (settings["Labels"], settings["WorkingDir"]) == ({"x": "y", "q": "r"}, "/srv")
    assert (settings["Volumes"], settings["ExposedPorts"]) == ({"/vol": {}}, {"80/tcp": {}})
    assert box.run(image="r/img", command=("it", "runs")) == "it runs"


def test_a_healthcheck_goes_along(box: Box) -> None:
    health = ("--health-cmd", "test -e /x", "--health-interval", "5s", "--health-retries", "2")
    box.pyrun.ok("create", "--network", "none", "--name", "con", *health, box.image)
    settings = document(box, box.pyrun.ok("commit", "con"))["config"]
    assert settings["Healthcheck"] == {"Test": ["CMD-SHELL", "test -e /x"], "Interval": 5_000_000_000, "Retries": 2}
    changed = box.pyrun.ok("commit", "-c", "HEALTHCHECK --retries=3 CMD true", "con")
    assert document(box, changed)["config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000, "Retries": 3,
    }  # fmt: skip


def test_a_running_container_is_paused(box: Box) -> None:
    box.start("con", command=("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/one; echo $i >/two; done"))
    for number in range(5):
        box.pyrun.ok("commit", "con", f"img:{number}")
        found = box.run(image=f"img:{number}", command=("cat", "/one", "/two")).split()
        assert len(found) >= 1
        assert box.status("con") == "running"
    box.pyrun.ok("commit", "--pause=false", "con")
    events = box.pyrun.ok("events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}").split()
    assert events.count("pause") == events.count("unpause") == 5
    assert events.count("commit") == 6


def test_a_commit_that_is_ended_leaves_nothing_paused(box: Box) -> None:
    """Its layer is large and cannot be compressed: it is ended while the container is paused."""
    script = "head -c 150000000 /dev/urandom >/large; echo ready; exec sleep 1000"
    box.start("con", command=("sh", "-c", script))
    wait_for_line(box, "con", "ready")
    for number, code in ((signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)):
        commit = box.pyrun.popen("commit", "con", stdout=subprocess.DEVNULL)
        box.pyrun.ok("wait", "--condition", "paused", "con")
        commit.send_signal(number)
        assert commit.wait(60) == code
        if number == signal.SIGTERM:
            assert box.status("con") == "running"
            assert not any((box.pyrun.root / "tmp").iterdir())
    # Nobody could do it in the killed one's place but who watches it.
    assert box.pyrun("wait", "--condition", "running", "con", timeout=60).returncode == 0
    events = box.pyrun.ok("events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}").split()
    assert events.count("pause") == events.count("unpause") == 2
    box.pyrun.ok("rm", "-f", "con")
    assert not any((box.pyrun.root / "tmp").iterdir())


def test_refusals(box: Box) -> None:
    box.pyrun.ok("create", "--network", "none", "--name", "con", box.image)
    before = sorted(os.listdir(box.pyrun.root / "oci/blobs/sha256"))
    for words, expected in [
        (("-c", "RUN x", "con"), "RUN is not a valid change command"),
        (("-c", "STOPSIGNAL nosuch", "con"), "invalid signal: nosuch"),
        (("con", "Upper"), "Upper"),
        (("con", "x@sha256:" + "0" * 64), "refusing to create a tag with a digest reference"),
        (("none",), "no such container: none"),
    ]:
        assert expected in box.pyrun.fails(1, "commit", *words), words
    assert sorted(os.listdir(box.pyrun.root / "oci/blobs/sha256")) == before
