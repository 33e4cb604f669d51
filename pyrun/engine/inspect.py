"""What docker's `inspect` says of a container, made from its records and its lock.

It must not know how it is shown. Shape, names and order: Docker Engine API, ContainerInspect. HostConfig and
NetworkSettings are in modules of their own.
"""

from __future__ import annotations

import os

from pyrun.engine import failed_start, health, log_files, restart_policy
from pyrun.engine.host_config import bindings, host_config
from pyrun.engine.instant import ZERO
from pyrun.engine.network_settings import network_settings
from pyrun.engine.options import RunOptions
from pyrun.engine.spec import HOME_ANNOTATION
from pyrun.errors import ImageNotFoundError, StoreCorruptError
from pyrun.images.resolve import load_record
from pyrun.runtime.state import status
from pyrun.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.runtime.state import State
    from pyrun.store.layout import Layout


def inspect(layout: Layout, name: str, *, with_size: bool = False) -> dict[str, Any]:
    """Return docker's JSON of one container. Raises: ContainerNotFoundError; StoreCorruptError."""
    container_id, directory = containers.resolve(layout, name)
    record = containers.load(directory)
    record["options"] = RunOptions("").as_dict() | record["options"]  # an older pyrun's container has fewer
    config = containers.load_file(directory, "config.json")
    image = _image(layout, record)
    state = status(directory)
    is_running = state.status == "running"
    return {
        "Id": container_id,
        "Created": record["created"],
        "Path": record["path"],
        "Args": record["args"][1:],
        "State": _state(directory, record, state, is_running=is_running),
        "Image": record["image_id"],
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": log_files.shown_path(record, directory),
        "Name": f"/{record['name']}",
        "RestartCount": max(state.restarts, 0),
        "Driver": "overlay",
        "Platform": record["platform"].partition("/")[0],
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": host_config(record, config, restart_policy.read(directory)),
        **(_sizes(layout, directory, image) if with_size else {}),
        "GraphDriver": {"Data": _graph(directory), "Name": "overlay"},
        "Mounts": _mounts(record),
        "Config": container_config(record, config, image),
        "NetworkSettings": network_settings(record, _ports(record, image), is_running=is_running),
    }


def _sizes(layout: Layout, directory: str, image: dict[str, Any]) -> dict[str, int]:
    from pyrun.engine.disk_usage import writable_sizes

    (own,) = writable_sizes(layout, [directory])
    return {"SizeRw": own, "SizeRootFs": own + image.get("unpacked_size", 0)}


