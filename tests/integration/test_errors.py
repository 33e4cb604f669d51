"""What bad input gets: one sentence with the thing and the reason, a hint, the exit code, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import Box, push, push_layers
from tests.support.catalogue import busybox_layer
from tests.support.features import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "overlay")


@pytest.fixture(autouse=True)
def nothing_left(pyrun: CommandLine) -> Iterator[None]:
    """Neither a container nor an image of a failed command stays (the fixture of pyrun looks at tmp/ and the like)."""
    yield
    assert not [*(pyrun.root / "ephemeral").glob("*")]


def sentence(text: str, *words: str) -> None:
    """One line that begins with the program's name and has these words; besides it only hints."""
    others = ("hint: ", "Unable to find image")
    lines = [line for line in text.strip().split("\n") if not line.startswith(others) and ": Pulling " not in line]
    assert len(lines) == 1, text
    assert lines[0].startswith("pyrun: "), text
    for word in words:
        assert word in text, text


def has_nothing(pyrun: CommandLine) -> None:
    assert pyrun.ok("images", "-q") == ""
    assert pyrun.ok("ps", "-aq") == ""
    assert not [path for path in pyrun.root.glob("layers/sha256/*/*") if path.is_dir()]


def test_unknown_image_and_tag(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    image = push(registry, tmp_path, "known", {})
    sentence(pyrun.fails(125, "run", "--rm", f"{registry}/unknown:1", "true"), f"{registry}/unknown:1", "hint: ")
    sentence(pyrun.fails(1, "pull", f"{registry}/unknown:1"), f"{registry}/unknown:1", "hint: ")
    sentence(pyrun.fails(1, "pull", image.replace(":1", ":2")), "known:2", "hint: ")
    digest = "sha256:" + "0" * 64
    sentence(pyrun.fails(1, "pull", f"{registry}/known@{digest}"), digest)
    sentence(pyrun.fails(125, "run", "--rm", "BAD//name", "true"), "BAD//name")
    sentence(pyrun.fails(1, "rmi", "absent"), "no such image: absent")
    has_nothing(pyrun)


def test_registry_down(pyrun: CommandLine) -> None:
    sentence(pyrun.fails(125, "run", "--rm", "127.0.0.1:9/some:1", "true"), "127.0.0.1:9", "refused")
    sentence(pyrun.fails(1, "pull", "127.0.0.1:9/some:1"), "127.0.0.1:9", "hint: ")
    has_nothing(pyrun)


def test_wrong_password(pyrun: CommandLine, tmp_path: Path) -> None:
    from tests.support.registry_real import PASSWORD, USER, running_registry

    with running_registry(tmp_path, password=True) as domain:
        message = pyrun.fails(1, "login", "-u", USER, "--password-stdin", domain, input="wrong\n")
        sentence(message, domain, "hint: ")
        assert not (pyrun.home / ".docker" / "config.json").exists()
        sentence(pyrun.fails(1, "pull", f"{domain}/some:1"), domain, "pyrun login")
        assert "Login Succeeded" in pyrun.ok("login", "-u", USER, "--password-stdin", domain, input=PASSWORD + "\n")


def test_other_architecture(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    image = push(registry, tmp_path, "foreign", {}, architecture="s390x")
    sentence(pyrun.fails(125, "run", "--rm", image, "true"), "s390x")
    sentence(pyrun.fails(125, "run", "--rm", "--platform", "linux/riscv64", image, "true"), "riscv64")
    has_nothing(pyrun)


@pytest.mark.parametrize("how", ["truncated", "flipped"])
def test_damaged_layer(pyrun: CommandLine, tmp_path: Path, how: str) -> None:
    from tests.support.registry_real import running_registry

    work = tmp_path / "registry"
    work.mkdir()
    with running_registry(work) as domain:
        image = push(domain, tmp_path, "damaged", {})
        blobs = sorted(
            work.glob("blobs/docker/registry/v2/blobs/sha256/*/*/data"), key=lambda path: path.stat().st_size
        )
        data = bytearray(blobs[-1].read_bytes())
        if how == "truncated":
            del data[len(data) // 2 :]
        else:
            data[len(data) // 2] ^= 0x55
        blobs[-1].write_bytes(data)
        digest = blobs[-1].parent.name
        sentence(pyrun.fails(1, "pull", image), digest[:12])
    has_nothing(pyrun)


def test_no_command(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    image = push(registry, tmp_path, "empty", {})
    pyrun.ok("pull", "-q", image)
    sentence(pyrun.fails(125, "run", "--rm", image), image, "no command specified", "hint: ")
    sentence(pyrun.fails(125, "create", image), "no command specified")
    assert pyrun.ok("ps", "-aq") == ""


def test_command_of_another_architecture(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    from tests.support.images import entry, layer

    files = [
        entry("bin/odd", b"\x7fELF" + bytes(60), mode=0o755),
        entry("bin/script", b"#!/no/interpreter\n", mode=0o755),
    ]
    image = push_layers(registry, tmp_path, "odd", [busybox_layer(), layer(files)], {})
    pyrun.ok("pull", "-q", image)
    run = ("run", "--rm", "--network", "none", image)
    sentence(pyrun.fails(126, *run, "/bin/odd"), "/bin/odd", "exec format error")
    sentence(pyrun.fails(127, *run, "/bin/script"), "/bin/script", "interpreter")


def test_name_in_use_and_running(box: Box) -> None:
    identity = box.start("taken")
    sentence(box.pyrun.fails(125, "run", "--name", "taken", box.image, "true"), "taken", identity[:12], "hint: ")
    sentence(box.pyrun.fails(1, "rm", "taken"), "taken", "running", "hint: ")
    assert box.names("-a") == ["taken"]


def test_image_in_use(box: Box) -> None:
    identity = box.start("user")
    sentence(box.pyrun.fails(1, "rmi", box.image), identity[:12], "hint: ")
    box.pyrun.ok("stop", "-t", "0", "user")
    sentence(box.pyrun.fails(1, "rmi", box.image), identity[:12], "hint: ")
    box.pyrun.ok("start", "user")
    box.pyrun.ok("rm", "-f", "user")
    assert "Untagged" in box.pyrun.ok("rmi", box.image)
    has_nothing(box.pyrun)


def test_no_new_privs(box: Box) -> None:
    """Newuidmap cannot work then: the single-id map does, and `info` says why."""
    argv = ["setpriv", "--no-new-privs", *box.pyrun.program]
    run = ["run", "--rm", "--network", "none", box.image, "cat", "/proc/self/uid_map"]
    done = subprocess.run([*argv, *run], env=box.pyrun.environment, capture_output=True, text=True, cwd=box.pyrun.home)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["0", "0", "1"] or done.stdout.split()[0::2] == ["0", "1"]
    done = subprocess.run(
        [*argv, "info"], env=box.pyrun.environment, capture_output=True, text=True, cwd=box.pyrun.home
    )
    assert done.returncode == 0
    assert "no_new_privs" in done.stdout


@requires("unprivileged")
def test_user_namespaces_refused_outright(box: Box, tmp_path: Path) -> None:
    """EPERM, as hardened kernels and AppArmor say it: here because the root directory is not the namespace's."""
    own = (f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}", "--keep-caps")
    root = tmp_path / "root"
    root.mkdir()
    drop = "setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all"
    script = f'mount --rbind / {root} && exec chroot {root} {drop} "$@"'

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = ["unshare", "--user", *own, "--mount", "sh", "-c", script, "sh", *box.pyrun.program, *arguments]
        return subprocess.run(argv, env=box.pyrun.environment, capture_output=True, text=True, cwd="/")

    for arguments in (("run", "--rm", box.image, "true"), ("run", "-d", "--network", "none", box.image, "true")):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (125, "")
        sentence(done.stderr, "user namespaces are not available: the kernel refuses to make one", "hint: `pyrun info`")
    shown = run("info")
    assert shown.returncode == 0, shown.stderr
    assert "Id Map: none (user namespaces: unshare: Operation not permitted)" in shown.stdout
    assert re.search(r"user namespaces: no \(unshare: Operation not permitted\)\n +instead: nothing", shown.stdout)
    # What needs none goes on.
    assert run("ps", "-a").returncode == 0
    names = box.names("-a")
    assert len(names) == 1, "what was not --rm is there, created"
    box.pyrun.ok("start", *names)
    box.pyrun.ok("wait", *names)


@requires("unprivileged")
def test_user_namespaces_forbidden(box: Box) -> None:
    """In a namespace that may have one more, which is used up by mapping the user to himself."""
    own = f"--map-user={os.geteuid()} --map-group={os.getegid()}"
    script = f'echo 1 > /proc/sys/user/max_user_namespaces && exec unshare -U {own} "$@"'
    argv = [
        "unshare",
        "-r",
        "sh",
        "-c",
        script,
        "sh",
        *box.pyrun.program,
        "run",
        "--rm",
        "--network",
        "none",
        box.image,
    ]
    environment = box.pyrun.environment | {"PYRUN_SINGLE_ID": "1"}
    done = subprocess.run([*argv, "true"], env=environment, capture_output=True, text=True, cwd=box.pyrun.home)
    assert done.returncode == 125, done.stderr
    sentence(done.stderr, "user namespaces", "hint: ", "pyrun info")
    assert box.names("-a") == []


def test_overlay_refused(box: Box) -> None:
    """The root is a copied tree then: the same files, and they are kept."""
    box.pyrun.environment["PYRUN_ROOTFS"] = "copy"
    script = "grep ' / ' /proc/mounts | cut -d' ' -f3; id -u; stat -c %u:%g /home/alice; touch /x && ls /x"
    seen = box.sh(script).split("\n")
    assert seen[0] != "overlay"
    assert seen[1:] == ["0", "1000:1000", "/x"]
    box.pyrun.ok(
        "run", "--name", "kept", "--network", "none", box.image, "sh", "-c", "echo again >> /file; wc -l < /file"
    )
    assert box.pyrun.ok("start", "-a", "kept") == "2"
    box.pyrun.ok("rm", "kept")
    assert box.names("-a") == []


def test_bad_options_leave_nothing(box: Box) -> None:
    for options, word in (
        (("--platform", "nonsense/"), "platform"),
        (("-v", "/a:/b:/c:/d"), "/a:/b:/c:/d"),
        (("--network", "a b"), "a b"),
        (("--mount", "type=odd,dst=/x"), "odd"),
        (("--tmpfs", "relative"), "relative"),
        (("-e", "=x"), "=x"),
        (("--env-file", "/no/such/file"), "/no/such/file"),
        (("--stop-signal", "ODD"), "ODD"),
        (("-p", "x:y"), "containerPort: y"),
        (("--ulimit", "nofile=9:3"), "soft: 9, hard: 3"),
        (("--add-host", "odd"), "odd"),
        (("--dns", "odd"), "odd"),
    ):
        sentence(box.pyrun.fails(125, "run", "--rm", *options, box.image, "true"), word)
    assert box.names("-a") == []
    assert not [*(box.pyrun.root / "volumes").glob("*")]


def test_a_broken_record_is_named(box: Box) -> None:
    identity = box.start("broken", command=("true",))
    box.pyrun.ok("wait", "broken")
    path = box.pyrun.root / "containers" / identity / "container.json"
    path.chmod(0o600)
    whole = path.read_text()
    assert json.loads(whole)["id"] == identity
    path.write_text(whole[: len(whole) // 2])
    sentence(box.pyrun.fails(1, "start", "broken"), "container.json")
    assert os.path.exists(path)
    path.write_text(whole)
