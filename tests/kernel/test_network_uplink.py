"""The uplinks for real: a container's network namespace below an engine namespace, pasta or slirp4netns beside it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrun.network import address, slirp, uplink
from pyrun.network.ports import PortMapping, allocate, parse_all
from pyrun.network.uplink import Uplink

SUPPORT = Path(__file__).parent.parent / "support" / "two_namespaces.py"
PROGRAMS = ("pasta", "slirp4netns")

pytestmark = pytest.mark.requires("userns", "tun", "pasta", "slirp4netns")


@pytest.fixture(params=PROGRAMS)
def program_path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH that holds one of the programs only."""
    found = shutil.which(request.param)
    assert found is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / request.param).symlink_to(found)
    return str(tmp_path / "bin")


@contextlib.contextmanager
def container(link: Uplink, inside: str) -> Iterator[subprocess.Popen[str]]:
    request = json.dumps({"argv": link.argv, "ready_fd": link.ready_fd, "inside": inside})
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT), request], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        if link.argv:
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            assert answer["ready"], answer
        yield process
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()


def choose(path: str, socket_path: str = "", *, ports: tuple[str, ...] = ()) -> tuple[Uplink, list[PortMapping]]:
    mappings = allocate(parse_all(list(ports)))
    return uplink.choose(mappings, api_socket=socket_path, path=path), mappings


def output(link: Uplink, inside: str) -> str:
    with container(link, inside) as process:
        assert process.stdout is not None
        return process.stdout.read()


@contextlib.contextmanager
def greeter(ip: str) -> Iterator[int]:
    """A server of the host that speaks first."""
    with socket.create_server((ip, 0), family=socket.AF_INET6 if ":" in ip else socket.AF_INET) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    client.sendall(b"hello of the host")
                    client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def host_address() -> str:
    found = address.of_this_host()
    if not found:
        pytest.skip("requires: an address besides loopback")
    return found


def connect_code(ip: str, port: int) -> str:
    return (
        "import socket\n"
        "try:\n"
        f"    s = socket.create_connection(({ip!r}, {port}), timeout=3); print(s.recv(99).decode())\n"
        "except OSError as error:\n"
        "    print(type(error).__name__)\n"
    )


def test_interface_is_up_when_ready(program_path: str) -> None:
    link, _ = choose(program_path)
    inside = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('203.0.113.9', 9))\n"
        "print(s.getsockname()[0])\n"
        "print(*[l.split()[0] + ' ' + l.split()[2] for l in open('/proc/net/route') if l.split()[1] == '00000000'])\n"
        "s.setsockopt(socket.IPPROTO_IP, 10, 2)\n"
        "print(s.getsockopt(socket.IPPROTO_IP, 14))\n"
    )
    # The gateway is 10.0.2.2, in the byte order of /proc/net/route; IP_MTU is that of the route.
    assert output(link, inside).split("\n")[:3] == [link.address4, "eth0 0202000A", "65520"]


def test_container_reaches_a_server_on_the_hosts_address(program_path: str) -> None:
    ip = host_address()
    link, _ = choose(program_path)
    with greeter(ip) as port:
        assert output(link, connect_code(ip, port)) == "hello of the host\n"


def test_pasta_carries_ipv6_where_the_host_has_it() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001:db8::1", 9))
        except OSError:
            pytest.skip("requires: an IPv6 default route")
        ip = probe.getsockname()[0]
    link, _ = choose(os.environ["PATH"])
    assert link.program == "pasta"
    with greeter(ip) as port:
        assert output(link, connect_code(ip, port)) == "hello of the host\n"


@pytest.mark.parametrize("target", ["10.0.2.2", "127.0.0.1"])
def test_loopback_of_the_host_is_out_of_reach(program_path: str, target: str) -> None:
    link, _ = choose(program_path)
    with greeter("127.0.0.1") as port:
        assert output(link, connect_code(target, port)) in ("TimeoutError\n", "ConnectionRefusedError\n", "OSError\n")


