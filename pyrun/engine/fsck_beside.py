"""Part of fsck: small files that no digest names, and that carry a checksum of themselves instead.

Documents (store/sealed.py), lines and slots (store/sealed_lines.py): damage is found, one flipped bit is put right byte
for byte. It must not know what they mean; of containers it is given the directories.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from pyrun.engine import events, filters
from pyrun.errors import StoreCorruptError
from pyrun.linux import seccomp
from pyrun.oci import json
from pyrun.runtime import state
from pyrun.store import fsio, image_mounts, quarantine, sealed, sealed_lines, tag_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pyrun.engine.fsck import Check

# Of a container: with these damaged, nothing else can be said of it.
_DOCUMENTS = ("container.json", "config.json", "rootfs.json")


def check(check: Check) -> None:
    """Check what belongs to no container."""
    layout = check.layout
    for directory, kind in ((layout.manifest_lists, "list"), (layout.signatures, "signatures")):
        for name in _names(directory):
            _check_document(check, f"{directory}/{name}", kind, name)
    for name in _names(layout.volumes):
        _check_document(check, f"{layout.volume(name)}/volume.json", "volume", name)
    for name in _names(layout.mounts):
        _check_document(
            check, f"{layout.mount(name)}/{image_mounts.RECORD}", "mount", name,
            otherwise=functools.partial(_set_mount_aside, check, name),
        )  # fmt: skip
    for path in (layout.events_older, layout.events):
        _check_lines(check, path, events.is_sound)
    _check_lines(check, layout.refs_log, tag_log.is_sound, fsio.FileLock(layout.index_lock, exclusive=True))
    _check_cache(check)


def check_container(check: Check, directory: str, subject: str) -> bool:
    """Check a container's small files; False where its record or its bundle is damaged and stays so."""
    documents = [_check_document(check, f"{directory}/{name}", "container", subject) for name in _DOCUMENTS]
    _check_document(check, f"{directory}/{filters.FILE}", "container", subject)
    for name in ("state", "state.earlier", "health"):
        _check_written(check, directory, name, subject, _is_sound_document)
    _check_written(check, directory, "exit", subject, sealed_lines.is_sound_slot)
    return all(documents)


def _check_document(
    check: Check, path: str, kind: str, subject: str, otherwise: Callable[[str], str] | None = None
) -> bool:
    """Compare a sealed document; ``otherwise`` is what mends one of which more than a bit has flipped."""
    data = _read(path)
    name = os.path.basename(path)
    if data is None:
        return True
    if sealed.is_damaged(data):
        problem = f"{name} is damaged: its checksum is another one"
    elif not _is_json(data):
        problem = f"{name} is damaged: it is no JSON"
    else:
        return True

    def mend() -> str:
        right = sealed.mended(data)
        if right is not None:
            return _put_right(check.mender.file(path, right, f"{subject}-{name}"))
        if otherwise is not None:
            return otherwise(path)
        raise StoreCorruptError("more than one bit of it has flipped", path=path)

    return check.findings.add(kind, subject, problem, mend)


def _check_written(check: Check, directory: str, name: str, subject: str, is_sound: Callable[..., bool]) -> None:
    """Compare what a monitor writes; while it lives the file is its own."""
    path = f"{directory}/{name}"
    data = _read(path)
    if data is None or is_sound(data):
        return
    if _read(path) != data:
        return  # it was being written

    def mend() -> str:
        right = sealed_lines.mended(data, lambda candidate: is_sound(candidate, sealed=True))
        if right is None:
            raise StoreCorruptError("more than one bit of it has flipped", path=path)
        if state.is_locked(directory):
            raise StoreCorruptError("the container runs: `pyrun stop` it first", path=path)
        return _put_right(_write_over(check, path, f"{subject}-{name}", data, [(0, right)]))

    check.findings.add("container", subject, f"{name} is damaged: its checksum is another one", mend)


def _check_lines(
    check: Check, path: str, is_sound: Callable[..., bool], lock: AbstractContextManager[object] | None = None
) -> None:
    """Compare the lines of a log. What cannot be put right is blanked: the other lines stay, and so does a copy."""
    data = _read(path) or b""
    name = os.path.relpath(path, check.layout.root)
    damages = sealed_lines.damages(data, is_sound)
    torn = [damage for damage in damages if not damage.is_known]
    for damage in torn:
        check.findings.add("note", name, f"line {damage.number} was cut by a crash or a full disk, or is damaged")
    damages = [damage for damage in damages if damage.is_known]
    if not damages:
        return

    def mend() -> str:
        places = [(damage.begin, damage.right or damage.blank) for damage in damages]
        if lock is None:
            return _write_over(check, path, name, data, places)
        with lock:
            return _write_over(check, path, name, data, places)

    problems = [f"line {damage.number} is damaged: its checksum is another one" for damage in damages]
    check.findings.add_several("log", name, problems, mend)


def _write_over(check: Check, path: str, what: str, data: bytes, places: list[tuple[int, bytes]]) -> str:
    """Write right bytes in place: others append to the file, or have it open. The damaged one is kept first."""
    kept = quarantine.keep_copy(check.layout, data, what)
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for at, right in places:
            if os.pread(fd, len(right), at) != data[at : at + len(right)]:
                raise StoreCorruptError("it has changed meanwhile: try again", path=path)
            os.pwrite(fd, right, at)
        os.fdatasync(fd)
    finally:
        os.close(fd)
    return f"put right, the damaged one is {kept}"


def _check_cache(check: Check) -> None:
    """A start does not believe a damaged filter either, and compiles it again."""
    for name in _names(check.layout.cache):
        path = f"{check.layout.cache}/{name}"
        if name.startswith("seccomp-") and not name.endswith(".tmp") and seccomp.is_damaged(path):
            check.findings.add(
                "cache", name, "is damaged: its checksum is another one",
                functools.partial(check.mender.set_aside, path, name),
            )  # fmt: skip


def _set_mount_aside(check: Check, name: str, path: str) -> str:
    directory = os.path.dirname(path)
    if fsio.is_locked(f"{directory}/{image_mounts.LOCK}"):
        raise StoreCorruptError("more than one bit of it has flipped; unmount it with fusermount3 -u first", path=path)
    return check.mender.set_aside(directory, f"mount-{name}")


def _is_sound_document(data: bytes, *, sealed: bool = False) -> bool:
    # Without room for another file the monitor writes over the old one, and fills it with spaces.
    return sealed_lines.is_sound_object(data.rstrip(b" \n"), sealed=sealed)


def _put_right(told: str) -> str:
    return f"the one bit that had flipped is put right: {told}"


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _read(path: str) -> bytes | None:
    try:
        return fsio.read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
