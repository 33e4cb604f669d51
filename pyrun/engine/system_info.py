"""What scripts ask of `docker info`: the Engine API's SystemInfo, every field that docker prints, in its order.

It must not probe: engine/info.py has. Where there is no daemon and no swarm, the fields say so.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyrun.engine import log_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyrun.linux.probe import Features


def system_info(
    rows: Mapping[str, str], features: Features, memory: int, version: str, registry_config: dict[str, Any]
) -> dict[str, Any]:
    """Return it; ``rows``: the lines of `pyrun info`."""
    driver, _, method = rows["Storage Driver"].partition(" (")
    return {
        "ID": "",
        "Containers": int(rows["Containers"]),
        "ContainersRunning": int(rows[" Running"]),
        "ContainersPaused": int(rows[" Paused"]),
        "ContainersStopped": int(rows[" Stopped"]) + int(rows[" Created"]),
        "Images": int(rows["Images"]),
        "Driver": driver,
        "DriverStatus": [["Method", method.removesuffix(")")]] if method else [],
        "Plugins": {
            "Volume": ["local"], "Network": ["host", "none", "private"], "Authorization": None,
            "Log": sorted((*log_files.DRIVERS, "none", "passthrough")),
        },
        **dict.fromkeys(_LIMITS, False),
        "IPv4Forwarding": _is_forwarding(),
        "Debug": False,
        "NFd": 0,
        "OomKillDisable": False,
        "NGoroutines": 0,
        "SystemTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "LoggingDriver": "json-file",
        "CgroupDriver": rows["Cgroup Driver"],
        "CgroupVersion": "2",
        "NEventsListener": 0,
        "KernelVersion": rows["Kernel Version"],
        "OperatingSystem": rows["Operating System"],
        "OSVersion": rows["OS Version"],
        "OSType": rows["OSType"],
        "Architecture": rows["Architecture"],
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": registry_config,
        "NCPU": int(rows["CPUs"]),
        "MemTotal": memory,
        "GenericResources": None,
        "DockerRootDir": rows["Root Dir"],
        **_proxies(),
        "Name": rows["Name"],
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": version,
        "Runtimes": {"pyrun": {"path": "pyrun"}},
        "DefaultRuntime": "pyrun",
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": True,  # containers need nobody but their monitors
        "Isolation": "",
        "SecurityOptions": _security_options(rows["Security Options"]),
        "Warnings": [f"WARNING: {feature.name}: {feature.detail}" for feature in features if not feature.ok] or None,
    }  # fmt: skip


# None can be set yet.
_LIMITS = ("MemoryLimit", "SwapLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit")


def _is_forwarding() -> bool:
    try:
        with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return False


def _proxies() -> dict[str, str]:
    names = {"HttpProxy": "HTTP_PROXY", "HttpsProxy": "HTTPS_PROXY", "NoProxy": "NO_PROXY"}
    return {key: os.environ.get(name) or os.environ.get(name.lower(), "") for key, name in names.items()}


def _security_options(words: str) -> list[str]:
    """ "seccomp (profile: default), rootless" as docker writes it: name=seccomp,profile=default and name=rootless."""
    found = words.replace(" (profile: default)", ",profile=default")
    return [f"name={word}" for word in found.split(", ") if word]
