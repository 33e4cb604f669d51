"""``--device``: a node of the host's, bound into the container; of a directory, all nodes below it.

It must not mount: it gives mounts of config.json. Without root of the machine there is no device cgroup: a node is
given whole or not at all. Source: docker/cli cli/command/container/opts.go parseLinuxDevice; moby daemon/oci_linux.go.
"""

from __future__ import annotations

import os
import stat

from pyrun.errors import FeatureMissingError, InvalidInputError, UnsupportedFlagError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Device:
    """One ``--device``, parsed."""

    __slots__ = ("container_path", "host_path", "permissions")

    def __init__(self, host_path: str, container_path: str, permissions: str) -> None:
        self.host_path = host_path
        self.container_path = container_path
        self.permissions = permissions


def parse(text: str) -> Device:
    """Read ``HOST[:CONTAINER][:rwm]``. Raises: InvalidInputError with docker's words; UnsupportedFlagError for CDI."""
    parts = text.split(":")
    if not parts[0].startswith("/") and "/" in parts[0] and "=" in parts[0]:
        raise UnsupportedFlagError(f"--device {text}")  # vendor.com/class=name
    if len(parts) > 3:
        raise InvalidInputError(f"invalid device specification: {text}")
    host, container, permissions = parts[0], "", "rwm"
    if len(parts) == 3:
        permissions = parts[2]
    if len(parts) >= 2 and _is_mode(parts[1]):
        permissions = parts[1]
    elif len(parts) >= 2:
        container = parts[1]
    container = container or host
    if not _is_mode(permissions):
        raise InvalidInputError(f"bad mode specified: {permissions}")
    for path in (host, container):
        if not path.startswith("/"):
            raise InvalidInputError(f"{path} is not an absolute path")
    return Device(host, os.path.normpath(container), permissions)


def _is_mode(text: str) -> bool:
    return bool(text) and not text.strip("rwm") and len(set(text)) == len(text)


def mounts(texts: list[str]) -> list[dict[str, Any]]:
    """Return the mounts of every ``--device``.

    Raises: InvalidInputError for what is no device; FeatureMissingError for a node that shall not be read or written.
    """
    found = []
    for text in texts:
        device = parse(text)
        if not {"r", "w"} <= set(device.permissions):
            raise FeatureMissingError(
                f"--device with mode {device.permissions}",
                "only the device cgroup of a machine's root can forbid to read or write a node",
                hint=f"--device {device.host_path} gives it whole",
            )
        found += [_mount(path, inside) for path, inside in _nodes(device)]
    return found


def _nodes(device: Device) -> Iterator[tuple[str, str]]:
    try:
        mode = os.stat(device.host_path).st_mode
    except OSError as error:
        raise InvalidInputError(
            f'error gathering device information while adding custom device "{device.host_path}": '
            + os.strerror(error.errno or 0).lower()
        ) from error
    if _is_node(mode):
        yield device.host_path, device.container_path
        return
    if not stat.S_ISDIR(mode):
        raise InvalidInputError(
            f'error gathering device information while adding custom device "{device.host_path}": not a device node'
        )
    for parent, _, names in os.walk(device.host_path):
        for path in (f"{parent}/{name}" for name in sorted(names)):
            if _is_node(os.lstat(path).st_mode):
                yield path, device.container_path + path.removeprefix(device.host_path)


def _is_node(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _mount(path: str, inside: str) -> dict[str, Any]:
    # Read-only, it can be written all the same, but its mode and owner are the host's and stay.
    return {"destination": inside, "type": "bind", "source": path, "options": ["bind", "nosuid", "noexec", "ro"]}
