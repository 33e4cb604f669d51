"""``--mount``: comma-separated fields, as docker's client reads them (docker/cli opts/mount.go), one by one.

It must not touch the disk. Hot only where the option is used.
"""

from __future__ import annotations

import os

from pyrun.errors import InvalidInputError
from pyrun.volumes.size import ram_bytes
from pyrun.volumes.spec import (
    CONSISTENCIES,
    PROPAGATIONS,
    MountSpec,
    check_volume_name,
    clean,
    merge_tmpfs_options,
    target_problem,
)

_KEYS = {
    "type": "type",
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "readonly": "readonly",
    "ro": "readonly",
    "consistency": "consistency",
    "bind-propagation": "bind-propagation",
    "bind-nonrecursive": "bind-nonrecursive",
    "bind-recursive": "bind-recursive",
    "volume-nocopy": "volume-nocopy",
    "tmpfs-size": "tmpfs-size",
    "tmpfs-mode": "tmpfs-mode",
}
# Docker has them; a volume of ours is a directory, without a driver.
_UNSUPPORTED = ("volume-opt", "volume-driver", "volume-label", "volume-subpath", "image-subpath", "bind-create-src")
_BOOLEANS = ("readonly", "bind-nonrecursive", "volume-nocopy")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")  # Go's strconv.ParseBool
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


def parse_mount(spec: str) -> MountSpec:
    """Read one ``--mount``.

    Raises: InvalidInputError with docker's message.
    """
    fields = _fields(spec)
    kind = fields.get("type", "volume").lower()
    target = fields.get("target", "")
    if not kind:
        raise InvalidInputError("type is required")
    if not target:
        raise InvalidInputError("target is required")
    for prefix in ("volume", "bind", "tmpfs"):
        if kind != prefix and any(key.startswith(prefix + "-") for key in fields):
            raise InvalidInputError(f"cannot mix '{prefix}-*' options with mount type '{kind}'")
    if kind not in ("bind", "volume", "tmpfs"):
        reason = "is not supported yet" if kind in ("image", "cluster", "npipe") else "mount type unknown"
        raise InvalidInputError(f'invalid mount config for type "{kind}": {reason}')
    try:
        return _build(kind, fields)
    except InvalidInputError as error:
        raise InvalidInputError(f'invalid mount config for type "{kind}": {error.message}') from error


def _fields(spec: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for item in _split(spec):
        name, equals, value = item.partition("=")
        name = name.strip().lower()
        if name in _UNSUPPORTED:
            raise InvalidInputError(f"--mount {name} is not supported yet")
        key = _KEYS.get(name)
        if not equals:
            if key not in _BOOLEANS:
                raise InvalidInputError(f"invalid field '{item}' must be a key=value pair")
            value = "true"
        if key is None:
            raise InvalidInputError(f"unexpected key '{name}' in '{item}'")
        if key in _BOOLEANS and value not in _TRUE + _FALSE:
            raise InvalidInputError(f"invalid value for {name}: {value}")
        fields[key] = value
    return fields


def _split(spec: str) -> list[str]:
    if '"' not in spec:
        return spec.split(",")
    import csv  # only for a quoted field, such as one that holds a comma

    try:
        return next(csv.reader([spec], strict=True))
    except (csv.Error, StopIteration) as error:
        raise InvalidInputError(f"invalid mount specification: '{spec}': {error}") from error


def _build(kind: str, fields: dict[str, str]) -> MountSpec:
    source = fields.get("source", "")
    problem = target_problem(fields["target"])
    if problem:
        raise InvalidInputError(problem)
    mount = MountSpec(kind, source, clean(fields["target"]))
    mount.readonly = fields.get("readonly") in _TRUE
    if fields.get("consistency", "default") not in CONSISTENCIES:
        raise InvalidInputError(f"invalid value for consistency: {fields['consistency']}")
    if kind == "bind":
        _bind(mount, fields)
    elif kind == "volume":
        _named_volume(mount, fields)
    else:
        _tmpfs(mount, fields)
    return mount


def _bind(mount: MountSpec, fields: dict[str, str]) -> None:
    if not mount.source:
        raise InvalidInputError("field Source must not be empty")
    if mount.source == "." or mount.source.startswith(("./", "../")) or mount.source == "..":
        mount.source = os.path.abspath(mount.source)
    if not mount.source.startswith("/"):
        raise InvalidInputError(f"invalid mount path: '{mount.source}' mount path must be absolute")
    mount.source = clean(mount.source)
    mount.propagation = fields.get("bind-propagation", "")
    if mount.propagation and mount.propagation not in PROPAGATIONS:
        raise InvalidInputError(f"invalid propagation mode: {mount.propagation}")
    recursive = fields.get("bind-recursive", "enabled")
    if recursive in ("writable", "readonly"):
        raise InvalidInputError(f"bind-recursive={recursive} is not supported yet")
    if recursive not in ("enabled", "disabled"):
        raise InvalidInputError(f"invalid value for bind-recursive: {recursive}")
    mount.recursive = recursive == "enabled" and fields.get("bind-nonrecursive") not in _TRUE


def _named_volume(mount: MountSpec, fields: dict[str, str]) -> None:
    if mount.source:
        check_volume_name(mount.source)
    elif mount.readonly:
        raise InvalidInputError("must not set ReadOnly mode when using anonymous volumes")
    mount.nocopy = fields.get("volume-nocopy") in _TRUE


def _tmpfs(mount: MountSpec, fields: dict[str, str]) -> None:
    if mount.source:
        raise InvalidInputError("field Source must not be specified")
    options = []
    if "tmpfs-size" in fields:
        options.append(f"size={_bytes(fields['tmpfs-size'])}")
    if "tmpfs-mode" in fields:
        text = fields["tmpfs-mode"]
        if not text or text.strip("01234567") or int(text, 8) > 0o7777:
            raise InvalidInputError(f"invalid value for tmpfs-mode: {text}")
        options.append(f"mode={text}")
    if mount.readonly:
        options.append("ro")
    mount.options = merge_tmpfs_options(options)


def _bytes(text: str) -> int:
    try:
        return ram_bytes(text)
    except InvalidInputError:
        raise InvalidInputError(f"invalid value for tmpfs-size: {text}") from None
