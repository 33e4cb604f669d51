"""docker's NetworkSettings of a container.

It must not know how it is shown. A private network of pyrun's has no bridge: one uplink program, the same addresses in
every container (network/pasta.py).
"""

from __future__ import annotations

from pyrun.network import pasta

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def network_settings(record: dict[str, Any], ports: dict[str, Any], *, is_running: bool) -> dict[str, Any]:
    """Return it; ``ports``: where the host listens, shown while the container runs."""
    gateway, global6, own = _addresses(record["uplink"] if is_running else {})
    return {
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": "",
        "Ports": ports if is_running else {},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": "",
        **gateway,
        **global6,
        **own,
        "MacAddress": "",
        "Networks": {
            record["network"] or "private": {
                "IPAMConfig": None,
                "Links": None,
                "Aliases": None,
                "MacAddress": "",
                "DriverOpts": None,
                "GwPriority": 0,
                "NetworkID": "",
                "EndpointID": "",
                **gateway,
                **own,
                **global6,
                "DNSNames": None,
            }
        },
    }


def _addresses(uplink: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    has4 = bool(uplink.get("program"))
    has6 = pasta.ADDRESS6 in (uplink.get("argv") or ())
    return (
        {"Gateway": pasta.GATEWAY4 if has4 else ""},
        {"GlobalIPv6Address": pasta.ADDRESS6 if has6 else "", "GlobalIPv6PrefixLen": 64 if has6 else 0},
        {
            "IPAddress": pasta.ADDRESS4 if has4 else "",
            "IPPrefixLen": int(pasta.NETMASK4) if has4 else 0,
            "IPv6Gateway": pasta.GATEWAY6 if has6 else "",
        },
    )