def _ports(record: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
    """Return where the host listens for each port, null for one that is only exposed; nothing but a private network."""
    if record["network"] in ("none", "host"):
        return {}
    return {**dict.fromkeys(_exposed(record, image)), **bindings(record["ports"])}


def _state(directory: str, record: dict[str, Any], state: State, *, is_running: bool) -> dict[str, Any]:
    checked = health.inspect(directory, record, state)
    code, error = failed_start.read(directory, state) or (state.exit_code, "")
    return {
        "Status": state.word,
        "Running": state.is_up,
        "Paused": state.paused,
        "Restarting": state.status == "restarting",
        "OOMKilled": state.oom,
        "Dead": state.status == "dead",
        "Pid": state.pid if is_running else 0,
        "ExitCode": code,
        "Error": error,
        "StartedAt": state.started or ZERO,
        "FinishedAt": state.finished or ZERO,
        **({"Health": checked} if checked else {}),
    }


def _graph(directory: str) -> dict[str, str]:
    rootfs = containers.load_file(directory, "rootfs.json")
    return {
        "LowerDir": ":".join(rootfs["lowerdirs"]),
        "UpperDir": rootfs["upper"] or "",
        "WorkDir": rootfs["work"] or "",
        "MergedDir": f"{directory}/rootfs",
    }


def _mounts(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the mounts without those of ``--tmpfs``, which docker shows in HostConfig alone."""
    in_memory = {os.path.normpath(text.partition(":")[0]) for text in record["options"]["tmpfs"]}
    return [_mount(mount) for mount in record["mounts"] if mount["destination"] not in in_memory]


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
    # An older pyrun's record does not tell.
    shown["Propagation"] = mount.get("propagation", "rprivate" if mount["type"] == "bind" else "")
    return shown


def _image(layout: Layout, record: dict[str, Any]) -> dict[str, Any]:
    """Return the image's record; empty if the image is gone: what a container is does not depend on it."""
    try:
        return load_record(layout, record["manifest"])
    except (ImageNotFoundError, StoreCorruptError):
        return {}


def container_config(record: dict[str, Any], config: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
    """Return docker's `Config` of a container; ``image``: its image's record, or nothing."""
    process, options = config["process"], record["options"]
    entrypoint = options["entrypoint"]
    own_entrypoint = [entrypoint] if entrypoint else None
    # A given ENTRYPOINT takes the image's CMD away too: docker run reference "--entrypoint".
    inherited_command = image.get("cmd") if entrypoint is None else None
    is_attached = not options["detach"]
    attached = [word.lower() for word in options["attach"]] or ["stdout", "stderr"]
    exposed = _exposed(record, image)
    anonymous = [mount for mount in record["mounts"] if mount["name"] in record["anonymous_volumes"]]
    stop_signal = options["stop_signal"] or image.get("stop_signal")
    return {
        "Hostname": record["hostname"],
        "Domainname": options["domainname"] or "",
        "User": options["user"] or image.get("user") or "",
        "AttachStdin": is_attached and (record["stdin_open"] or "stdin" in attached),
        "AttachStdout": is_attached and "stdout" in attached,
        "AttachStderr": is_attached and "stderr" in attached,
        **({"ExposedPorts": exposed} if exposed else {}),
        "Tty": record["tty"],
        "OpenStdin": record["stdin_open"],
        "StdinOnce": record["stdin_open"] and is_attached,
        "Env": _environment(process["env"], record, config, [*options["env"], *image.get("env", ())]),
        "Cmd": options["args"] or inherited_command,
        **({"Healthcheck": record["healthcheck"]} if record.get("healthcheck") else {}),
        "Image": record["image"],
        "Volumes": {mount["destination"]: {} for mount in anonymous} or None,
        "WorkingDir": process["cwd"] if options["workdir"] else image.get("workdir") or process["cwd"],
        "Entrypoint": own_entrypoint if entrypoint is not None else image.get("entrypoint"),
        **({"MacAddress": options["mac_address"]} if options["mac_address"] else {}),
        "OnBuild": None,
        "Labels": record["labels"],
        **({"StopSignal": stop_signal} if stop_signal else {}),
        **({"StopTimeout": record["stop_timeout"]} if options["stop_timeout"] is not None else {}),
    }


def _exposed(record: dict[str, Any], image: dict[str, Any]) -> dict[str, dict[str, str]]:
    published = [f"{port['container_port']}/{port['protocol']}" for port in record["ports"]]
    exposed = [*image.get("exposed_ports", ()), *_expanded(record["options"]["expose"])]
    return {port: {} for port in sorted({*published, *exposed})}


def _expanded(texts: list[str]) -> list[str]:
    """Return ``8000/udp``, ``8001/udp`` for ``8000-8001/udp``."""
    if not texts:
        return []
    from pyrun.network import ports

    return [f"{port.container_port}/{port.protocol}" for port in ports.exposed(texts, [])]


def _environment(everything: list[str], record: dict[str, Any], config: dict[str, Any], given: list[str]) -> list[str]:
    """Leave out what only the running process is given, as docker does: HOSTNAME, HOME and TERM that nobody set."""
    implied = {f"HOSTNAME={record['hostname']}", f"HOME={config['annotations'].get(HOME_ANNOTATION, '')}"}
    if record["tty"]:
        implied.add("TERM=xterm")
    chosen = {text.partition("=")[0] for text in given}
    return [text for text in everything if text not in implied or text.partition("=")[0] in chosen]
