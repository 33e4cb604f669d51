"""The three files by which a container knows names: /etc/hosts, /etc/resolv.conf, /etc/hostname.

It must not know where they are kept: texts in, texts out. Hot. The lines are docker's (moby libnetwork etchosts,
resolvconf); what differs is said where it differs.
"""

from __future__ import annotations

from pyrun.errors import InvalidInputError
from pyrun.network import address

_LOCALHOST = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::", "ip6-localnet"),
    ("ff00::", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)
_RESOLV = "/etc/resolv.conf"
# systemd-resolved(8): the file with the servers themselves, where /etc/resolv.conf names only its stub.
_UPLINK_RESOLV = "/run/systemd/resolve/resolv.conf"
_HOST_GATEWAY = "host-gateway"


def hostname(name: str) -> str:
    """Return the contents of /etc/hostname."""
    return name + "\n"


def hosts(name: str, addresses: list[str], add_host: list[str], *, network: str, host_hosts: str = "/etc/hosts") -> str:
    """Return the contents of /etc/hosts. ``network``: none, host or private; ``addresses``: the container's own.

    The host network has the host's file and the added lines. Without an address of its own, the container's name is
    127.0.0.1, as in podman: programs look their own name up (sudo, hostname -f).

    Raises: InvalidInputError with docker's message for a bad ``--add-host``.
    """
    extra = [_extra_host(item, network) for item in add_host]
    if network == "host":
        return _read(host_hosts) + "".join(extra)
    lines = [f"{ip}\t{names}\n" for ip, names in _LOCALHOST]
    short = name.partition(".")[0]
    names = f"{name} {short}" if short and short != name else name
    return "".join([*lines, *extra, *(f"{ip}\t{names}\n" for ip in addresses or ["127.0.0.1"])])


def resolv_conf(
    dns: list[str],
    dns_search: list[str],
    dns_option: list[str],
    *,
    network: str,
    forwarder: str = "",
    with_ipv6: bool = False,
    host_resolv: str = _RESOLV,
    uplink_resolv: str = _UPLINK_RESOLV,
) -> str:
    """Return the contents of /etc/resolv.conf. ``network``: none, host or private.

    The host's servers, unless ``dns`` names others. Servers on a loopback address are useless in a network of its own:
    where they are all there is, those that systemd-resolved asks are taken, else ``forwarder``, the uplink's.
    ``--dns-search .`` means no search list.

    Raises: InvalidInputError with docker's message for a server that is no address.
    """
    for server in dns:
        if not address.family(server):
            raise InvalidInputError(f"IP address is not correctly formatted: {server}")
    text = _read(host_resolv)
    if network == "host" and not (dns or dns_search or dns_option):
        return text
    own = network != "host"
    servers, search, options = _parse(text)
    if own and not dns:
        if servers and not any(_usable(server, with_ipv6) for server in servers):
            servers = _parse(_read(uplink_resolv))[0]
        servers = [server for server in servers if _usable(server, with_ipv6)]
        if not servers and forwarder:
            servers = [forwarder]
    search = [] if dns_search == ["."] else dns_search or search
    lines = [f"nameserver {server}\n" for server in dns or servers]
    if search:
        lines.append(f"search {' '.join(search)}\n")
    if dns_option or options:
        lines.append(f"options {' '.join(dns_option or options)}\n")
    return "".join(lines)


def _extra_host(item: str, network: str) -> str:
    """Return the line of one ``--add-host`` (``name:ip`` or ``name=ip``, the address perhaps in brackets)."""
    # docker/cli opts/hosts.go: `=` wins where it stands before the first `:`.
    equals, colon = item.find("="), item.find(":")
    cut = equals if equals > 0 and (colon < 0 or equals < colon) else colon
    name, ip = item[:cut], item[cut + 1 :]
    if cut <= 0 or not name or not ip or any(character.isspace() for character in name):
        raise InvalidInputError(f'bad format for add-host: "{item}"')
    if ip.startswith("[") and ip.endswith("]"):
        ip = ip[1:-1]
    if ip == _HOST_GATEWAY:
        ip = _host_gateway(network)
    elif not address.family(ip):
        raise InvalidInputError(f'invalid IP address in add-host: "{ip}"')
    return f"{ip}\t{name}\n"


def _host_gateway(network: str) -> str:
    # Docker's bridge address is the host's own; a user-mode network has none, so the host's usual address stands in.
    if network == "host":
        return "127.0.0.1"
    found = address.of_this_host() if network == "private" else ""
    if not found:
        raise InvalidInputError(
            f"unable to derive the IP value for {_HOST_GATEWAY}: "
            + ("the container has no network" if network == "none" else "this machine has no address besides loopback")
        )
    return found


def _usable(server: str, with_ipv6: bool) -> bool:
    family = address.family(server)  # 0: a zone (fe80::1%eth0), whose interface only the host has
    return family != 0 and not address.is_loopback(server) and (family == 4 or with_ipv6)


def _parse(text: str) -> tuple[list[str], list[str], list[str]]:
    """Return (nameservers, search domains, options); of search and domain the last wins: resolv.conf(5)."""
    servers: list[str] = []
    search: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "nameserver" and values:
            servers.append(values[0])
        elif keyword in ("search", "domain"):
            search = values
        elif keyword == "options":
            options += values
    return servers, search, options


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
