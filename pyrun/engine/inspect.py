"""What docker's `inspect` says of a container, made from its records and its lock.

It must not know how it is shown. Shape and names: Docker Engine API, ContainerInspect.
"""

from __future__ import annotations

from pyrun.engine import restart_policy
from pyrun.engine.instant import ZERO
from pyrun.errors import ImageNotFoundError, StoreCorruptError
from pyrun.images.resolve import load_record
from pyrun.runtime.state import status
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.restart_policy import Policy
    from pyrun.runtime.state import State
    from pyrun.store.layout import Layout

# What the monitor does (native/monitor), in docker's words.
_LOG_CONFIG = {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}


def inspect(layout: Layout, name: str) -> dict[str, Any]:
    """Return docker's JSON of one container. Raises: ContainerNotFoundError; StoreCorruptError."""
    container_id, directory = containers.resolve(layout, name)
    record = containers.load(directory)
    config = containers.load_file(directory, "config.json")
    state = status(directory)
    return {
        "Id": container_id,
        "Created": record["created"],
        "Path": record["path"],
        "Args": record["args"][1:],
        "State": _state(state),
        "Image": record["image_id"],
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": f"{directory}/logs/json.log",
        "Name": f"/{record['name']}",
        "RestartCount": max(state.restarts, 0),
        "Driver": "overlay",
        "Platform": record["platform"].partition("/")[0],
        "HostConfig": _host_config(record, config, restart_policy.read(directory)),
        "GraphDriver": {"Name": "overlay", "Data": _graph(directory)},
        "Mounts": [_mount(mount) for mount in record["mounts"]],
        "Config": _config(record, config, _image(layout, record)),
        "NetworkSettings": {"Ports": _bindings(record["ports"]) if state.status == "running" else {}},
    }


def _state(state: State) -> dict[str, Any]:
    is_running = state.status == "running"
    return {
        "Status": state.word,
        "Running": state.is_up,
        "Paused": state.paused,
        "Restarting": state.status == "restarting",
        "OOMKilled": state.oom,
        "Dead": state.status == "dead",
        "Pid": state.pid if is_running else 0,
        "ExitCode": state.exit_code,
        "Error": "",
        "StartedAt": state.started or ZERO,
        "FinishedAt": state.finished or ZERO,
    }


def _host_config(record: dict[str, Any], config: dict[str, Any], policy: Policy) -> dict[str, Any]:
    options = record["options"]
    return {
        "Binds": options["volume"] or None,
        "ContainerIDFile": options["cidfile"] or "",
        "LogConfig": _LOG_CONFIG,
        "NetworkMode": record["network"] or "private",
        "PortBindings": _bindings(record["ports"]),
        "RestartPolicy": {"Name": policy.name, "MaximumRetryCount": policy.maximum},
        "AutoRemove": record["ephemeral"],
        "CapAdd": options["cap_add"] or None,
        "CapDrop": options["cap_drop"] or None,
        "Dns": options["dns"],
        "DnsOptions": options["dns_option"],
        "DnsSearch": options["dns_search"],
        "ExtraHosts": options["add_host"] or None,
        "Privileged": options["privileged"],
        "PublishAllPorts": options["publish_all"],
        "ReadonlyRootfs": options["read_only"],
        "SecurityOpt": options["security_opt"] or None,
        "Tmpfs": _tmpfs(options["tmpfs"]),
        "CgroupnsMode": options["cgroupns"] or "private",
        "IpcMode": options["ipc"] or "private",
        "PidMode": _own_is_empty(options["pid"]),
        "UTSMode": _own_is_empty(options["uts"]),
        "UsernsMode": options["userns"] or "",
        "Ulimits": _ulimits(config),
        "Init": options["init"],
        "MaskedPaths": config["linux"].get("maskedPaths") or [],
        "ReadonlyPaths": config["linux"].get("readonlyPaths") or [],
    }


def _own_is_empty(mode: str | None) -> str:
    return "" if mode in (None, "private") else mode


def _tmpfs(specifications: list[str]) -> dict[str, str]:
    pairs = [text.partition(":") for text in specifications]
    return {path: words for path, _, words in pairs}


def _ulimits(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"Name": limit["type"].removeprefix("RLIMIT_").lower(), "Hard": limit["hard"], "Soft": limit["soft"]}
        for limit in config["process"].get("rlimits") or []
    ]


def _graph(directory: str) -> dict[str, str]:
    rootfs = containers.load_file(directory, "rootfs.json")
    return {
        "LowerDir": ":".join(rootfs["lowerdirs"]),
        "UpperDir": rootfs["upper"] or "",
        "WorkDir": rootfs["work"] or "",
        "MergedDir": f"{directory}/rootfs",
    }


def _mount(mount: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"Type": mount["type"]}
    if mount["name"]:
        shown["Name"] = mount["name"]
    shown["Source"] = mount["source"] or ""
    shown["Destination"] = mount["destination"]
    if mount["type"] == "volume":
        shown["Driver"] = "local"
    shown["Mode"] = mount["mode"] or ""
    shown["RW"] = mount["rw"]
    shown["Propagation"] = "rprivate" if mount["type"] == "bind" else ""
    return shown


def _image(layout: Layout, record: dict[str, Any]) -> dict[str, Any]:
    """Return the image's record; empty if the image is gone: what a container is does not depend on it."""
    try:
        return load_record(layout, record["manifest"])
    except (ImageNotFoundError, StoreCorruptError):
        return {}


def _config(record: dict[str, Any], config: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
    process, options = config["process"], record["options"]
    entrypoint = options["entrypoint"]
    own_entrypoint = [entrypoint] if entrypoint else None
    # A given ENTRYPOINT takes the image's CMD away too: docker run reference "--entrypoint".
    inherited_command = image.get("cmd") if entrypoint is None else None
    return {
        "Hostname": record["hostname"],
        "Domainname": "",
        "User": options["user"] or image.get("user") or "",
        "AttachStdin": record["stdin_open"] and not options.get("detach"),
        "AttachStdout": not options.get("detach"),
        "AttachStderr": not options.get("detach"),
        "ExposedPorts": {f"{port['container_port']}/{port['protocol']}": {} for port in record["ports"]},
        "Tty": record["tty"],
        "OpenStdin": record["stdin_open"],
        "StdinOnce": record["stdin_open"],
        "Env": process["env"],
        "Cmd": options["args"] or inherited_command,
        "Image": record["image"],
        "Volumes": {mount["destination"]: {} for mount in record["mounts"] if mount["type"] == "volume"} or None,
        "WorkingDir": process["cwd"],
        "Entrypoint": own_entrypoint if entrypoint is not None else image.get("entrypoint"),
        "Labels": record["labels"],
        "StopSignal": record["stop_signal"],
        "StopTimeout": record["stop_timeout"],
    }


def _bindings(ports: list[dict[str, Any]]) -> dict[str, list[dict[str, str]] | None]:
    """Return docker's map of "80/tcp" to where the host listens; null for a port that is only exposed."""
    shown: dict[str, list[dict[str, str]] | None] = {}
    for port in ports:
        key = f"{port['container_port']}/{port['protocol']}"
        shown.setdefault(key, None)
        if port["host_port"]:
            binding = {"HostIp": port["host_ip"] or "0.0.0.0", "HostPort": str(port["host_port"])}
            shown[key] = [*(shown[key] or []), binding]
    return shown
