"""Archives go both ways: what podman, skopeo, umoci and buildah write loads here and runs, and ours there, as the same
image. Of each peer one way and back is in the short run; all formats with --full.
"""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.features import command, requires

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine
    from tests.support.conformance import Podman

pytestmark = requires("unprivileged", "userns", "subids", "overlay", "podman", "skopeo", "registry")
NAME = "localhost/archived:1"
FORMATS = [
    "docker-archive",
    *(pytest.param(name, marks=pytest.mark.full) for name in ("oci-archive", "oci-dir", "docker-dir")),
]


@pytest.fixture
def both(engines: tuple[CommandLine, Podman], images: Catalogue) -> Iterator[tuple[CommandLine, Podman, str]]:
    """Both engines have the image under a name of its own; its id."""
    pyrun, podman = engines
    pyrun.ok("tag", images.busybox, NAME)
    assert podman("tag", images.busybox, NAME).returncode == 0
    yield pyrun, podman, pyrun.ok("image", "inspect", "--format", "{{.Id}}", NAME)
    pyrun("rmi", "-f", NAME)
    podman("rmi", "-f", NAME)


def here(pyrun: CommandLine, name: str = NAME) -> str:
    return pyrun.ok("image", "inspect", "--format", "{{.Id}}", name)


def there(podman: Podman, name: str = NAME) -> str:
    done = podman("image", "inspect", "--format", "sha256:{{.Id}}", name)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("format", FORMATS)
def test_podman_loads_ours(both: tuple[CommandLine, Podman, str], tmp_path: Path, format: str) -> None:
    pyrun, podman, image_id = both
    pyrun.ok("save", "--format", format, "-o", str(tmp_path / "ours"), NAME)
    podman("rmi", "-f", NAME)
    done = podman("load", "-i", str(tmp_path / "ours"))
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.strip().removeprefix("Loaded image: ")
    if not format.endswith("-dir"):  # these have no name, or podman makes one of the path
        assert loaded == NAME
    assert there(podman, loaded) == image_id
    ran = podman("run", "--rm", "--network", "none", loaded, "echo", "runs")
    assert (ran.stdout, ran.returncode) == ("runs\n", 0), ran.stderr


@pytest.mark.parametrize("format", FORMATS)
def test_we_load_podman_s(both: tuple[CommandLine, Podman, str], tmp_path: Path, format: str) -> None:
    pyrun, podman, image_id = both
    assert podman("save", "-q", "--format", format, "-o", str(tmp_path / "theirs"), NAME).returncode == 0
    pyrun.ok("rmi", "-f", NAME)
    loaded = pyrun.ok("load", "-i", str(tmp_path / "theirs"))
    assert loaded == (f"Loaded image ID: {image_id}" if format == "docker-dir" else f"Loaded image: {NAME}")
    assert pyrun.ok("run", "--rm", "--network", "none", image_id, "echo", "runs") == "runs"


@pytest.mark.full
def test_several_images(both: tuple[CommandLine, Podman, str], images: Catalogue, tmp_path: Path) -> None:
    pyrun, podman, image_id = both
    pyrun.ok("pull", "-q", images.rich)
    pyrun.ok("save", "-o", str(tmp_path / "ours"), NAME, images.busybox, images.rich)
    podman("rmi", "-f", NAME)
    assert podman("load", "-i", str(tmp_path / "ours")).returncode == 0
    rich = here(pyrun, images.rich)
    assert [there(podman, name) for name in (NAME, images.busybox, images.rich)] == [image_id, image_id, rich]
    assert podman("save", "-q", "-m", "-o", str(tmp_path / "theirs"), NAME, images.rich).returncode == 0
    pyrun.ok("rmi", "-f", NAME, images.rich)
    assert pyrun.ok("load", "-i", str(tmp_path / "theirs")).split("\n") == [
        f"Loaded image: {NAME}", f"Loaded image: {images.rich}",
    ]  # fmt: skip
    assert (here(pyrun), here(pyrun, images.rich)) == (image_id, rich)
    pyrun.ok("rmi", "-f", images.rich)
    podman("rmi", "-f", images.rich)


