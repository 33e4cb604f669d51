"""The command line of slirp4netns(1), and its API socket, by which ports are published.

It must not start it. Hot. Tried with 1.2.0 (Debian 12): ready in 3 ms, 3 MB, a fifth of pasta's throughput.

- It writes "1" to `--ready-fd` when the interface is up, and stays in the foreground. Warnings go to stdout, so the
  ready descriptor must be another.
- `--disable-host-loopback`: else 10.0.2.2 is the host's loopback. The price: answers of published UDP ports do not
  reach clients on the host's loopback.
- Ports: one JSON request per connection on the API socket; the answer is {"return":…} or {"error":{"desc":…}}.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.network.ports import PortMapping

MTU = "65520"


def argv(program: str, *, netns: str, ready_fd: str, api_socket: str, with_dns: bool, mac: str = "") -> list[str]:
    """Return the command line. ``netns`` and ``ready_fd`` may hold the monitor's tokens; "" is no API socket.

    ``with_dns``: queries to 10.0.2.3 go to the host's nameserver. ``mac``: the interface's address; "": any.
    """
    result = [program, "--configure", "--mtu=" + MTU, "--disable-host-loopback"]
    # It parses packets of strangers: an empty root, no capabilities, a filter.
    result += ["--enable-sandbox", "--enable-seccomp", "--ready-fd=" + ready_fd]
    if not with_dns:
        result.append("--disable-dns")
    if mac:
        result.append("--macaddress=" + mac)
    if api_socket:
        result.append("--api-socket=" + api_socket)
    return [*result, "--netns-type=path", netns, "eth0"]


def requests(ports: list[PortMapping]) -> list[str]:
    """Return the API's requests, one per port: what the monitor asks, each on a connection of its own."""
    from pyrun.oci import json

    return [
        json.dumps(
            {
                "execute": "add_hostfwd",
                "arguments": {
                    "proto": mapping.protocol,
                    "host_addr": mapping.host_ip or "0.0.0.0",
                    "host_port": mapping.host_port,
                    "guest_port": mapping.container_port,
                },
            }
        )
        for mapping in ports
    ]
