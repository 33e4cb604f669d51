"""Mounts that a user asks for: ``-v`` and ``--tmpfs`` as docker reads them, and all of them put together.

It must not touch the disk: `volumes/sources.py` does. Hot. Grammar and messages: moby volume/mounts/linux_parser.go,
docker/cli cli/command/container/opts.go, moby daemon/volumes.go.
"""

from __future__ import annotations

import os

from pyrun.errors import InvalidInputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
CONSISTENCIES = ("default", "consistent", "cached", "delegated")
# At most one of each group; z and Z (SELinux labels) and the consistency hints (macOS) are accepted and mean nothing.
_MODE_GROUPS = (("ro", "rw"), ("z", "Z"), PROPAGATIONS, ("nocopy",), CONSISTENCIES)
_TMPFS_FLAGS = (
    ("ro", "rw"), ("exec", "noexec"), ("suid", "nosuid"), ("dev", "nodev"), ("atime", "noatime"),
    ("relatime", "norelatime"), ("strictatime", "nostrictatime"), ("diratime", "nodiratime"), ("sync", "async"),
)  # fmt: skip
_TMPFS_VALUES = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge")
# Docker's defaults for a tmpfs in a container.
_TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")


class MountSpec:
    """One mount. ``type``: bind, volume or tmpfs.

    ``source``: host path (bind), volume name or "" for an anonymous one (volume). ``target``: clean and absolute.
    ``propagation`` "" is the default, rprivate. ``create_source``: a missing host directory is made (``-v`` alone).
    ``options``: of a tmpfs, ready for mount(2): flags and data. ``mode``: what the user wrote, for inspect.
    ``path``: where the content is, once `sources.prepare` has been there.
    """

    __slots__ = (
        "create_source", "mode", "nocopy", "options", "path", "propagation", "readonly", "recursive",
        "source", "target", "type",
    )  # fmt: skip

    def __init__(self, kind: str, source: str, target: str) -> None:
        self.type = kind
        self.source = source
        self.target = target
        self.readonly = False
        self.propagation = ""
        self.recursive = True
        self.nocopy = False
        self.create_source = False
        self.options: list[str] = []
        self.mode = ""
        self.path = ""

    @property
    def anonymous(self) -> bool:
        """Whether it is a volume that has no name yet."""
        return self.type == "volume" and not self.source

    def record(self) -> dict[str, Any]:
        """Return the form of container.json, after `sources.prepare`."""
        return {
            "type": self.type,
            "name": self.source if self.type == "volume" else "",
            "source": self.path,
            "destination": self.target,
            "mode": self.mode,
            "rw": not self.readonly,
            "propagation": (self.propagation or "rprivate") if self.type == "bind" else "",
        }

    def __repr__(self) -> str:
        return f"MountSpec({self.type}, {self.source!r} -> {self.target!r})"


def parse_volume(spec: str) -> MountSpec:
    """Read one ``-v``: ``target``, ``source:target`` or ``source:target:mode``; the source a path or a volume's name.

    A source that begins with a dot is resolved against the working directory, as docker's client does.

    Raises: InvalidInputError with docker's message.
    """
    parts = spec.split(":")
    if not parts[0] or len(parts) > 3 or (len(parts) == 2 and parts[1] and _valid_mode(parts[1])):
        raise InvalidInputError(f"invalid volume specification: '{spec}'")
    mode = parts[2] if len(parts) == 3 else ""
    if "U" in mode.split(","):
        raise InvalidInputError(
            f"invalid mode: {mode}: U (change the owner of the source) is not supported",
            hint="an own user map does without: --userns keep-id",
        )
    if not _valid_mode(mode):
        raise InvalidInputError(f"invalid mode: {mode}")
    source, target = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    problem = target_problem(target)
    if problem:
        raise InvalidInputError(f"invalid volume specification: '{spec}': {problem}")
    return _volume(source, target, mode)


