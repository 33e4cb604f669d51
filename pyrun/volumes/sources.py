"""Where the content of each mount is: host paths are checked, volumes are made.

It must not mount. Hot. Messages: moby volume/mounts/validate.go and linux_parser.go.
"""

from __future__ import annotations

import os

from pyrun.errors import InvalidInputError
from pyrun.volumes import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout
    from pyrun.volumes.spec import MountSpec


def prepare(layout: Layout, mounts: list[MountSpec], container_id: str = "") -> list[str]:
    """Set every mount's ``path``, and the name of anonymous volumes, which are that container's; return those names.

    A missing source of ``-v`` is made, that of ``--mount`` is an error, as in docker. On an error the anonymous volumes
    that were made are removed again; named ones and directories stay: they may be in use already.
    """
    made: list[str] = []
    try:
        for mount in mounts:
            if mount.type == "bind":
                mount.path = _bind(mount)
            elif mount.type == "volume":
                anonymous = mount.anonymous
                mount.source = store.ensure(layout, mount.source, container_id=container_id)
                mount.path = store.data_path(layout, mount.source)
                if anonymous:
                    made.append(mount.source)
    except BaseException:
        for name in made:
            store.discard(layout, name)
        raise
    return made


def _bind(mount: MountSpec) -> str:
    path = mount.source
    if os.path.exists(path):
        return path
    if not mount.create_source:
        reason = "is a dangling symlink" if os.path.islink(path) else "does not exist"
        raise InvalidInputError(f'invalid mount config for type "bind": bind source path {reason}: {path}')
    try:
        os.makedirs(path, 0o755, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(
            f"error while creating mount source path '{path}': mkdir {error.filename or path}: "
            f"{(error.strerror or '').lower()}",
            hint="make the directory first, or mount one of yours",
        ) from error
    return path
