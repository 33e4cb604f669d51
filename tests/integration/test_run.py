"""`run`: what the image says, what the options say, and which of them wins; docker's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import Box, push
from tests.support.features import requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.catalogue import Catalogue
    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "subids", "overlay")

CONFIG = {
    "Entrypoint": ["/bin/echo", "entry"],
    "Cmd": ["one", "two"],
    "Env": ["PATH=/opt/bin:/bin", "COLOUR=green", "SHAPE=round"],
    "WorkingDir": "/made/by/run",
    "User": "alice:users",
    "StopSignal": "SIGUSR1",
    "Labels": {"kind": "test", "from": "image"},
}


@pytest.fixture
def image(pyrun: CommandLine, registry: str, tmp_path: Path) -> Box:
    reference = push(registry, tmp_path, "configured", CONFIG)
    pyrun.ok("pull", "-q", reference)
    return Box(pyrun, reference)


def test_entrypoint_and_cmd(image: Box) -> None:
    assert image.run() == "entry one two"
    assert image.run(command=("three",)) == "entry three"
    # --entrypoint takes the image's CMD away; its own arguments are the command's.
    assert image.run("--entrypoint", "/bin/echo") == ""
    assert image.run("--entrypoint", "/bin/echo", command=("a", "b")) == "a b"
    assert image.run("--entrypoint", "", command=("/bin/echo", "c")) == "c"
    assert "no command specified" in image.fails(125, "--entrypoint", "", command=())


def test_what_the_image_says(image: Box) -> None:
    script = "id -u; id -g; id -G; pwd; stat -c '%u:%g %a' .; echo $PATH $COLOUR $HOME"
    seen = image.run("--entrypoint", "sh", command=("-c", script)).split("\n")
    # USER alice:users — a given group leaves out the supplementary ones; the missing WORKDIR is made by root.
    assert seen == ["1000", "100", "100", "/made/by/run", "0:0 755", "/opt/bin:/bin green /home/alice"]


def test_options_win_over_the_image(image: Box) -> None:
    script = "id -un; pwd; echo $COLOUR $SHAPE $NEW"
    options = ("-u", "0", "-w", "/other/place", "-e", "COLOUR=red", "-e", "NEW=a=b")
    assert image.run(*options, "--entrypoint", "sh", command=("-c", script)).split("\n") == [
        "root", "/other/place", "red round a=b",
    ]  # fmt: skip


def test_stop_signal_of_the_image(image: Box) -> None:
    script = "trap 'echo usr1; exit 5' USR1; echo ready; while :; do sleep 0.1; done"
    image.start("stopped", "--entrypoint", "sh", command=("-c", script))
    # Not before the trap is set: the first line tells.
    from tests.support.boxes import following

    with following(image.pyrun, "stopped") as lines:
        assert next(lines) == "ready"
    image.pyrun.ok("stop", "stopped")
    assert image.pyrun.ok("wait", "stopped") == "5"
    assert image.pyrun.ok("logs", "stopped") == "ready\nusr1"
    assert image.inspect("stopped")["Config"]["StopSignal"] == "SIGUSR1"


def test_default_environment(box: Box) -> None:
    env = box.run(command=("env",)).split("\n")
    default = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert sorted(line.partition("=")[0] for line in env) == ["HOME", "HOSTNAME", "PATH"]
    assert default in env
    assert "HOME=/root" in env
    assert box.sh("echo $HOSTNAME; hostname; cat /etc/hostname", "--hostname", "boat").split() == ["boat"] * 3
    name = box.sh("echo $HOSTNAME; hostname").split()
    assert name[0] == name[1]
    assert len(name[0]) == 12
    # TERM is the terminal's: there is one with -t only, and the caller's is not taken over.
    assert "TERM=xterm" in box.run("-t", command=("env",), TERM="vt52").replace("\r", "").split("\n")
    assert box.sh("echo $HOME", "-u", "1234") == "/"
    assert box.sh("echo $HOME", "-u", "alice") == "/home/alice"
    assert box.sh("echo $HOME", "-e", "HOME=/elsewhere") == "/elsewhere"


def test_env_of_the_caller_and_of_files(image: Box, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("# a comment\n\nCOLOUR=file\nCALLER\nUNSET_ONE\nSPACES= a  b \n")
    second.write_text("SHAPE=second file\n")
    options = ("--env-file", str(first), "--env-file", str(second), "-e", "SECRET", "-e", "UNSET_TWO")
    env = image.run(*options, "--entrypoint", "env", CALLER="yes", SECRET="x y").split("\n")
    assert {"COLOUR=file", "CALLER=yes", "SPACES= a  b ", "SHAPE=second file", "SECRET=x y"} <= set(env)
    assert not any(line.startswith("UNSET") for line in env)
    # -e beats the file; -e NAME of a variable that the caller has not removes the image's.
    env = image.run("--env-file", str(first), "-e", "COLOUR=flag", "-e", "SHAPE", "--entrypoint", "env").split("\n")
    assert "COLOUR=flag" in env
    assert not any(line.startswith("SHAPE") for line in env)


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("", "0 0 0"),
        ("0", "0 0 0"),
        ("alice", "1000 1000 1000 100"),
        ("1000", "1000 1000 1000 100"),
        ("alice:users", "1000 100 100"),
        ("1000:100", "1000 100 100"),
        ("4321", "4321 0 0"),
        ("4321:5432", "4321 5432 5432"),
        ("nobody:alice", "65534 1000 1000"),
    ],
)
def test_users(shared_box: Box, user: str, ids: str) -> None:
    options = ("-u", user) if user else ()
    assert " ".join(shared_box.sh("id -u; id -g; id -G", *options).split()) == ids


def test_user_that_is_not_there(box: Box) -> None:
    assert "unable to find user carol" in box.fails(125, "-u", "carol")
    assert "unable to find group wheel" in box.fails(125, "-u", "alice:wheel")


def test_working_directory(box: Box) -> None:
    assert box.sh("pwd", "-w", "/a/b/../c") == "/a/c"
    assert "absolute path" in box.fails(125, "-w", "relative")
    assert "/etc/passwd" in box.fails(125, "-w", "/etc/passwd")


def test_labels(image: Box, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.write_text("# comment\nfrom=file\ntwo=2\n")
    options = ("--label-file", str(labels), "-l", "two=flag", "--label", "bare")
    image.start("labelled", "--entrypoint", "sleep", *options, command=("1000",))
    assert image.inspect("labelled")["Config"]["Labels"] == {"kind": "test", "from": "file", "two": "flag", "bare": ""}


def test_cidfile(box: Box, tmp_path: Path) -> None:
    path = tmp_path / "cid"
    identity = box.start("with-cidfile", "--cidfile", str(path))
    assert path.read_text() == identity
    assert len(identity) == 64
    message = box.pyrun.fails(125, "run", "-d", "--cidfile", str(path), box.image, "true")
    assert "container ID file found" in message
    assert box.names("-a") == ["with-cidfile"]


def test_pull_policies(pyrun: CommandLine, images: Catalogue) -> None:
    image = images.busybox
    message = pyrun.fails(125, "run", "--rm", "--pull=never", "--network", "none", image, "true")
    assert f"no such image: {image}" in message
    done = pyrun("run", "--rm", "--network", "none", image, "echo", "pulled")
    assert (done.returncode, done.stdout) == (0, "pulled\n")
    assert f"Unable to find image '{image}' locally" in done.stderr
    done = pyrun("run", "--rm", "--network", "none", image, "echo", "again")
    assert (done.returncode, done.stdout, done.stderr) == (0, "again\n", "")
    done = pyrun("run", "--rm", "--pull", "always", "--network", "none", image, "true")
    assert done.returncode == 0
    assert "Image is up to date" in done.stderr
    assert "invalid pull option" in pyrun.fails(125, "run", "--pull=sometimes", image, "true")


def test_exit_codes(box: Box) -> None:
    assert "nosuch" in box.fails(127, command=("nosuch",))
    assert "/no/such" in box.fails(127, command=("/no/such",))
    assert "permission denied" in box.fails(126, command=("/etc",))
    assert "permission denied" in box.fails(126, command=("/etc/passwd",))
    assert box.fails(3, command=("sh", "-c", "exit 3")) == ""
    assert box.fails(255, command=("sh", "-c", "exit 255")) == ""
    assert box.fails(137, "--init", command=("sh", "-c", "kill -9 $$")) == ""
    assert box.fails(143, "--init", command=("sh", "-c", "kill $$")) == ""
    assert "flag --memory is not supported yet" in box.fails(125, "--memory", "1g")
    assert "--no-such-flag" in box.fails(125, "--no-such-flag")
    assert box.names("-a") == []


def test_init_forwards_and_reaps(box: Box) -> None:
    # An orphan's parent is the init, which must take its exit status: no zombie stays.
    script = "(true & ) ; while ps -o stat | grep -q Z; do :; done; cat /proc/1/comm; ps -o pid,args | grep sh"
    seen = box.sh(script, "--init").split("\n")
    assert seen[0] != "sh"
    box.start("forwarding", "--init", command=("sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done"))
    from tests.support.boxes import following

    with following(box.pyrun, "forwarding") as lines:
        assert next(lines) == "up"
    box.pyrun.ok("stop", "forwarding")
    assert box.pyrun.ok("wait", "forwarding") == "9"


def test_other_hosts_and_resolvers(box: Box) -> None:
    run = ("run", "--rm", "--add-host", "mast:10.1.2.3", "--add-host=keel:fe80::1", "--dns", "192.0.2.1")
    more = ("--dns-search", "sea.example", "--dns-option", "ndots:3", "--hostname", "boat")
    seen = box.pyrun.ok(*run, *more, box.image, "cat", "/etc/hosts", "/etc/resolv.conf")
    assert "10.1.2.3\tmast" in seen
    assert "fe80::1\tkeel" in seen
    assert "127.0.0.1\tlocalhost" in seen
    assert "\tboat" in seen
    words = [line for line in seen.split("\n") if line.startswith(("nameserver", "search", "options"))]
    assert words == ["nameserver 192.0.2.1", "search sea.example", "options ndots:3"]
