"""The seccomp programs of a container: compiled when it starts, kept beside its bundle, installed again by `exec`.

It must not know what a filter does (linux/seccomp.py). Hot: `exec` comes here only to read.
"""

from __future__ import annotations

import os

from pyrun.errors import StoreCorruptError
from pyrun.store import fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.runtime.engine_ns import EngineMap
    from pyrun.store.layout import Layout

FILE = "seccomp.bpf"
# The annotation that names the bundle's profile to whoever runs it.
ANNOTATION = "org.pyrun.seccomp"


def compiled(layout: Layout, config: dict[str, Any], engine: EngineMap) -> list[bytes]:
    """Return the programs of a container, the one to install first first."""
    from pyrun.linux import seccomp

    process = config["process"]
    held = process["capabilities"]["bounding"]
    # A single-id map cannot chown: there the filter makes it seem to succeed (design: linux/seccomp_pretend.py).
    pretend = (process["user"]["uid"], process["user"]["gid"]) if engine.size == 1 else False
    profile = config["annotations"][ANNOTATION]
    program = seccomp.compiled(layout.cache, profile, held, None, pretend)
    return [program] if program else []


def keep(directory: str, programs: list[bytes]) -> None:
    """Keep what is installed: `exec` installs the very same, whatever happens to the profile's file."""
    from pyrun.store import sealed

    path = f"{directory}/{FILE}"
    data = sealed.seal({"programs": [program.hex() for program in programs]})
    # By rename: of two starts at once, each writes the whole of the same.
    fsio.write_atomic(path, data, temporary=f"{path}.{os.getpid()}", sync=False)


def kept(directory: str) -> list[bytes]:
    """Return the programs that the running container was started with. Raises: StoreCorruptError."""
    from pyrun.store import sealed

    path = f"{directory}/{FILE}"
    try:
        found = sealed.unseal(fsio.read_bytes(path))
    except ValueError as error:
        raise StoreCorruptError(
            f"cannot read the seccomp filter of a container: {path}: {error}",
            path=path,
            hint="`pyrun fsck --repair` mends one flipped bit; a restart of the container makes it anew",
        ) from error
    # A container that an older pyrun has started has the list alone.
    return [bytes.fromhex(text) for text in (found["programs"] if isinstance(found, dict) else found)]
