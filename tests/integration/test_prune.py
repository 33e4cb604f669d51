"""container prune, volume verbs, system prune, port: on real containers, in docker's words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = pytest.mark.requires("unprivileged", "userns", "overlay", "skopeo", "registry")


def made(box: Box, name: str, *options: str, command: tuple[str, ...] = ("true",)) -> str:
    return box.pyrun.ok("create", "--name", name, "--network", "none", *options, box.image, *command)


def test_container_prune_asks_and_leaves_what_runs(box: Box) -> None:
    box.start("runs")
    made(box, "kept", "--label", "keep=yes")
    idle = made(box, "idle", "--label", "a=b")
    ended = box.pyrun.ok(
        "run", "-d", "--name", "ended", "--network", "none", box.image, "sh", "-c", "head -c 5000 /dev/zero > f"
    )
    box.pyrun.ok("wait", "ended")
    asked = box.pyrun("container", "prune", input="n\n")
    assert (asked.returncode, asked.stdout) == (
        0,
        "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ",
    )
    assert box.pyrun.ok("container", "prune", "-f", "--filter", "until=24h") == "Total reclaimed space: 0B"
    assert sorted(box.names("-a")) == ["ended", "idle", "kept", "runs"]
    answer = box.pyrun("container", "prune", "--filter", "label!=keep", input="y\n").stdout
    assert answer.split("[y/N] ")[1] == f"Deleted Containers:\n{ended}\n{idle}\n\nTotal reclaimed space: 5kB\n"
    assert sorted(box.names("-a")) == ["kept", "runs"]
    assert "Deleted Containers:\n" in box.pyrun.ok("container", "prune", "-f", "--filter", "label=keep=yes")
    assert box.names("-a") == ["runs"]
    assert 'invalid argument "x" for "--filter" flag' in box.pyrun.fails(125, "container", "prune", "--filter", "x")
    assert "invalid filter 'x'" in box.pyrun.fails(1, "container", "prune", "--filter", "x=1")
    pruned = (
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--format",
        "{{.Type}} {{.Actor.Attributes}}",
        "-f",
        "event=prune",
    )
    assert box.pyrun.ok(*pruned).splitlines()[1] == "container map[reclaimed:5000]"


def test_volumes(box: Box) -> None:
    pyrun = box.pyrun
    assert pyrun.ok("volume", "create", "--label", "a=b", "one") == "one"
    assert pyrun.ok("volume", "create", "one") == "one"
    anonymous = pyrun.ok("volume", "create")
    assert len(anonymous) == 64
    made(box, "user", "-v", "two:/data", "-v", "/anonymous")
    names = pyrun.ok("volume", "ls", "-q").split()
    assert {"one", "two", anonymous} < set(names)
    assert len(names) == 4
    lines = pyrun.ok("volume", "ls").splitlines()
    assert lines[0] == "DRIVER    VOLUME NAME"
    assert "local     one" in lines
    assert pyrun.ok("volume", "ls", "-q", "--filter", "label=a=b") == "one"
    assert pyrun.ok("volume", "ls", "-q", "-f", "dangling=false", "-f", "name=^two$") == "two"
    assert set(pyrun.ok("volume", "ls", "-q", "-f", "dangling=true").split()) == {"one", anonymous}
    assert json.loads(pyrun.ok("volume", "ls", "-f", "name=one", "--format", "json"))["Labels"] == "a=b"
    assert pyrun.ok("volume", "ls", "-q", "-f", " Name = ^one[", "-f", "driver=local") == ""  # no expression: a text
    assert pyrun.ok("volume", "ls", "-f", "name=two", "--format", "raw") == "name: two\ndriver: local\n"
    assert "bad format of filter" in pyrun.fails(125, "volume", "ls", "-f", "name")
    assert pyrun.ok("volume", "inspect", "-f", "json", "one", "two").startswith('[{"CreatedAt":')
    found = json.loads(pyrun.ok("volume", "inspect", "one"))[0]
    assert list(found) == ["CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope"]
    assert (found["Name"], found["Labels"], found["Driver"]) == ("one", {"a": "b"}, "local")
    assert pyrun.ok("inspect", "--type", "volume", "-f", "{{.Name}} {{.Labels.a}}", "one") == "one b"
    assert "no such volume: none" in pyrun.fails(1, "volume", "inspect", "none")
    assert "volume is in use" in pyrun.fails(1, "volume", "rm", "two")
    done = pyrun("volume", "prune", "-f")
    assert done.stdout.startswith(f"Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: ")
    assert pyrun.ok("volume", "prune", "-af").startswith("Deleted Volumes:\none\n\n")
    pyrun.ok("rm", "user")
    assert pyrun.ok("volume", "rm", "two") == "two"
    assert pyrun.fails(125, "volume", "create", "-o", "type=tmpfs", "x") == "pyrun: flag --opt is not supported yet\n"


def test_system_prune(box: Box) -> None:
    pyrun = box.pyrun
    made(box, "gone", "-v", "/anonymous", "-v", "named:/n")
    asked = pyrun("system", "prune", "-a", "--volumes", "--filter", "label!=x").stdout
    assert asked == (
        "WARNING! This will remove:\n"
        "  - all stopped containers\n"
        "  - all anonymous volumes not used by at least one container\n"
        "  - all images without at least one container associated to them\n"
        "\n"
        "  Items to be pruned will be filtered with:\n"
        "  - label!=x\n"
        "\n"
        "Are you sure you want to continue? [y/N] "
    )
    first = pyrun.ok("system", "prune", "-f")
    assert first.startswith("Deleted Containers:\n")
    assert "Deleted Images" not in first
    assert pyrun.ok("images", "-q")
    box.start("user")
    assert "Deleted Images" not in pyrun.ok("system", "prune", "-af")
    pyrun.ok("rm", "-f", "user")
    last = pyrun.ok("system", "prune", "-af", "--volumes")
    assert "Deleted Volumes:\n" in last
    assert f"Deleted Images:\nuntagged: {box.image}\n" in last
    assert last.rpartition("Total reclaimed space: ")[2].endswith("MB")
    assert pyrun.ok("images", "-q") == ""
    assert pyrun.ok("volume", "ls", "-q") == "named"
    assert 'not supported with "--volumes"' in pyrun.fails(1, "system", "prune", "--volumes", "--filter", "until=1h")


@pytest.mark.requires("tun")
def test_port(box: Box) -> None:
    ports = ("-p", "127.0.0.1:0:80", "-p", "127.0.0.1::53/udp", "--expose", "9000-9001")
    box.pyrun.ok("run", "-d", "--name", "web", *ports, box.image, "sleep", "99")
    http, dns = (box.inspect("web")["NetworkSettings"]["Ports"][key][0]["HostPort"] for key in ("80/tcp", "53/udp"))
    assert box.pyrun.ok("port", "web") == f"53/udp -> 127.0.0.1:{dns}\n80/tcp -> 127.0.0.1:{http}"
    shown = f"9000-9001/tcp, 127.0.0.1:{dns}->53/udp, 127.0.0.1:{http}->80/tcp"
    assert box.pyrun.ok("ps", "--format", "{{.Ports}}", "--filter", "expose=9001") == shown
    assert box.pyrun.ok("container", "port", "web", "80") == f"127.0.0.1:{http}"
    assert box.pyrun.ok("port", "web", "53/udp") == f"127.0.0.1:{dns}"
    assert "no public port '80/udp' published for web" in box.pyrun.fails(1, "port", "web", "80/udp")
    assert 'invalid port (x): strconv.ParseUint: parsing "x": invalid syntax' in box.pyrun.fails(1, "port", "web", "x")
    assert "value out of range" in box.pyrun.fails(1, "port", "web", "65536")
    assert "no such container" in box.pyrun.fails(1, "port", "none")
    box.pyrun.ok("stop", "-t", "0", "web")
    assert box.pyrun.ok("port", "web") == ""
