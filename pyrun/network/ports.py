"""Published ports: docker's ``-p`` and ``-P`` grammar, and the choice of host ports.

It must not know who forwards them. Hot. The grammar and its messages are those of docker/go-connections nat
`ParsePortSpec` and docker/cli `opts/port.go`; binding to try a port is ours.
"""

from __future__ import annotations

from pyrun.errors import ConflictError, FeatureMissingError, InvalidInputError
from pyrun.network import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_PROTOCOLS = ("tcp", "udp")


class PortMapping:
    """One port of the host that leads to one of the container.

    ``host_ip`` "" is every address. ``host_port`` 0 is to be chosen, from ``host_port`` to ``host_port_last`` where
    that is greater.
    """

    __slots__ = ("container_port", "host_ip", "host_port", "host_port_last", "protocol")

    def __init__(
        self, host_ip: str, host_port: int, container_port: int, protocol: str, *, host_port_last: int = 0
    ) -> None:
        self.host_ip = host_ip
        self.host_port = host_port
        self.host_port_last = host_port_last or host_port
        self.container_port = container_port
        self.protocol = protocol

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> PortMapping:
        """Read what `record` wrote."""
        return cls(
            record["host_ip"], record["host_port"], record["container_port"], record["protocol"],
            host_port_last=record.get("host_port_last", 0),
        )  # fmt: skip

    def record(self) -> dict[str, Any]:
        """Return the form of container.json."""
        record = {
            "host_ip": self.host_ip,
            "host_port": self.host_port,
            "container_port": self.container_port,
            "protocol": self.protocol,
        }
        return record if self.host_port_last == self.host_port else {**record, "host_port_last": self.host_port_last}

    @property
    def undecided(self) -> PortMapping:
        """The same before its host port is chosen: 0 where there is a choice."""
        port = self.host_port if self.host_port_last == self.host_port else 0
        return PortMapping(self.host_ip, port, self.container_port, self.protocol)

    @property
    def host(self) -> str:
        """``0.0.0.0:8080`` or ``[::1]:8080``, for people."""
        ip = self.host_ip or "0.0.0.0"
        return f"[{ip}]:{self.host_port}" if ":" in ip else f"{ip}:{self.host_port}"

    def __repr__(self) -> str:
        last = f"-{self.host_port_last}" if self.host_port_last != self.host_port else ""
        return f"PortMapping({self.host}{last} -> {self.container_port}/{self.protocol})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PortMapping) and all(
            getattr(self, name) == getattr(other, name) for name in PortMapping.__slots__
        )

    __hash__ = None  # type: ignore[assignment]  # mutable


def parse(spec: str) -> list[PortMapping]:
    """Read one value of ``-p``: ``[[ip:][hostPort]:]containerPort[/protocol]``, ports being ranges of equal length.

    A single container port with a range of host ports takes the first free one. An IPv6 address stands in brackets.

    Raises: InvalidInputError, with docker's message.
    """
    if "=" in spec:
        spec = _standard_notation(spec)
    head, _, container = spec.rpartition(":")
    ip, _, host = head.rpartition(":")
    ip = _host_ip(ip)
    ports, _, protocol = container.partition("/")
    protocol = protocol.partition("/")[0].lower() or "tcp"
    if not ports:
        raise InvalidInputError(f"no port specified: {spec}<empty>")
    first, last = _range(ports, "containerPort", lowest=1)
    host_first, host_last = _range(host, "hostPort", lowest=0) if host else (0, 0)
    if host and last - first != host_last - host_first and first != last:
        raise InvalidInputError(f"invalid ranges specified for container and host Ports: {ports} and {host}")
    if protocol == "sctp":
        raise InvalidInputError(f"cannot publish port: {spec}: a user-mode network carries tcp and udp, not sctp")
    if protocol not in _PROTOCOLS:
        raise InvalidInputError(f"invalid proto: {container.partition('/')[2]}")
    if first == last:
        return [PortMapping(ip, host_first, first, protocol, host_port_last=host_last)]
    return [
        PortMapping(ip, host_first + port - first if host_first else 0, port, protocol)
        for port in range(first, last + 1)
    ]


def parse_all(specs: list[str]) -> list[PortMapping]:
    """Read every ``-p``; the same mapping twice is one, as in docker."""
    result: list[PortMapping] = []
    for spec in specs:
        result += [mapping for mapping in parse(spec) if mapping not in result]
    return result


def exposed(image_ports: list[str], published: list[PortMapping]) -> list[PortMapping]:
    """Return what ``-P`` adds: a port to be chosen for every EXPOSE (``53``, ``8000-8010/udp``) not published yet."""
    taken = {(mapping.container_port, mapping.protocol) for mapping in published}
    result = []
    for text in image_ports:
        for mapping in parse(text):
            if (mapping.container_port, mapping.protocol) not in taken:
                taken.add((mapping.container_port, mapping.protocol))
                result.append(mapping)
    return result


