"""The verb port: where the host listens for a container's ports, while it runs.

It must not know how they are shown.
"""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout


class Mapping(NamedTuple):
    """``inside``: "80/tcp"; ``outside``: "0.0.0.0:8080", "[::]:8080"."""

    inside: str
    outside: str


def port_mappings(layout: Layout, name: str) -> list[Mapping]:
    """Return them in the order of the container's ports; none unless it runs. Raises: ContainerNotFoundError."""
    from pyrun.network.ports import PortMapping
    from pyrun.runtime.state import status
    from pyrun.store import containers

    _, directory = containers.resolve(layout, name)
    if not status(directory).is_up:
        return []
    ports = [PortMapping.from_record(port) for port in containers.load(directory)["ports"] if port["host_port"]]
    ports.sort(key=lambda port: (port.container_port, port.protocol, port.host_ip, port.host_port))
    return [Mapping(f"{port.container_port}/{port.protocol}", port.host) for port in ports]
