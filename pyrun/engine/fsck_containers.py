"""Part of fsck: containers' records, their names, and what they need of images.

It must not know a container's files: what a container has written has no digest.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyrun.engine import fsck_beside
from pyrun.errors import ContainerNotFoundError, StoreCorruptError
from pyrun.store import blobs, containers, new_container

if TYPE_CHECKING:
    from pyrun.engine.fsck import Check


def check(check: Check) -> None:
    """Check each container, then the names."""
    by_name: dict[str, str] = {}
    for container_id, path in containers.list(check.layout):
        if not fsck_beside.check_container(check, path, container_id[:12]):
            continue
        try:
            record = containers.load(path)
            bundle = [containers.load_file(path, name) for name in ("config.json", "rootfs.json")]
        except ContainerNotFoundError:
            if os.path.isdir(path) and not os.path.exists(f"{path}/container.json"):
                check.findings.add("container", container_id[:12], "container.json is missing")
            continue
        except StoreCorruptError as error:
            check.findings.add("container", container_id[:12], str(error))
            continue
        for problem in _problems(check, container_id, record, bundle[1]):
            if os.path.isdir(path):
                check.findings.add("container", container_id[:12], problem)
        if isinstance(record.get("name"), str) and record["name"]:
            by_name[record["name"]] = path
    _check_names(check, by_name)


def _problems(check: Check, container_id: str, record: dict[str, Any], rootfs: dict[str, Any]) -> list[str]:
    found = []
    if record.get("id") != container_id:
        found.append(f"container.json is another container's: {record.get('id')}")
    manifest = record.get("manifest") or ""
    known = {image.digest for image in check.images}
    if manifest and manifest not in known and not blobs.exists(check.layout, manifest):
        found.append(f"its image does not exist: {manifest}")
    lowerdirs = rootfs.get("lowerdirs")
    if not isinstance(lowerdirs, list):
        return [*found, "rootfs.json has no list of layers"]
    found += [f"a layer of it does not exist: {lower}" for lower in lowerdirs if not os.path.isdir(str(lower))]
    layers = next((image.layers for image in check.images if image.digest == manifest), None)
    if layers:
        below = {diff_id.partition(":")[2] for _, diff_id in layers}
        strange = [
            lower
            for lower in lowerdirs
            if str(lower).startswith(check.layout.layers + "/") and not below & set(str(lower).split("/"))
        ]
        found += [f"a layer of it is not its image's: {lower}" for lower in strange]
    return found


def _check_names(check: Check, by_name: dict[str, str]) -> None:
    for name, path in by_name.items():
        link = check.layout.name(name)
        if os.path.isdir(link) or not os.path.isdir(path):
            continue

        def mend(name: str = name, path: str = path) -> str:
            new_container.take_name(check.layout, name, path, os.path.basename(path))
            return f"given to {os.path.basename(path)[:12]} again"

        problem = "leads nowhere" if os.path.lexists(link) else "is not there"
        check.findings.add("name", name, f"{problem}, though a container has it", mend)
    try:
        links = os.listdir(check.layout.names)
    except FileNotFoundError:
        return
    for name in links:
        holder = containers.holder(check.layout, name)
        if os.path.isdir(holder) and by_name.get(name) != holder and containers.is_named(holder, name) is False:
            # A rename that is at work, or was killed, leaves both names: the old one is anybody's to take.
            own = next((own for own, path in by_name.items() if path == holder), "")
            kind = "note" if own and containers.holder(check.layout, own) == holder else "name"
            check.findings.add(kind, name, f"leads to a container of another name: {os.path.basename(holder)[:12]}")
