"""The network of a container: private by default, its ports on the host, and what happens without helpers."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.boxes import Box, push
from tests.support.features import ROOT, command, requires

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import CommandLine

pytestmark = requires("userns", "subids", "overlay", "tun", "pasta")

# Speaks first, then says back what it was told.
SERVER = "while :; do nc -l -p 8080 -e sh -c 'echo hello; read line; echo \"got $line\"'; done"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def talk(port: int, host: str = "127.0.0.1") -> str:
    """Ask the server; it may need a moment between two connections, so a refused or empty one is tried again."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with socket.create_connection((host, port), timeout=30) as connection:
                file = connection.makefile("rw")
                with file:
                    first = file.readline()
                    if first:
                        file.write("ping\n")
                        file.flush()
                        return first.strip() + " " + file.readline().strip()
        except OSError:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise TimeoutError(f"no word from port {port}")


def bindings(box: Box, name: str) -> dict[str, int]:
    """The host's ports by the container's, while it runs."""
    shown = box.inspect(name)["NetworkSettings"]["Ports"]
    return {inside: int(places[0]["HostPort"]) for inside, places in shown.items() if places}


def serve(box: Box, name: str, *options: str) -> None:
    argv = ("run", "-d", "--name", name, *options, box.image, "sh", "-c", SERVER)
    box.pyrun.ok(*argv)