def parse_tmpfs(spec: str) -> MountSpec:
    """Read one ``--tmpfs``: ``path`` or ``path:options``, options as of mount(8).

    Raises: InvalidInputError with docker's message.
    """
    target, _, options = spec.partition(":")
    problem = target_problem(target)
    if problem:
        raise InvalidInputError(f"invalid tmpfs specification: '{spec}': {problem}")
    result = MountSpec("tmpfs", "", clean(target))
    result.mode = options
    result.options = merge_tmpfs_options(options.split(",") if options else [])
    result.readonly = "ro" in result.options
    return result


def combine(
    volumes: list[MountSpec], mounts: list[MountSpec], tmpfs: list[MountSpec], image_volumes: list[str],
    inherited: Iterable[MountSpec] = (),
) -> list[MountSpec]:  # fmt: skip
    """Return all mounts, outer ones first; those of other containers and an image's VOLUMEs yield to any.

    Raises: InvalidInputError for two at the same place.
    """
    result: dict[str, MountSpec] = {}
    for mount in [*volumes, *mounts, *tmpfs]:
        if mount.target in result:
            raise InvalidInputError(f"Duplicate mount point: {mount.target}")
        result[mount.target] = mount
    for mount in inherited:
        result.setdefault(mount.target, mount)
    for path in image_volumes:
        target = clean(path)
        if target_problem(target):
            raise InvalidInputError(f"invalid volume of the image: '{path}': {target_problem(target)}")
        if target not in result:
            result[target] = MountSpec("volume", "", target)
    return sorted(result.values(), key=lambda mount: mount.target.count("/"))


def merge_tmpfs_options(options: list[str]) -> list[str]:
    """Return docker's defaults with ``options`` over them; a later word of a pair (exec, noexec) wins.

    Raises: InvalidInputError for one that no tmpfs knows.
    """
    chosen: dict[str, str] = {}
    for option in [*_TMPFS_DEFAULTS, *options]:
        name, equals, value = option.partition("=")
        pair = next((pair[0] for pair in _TMPFS_FLAGS if option in pair), "")
        if not pair and not (name in _TMPFS_VALUES and equals and value):
            raise InvalidInputError(f"invalid tmpfs option {option!r}")
        chosen[pair or name] = option
    return list(chosen.values())


def clean(path: str) -> str:
    """Return Go's path.Clean of an absolute path: a leading `//` is one slash, which os.path keeps."""
    return "/" + os.path.normpath(path).lstrip("/")


def target_problem(target: str) -> str:
    """Return docker's words for what is wrong with a mount's place in the container, or ""."""
    if not target.startswith("/"):
        return f"invalid mount path: '{target}' mount path must be absolute"
    if clean(target) == "/":
        return "invalid specification: destination can't be '/'"
    return ""


def _volume(source: str, target: str, mode: str) -> MountSpec:
    words = mode.split(",")
    is_path = source.startswith(("/", "."))
    result = MountSpec("bind" if is_path else "volume", source, clean(target))
    if is_path:
        result.source = os.path.abspath(source)
        result.create_source = True
    elif source:
        check_volume_name(source)
    result.mode = mode
    result.readonly = "ro" in words
    result.nocopy = "nocopy" in words
    result.propagation = next((word for word in words if word in PROPAGATIONS), "")
    if result.propagation and not is_path:
        raise InvalidInputError(f"invalid mode: {mode}")  # moby: propagation is a bind mount's alone
    if result.nocopy and is_path:
        raise InvalidInputError(f"invalid mode: {mode}")
    result.recursive = result.propagation not in ("private", "shared", "slave")
    return result


def check_volume_name(name: str) -> None:
    """Refuse what docker's local driver refuses: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.

    Raises: InvalidInputError with docker's message.
    """
    # A name becomes a file name: one that grows longer than NAME_MAX cannot be kept.
    if len(name) == 1:
        raise InvalidInputError("volume name is too short, names should be at least two alphanumeric characters")
    good = name.isascii() and len(name) <= 255 and name[:1].isalnum() and all(c.isalnum() or c in "_.-" for c in name)
    if not good:
        raise InvalidInputError(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


def _valid_mode(mode: str) -> bool:
    if not mode:
        return True
    words = mode.split(",")
    if any(not any(word in group for group in _MODE_GROUPS) for word in words):
        return False
    return all(sum(word in group for word in words) <= 1 for group in _MODE_GROUPS)
