"""Which parts of docker's documents are maps, lists, pointers: what JSON does not tell, and a template shows.

Names are those of the Engine API (github.com/moby/moby/api/types). A part is known by the field that holds it.
"""

from __future__ import annotations

from typing import Any

from pyrun.cli.gotemplate.values import (
    AnyMap,
    AnySlice,
    Duration,
    JsonNumber,
    Moment,
    NilMap,
    NilPointer,
    NilSlice,
    Struct,
)

# Objects with free keys; every other object is a struct, whose fields are fixed.
_MAPS = frozenset(
    ("Labels", "Annotations", "Ports", "PortBindings", "Networks", "Volumes", "ExposedPorts", "Sysctls", "Tmpfs",
     "StorageOpt", "DriverOpts", "Options", "Data", "Status", "Attributes", "Config.LogConfig", "Runtimes")
)  # fmt: skip
_LISTS = frozenset(
    ("Args", "ExecIDs", "Binds", "VolumesFrom", "CapAdd", "CapDrop", "Dns", "DnsOptions", "DnsSearch", "ExtraHosts",
     "GroupAdd", "Links", "SecurityOpt", "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps",
     "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps", "Devices", "DeviceCgroupRules", "DeviceRequests", "Ulimits",
     "Mounts", "MaskedPaths", "ReadonlyPaths", "Env", "Cmd", "Entrypoint", "OnBuild", "Shell", "Aliases", "DNSNames",
     "RepoTags", "RepoDigests", "Layers", "Log", "Ports.item", "Test")
)  # fmt: skip
# Fields that docker leaves out of the JSON where they are empty, but a template may name, by what holds them.
_HIDDEN: dict[str, dict[str, Any]] = {
    "": {"SizeRw": NilPointer(), "SizeRootFs": NilPointer()},
    "State": {"Health": NilPointer()},
    "Config": {
        "ExposedPorts": NilMap(), "Healthcheck": NilPointer(), "ArgsEscaped": False, "NetworkDisabled": False,
        "MacAddress": "", "StopSignal": "", "StopTimeout": NilPointer(), "Shell": NilSlice(),
    },
    "HostConfig": {
        "Annotations": NilMap(), "StorageOpt": NilMap(), "Tmpfs": NilMap(), "Sysctls": NilMap(), "Mounts": NilSlice(),
        "Init": NilPointer(),
    },
    "Mounts.item": {"Name": "", "Driver": ""},
    "Healthcheck": {
        "Interval": Duration(), "Timeout": Duration(), "StartPeriod": Duration(), "StartInterval": Duration(),
        "Retries": 0,
    },
    "Volume": {"ClusterVolume": NilPointer(), "Status": NilMap(), "UsageData": NilPointer()},
}  # fmt: skip
_ORDER = {
    "Mounts.item": ("Type", "Name", "Source", "Destination", "Driver", "Mode", "RW", "Propagation"),
    "Healthcheck": ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"),
    "Config": (
        "Hostname", "Domainname", "User", "AttachStdin", "AttachStdout", "AttachStderr", "ExposedPorts", "Tty",
        "OpenStdin", "StdinOnce", "Env", "Cmd", "Healthcheck", "ArgsEscaped", "Image", "Volumes", "WorkingDir",
        "Entrypoint", "NetworkDisabled", "MacAddress", "OnBuild", "Labels", "StopSignal", "StopTimeout", "Shell",
    ),
    "Volume": (
        "ClusterVolume", "CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope", "Status",
        "UsageData",
    ),
}  # fmt: skip
# What are durations and times to Go; every other number and text is just that.
_DURATIONS = frozenset(f"Healthcheck.{field}" for field in ("Interval", "Timeout", "StartPeriod", "StartInterval"))
_MOMENTS = frozenset(("Log.item.Start", "Log.item.End", "Metadata.LastTagTime"))
# Go's name of a field -> that in JSON, where they differ: docker takes Go's first, and JSON's where all of it is JSON.
_GO_NAMES = {
    "ID": "Id", "HostIP": "HostIp", "DNS": "Dns", "DNSOptions": "DnsOptions", "DNSSearch": "DnsSearch",
    "CPUShares": "CpuShares", "CPUPeriod": "CpuPeriod", "CPUQuota": "CpuQuota", "NanoCPUs": "NanoCpus",
    "CPURealtimePeriod": "CpuRealtimePeriod", "CPURealtimeRuntime": "CpuRealtimeRuntime", "CPUCount": "CpuCount",
    "CPUPercent": "CpuPercent",
}  # fmt: skip
_ABSENT = frozenset(("Pyrun", *_GO_NAMES.values()))


def typed(value: Any, name: str = "") -> Any:
    """Return a document as docker's Go types have it; `name`: the field that holds it."""
    if isinstance(value, dict):
        return _typed_object(value, name)
    if isinstance(value, list):
        return [typed(item, f"{name}.item") for item in value]
    if value is None:
        return NilMap() if name in _MAPS else NilSlice() if name in _LISTS else NilPointer()
    return value


def _typed_object(value: dict[str, Any], name: str) -> Any:
    if name in _MAPS:
        return {key: typed(item, f"{name}.item") for key, item in value.items()}
    if not name and "Mountpoint" in value:
        name = "Volume"
    fields = {key: _typed_field(item, name, key) for key, item in value.items()}
    renamed = {go: fields[json] for go, json in _GO_NAMES.items() if json in fields}
    return Struct(fields, hidden=_HIDDEN.get(name), also=renamed, absent=_ABSENT, order=_ORDER.get(name, ()))


def _typed_field(value: Any, holder: str, key: str) -> Any:
    place = f"{holder}.{key}"
    if isinstance(value, int) and place in _DURATIONS:
        return Duration(value)
    if isinstance(value, str) and place in _MOMENTS:
        return Moment(value)
    return typed(value, _name(holder, key))


def _name(holder: str, key: str) -> str:
    return f"{key}.{holder}" if (key, holder) == ("Config", "LogConfig") else key


def untyped(value: Any) -> Any:
    """Return a document as Go reads JSON that it knows nothing of."""
    if isinstance(value, dict):
        return AnyMap({key: untyped(item) for key, item in value.items()})
    if isinstance(value, list):
        return AnySlice([untyped(item) for item in value])
    return JsonNumber(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