def patched(box: Box, patch: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command where `patch` was done to pyrun.network.uplink first: a machine that lacks a helper or a device.

    PATH holds no program, so `_PATH` alone says what is installed.
    """
    script = f"import sys; from pyrun.network import uplink; {patch}; from pyrun.cli.main import main; sys.exit(main())"
    environment = box.pyrun.environment | {"PYTHONPATH": str(ROOT), "PATH": "/nowhere"}
    argv = [sys.executable, "-c", script, *arguments]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, cwd=box.pyrun.home, timeout=60)


def only(work: Path, *programs: str) -> str:
    """Return the patch after which these programs alone are found."""
    work.mkdir(exist_ok=True)
    for name in programs:
        (work / name).symlink_to(str(command(name)))
    return f"uplink._PATH = {str(work)!r}"


def test_private_is_the_default(box: Box) -> None:
    script = "ip -o addr show; ip route; cat /etc/hosts /etc/resolv.conf; hostname"
    seen = box.pyrun.ok("run", "--rm", box.image, "sh", "-c", script)
    name = seen.split("\n")[-1]
    address = re.search(r"inet (\d+\.\d+\.\d+\.\d+)/\d+.*(?:tap|eth|en|wl|tun)", seen)
    assert re.search(r"^default via", seen, re.M), seen
    assert re.search(rf"^\d+\.\d+\.\d+\.\d+\t{name}$", seen, re.M), seen
    assert re.search(r"^nameserver (?!127\.)", seen, re.M), seen
    assert "127.0.0.1\tlocalhost" in seen
    assert address or "inet" in seen
    assert box.pyrun.ok("run", "--rm", box.image, "readlink", "/proc/self/ns/net") != os.readlink("/proc/self/ns/net")


def test_none_and_host(box: Box) -> None:
    assert box.pyrun.ok("run", "--rm", "--network", "none", box.image, "ls", "/sys/class/net") == "lo"
    seen = box.pyrun.ok(
        "run", "--rm", "--network", "host", box.image, "sh", "-c", "readlink /proc/self/ns/net; hostname"
    )
    assert seen.split() == [os.readlink("/proc/self/ns/net"), os.uname().nodename]
    assert "not supported" in box.pyrun.fails(125, "run", "--rm", "--network", "mine", box.image, "true")


def test_published_port(box: Box) -> None:
    port = free_port()
    serve(box, "server", "-p", f"127.0.0.1:{port}:8080")
    assert talk(port) == "hello got ping"
    assert talk(port) == "hello got ping"
    assert f"127.0.0.1:{port}->8080/tcp" in box.pyrun.ok("ps")
    # A second container for the same port: one sentence, and nothing is left of it.
    message = box.pyrun.fails(125, "run", "-d", "--name", "second", "-p", f"127.0.0.1:{port}:8080", box.image, "true")
    assert str(port) in message
    box.pyrun.ok("rm", "-f", "server")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    serve(box, "server", "-p", f"127.0.0.1:{port}:8080")
    assert talk(port) == "hello got ping"


def test_host_ports_are_chosen_at_each_start(box: Box) -> None:
    """As docker: `create` takes none, a port in use is an error of `start`, and a free one may be another each time."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = taken.getsockname()[1]
        box.pyrun.ok("create", "--name", "fixed", "-p", f"127.0.0.1:{busy}:80", box.image, "true")
        assert f"127.0.0.1:{busy}/tcp: address already in use" in box.pyrun.fails(1, "start", "fixed")
        assert box.status("fixed") == "created"
    box.pyrun.ok("start", "fixed")
    # Of two ports one is taken before the second start.
    low = free_port()
    options = ("-p", "127.0.0.1::8080", "-p", f"127.0.0.1:{low}-{low + 20}:8081")
    box.pyrun.ok("create", "--name", "free", *options, box.image, "sh", "-c", SERVER)
    assert bindings(box, "free") == {}
    assert box.inspect("free")["HostConfig"]["PortBindings"] == {
        "8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        "8081/tcp": [{"HostIp": "127.0.0.1", "HostPort": f"{low}-{low + 20}"}],
    }
    box.pyrun.ok("start", "free")
    first = bindings(box, "free")
    assert talk(first["8080/tcp"]) == "hello got ping"
    box.pyrun.ok("stop", "-t", "0", "free")
    with socket.create_server(("127.0.0.1", first["8080/tcp"])), socket.create_server(("127.0.0.1", first["8081/tcp"])):
        box.pyrun.ok("start", "free")
        second = bindings(box, "free")
        assert not set(first.values()) & set(second.values())
        assert low <= second["8081/tcp"] <= low + 20
        assert talk(second["8080/tcp"]) == "hello got ping"


def test_starts_at_once_agree_on_the_ports(box: Box) -> None:
    box.pyrun.ok("create", "--name", "server", "-p", "127.0.0.1::8080", box.image, "sh", "-c", SERVER)
    starts = [box.pyrun.popen("start", "server", stdout=subprocess.DEVNULL) for _ in range(6)]
    assert [start.wait() for start in starts] == [0] * 6
    assert talk(bindings(box, "server")["8080/tcp"]) == "hello got ping"


@pytest.mark.parametrize("address", ["127.0.0.1:", ""], ids=["pasta", "the usual"])
def test_published_port_after_a_restart(box: Box, address: str) -> None:
    """By a restart policy: nobody but the monitor is there to publish it again."""
    port = free_port()
    script = f"[ -e /again ] || {{ touch /again; exit 3; }}; {SERVER}"
    options = ("--restart", "on-failure", "-p", f"{address}{port}:8080")
    box.pyrun.ok("run", "-d", "--name", "server", *options, box.image, "sh", "-c", script)
    assert talk(port) == "hello got ping"
    assert box.inspect("server")["RestartCount"] == 1


def test_two_at_once_and_all_interfaces(box: Box) -> None:
    ports = [free_port(), free_port()]
    for number, port in enumerate(ports):
        serve(box, f"server{number}", "-p", f"{port}:8080")
    assert [talk(port) for port in ports] == ["hello got ping"] * 2
    assert f"0.0.0.0:{ports[0]}->8080/tcp" in box.pyrun.ok("ps")


def test_publish_all(pyrun: CommandLine, registry: str, tmp_path: Path) -> None:
    image = push(registry, tmp_path, "exposing", {"ExposedPorts": {"8080/tcp": {}}, "Cmd": ["sh", "-c", SERVER]})
    pyrun.ok("pull", "-q", image)
    pyrun.ok("run", "-d", "-P", "--name", "exposed", image)
    ports = Box(pyrun, image).inspect("exposed")["NetworkSettings"]["Ports"]["8080/tcp"]
    assert talk(int(ports[0]["HostPort"])) == "hello got ping"


def test_a_port_that_is_taken(box: Box) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = box.pyrun.fails(125, "run", "-d", "--name", "late", "-p", f"127.0.0.1:{port}:80", box.image, "true")
    assert str(port) in message
    assert "invalid" in box.pyrun.fails(125, "run", "-p", "99999:1", box.image, "true").lower()


def test_restart_keeps_the_port(box: Box) -> None:
    port = free_port()
    serve(box, "server", "-p", f"127.0.0.1:{port}:8080")
    assert talk(port) == "hello got ping"
    box.pyrun.ok("stop", "-t", "0", "server")
    box.pyrun.ok("start", "server")
    assert talk(port) == "hello got ping"


@requires("slirp4netns")
def test_slirp4netns_where_there_is_no_pasta(box: Box, tmp_path: Path) -> None:
    port = free_port()
    options = ("run", "-d", "--name", "server", "-p", f"127.0.0.1:{port}:8080", box.image, "sh", "-c", SERVER)
    done = patched(box, only(tmp_path / "bin", "slirp4netns"), *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert talk(port) == "hello got ping"
    assert "default via" in box.pyrun.ok("exec", "server", "ip", "route")


def test_no_helper_at_all(box: Box, tmp_path: Path) -> None:
    patch = only(tmp_path / "bin")
    done = patched(box, patch, "run", "--rm", box.image, "ls", "/sys/class/net")
    assert (done.returncode, done.stdout) == (0, "lo\n")
    assert "neither pasta nor slirp4netns is installed" in done.stderr
    assert "apt install passt" in done.stderr
    done = patched(box, patch, "run", "-d", "-p", "8080:80", box.image, "true")
    assert done.returncode == 125
    assert "publishing ports" in done.stderr
    assert "apt install passt" in done.stderr
    assert box.names("-a") == []


def test_tun_is_closed(box: Box) -> None:
    patch = "uplink.choose.__kwdefaults__['tun'] = '/dev/net/absent'; uplink._PATH = '/usr/bin'"
    done = patched(box, patch, "run", "--rm", box.image, "true")
    assert done.returncode == 125
    assert "/dev/net/absent does not exist" in done.stderr
    assert "--network host or none" in done.stderr
    closed = box.pyrun.directory / "tun"
    closed.touch(mode=0)
    done = patched(
        box,
        f"uplink.choose.__kwdefaults__['tun'] = {str(closed)!r}; uplink._PATH = '/usr/bin'",
        "run",
        "--rm",
        box.image,
        "true",
    )
    assert "cannot be opened by this user" in done.stderr
    assert box.names("-a") == []
