"""/etc/hosts, /etc/resolv.conf, /etc/hostname of a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrun.errors import InvalidInputError
from pyrun.network import address, files

DEFAULTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


@pytest.mark.parametrize(
    ("name", "addresses", "extra", "network", "expected"),
    [
        ("box", ["10.0.2.100"], [], "private", "10.0.2.100\tbox\n"),
        ("box", ["10.0.2.100", "fd00::1"], [], "private", "10.0.2.100\tbox\nfd00::1\tbox\n"),
        ("box.example.org", ["10.0.2.100"], [], "private", "10.0.2.100\tbox.example.org box\n"),
        ("box", [], [], "none", "127.0.0.1\tbox\n"),
        ("box", [], ["db:10.1.1.1"], "none", "10.1.1.1\tdb\n127.0.0.1\tbox\n"),
        ("box", [], ["db=10.1.1.1"], "none", "10.1.1.1\tdb\n127.0.0.1\tbox\n"),
        ("box", [], ["six:::1"], "none", "::1\tsix\n127.0.0.1\tbox\n"),
        ("box", [], ["six=[fd00::7]"], "none", "fd00::7\tsix\n127.0.0.1\tbox\n"),
        ("box", [], ["a:10.0.0.1", "b:10.0.0.2"], "none", "10.0.0.1\ta\n10.0.0.2\tb\n127.0.0.1\tbox\n"),
    ],
)
def test_hosts(name: str, addresses: list[str], extra: list[str], network: str, expected: str) -> None:
    assert files.hosts(name, addresses, extra, network=network) == DEFAULTS + expected


def test_hosts_of_the_host_network_are_the_hosts(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("10.9.9.9\tnas\n")
    text = files.hosts("box", [], ["me:host-gateway"], network="host", host_hosts=str(tmp_path / "hosts"))
    assert text == "10.9.9.9\tnas\n127.0.0.1\tme\n"


def test_host_gateway_is_the_hosts_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "of_this_host", lambda: "192.0.2.2")
    assert "192.0.2.2\tup\n" in files.hosts("box", ["10.0.2.100"], ["up:host-gateway"], network="private")


@pytest.mark.parametrize(
    ("item", "network", "message"),
    [
        ("db", "none", 'bad format for add-host: "db"'),
        ("db:", "none", 'bad format for add-host: "db:"'),
        (":10.0.0.1", "none", 'bad format for add-host: ":10.0.0.1"'),
        ("d b:10.0.0.1", "none", 'bad format for add-host: "d b:10.0.0.1"'),
        ("db:10.0.0", "none", 'invalid IP address in add-host: "10.0.0"'),
        ("db:10.0.0.1\nevil", "none", 'invalid IP address in add-host: "10.0.0.1\nevil"'),
        (
            "up:host-gateway",
            "none",
            "unable to derive the IP value for host-gateway: the container has no network",
        ),
        (
            "up:host-gateway",
            "private",
            "unable to derive the IP value for host-gateway: this machine has no address besides loopback",
        ),
    ],
)
def test_bad_extra_host(monkeypatch: pytest.MonkeyPatch, item: str, network: str, message: str) -> None:
    monkeypatch.setattr(address, "of_this_host", lambda: "")
    with pytest.raises(InvalidInputError) as caught:
        files.hosts("box", [], [item], network=network)
    assert caught.value.message == message


STUB = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n"
UPLINK = "nameserver 10.0.0.53\nnameserver fd00::53\nsearch lan\n"


@pytest.mark.parametrize(
    ("host", "uplink_text", "with_ipv6", "expected"),
    [
        ("nameserver 10.0.0.1\n", "", False, "nameserver 10.0.0.1\n"),
        (
            "# local\nnameserver 127.0.0.1\nnameserver 10.0.0.1\nsearch a b\n",
            "",
            False,
            "nameserver 10.0.0.1\nsearch a b\n",
        ),
        (STUB, UPLINK, False, "nameserver 10.0.0.53\nsearch lan\noptions edns0 trust-ad\n"),
        (STUB, UPLINK, True, "nameserver 10.0.0.53\nnameserver fd00::53\nsearch lan\noptions edns0 trust-ad\n"),
        (STUB, "", False, "nameserver 10.0.2.3\nsearch lan\noptions edns0 trust-ad\n"),
        ("nameserver ::1\n", "", True, "nameserver 10.0.2.3\n"),
        ("nameserver fe80::1%eth0\n", "", True, "nameserver 10.0.2.3\n"),
        ("nameserver fd00::1\n", "", False, "nameserver 10.0.2.3\n"),
        ("", "", False, "nameserver 10.0.2.3\n"),
        ("search a\ndomain b\nnameserver 10.0.0.1\n", "", False, "nameserver 10.0.0.1\nsearch b\n"),
    ],
)
def test_resolv_conf_of_a_private_network(
    tmp_path: Path, host: str, uplink_text: str, with_ipv6: bool, expected: str
) -> None:
    (tmp_path / "resolv.conf").write_text(host)
    (tmp_path / "uplink.conf").write_text(uplink_text)
    text = files.resolv_conf(
        [],
        [],
        [],
        network="private",
        forwarder="10.0.2.3",
        with_ipv6=with_ipv6,
        host_resolv=str(tmp_path / "resolv.conf"),
        uplink_resolv=str(tmp_path / "uplink.conf"),
    )
    assert text == expected


@pytest.mark.parametrize(
    ("dns", "search", "option", "network", "expected"),
    [
        (
            ["1.1.1.1", "::1"],
            [],
            [],
            "private",
            "nameserver 1.1.1.1\nnameserver ::1\nsearch lan\noptions edns0 trust-ad\n",
        ),
        ([], ["x.org", "y.org"], ["ndots:2"], "host", "nameserver 127.0.0.53\nsearch x.org y.org\noptions ndots:2\n"),
        (["1.1.1.1"], ["."], [], "none", "nameserver 1.1.1.1\noptions edns0 trust-ad\n"),
        ([], [], [], "host", STUB),
    ],
)
def test_resolv_conf_options(
    tmp_path: Path, dns: list[str], search: list[str], option: list[str], network: str, expected: str
) -> None:
    (tmp_path / "resolv.conf").write_text(STUB)
    text = files.resolv_conf(dns, search, option, network=network, host_resolv=str(tmp_path / "resolv.conf"))
    assert text == expected


def test_resolv_conf_of_a_host_without_one(tmp_path: Path) -> None:
    assert files.resolv_conf([], [], [], network="none", host_resolv=str(tmp_path / "absent")) == ""


@pytest.mark.parametrize("server", ["dns.example.org", "1.1.1", "1.1.1.1\noptions x", ""])
def test_bad_nameserver(server: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        files.resolv_conf([server], [], [], network="private")
    assert caught.value.message == f"IP address is not correctly formatted: {server}"


def test_hostname() -> None:
    assert files.hostname("box") == "box\n"


@pytest.mark.parametrize(
    ("text", "family"),
    [("10.0.0.1", 4), ("::1", 6), ("::ffff:10.0.0.1", 6), ("10.0.0", 0), ("fe80::1%lo", 0), ("1.1.1.1\0", 0), ("", 0)],
)
def test_family(text: str, family: int) -> None:
    assert address.family(text) == family


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.53", True), ("128.0.0.1", False), ("::1", True), ("::2", False), ("::ffff:127.0.0.1", True)],
)
def test_is_loopback(text: str, expected: bool) -> None:
    assert address.is_loopback(text) is expected
