"""A container's network: ``--network``, ``-p``, and the files in /etc that go with it.

It must not start anything: the monitor starts what `helper` names, in the container's namespace. Rules: pyrun/network/.
"""

from __future__ import annotations

from pyrun.errors import InvalidInputError, UnsupportedFlagError
from pyrun.network import files as etc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.options import RunOptions
    from pyrun.network.ports import PortMapping
    from pyrun.network.uplink import Uplink
    from pyrun.store.containers import Created
    from pyrun.store.layout import Layout

_MODES = ("private", "none", "host")


class Network:
    """What was decided; ``uplink`` is None where nothing connects the container.

    ``asked``: the ports as they were asked for; ``ports``: with what was chosen.
    """

    __slots__ = ("asked", "mode", "ports", "uplink", "warning")

    def __init__(
        self, mode: str, ports: list[PortMapping], link: Uplink | None, asked: list[PortMapping] | None = None,
        warning: str = "",
    ) -> None:  # fmt: skip
        self.asked = asked or []
        self.mode = mode
        self.ports = ports
        self.uplink = link
        self.warning = link.warning if link else warning

    def record(self) -> dict[str, Any]:
        """Return what container.json keeps: enough to start it again."""
        link = self.uplink
        return {
            "mode": self.mode,
            "argv": link.argv if link else [],
            "ready_fd": bool(link and link.ready_fd),
            "api_socket": link.api_socket if link else "",
            "program": link.program if link else "",
            "warning": self.warning,
        }


def decide(options: RunOptions, image: dict[str, Any], api_socket: str, *, starts: bool) -> Network:
    """Return the network that the options ask for. ``starts``: at once, so host ports are chosen and tried here.

    Raises: InvalidInputError, ConflictError (port in use), FeatureMissingError (no helper, /dev/net/tun closed).
    """
    mode = {None: "private", "default": "private", "bridge": "private"}.get(
        options.network, options.network
    ) or "private"
    if options.expose:
        _check_exposed(options.expose)
    if options.mac_address and mode != "private":
        raise InvalidInputError("conflicting options: mac-address and the network mode")
    if mode.startswith("container:"):
        return Network(mode, [], None)  # engine/sharing.py knows whose
    if mode not in _MODES:
        if mode.startswith("ns:") or mode.replace("-", "").replace("_", "").isalnum():
            raise UnsupportedFlagError(f"--network {mode}")
        raise InvalidInputError(f"invalid --network: {mode}", hint="private, none or host")
    ports = _ports(options, image) if options.publish or options.publish_all else []
    if mode != "private":
        # Docker drops ports there too: with `host` they are the host's, with `none` nobody could reach them.
        is_lost = mode == "host" and options.publish
        warning = "published ports are discarded when using host network mode" if is_lost else ""
        return Network(mode, [], None, warning=warning)
    from pyrun.network import uplink

    chosen = ports
    if ports:
        from pyrun.network.ports import allocate

        chosen = allocate(ports) if starts else [mapping.undecided for mapping in ports]
    link = uplink.choose(chosen, api_socket=api_socket, mac=_mac_address(options.mac_address))
    return Network(mode, chosen, link, ports)


def choose_ports(layout: Layout, created: Created) -> None:
    """Choose and try the host ports of a container that exists and is to be started now, as docker does at each start.

    The caller sees to it that nobody else starts it meanwhile. Raises: as `decide`; ContainerNotFoundError.
    """
    from pyrun.network import uplink
    from pyrun.network.ports import PortMapping, allocate
    from pyrun.store import record_change

    record = created.record
    chosen = allocate([PortMapping.from_record(item) for item in record["published"]])
    ports = [mapping.record() for mapping in chosen]
    if ports == record["ports"]:
        return
    mac = _mac_address(record["options"].get("mac_address"))
    link = uplink.choose(chosen, api_socket=layout.socket(created.id) + ".net", mac=mac)
    news = {"ports": ports, "uplink": Network(record["network"], chosen, link).record()}
    record_change.change(layout, created.directory, lambda current: current.update(news))
    record.update(news)


def _mac_address(text: str | None) -> str:
    """Return the address as pasta and slirp4netns read it. Raises: InvalidInputError with docker's words."""
    if not text:
        return ""
    parts = text.strip().replace("-", ":").split(":")
    digits = "0123456789abcdefABCDEF"
    if len(parts) != 6 or any(len(part) != 2 or part.strip(digits) for part in parts):
        raise InvalidInputError(f"{text} is not a valid mac address")
    if int(parts[0], 16) & 1 or not any(int(part, 16) for part in parts):
        raise InvalidInputError(f"{text} is not the address of one interface (its first byte is odd, or all are 0)")
    return ":".join(parts)


def _ports(options: RunOptions, image: dict[str, Any]) -> list[PortMapping]:
    from pyrun.network import ports

    found = ports.parse_all(options.publish)
    if not options.publish_all:
        return found
    return found + ports.exposed([*image["exposed_ports"], *options.expose], found)


def _check_exposed(texts: list[str]) -> None:
    from pyrun.network import ports

    for text in texts:
        if ":" in text:
            raise InvalidInputError(f"invalid port format for --expose: {text}")
        try:
            ports.exposed([text], [])
        except InvalidInputError as error:
            raise InvalidInputError(f"invalid range format for --expose: {text}, error: {error.message}") from error


def files(options: RunOptions, network: Network, hostname: str) -> dict[str, bytes]:
    """Return the contents of the container's /etc/hosts, /etc/resolv.conf and /etc/hostname."""
    link = network.uplink
    addresses = [text for text in (link.address4, link.address6) if text] if link else []
    full = f"{hostname}.{options.domainname}" if options.domainname else hostname
    texts = {
        "hosts": etc.hosts(full, addresses, options.add_host, network=network.mode),
        "resolv.conf": etc.resolv_conf(
            options.dns, options.dns_search, options.dns_option,
            network=network.mode, forwarder=link.dns if link else "", with_ipv6=bool(link and link.address6),
        ),
        "hostname": etc.hostname(hostname),
    }  # fmt: skip
    # An argument's bytes that are no UTF-8 are surrogates here: os.fsencode.
    return {name: text.encode("utf-8", "surrogateescape") for name, text in texts.items()}


def requests(record: dict[str, Any]) -> list[str]:
    """Return what the monitor asks a ready slirp4netns for; pasta is told on its command line."""
    from pyrun.network import slirp
    from pyrun.network.ports import PortMapping

    return slirp.requests([PortMapping.from_record(item) for item in record["ports"]])
