"""A container's own mounts: ``-v``, ``--mount``, ``--tmpfs``, the image's VOLUMEs; volumes filled from the image.

It must not mount: it writes the mounts of config.json. Grammar: pyrun/volumes/.
"""

from __future__ import annotations

import os

from pyrun.engine.spec import Mounts
from pyrun.errors import InvalidInputError
from pyrun.store import fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrun.engine.create import Builder
    from pyrun.engine.options import RunOptions
    from pyrun.layers.view import View
    from pyrun.store.containers import Created
    from pyrun.store.layout import Layout
    from pyrun.volumes.spec import MountSpec

# What the runtime itself mounts there must stay what it is: runc refuses these too.
_RESERVED = ("/proc", "/sys")


def make(builder: Builder, write: Callable[[Mounts], Created]) -> Created:
    """Decide a container's mounts, fill its volumes, and ``write`` it; volumes made for it go if that fails."""
    from pyrun.layers.view import View

    layout = builder.layout
    # Until the container is in place nobody may remove the volumes that it names (volumes/store.py `remove`).
    with fsio.FileLock(layout.gc_lock, exclusive=False):
        decided = decide(layout, builder.image, builder.options, builder.id)
        try:
            fill(layout, decided, View(builder.lowerdirs, None))
            uids, gids = builder.map.uids, builder.map.gids
            if uids and all(outside for _, outside, _ in uids):
                from pyrun.engine import foreign_root

                foreign_root.give_volumes(layout, decided, uids[0][1], gids[0][1])
            created = write(decided)
        except BaseException:
            forget(layout, decided)
            raise
        if not builder.options.rm:
            settle(layout, decided)
        return created


def decide(layout: Layout, image: dict[str, Any], options: RunOptions, container_id: str) -> Mounts:
    """Read the options and make what is missing: anonymous and named volumes, host directories of ``-v``.

    Raises: InvalidInputError with docker's words.
    """
    specs = _parse(layout, image, options)
    decided = Mounts()
    if specs:
        from pyrun.engine import events
        from pyrun.volumes import sources, store

        decided.specs = specs
        new = [item for item in specs if item.type == "volume" and not store.exists(layout, item.source)]
        decided.anonymous = sources.prepare(layout, specs, container_id)
        for item in new:
            events.volume(layout, "create", item.source)
        decided.oci = [_oci(item, options.privileged) for item in specs]
        decided.shown = [item.record() for item in specs]
    return decided


def _parse(layout: Layout, image: dict[str, Any], options: RunOptions) -> list[MountSpec]:
    from pyrun.volumes import spec

    mounts: list[MountSpec] = []
    if options.mount:
        from pyrun.volumes.mount_option import parse_mount

        mounts = [parse_mount(text) for text in options.mount]
    volumes = [spec.parse_volume(text) for text in options.volume]
    inherited: list[MountSpec] = []
    if options.volumes_from:
        from pyrun.store import containers
        from pyrun.volumes import volumes_from

        inherited = volumes_from.inherited(
            options.volumes_from, lambda name: containers.load(containers.resolve(layout, name)[1])
        )
    tmpfs = [spec.parse_tmpfs(text) for text in options.tmpfs]
    specs = spec.combine(volumes, mounts, tmpfs, image["volumes"], inherited)
    for item in specs:
        if any(item.target == path or item.target.startswith(path + "/") for path in _RESERVED):
            raise InvalidInputError(f"cannot mount on {item.target}: it is inside {item.target[:5].rstrip('/')}")
    return specs


def _oci(item: MountSpec, trusted: bool) -> dict[str, Any]:
    if item.type == "tmpfs":
        return {"destination": item.target, "type": "tmpfs", "source": "tmpfs", "options": item.options}
    options = ["rbind" if item.recursive else "bind", item.propagation or "rprivate"]
    if item.readonly:
        options.append("ro")
    if not trusted and os.geteuid() == 0:
        # Root's container may mknod(2), and there is no device cgroup: a node in a volume must open nothing.
        options.append("nodev")
    return {"destination": item.target, "type": "bind", "source": item.path, "options": options}


def fill(layout: Layout, decided: Mounts, view: View) -> None:
    """Copy what the image has at a volume's place into the volume, if that is empty, as docker does at create."""
    from pyrun.engine import namespace
    from pyrun.volumes import store

    for item in decided.specs:
        if item.type != "volume" or not store.needs_copy_up(layout, item.source):
            continue
        sources = [] if item.nocopy else view.sources(item.target)
        # A filling that was cut short is undone in any case: the next one would undo what this container writes.
        if not sources and not store.was_cut_short(layout, item.source):
            continue
        with store.CopyUp(layout, item.source) as copy:
            if copy.needed:
                for source in reversed(sources):
                    namespace.copy(layout, source, item.path, "--overlay")


def settle(layout: Layout, decided: Mounts) -> None:
    """Let the anonymous volumes of a container stay when it is removed, but by `rm -v`."""
    from pyrun.volumes import store

    for name in decided.anonymous:
        store.disown(layout, name)


def forget(layout: Layout, decided: Mounts) -> None:
    """Remove the anonymous volumes of a container that was not made after all."""
    from pyrun.engine import events, namespace
    from pyrun.volumes import store

    namespace.register(layout)  # they may be filled already, with files of subordinate ids
    for name in decided.anonymous:
        store.discard(layout, name)
        events.volume(layout, "destroy", name)