def skopeo(*arguments: str) -> str:
    argv = [command("skopeo") or "skopeo", *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("format", FORMATS)
def test_skopeo(both: tuple[CommandLine, Podman, str], tmp_path: Path, format: str) -> None:
    """It reads ours by the transport of the same name, and what it copies of it loads here."""
    pyrun, _, image_id = both
    transport, name = {
        "docker-archive": ("docker-archive", f":{NAME}"),
        "oci-archive": ("oci-archive", f":{NAME}"),
        "oci-dir": ("oci", f":{NAME}"),
        "docker-dir": ("dir", ""),
    }[format]
    pyrun.ok("save", "--format", format, "-o", str(tmp_path / "ours"), NAME)
    source = f"{transport}:{tmp_path}/ours{name}"
    config = skopeo("inspect", "--raw", "--config", source)
    assert f"sha256:{hashlib.sha256(config.encode()).hexdigest()}" == image_id
    skopeo("--insecure-policy", "copy", "-q", source, f"{transport}:{tmp_path}/copy{name}")
    pyrun.ok("rmi", "-f", NAME)
    loaded = pyrun.ok("load", "-i", str(tmp_path / "copy"))
    assert loaded == (f"Loaded image: {NAME}" if name else f"Loaded image ID: {image_id}")
    assert here(pyrun, image_id) == image_id


@pytest.mark.full
@requires("umoci")
def test_umoci(both: tuple[CommandLine, Podman, str], tmp_path: Path) -> None:
    pyrun, _, image_id = both
    pyrun.ok("save", "--format", "oci-dir", "-o", str(tmp_path / "layout"), NAME)
    image = f"{tmp_path}/layout:{NAME}"
    for argv in (
        ["unpack", "--rootless", "--image", image, f"{tmp_path}/bundle"],
        ["config", "--image", image, "--tag", "new", "--config.cmd", "true"],
    ):
        subprocess.run([command("umoci") or "umoci", *argv], check=True, capture_output=True)
    lines = pyrun.ok("load", "-i", str(tmp_path / "layout")).split("\n")
    assert lines[0] == f"Loaded image: {NAME}"
    made = lines[1].removeprefix("Loaded image ID: ")
    assert here(pyrun) == image_id != made
    assert pyrun.ok("image", "inspect", "--format", "{{.Config.Cmd}}", made) == "[true]"
    pyrun.ok("rmi", "-f", made)


@pytest.mark.full
@requires("buildah")
def test_buildah(both: tuple[CommandLine, Podman, str], tmp_path: Path) -> None:
    pyrun, podman, image_id = both
    store = [
        "--root",
        f"{podman.directory}/graph",
        "--runroot",
        f"{podman.directory}/run",
        "--storage-driver",
        "overlay",
    ]

    def buildah(*arguments: str) -> str:
        argv = [command("buildah") or "buildah", *store, *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, env=podman.environment, cwd=podman.directory)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    pyrun.ok("save", "-o", str(tmp_path / "ours"), NAME)
    podman("rmi", "-f", NAME)
    buildah("pull", "-q", f"docker-archive:{tmp_path}/ours")
    assert there(podman) == image_id
    for transport in ("docker-archive", "oci-archive", "oci"):
        buildah("push", "-q", NAME, f"{transport}:{tmp_path}/{transport}:{NAME}")
        pyrun.ok("rmi", "-f", NAME)
        assert pyrun.ok("load", "-i", f"{tmp_path}/{transport}") == f"Loaded image: {NAME}"
        config = skopeo("inspect", "--raw", "--config", f"{transport}:{tmp_path}/{transport}:{NAME}")
        # Not always that of before: buildah writes the configuration anew for an OCI layout.
        assert here(pyrun) == f"sha256:{hashlib.sha256(config.encode()).hexdigest()}"
        pyrun.ok("run", "--rm", "--network", "none", NAME, "true")
