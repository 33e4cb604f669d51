"""The command line of pasta(1), the usual uplink: a tap device in the container, sockets on the host.

It must not start it. Hot. Tried with passt 2023-03 (Debian 12) on kernel 6.18:

- The caller is uid 0 of the user namespace that owns the container's one, so `--netns` alone is enough: setns(2) to
  the network namespace needs CAP_SYS_ADMIN in both, which the owner of a parent has.
- It goes to the background once the interface is up and the ports are bound: exit 0 of the started process is *ready*,
  anything else a refusal with its reason on stderr. The daemon stays in the pid namespace of whoever started it.
- SIGPIPE must be at its default: pasta takes an inherited SIG_IGN for a failure ("Couldn't install signal handlers").
- Nothing of the host's addresses is copied: then a container could not reach its own host, whose address it would
  have itself; and pasta would refuse hosts without a default route, with a multipath one or with one without gateway.
  With address, gateway and (on lo) MAC given it runs on all of them; it answers ARP and NDP for every neighbour.
- IPv4 alone is ready in 15 ms and 20 MB, with IPv6 20 ms and 30 MB: IPv6 only where the host has a default route.
"""

from __future__ import annotations

from pyrun.network import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.network.ports import PortMapping

# slirp4netns(1) has the same ones, so a container's files do not depend on the program.
ADDRESS4 = "10.0.2.100"
NETMASK4 = "24"
GATEWAY4 = "10.0.2.2"
DNS4 = "10.0.2.3"
ADDRESS6 = "fd79:7072:756e::100"
GATEWAY6 = "fe80::2"
MTU = "65520"
_MAC_ON_LOOPBACK = "02:00:0a:00:02:02"  # lo has none, and pasta refuses an interface without
FIXED_SERVER_FIRST = "2024_10_30"


def argv(
    program: str, ports: list[PortMapping], *, netns: str, interface: str, with_ipv6: bool, forward_dns: bool,
    mac: str = "",
) -> list[str]:  # fmt: skip
    """Return the command line. ``netns`` may hold the monitor's token {pid}; ``interface`` is the host's, "lo" if none.

    ``forward_dns``: queries to `DNS4` go to the first nameserver of the host, even one on its loopback.
    ``mac``: the address of the container's interface; "": any.
    """
    result = [program, "--quiet", "--config-net", "--netns", netns, "--netns-only", "--no-netns-quit"]
    result += ["--ns-ifname", "eth0", "--mtu", MTU, "--interface", interface]
    result += ["--address", ADDRESS4, "--netmask", NETMASK4, "--gateway", GATEWAY4]
    if with_ipv6:
        result += ["--address", ADDRESS6, "--gateway", GATEWAY6]
    else:
        result.append("--ipv4-only")
    if mac:
        result += ["--ns-mac-addr", mac]
    if interface == "lo":
        result += ["--mac-addr", _MAC_ON_LOOPBACK]
    # --config-net has set the addresses: nobody in the container asks for them. NDP stays, it resolves the gateway.
    result += ["--no-dhcp", "--no-dhcpv6", "--no-ra"]
    # Else the gateway's address leads to the host's loopback, where it trusts everybody.
    result.append("--no-map-gw")
    if forward_dns:
        result += ["--dns-forward", DNS4]
    return result + _forwards(ports)


def _forwards(ports: list[PortMapping]) -> list[str]:
    result: list[str] = []
    for option, protocol in (("--tcp-ports", "tcp"), ("--udp-ports", "udp")):
        chosen = [mapping for mapping in ports if mapping.protocol == protocol]
        # The default is `auto` in both directions: it would publish every port and open the host's loopback.
        for spec in _specs(chosen) or ["none"]:
            result += [option, spec]
    return [*result, "--tcp-ns", "none", "--udp-ns", "none"]


def _specs(ports: list[PortMapping]) -> list[str]:
    """Return ``address/8000-8009:80-89``, one text for ports that follow one another: an argument list is finite."""
    runs: list[list[int | str]] = []
    for mapping in ports:
        ip = "" if not mapping.host_ip or address.is_unspecified(mapping.host_ip) else mapping.host_ip + "/"
        host, container = mapping.host_port, mapping.container_port
        if runs and runs[-1][0] == ip and runs[-1][2] == host - 1 and runs[-1][4] == container - 1:
            runs[-1][2], runs[-1][4] = host, container
        else:
            runs.append([ip, host, host, container, container])
    return [
        f"{ip}{first}:{inside}" if first == last else f"{ip}{first}-{last}:{inside}-{inside_last}"
        for ip, first, last, inside, inside_last in runs
    ]


def needs_ipv6(ports: list[PortMapping]) -> bool:
    """Whether a host address asks for IPv6: pasta binds those only with IPv6 on."""
    return any(":" in mapping.host_ip for mapping in ports)


def serves_all(program: str, ports: list[PortMapping]) -> bool:
    """Whether this pasta can serve every client of these ports.

    Before 2024_10_30 it acknowledged a connection only with the client's first data, so a server that speaks first
    (ssh, smtp, mysql) waited for ever, except for clients on the host's loopback (passt "tcp: Always send an ACK
    segment once the handshake is completed"; seen with Debian 12's).
    """
    if all(mapping.protocol != "tcp" or _loopback_only(mapping) for mapping in ports):
        return True
    return version(program) >= FIXED_SERVER_FIRST


def _loopback_only(mapping: PortMapping) -> bool:
    return bool(mapping.host_ip) and address.is_loopback(mapping.host_ip)


def version(program: str) -> str:
    """Return pasta's version as ``2024_10_30``, or "" where it does not say one (Debian 12: "unknown version")."""
    import os

    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
        pid = os.posix_spawn(program, [program, "--version"], os.environ, file_actions=actions)
        os.close(writer)
        writer = -1
        first = os.read(reader, 4096).decode("ascii", "replace").partition("\n")[0]
        os.waitpid(pid, 0)
    except OSError:
        return ""
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    return _date_of(first)


def _date_of(line: str) -> str:
    # "pasta 2024_10_30.ee7d0b6", "pasta 0.0~git20240220.1e6f92b-1", "pasta unknown version"
    word = line.partition(" ")[2].strip().removeprefix("0.0~git").partition(".")[0]
    digits = word.replace("_", "")
    if len(digits) != 8 or digits.strip("0123456789"):
        return ""
    return f"{digits[:4]}_{digits[4:6]}_{digits[6:]}"