SERVER = (
    "import socket, sys, threading\n"
    "server = socket.create_server(('0.0.0.0', 80))\n"
    "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('0.0.0.0', 53))\n"
    "def tcp():\n"
    "    while True:\n"
    "        client, peer = server.accept(); client.sendall(b'container greets ' + peer[0].encode()); client.close()\n"
    "def echo():\n"
    "    while True:\n"
    "        data, peer = udp.recvfrom(99); udp.sendto(b'echo ' + data, peer)\n"
    "for work in (tcp, echo): threading.Thread(target=work, daemon=True).start()\n"
    "print('listening', flush=True)\n"
    "sys.stdin.read()\n"
)


def publish(api_socket: str, mappings: list[PortMapping]) -> None:
    """What the monitor does (tests/kernel/test_monitor_network.py)."""
    for request in slirp.requests(mappings):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(api_socket)
            client.sendall(request.encode())
            client.shutdown(socket.SHUT_WR)
            answer = client.makefile().read()
            assert "return" in answer, answer


def serving(link: Uplink, mappings: list[PortMapping]) -> contextlib.AbstractContextManager[None]:
    @contextlib.contextmanager
    def run() -> Iterator[None]:
        with container(link, SERVER) as process:
            assert process.stdout is not None
            if link.api_socket:
                publish(link.api_socket, mappings)
            assert process.stdout.readline() == "listening\n"
            yield

    return run()


def greeting(ip: str, port: int) -> bytes:
    with socket.create_connection((ip, port), timeout=5) as client:
        return client.recv(99)


def test_published_port_is_reached_from_loopback(program_path: str, tmp_path: Path) -> None:
    link, mappings = choose(program_path, str(tmp_path / "api"), ports=("80", "127.0.0.1::80"))
    with serving(link, mappings):
        assert greeting("127.0.0.1", mappings[0].host_port).startswith(b"container greets ")
        assert greeting("127.0.0.1", mappings[1].host_port).startswith(b"container greets ")


def test_server_that_speaks_first_is_heard_from_any_address(tmp_path: Path) -> None:
    """An old pasta cannot (see `pasta.serves_all`), so slirp4netns is taken with it."""
    ip = host_address()
    link, mappings = choose(os.environ["PATH"], str(tmp_path / "api"), ports=("80",))
    with serving(link, mappings):
        assert greeting(ip, mappings[0].host_port) == f"container greets {ip}".encode()


def test_published_udp_port(program_path: str, tmp_path: Path) -> None:
    ip = host_address()
    link, mappings = choose(program_path, str(tmp_path / "api"), ports=("53/udp",))
    with serving(link, mappings), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.sendto(b"ping", (ip, mappings[0].host_port))
        assert client.recv(99) == b"echo ping"


def test_published_range(tmp_path: Path) -> None:
    held = allocate(parse_all(["127.0.0.1::80", "127.0.0.1::80"]))
    for mapping in held:
        mapping.container_port = 80
    link = uplink.choose(held, api_socket=str(tmp_path / "api"), path=os.environ["PATH"])
    assert link.program == "pasta"  # on loopback even an old one serves every client
    with serving(link, held):
        for mapping in held:
            assert greeting("127.0.0.1", mapping.host_port) == b"container greets 127.0.0.1"


def test_only_what_was_asked_for_is_published(program_path: str, tmp_path: Path) -> None:
    link, mappings = choose(program_path, str(tmp_path / "api"), ports=("127.0.0.1::80",))
    with serving(link, mappings), pytest.raises(ConnectionRefusedError):
        greeting(host_address(), mappings[0].host_port)


def test_uplink_dies_with_the_pid_namespace(program_path: str) -> None:
    link, _ = choose(program_path)
    with container(link, "print(open('/proc/self/stat').read().split()[0])") as process:
        process.wait(timeout=60)
    # Its own pid namespace is gone, so nobody with this namespace in its argv can be left.
    left = [pid for pid in os.listdir("/proc") if pid.isdigit() and _argv0(pid) == link.argv[0]]
    assert left == []


def _argv0(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""
