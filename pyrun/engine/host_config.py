"""docker's HostConfig of a container: what the user asked of the host, every field that docker prints, in its order.

It must not know how it is shown. A field that pyrun has no option for has the value that docker gives it by default.
"""

from __future__ import annotations

import os

from pyrun.engine import log_files
from pyrun.network.ports import parse_all
from pyrun.volumes.size import ram_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.restart_policy import Policy
    from pyrun.volumes.spec import MountSpec

_SHM_BYTES = 64 << 20


def host_config(record: dict[str, Any], config: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """Return it, from container.json and config.json."""
    options = record["options"]
    mounts = _mounts(options["mount"])
    return {
        "Binds": _binds(options["volume"], record["mounts"]) or None,
        "ContainerIDFile": options["cidfile"] or "",
        "LogConfig": log_files.shown_config(record),
        "NetworkMode": record["network"] or "private",
        "PortBindings": _asked_ports(options["publish"]),
        "RestartPolicy": {"Name": policy.name, "MaximumRetryCount": policy.maximum},
        "AutoRemove": record["ephemeral"],
        "VolumeDriver": "",
        "VolumesFrom": options["volumes_from"] or None,
        "ConsoleSize": [0, 0],
        **({"Annotations": _pairs(options["annotation"])} if options["annotation"] else {}),
        "CapAdd": _capabilities(options["cap_add"]) or None,
        "CapDrop": _capabilities(options["cap_drop"]) or None,
        "CgroupnsMode": options["cgroupns"] or "private",
        "Dns": options["dns"],
        "DnsOptions": options["dns_option"],
        "DnsSearch": options["dns_search"],
        "ExtraHosts": [_host_entry(text) for text in options["add_host"]] or None,
        "GroupAdd": options["group_add"] or None,
        "IpcMode": options["ipc"] or "private",
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": options["oom_score_adj"] or 0,
        "PidMode": _own_is_empty(options["pid"]),
        "Privileged": options["privileged"],
        "PublishAllPorts": options["publish_all"],
        "ReadonlyRootfs": options["read_only"],
        "SecurityOpt": options["security_opt"] or None,
        **({"Tmpfs": _tmpfs(options["tmpfs"])} if options["tmpfs"] else {}),
        "UTSMode": _own_is_empty(options["uts"]),
        "UsernsMode": options["userns"] or "",
        "ShmSize": _shm_bytes(options["shm_size"], config),
        **({"Sysctls": _pairs(options["sysctl"])} if options["sysctl"] else {}),
        "Runtime": "pyrun",
        "Isolation": "",
        **_resources(config, options["device"]),
        **({"Mounts": mounts} if mounts else {}),
        "MaskedPaths": config["linux"].get("maskedPaths") or [],
        "ReadonlyPaths": config["linux"].get("readonlyPaths") or [],
        **({"Init": True} if options["init"] else {}),
    }


def _binds(texts: list[str], mounts: list[dict[str, Any]]) -> list[str]:
    """Return what ``-v`` asked for; a path that was relative to the caller's directory as it was understood."""
    sources = {mount["destination"]: mount["source"] for mount in mounts}
    shown = []
    for text in texts:
        source, colon, rest = text.partition(":")
        if source.startswith("."):
            text = f"{sources.get(os.path.normpath(rest.partition(':')[0]), source)}:{rest}"
        if colon:
            shown.append(text)
    return shown


def _capabilities(texts: list[str]) -> list[str]:
    """Return docker's names: in capitals and with the prefix."""
    names = (text.upper().removeprefix("CAP_") for text in texts)
    return [name if name == "ALL" else f"CAP_{name}" for name in names]


def _host_entry(text: str) -> str:
    """Return ``name:address`` for ``name=[address]`` too."""
    name, equals, address = text.partition("=")
    return f"{name}:{address.removeprefix('[').removesuffix(']')}" if equals else text


def _asked_ports(specs: list[str]) -> dict[str, list[dict[str, str]]]:
    """As they were asked for: no host port where there is a choice, a range where that was given."""
    shown: dict[str, list[dict[str, str]]] = {}
    for port in parse_all(specs):
        first, last = port.host_port, port.host_port_last
        text = f"{first}-{last}" if first != last else str(first or "")
        shown.setdefault(f"{port.container_port}/{port.protocol}", []).append(
            {"HostIp": port.host_ip, "HostPort": text}
        )
    return shown


def bindings(ports: list[dict[str, Any]]) -> dict[str, list[dict[str, str]] | None]:
    """Return docker's map of "80/tcp" to where the host listens; null for a port that is only exposed."""
    shown: dict[str, list[dict[str, str]] | None] = {}
    for port in ports:
        key = f"{port['container_port']}/{port['protocol']}"
        shown.setdefault(key, None)
        if port["host_port"]:
            binding = {"HostIp": port["host_ip"] or "0.0.0.0", "HostPort": str(port["host_port"])}
            shown[key] = [*(shown[key] or []), binding]
    return shown


def _resources(config: dict[str, Any], devices: list[str]) -> dict[str, Any]:
    """Return the limits; those that pyrun cannot set are docker's zero."""
    return {
        "CpuShares": 0,
        "Memory": 0,
        "NanoCpus": 0,
        "CgroupParent": "",
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [],
        "CpuPeriod": 0,
        "CpuQuota": 0,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": "",
        "CpusetMems": "",
        "Devices": _devices(devices),
        "DeviceCgroupRules": None,
        "DeviceRequests": None,
        "MemoryReservation": 0,
        "MemorySwap": 0,
        "MemorySwappiness": None,
        "OomKillDisable": None,
        "PidsLimit": None,
        "Ulimits": _ulimits(config),
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _devices(texts: list[str]) -> list[dict[str, str]]:
    if not texts:
        return []
    from pyrun.engine.devices import parse

    parsed = [parse(text) for text in texts]
    return [
        {"PathOnHost": item.host_path, "PathInContainer": item.container_path, "CgroupPermissions": item.permissions}
        for item in parsed
    ]


def _pairs(texts: list[str]) -> dict[str, str]:
    return dict(text.partition("=")[::2] for text in texts)


def _shm_bytes(asked: str | None, config: dict[str, Any]) -> int:
    if asked is not None:
        return ram_bytes(asked)
    shm = [mount["options"] for mount in config["mounts"] if mount["destination"] == "/dev/shm"]
    sizes = [option for options in shm for option in options if option.startswith("size=")]
    return int(sizes[0].removeprefix("size=").removesuffix("k")) * 1024 if sizes else _SHM_BYTES


def _own_is_empty(mode: str | None) -> str:
    return "" if mode in (None, "private") else mode


def _mounts(texts: list[str]) -> list[dict[str, Any]]:
    """Return what ``--mount`` asked for."""
    if not texts:
        return []
    from pyrun.volumes.mount_option import parse_mount

    shown = []
    for spec in map(parse_mount, texts):
        mount: dict[str, Any] = {"Type": spec.type}
        if spec.source:
            mount["Source"] = spec.source
        mount["Target"] = spec.target
        if spec.readonly:
            mount["ReadOnly"] = True
        shown.append(mount | _mount_options(spec))
    return shown


def _mount_options(spec: MountSpec) -> dict[str, Any]:
    """Return docker's BindOptions, VolumeOptions or TmpfsOptions, where something was asked for."""
    bind: dict[str, Any] = {"Propagation": spec.propagation} if spec.propagation else {}
    if not spec.recursive:
        bind["NonRecursive"] = True
    given = dict(option.partition("=")[::2] for option in spec.options)
    tmpfs = {"SizeBytes": int(given["size"])} if "size" in given else {}
    if "mode" in given:
        tmpfs["Mode"] = int(given["mode"], 8)
    volume = {"NoCopy": True, "DriverConfig": {}} if spec.nocopy else {}
    kinds = (("BindOptions", bind), ("VolumeOptions", volume), ("TmpfsOptions", tmpfs))
    return {name: options for name, options in kinds if options}


def _tmpfs(specifications: list[str]) -> dict[str, str]:
    pairs = [text.partition(":") for text in specifications]
    return {path: words for path, _, words in pairs}


def _ulimits(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"Name": limit["type"].removeprefix("RLIMIT_").lower(), "Hard": limit["hard"], "Soft": limit["soft"]}
        for limit in sorted(config["process"].get("rlimits") or [], key=lambda limit: str(limit["type"]))
    ]
