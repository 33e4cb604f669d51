"""Which program connects a container's private network to the world, and how it is started.

It must not know containers: it is told ports and paths, and answers with an `Uplink` for the monitor. Hot.
pasta where it is there; slirp4netns where it is not, or where a published port would meet a fault of an old pasta.
"""

from __future__ import annotations

import os

from pyrun.errors import FeatureMissingError
from pyrun.network import pasta, routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.network.ports import PortMapping

_TUN = "/dev/net/tun"
_NETNS = "/proc/{pid}/ns/net"
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


class Uplink:
    """What the monitor starts, and what the container will see of it.

    ``argv`` holds {pid} and {ready}; empty: nothing to start, loopback only. ``ready_fd``: it writes to {ready} when
    ready, else its exit with 0 says so. ``api_socket``: after *ready*, `slirp.publish(api_socket, ports)` is due.
    ``address6`` and ``dns`` (a forwarding resolver) may be "". ``warning``: what the user should be told.
    """

    __slots__ = ("address4", "address6", "api_socket", "argv", "dns", "program", "ready_fd", "warning")

    def __init__(self) -> None:
        self.program = ""
        self.argv: list[str] = []
        self.ready_fd = False
        self.api_socket = ""
        self.address4 = ""
        self.address6 = ""
        self.dns = ""
        self.warning = ""


def choose(
    ports: list[PortMapping], *, api_socket: str, mac: str = "", path: str | None = None, tun: str = _TUN,
    forward_dns: bool = True,
) -> Uplink:  # fmt: skip
    """Return the uplink for these ports; ``api_socket`` is where slirp4netns may make its socket (≤ 107 bytes).

    ``mac``: the address of the container's interface; "": any.

    Raises: FeatureMissingError where /dev/net/tun is closed, or where ports cannot be published for want of a program.
    """
    pasta_program = _find("pasta", path)
    slirp_program = _find("slirp4netns", path)
    if not pasta_program and not slirp_program:
        return _without(ports)
    if not os.access(tun, os.R_OK | os.W_OK):
        raise FeatureMissingError(
            "the private network",
            f"{tun} {'cannot be opened by this user' if os.path.exists(tun) else 'does not exist'}",
            hint="`sudo modprobe tun && sudo chmod 666 /dev/net/tun`, or --network host or none",
        )
    if os.geteuid() == 0 and not slirp_program:
        # Run by root without a user namespace, pasta gives up the capability that opening the namespace takes.
        raise FeatureMissingError(
            "the private network for root",
            "slirp4netns is not installed",
            hint="`apt install slirp4netns`, or --network host or none",
        )
    if not pasta_program or os.geteuid() == 0 or (slirp_program and _pasta_falls_short(pasta_program, ports)):
        return _slirp(slirp_program, ports, api_socket, forward_dns, mac)
    return _pasta(pasta_program, ports, forward_dns, mac)


def _without(ports: list[PortMapping]) -> Uplink:
    mend = "`sudo apt install passt`, or `sudo apt install slirp4netns`"
    if ports:
        raise FeatureMissingError("publishing ports", "neither pasta nor slirp4netns is installed", hint=mend)
    uplink = Uplink()
    uplink.warning = f"no network besides loopback: neither pasta nor slirp4netns is installed ({mend})"
    return uplink


def _pasta_falls_short(program: str, ports: list[PortMapping]) -> bool:
    # slirp4netns listens on IPv4 only.
    return bool(ports) and not pasta.needs_ipv6(ports) and not pasta.serves_all(program, ports)


def _pasta(program: str, ports: list[PortMapping], forward_dns: bool, mac: str) -> Uplink:
    interface6 = routes.default_interface6()
    with_ipv6 = bool(interface6)
    if pasta.needs_ipv6(ports) and not with_ipv6:
        raise FeatureMissingError(
            "publishing a port on an IPv6 address", "this machine has no IPv6 default route", hint="publish it on IPv4"
        )
    interface = interface6 or routes.default_interface4() or "lo"
    uplink = Uplink()
    uplink.program = "pasta"
    uplink.argv = pasta.argv(
        program, ports, netns=_NETNS, interface=interface, with_ipv6=with_ipv6, forward_dns=forward_dns, mac=mac
    )
    uplink.address4 = pasta.ADDRESS4
    uplink.address6 = pasta.ADDRESS6 if with_ipv6 else ""
    uplink.dns = pasta.DNS4 if forward_dns else ""
    return uplink


def _slirp(program: str, ports: list[PortMapping], api_socket: str, forward_dns: bool, mac: str) -> Uplink:
    if pasta.needs_ipv6(ports):
        raise FeatureMissingError(
            "publishing a port on an IPv6 address", "slirp4netns has none", hint="`sudo apt install passt`"
        )
    from pyrun.network import slirp

    uplink = Uplink()
    uplink.program = "slirp4netns"
    uplink.api_socket = api_socket if ports else ""
    uplink.argv = slirp.argv(
        program, netns=_NETNS, ready_fd="{ready}", api_socket=uplink.api_socket, with_dns=forward_dns, mac=mac
    )
    uplink.ready_fd = True
    uplink.address4 = pasta.ADDRESS4
    uplink.dns = pasta.DNS4 if forward_dns else ""
    return uplink


def _find(name: str, path: str | None) -> str:
    """Return the absolute path of a program, or "". The caller's PATH first: it may hold a newer one."""
    directories = f"{os.environ.get('PATH', '')}:{_PATH}" if path is None else path
    for directory in directories.split(":"):
        candidate = f"{directory}/{name}"
        if directory.startswith("/") and os.access(candidate, os.X_OK):
            return candidate
    return ""
