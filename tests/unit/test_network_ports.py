"""Published ports: docker's grammar row by row, and the choice of host ports on real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from pyrun.errors import ConflictError, FeatureMissingError, InvalidInputError, PyrunError
from pyrun.network import ports
from pyrun.network.ports import PortMapping, allocate, exposed, parse, parse_all


def mapping(host_ip: str, host_port: int, container_port: int, protocol: str = "tcp", last: int = 0) -> PortMapping:
    return PortMapping(host_ip, host_port, container_port, protocol, host_port_last=last)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("80", [mapping("", 0, 80)]),
        ("8080:80", [mapping("", 8080, 80)]),
        (":80", [mapping("", 0, 80)]),
        ("0:80", [mapping("", 0, 80)]),
        ("53:53/udp", [mapping("", 53, 53, "udp")]),
        ("53:53/UDP", [mapping("", 53, 53, "udp")]),
        ("80/", [mapping("", 0, 80)]),
        ("127.0.0.1:8080:80", [mapping("127.0.0.1", 8080, 80)]),
        ("127.0.0.1::80/udp", [mapping("127.0.0.1", 0, 80, "udp")]),
        ("[::1]:8080:80", [mapping("::1", 8080, 80)]),
        ("[::]::80", [mapping("::", 0, 80)]),
        ("::1:8080:80", [mapping("::1", 8080, 80)]),
        ("8000-8002:9000-9002", [mapping("", 8000 + i, 9000 + i) for i in range(3)]),
        ("9000-9001", [mapping("", 0, 9000), mapping("", 0, 9001)]),
        ("8000-8009:80", [mapping("", 8000, 80, last=8009)]),
        ("1-65535:80", [mapping("", 1, 80, last=65535)]),
        ("8080-8080:80-80", [mapping("", 8080, 80)]),
        ("target=80", [mapping("", 0, 80)]),
        ("target=53,published=5353,protocol=udp,mode=host", [mapping("", 5353, 53, "udp")]),
    ],
)
def test_docker_grammar(spec: str, expected: list[PortMapping]) -> None:
    assert parse(spec) == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "no port specified: <empty>"),
        ("8080:", "no port specified: 8080:<empty>"),
        ("/tcp", "no port specified: /tcp<empty>"),
        ("http", "invalid containerPort: http"),
        ("0", "invalid containerPort: 0"),
        ("80:0", "invalid containerPort: 0"),
        ("65536", "invalid containerPort: 65536"),
        ("+80", "invalid containerPort: +80"),
        ("8_0", "invalid containerPort: 8_0"),
        ("٨٠", "invalid containerPort: ٨٠"),
        ("81-80", "invalid containerPort: 81-80"),
        ("80-", "invalid containerPort: 80-"),
        ("1-2-3", "invalid containerPort: 1-2-3"),
        ("x:80", "invalid hostPort: x"),
        ("70000:80", "invalid hostPort: 70000"),
        ("9-8:80", "invalid hostPort: 9-8"),
        ("8000-8002:80-81", "invalid ranges specified for container and host Ports: 80-81 and 8000-8002"),
        ("8000:80-81", "invalid ranges specified for container and host Ports: 80-81 and 8000"),
        ("localhost:8080:80", "invalid IP address: localhost"),
        ("256.0.0.1:8080:80", "invalid IP address: 256.0.0.1"),
        ("127.1:8080:80", "invalid IP address: 127.1"),
        ("[::1:8080:80", "invalid IP address [::1: missing ']' in address"),
        ("[fe80::1%eth0]:8080:80", "invalid IP address: fe80::1%eth0"),
        ("80:80/icmp", "invalid proto: icmp"),
        (
            "80:80/sctp",
            "cannot publish port: 80:80/sctp: a user-mode network carries tcp and udp, not sctp",
        ),
        ("target=80,published", "invalid publish opts format (should be name=value but got 'published')"),
        ("target=80,color=red", "invalid field key color"),
    ],
)
def test_bad_grammar(spec: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(spec)
    assert caught.value.message == message


def test_same_mapping_twice_is_one() -> None:
    assert parse_all(["8080:80", "8080:80/tcp", "8081:80"]) == [mapping("", 8080, 80), mapping("", 8081, 80)]


def test_publish_all_leaves_out_what_is_published() -> None:
    published = parse_all(["8080:80"])
    assert exposed(["80/tcp", "53/udp", "443", "9000-9001/tcp", "443/tcp"], published) == [
        mapping("", 0, 53, "udp"),
        mapping("", 0, 443),
        mapping("", 0, 9000),
        mapping("", 0, 9001),
    ]


def test_record_round_trip() -> None:
    original = mapping("::1", 8080, 80, "udp")
    assert PortMapping.from_record(original.record()) == original
    assert original.host == "[::1]:8080"
    (choice,) = parse("8000-8010:80")
    assert PortMapping.from_record(choice.record()) == choice
    assert [item.undecided.host_port for item in (original, choice, *parse("80"))] == [8080, 0, 0]


def test_allocate_chooses_distinct_free_ports() -> None:
    chosen = allocate(parse_all(["127.0.0.1::80", "127.0.0.1::81", "127.0.0.1::53/udp"]))
    assert [m.container_port for m in chosen] == [80, 81, 53]
    assert chosen[0].host_port != chosen[1].host_port
    for item in chosen:
        assert item.host_port >= 1024
        kind = socket.SOCK_STREAM if item.protocol == "tcp" else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET, kind) as free:
            free.bind(("127.0.0.1", item.host_port))  # nothing is kept


def test_allocate_takes_the_first_free_one_of_a_range() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        first = min(port, 65534)
        chosen = allocate([mapping("127.0.0.1", first, 80, last=65535)])
    assert chosen[0].host_port > port
    assert chosen[0].host_port_last == chosen[0].host_port


@pytest.mark.parametrize("listen_on", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("host_ip", ["127.0.0.1", ""])
def test_port_in_use_is_named(listen_on: str, host_ip: str) -> None:
    with socket.create_server((listen_on, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError) as caught:
            allocate([mapping(host_ip, port, 80)])
    assert caught.value.message == f"cannot publish port: {host_ip or '0.0.0.0'}:{port}/tcp: address already in use"
    assert "-p 80 lets pyrun choose" in caught.value.hint


def test_udp_port_in_use_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError) as caught:
            allocate([mapping("127.0.0.1", port, 53, "udp")])
    assert caught.value.message == f"cannot publish port: 127.0.0.1:{port}/udp: address already in use"
    assert "ss -lunp" in caught.value.hint


def test_same_host_port_twice_conflicts_with_itself() -> None:
    free = allocate([mapping("127.0.0.1", 0, 80)])[0].host_port
    with pytest.raises(ConflictError):
        allocate([mapping("127.0.0.1", free, 80), mapping("127.0.0.1", free, 81)])


def test_listener_in_time_wait_is_no_conflict() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first keeps the port in TIME_WAIT
        client.close()
    assert allocate([mapping("127.0.0.1", port, 80)])[0].host_port == port


def test_address_of_another_machine() -> None:
    with pytest.raises(InvalidInputError) as caught:
        allocate([mapping("203.0.113.7", 8080, 80)])
    assert caught.value.message == (
        "cannot publish port: 203.0.113.7:8080/tcp: 203.0.113.7 is no address of this machine"
    )


@pytest.mark.parametrize(("port", "start"), [(80, "1024"), (443, "1000")])
def test_privileged_port_names_the_sysctl(monkeypatch: pytest.MonkeyPatch, port: int, start: str) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ports, "_bind", refuse)
    monkeypatch.setattr(ports, "_unprivileged_start", lambda: start)
    with pytest.raises(FeatureMissingError) as caught:
        allocate([mapping("", port, port)])
    assert caught.value.message == (
        f"publishing port {port}/tcp is not available: ports below {start} are the administrator's"
    )
    assert f"sysctl net.ipv4.ip_unprivileged_port_start={port}" in caught.value.hint
    assert f"-p {port + 8000}:{port}" in caught.value.hint


@pytest.mark.parametrize("call", [lambda: parse("x"), lambda: allocate([mapping("203.0.113.7", 1, 1)])])
def test_errors_are_typed(call: Callable[[], object]) -> None:
    with pytest.raises(PyrunError):
        call()