def allocate(mappings: list[PortMapping]) -> list[PortMapping]:
    """Return the mappings with every host port chosen and tried: free just now, for this user, and distinct.

    The ports are not kept: whoever takes one between this and the start of the uplink wins, and the start fails.

    Raises: ConflictError for a port in use; FeatureMissingError for one that needs privilege; InvalidInputError for
    an address that is not of this host.
    """
    if not mappings:
        return []
    held: list[Any] = []
    try:
        return [_allocate_one(mapping, held) for mapping in mappings]
    finally:
        for sock in held:
            sock.close()


def _standard_notation(spec: str) -> str:
    # docker/cli opts/port.go: the long form of services, `target=80,published=8080,protocol=udp`.
    values = {"target": "", "published": "", "protocol": "tcp", "mode": ""}
    for field in spec.split(","):
        name, equals, value = field.partition("=")
        if not equals or not value:
            raise InvalidInputError(f"invalid publish opts format (should be name=value but got '{field}')")
        if name not in values:
            raise InvalidInputError(f"invalid field key {name}")
        values[name] = value
    published = values["published"] + ":" if values["published"] else ""
    return f"{published}{values['target']}/{values['protocol']}"


def _host_ip(text: str) -> str:
    if not text:
        return ""
    ip = text
    if text.startswith("["):
        if not text.endswith("]"):
            raise InvalidInputError(f"invalid IP address {text}: missing ']' in address")
        ip = text[1:-1]
    if not address.family(ip):
        raise InvalidInputError(f"invalid IP address: {ip}")
    return ip


def _range(text: str, what: str, *, lowest: int) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    low = _port(first)
    high = _port(last) if dash else low
    if low < lowest or high < low:
        raise InvalidInputError(f"invalid {what}: {text}")
    return low, high


def _port(text: str) -> int:
    """Return the number, or -1. Only ASCII digits: int() also takes `+1`, `1_0`, blanks and other scripts."""
    if not text or len(text) > 5 or text.strip("0123456789"):
        return -1
    return int(text) if int(text) <= 65535 else -1


def _allocate_one(mapping: PortMapping, held: list[Any]) -> PortMapping:
    problem: OSError | None = None
    for port in range(mapping.host_port, mapping.host_port_last + 1):
        try:
            sock = _bind(mapping, port)
        except OSError as error:
            problem = error
            continue
        held.append(sock)
        return PortMapping(mapping.host_ip, sock.getsockname()[1], mapping.container_port, mapping.protocol)
    assert problem is not None
    raise _refusal(mapping, problem) from problem


def _bind(mapping: PortMapping, port: int) -> Any:
    import _socket

    family = _socket.AF_INET6 if ":" in mapping.host_ip else _socket.AF_INET
    kind = _socket.SOCK_STREAM if mapping.protocol == "tcp" else _socket.SOCK_DGRAM
    sock = _socket.socket(family, kind | _socket.SOCK_CLOEXEC)
    try:
        if kind == _socket.SOCK_STREAM:
            # Else a connection in TIME_WAIT of an earlier run would count as a conflict; a listener still does.
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        sock.bind((mapping.host_ip or "0.0.0.0", port))
        if kind == _socket.SOCK_STREAM:
            sock.listen(1)
    except BaseException:
        sock.close()
        raise
    return sock


def _refusal(mapping: PortMapping, problem: OSError) -> Exception:
    import errno

    where = mapping.host if mapping.host_port == mapping.host_port_last else f"{mapping.host}-{mapping.host_port_last}"
    what = f"cannot publish port: {where}/{mapping.protocol}"
    if problem.errno == errno.EADDRINUSE:
        flags = "-ltnp" if mapping.protocol == "tcp" else "-lunp"
        choose = f"-p {mapping.container_port} lets pyrun choose a free one"
        return ConflictError(f"{what}: address already in use", hint=f"`ss {flags}` shows by whom; {choose}")
    if problem.errno == errno.EACCES:
        return FeatureMissingError(
            f"publishing port {mapping.host_port}/{mapping.protocol}",
            f"ports below {_unprivileged_start()} are the administrator's",
            hint=f"`sudo sysctl net.ipv4.ip_unprivileged_port_start={mapping.host_port}`, "
            f"or another host port: -p {mapping.host_port + 8000}:{mapping.container_port}",
        )
    if problem.errno == errno.EADDRNOTAVAIL:
        return InvalidInputError(f"{what}: {mapping.host_ip} is no address of this machine")
    return InvalidInputError(f"{what}: {problem.strerror}")


def _unprivileged_start() -> str:
    try:
        with open(_UNPRIVILEGED, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "1024"
