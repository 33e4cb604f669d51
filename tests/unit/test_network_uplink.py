"""Which uplink is chosen and how it is called; what the routing tables say."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pyrun.errors import FeatureMissingError
from pyrun.network import pasta, routes, slirp, uplink
from pyrun.network.ports import PortMapping, parse_all

ROUTE_HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
ZEROS = "0" * 32


def fake(directory: Path, name: str, version: str) -> None:
    program = directory / name
    program.write_text(f"#!/bin/sh\necho '{version}'\necho Copyright\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose as an ordinary user, whoever runs the tests."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.fixture
def tun(tmp_path: Path) -> str:
    path = tmp_path / "tun"
    path.touch()
    return str(path)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", ""),
        ("eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "eth0"),
        ("eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", ""),
        ("ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n", "ppp0"),
        (
            "wlan0\t00000000\t0100000A\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
            "eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
            "eth0",
        ),
        ("lo\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n", ""),
        ("tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n", ""),  # 0.0.0.0/1, a VPN's half route
    ],
)
def test_default_interface_of_ipv4(tmp_path: Path, lines: str, expected: str) -> None:
    (tmp_path / "route").write_text(ROUTE_HEADER + lines)
    assert routes.default_interface4(str(tmp_path / "route")) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", ""),
        (f"{ZEROS} 00 {ZEROS} 00 {ZEROS} ffffffff 00000001 00000000 00200200       lo\n", ""),
        (f"{ZEROS} 00 {ZEROS} 00 fd00{'0' * 27}1 00000400 00000001 00000000 00000003     eth0\n", "eth0"),
        (f"fd00{'0' * 28} 40 {ZEROS} 00 {ZEROS} 00000100 00000001 00000000 00000001     eth0\n", ""),
    ],
)
def test_default_interface_of_ipv6(tmp_path: Path, lines: str, expected: str) -> None:
    (tmp_path / "ipv6_route").write_text(lines)
    assert routes.default_interface6(str(tmp_path / "ipv6_route")) == expected
    assert routes.default_interface6(str(tmp_path / "absent")) == ""


def pasta_argv(specs: list[str], *, interface: str = "eth0", with_ipv6: bool = False) -> list[str]:
    return pasta.argv(
        "/usr/bin/pasta",
        parse_all(specs),
        netns="/proc/{pid}/ns/net",
        interface=interface,
        with_ipv6=with_ipv6,
        forward_dns=True,
    )


def test_pasta_command_line_on_ipv4() -> None:
    assert " ".join(pasta_argv([], interface="lo")) == (
        "/usr/bin/pasta --quiet --config-net --netns /proc/{pid}/ns/net --netns-only --no-netns-quit --ns-ifname eth0 "
        "--mtu 65520 --interface lo --address 10.0.2.100 --netmask 24 --gateway 10.0.2.2 --ipv4-only "
        "--mac-addr 02:00:0a:00:02:02 --no-dhcp --no-dhcpv6 --no-ra --no-map-gw --dns-forward 10.0.2.3 "
        "--tcp-ports none --udp-ports none --tcp-ns none --udp-ns none"
    )


def test_pasta_command_line_with_ipv6_resolves_the_gateway() -> None:
    words = pasta_argv([], with_ipv6=True)
    assert "--ipv4-only" not in words
    assert "--mac-addr" not in words
    assert "--no-ndp" not in words
    assert words[words.index("fd79:7072:756e::100") + 1 :][:2] == ["--gateway", "fe80::2"]


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        (["8080:80"], ["--tcp-ports", "8080:80", "--udp-ports", "none"]),
        (["0.0.0.0:8080:80"], ["--tcp-ports", "8080:80", "--udp-ports", "none"]),
        (["127.0.0.1:8080:80"], ["--tcp-ports", "127.0.0.1/8080:80", "--udp-ports", "none"]),
        (["[::1]:8080:80"], ["--tcp-ports", "::1/8080:80", "--udp-ports", "none"]),
        (["53:53/udp"], ["--tcp-ports", "none", "--udp-ports", "53:53"]),
        (["8000-8099:9000-9099"], ["--tcp-ports", "8000-8099:9000-9099", "--udp-ports", "none"]),
        (["1:1", "3:3", "4:5", "5:6"], ["--tcp-ports", "1:1", "--tcp-ports", "3:3", "--tcp-ports", "4-5:5-6"]),
    ],
)
def test_pasta_forwards(specs: list[str], expected: list[str]) -> None:
    words = pasta_argv(specs)
    start = words.index("--tcp-ports")
    assert words[start : start + len(expected)] == expected
    assert words[-4:] == ["--tcp-ns", "none", "--udp-ns", "none"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pasta 2024_10_30.ee7d0b6", "2024_10_30"),
        ("pasta 0.0~git20240220.1e6f92b-1", "2024_02_20"),
        ("pasta unknown version", ""),
        ("", ""),
    ],
)
def test_pasta_version(tmp_path: Path, line: str, expected: str) -> None:
    fake(tmp_path, "pasta", line)
    assert pasta.version(str(tmp_path / "pasta")) == expected


def test_pasta_version_of_a_program_that_cannot_start(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    assert pasta.version(str(tmp_path / "absent")) == ""
    assert set(os.listdir("/proc/self/fd")) == before


def test_slirp_command_line() -> None:
    words = slirp.argv(
        "/usr/bin/slirp4netns", netns="/proc/{pid}/ns/net", ready_fd="{ready}", api_socket="/run/x", with_dns=False
    )
    assert " ".join(words) == (
        "/usr/bin/slirp4netns --configure --mtu=65520 --disable-host-loopback --enable-sandbox --enable-seccomp "
        "--ready-fd={ready} --disable-dns --api-socket=/run/x --netns-type=path /proc/{pid}/ns/net eth0"
    )


def test_slirp_requests() -> None:
    import json

    assert [json.loads(text) for text in slirp.requests([PortMapping("", 8080, 80, "tcp")])] == [
        {
            "execute": "add_hostfwd",
            "arguments": {"proto": "tcp", "host_addr": "0.0.0.0", "host_port": 8080, "guest_port": 80},
        }
    ]


@pytest.mark.parametrize(
    ("programs", "specs", "expected"),
    [
        ({"pasta": "pasta unknown version", "slirp4netns": ""}, [], "pasta"),
        ({"slirp4netns": ""}, [], "slirp4netns"),
        ({"slirp4netns": ""}, ["8080:80"], "slirp4netns"),
        ({"pasta": "pasta unknown version", "slirp4netns": ""}, ["8080:80"], "slirp4netns"),
        ({"pasta": "pasta unknown version", "slirp4netns": ""}, ["127.0.0.1:8080:80"], "pasta"),
        ({"pasta": "pasta unknown version", "slirp4netns": ""}, ["8080:80/udp"], "pasta"),
        ({"pasta": "pasta unknown version"}, ["8080:80"], "pasta"),
        ({"pasta": "pasta 2024_10_30.ee7d0b6", "slirp4netns": ""}, ["8080:80"], "pasta"),
        ({"pasta": "pasta 2024_09_06.6b38f07", "slirp4netns": ""}, ["8080:80"], "slirp4netns"),
    ],
)
def test_choice_of_the_program(
    tmp_path: Path, tun: str, programs: dict[str, str], specs: list[str], expected: str
) -> None:
    for name, version in programs.items():
        fake(tmp_path, name, version)
    link = uplink.choose(parse_all(specs), api_socket="/run/api", path=str(tmp_path), tun=tun)
    assert link.program == expected
    assert link.argv[0] == str(tmp_path / expected)
    assert link.ready_fd is (expected == "slirp4netns")
    assert link.api_socket == ("/run/api" if expected == "slirp4netns" and specs else "")
    assert (link.address4, link.dns) == ("10.0.2.100", "10.0.2.3")


def test_root_takes_slirp(tmp_path: Path, tun: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    fake(tmp_path, "pasta", "pasta 2024_10_30.ee7d0b6")
    with pytest.raises(FeatureMissingError) as caught:
        uplink.choose([], api_socket="", path=str(tmp_path), tun=tun)
    assert caught.value.message == "the private network for root is not available: slirp4netns is not installed"
    fake(tmp_path, "slirp4netns", "")
    assert uplink.choose([], api_socket="", path=str(tmp_path), tun=tun).program == "slirp4netns"


def test_without_a_program_the_container_has_loopback_and_a_warning(tmp_path: Path, tun: str) -> None:
    link = uplink.choose([], api_socket="", path=str(tmp_path), tun=tun)
    assert link.argv == []
    assert link.address4 == ""
    assert link.warning == (
        "no network besides loopback: neither pasta nor slirp4netns is installed "
        "(`sudo apt install passt`, or `sudo apt install slirp4netns`)"
    )


def test_without_a_program_no_port_can_be_published(tmp_path: Path, tun: str) -> None:
    with pytest.raises(FeatureMissingError) as caught:
        uplink.choose(parse_all(["80"]), api_socket="", path=str(tmp_path), tun=tun)
    assert caught.value.message == ("publishing ports is not available: neither pasta nor slirp4netns is installed")


def test_missing_tun(tmp_path: Path) -> None:
    fake(tmp_path, "pasta", "")
    with pytest.raises(FeatureMissingError) as caught:
        uplink.choose([], api_socket="", path=str(tmp_path), tun=str(tmp_path / "no-tun"))
    assert caught.value.message == f"the private network is not available: {tmp_path}/no-tun does not exist"
    assert "--network host or none" in caught.value.hint


def test_slirp_alone_has_no_ipv6_ports(tmp_path: Path, tun: str) -> None:
    fake(tmp_path, "slirp4netns", "")
    with pytest.raises(FeatureMissingError) as caught:
        uplink.choose(parse_all(["[::1]:8080:80"]), api_socket="", path=str(tmp_path), tun=tun)
    assert caught.value.message == "publishing a port on an IPv6 address is not available: slirp4netns has none"
