"""How `fsck --repair` puts right bytes in the place of wrong ones: verified, synced, then one rename.

The damaged thing is kept in quarantine/; nothing is deleted. Killed at any instant, the store has the old thing, the
new one, or (between the two renames of a directory) neither, which the next `fsck --repair` finds and makes again.
It must not know what is damaged.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from pyrun.engine import forms, idmap, sources
from pyrun.errors import (
    DigestMismatchError,
    PyrunError,
    SizeMismatchError,
    StoreCorruptError,
)
from pyrun.images import record as records
from pyrun.layers import patch, unpack
from pyrun.layers.lowerdir import patch_dir
from pyrun.oci import digest as digests
from pyrun.oci.reference import parse_normalized
from pyrun.runtime import engine_ns
from pyrun.store import blobs, fsio, owner, quarantine, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyrun.engine.sources import ImageSource
    from pyrun.layers.pyrun_tree import Spawn
    from pyrun.oci.descriptor import Descriptor
    from pyrun.oci.reference import Reference
    from pyrun.store.layout import Layout

_Got = TypeVar("_Got")


class Mender:
    """Makes things anew. Each method returns what it did, for the user, or raises and has changed nothing."""

    def __init__(self, layout: Layout, spawn: Spawn, *, force: bool, tls_verify: bool | None) -> None:
        self._layout = layout
        self._spawn = spawn
        self._force = force
        self._tls_verify = tls_verify

    def file(self, path: str, data: bytes, what: str, *, mode: int = 0o600) -> str:
        """Write a small file anew, and keep the old one."""
        staged = f"{self._layout.tmp}/{owner.token()}"
        fsio.write_new(staged, data, mode=mode)
        return self._replace_file(path, staged, what) or "written anew"

    def document(self, digest: str, places: Sequence[str], make: Callable[[], bytes] | None = None) -> str:
        """Get a manifest, index or config again: made from another document, else from a registry that has it."""
        if make is not None:
            data, told = make(), "made again from the original that it was converted from"
        else:
            data, told = self._from_places(places, lambda source, at: self._small(source, at, digest))
        staged = blobs.stage(self._layout, data, digest, "document")
        return f"{told}{self._replaced(digest, staged)}"

    def config(self, descriptor: Descriptor, places: Sequence[str]) -> str:
        """Get a config again."""
        data, told = self._from_places(places, lambda source, _: source.blob(descriptor))
        return (
            f"{told}{self._replaced(descriptor.digest, blobs.stage(self._layout, data, descriptor.digest, 'config'))}"
        )

    def blob(self, descriptor: Descriptor, places: Sequence[str]) -> str:
        """Fetch a layer's blob again."""
        try:
            staged, told = self._from_places(places, lambda source, _: self._fetch(source, descriptor))
        except PyrunError:
            if not self._force:
                raise
            return self._given_up(self._layout.blob(descriptor.digest), f"blob-{descriptor.digest}")
        return f"{told}{self._replaced(descriptor.digest, staged)}"

    def layer(self, descriptor: Descriptor, diff_id: str, form: str, *, in_use: bool) -> str:
        """Unpack a layer again from its blob, or derive its form again."""
        layout, target = self._layout, self._layout.layer(diff_id, form)
        id_map = idmap.of_form(form, engine_ns.engine_map())
        if id_map is None:
            building, told = self._unpack(descriptor, diff_id, form), "unpacked again from its blob"
        else:
            building = forms.build(layout, layout.layer(diff_id, engine_ns.FORM_FULL), target, id_map)
            told = "derived again from the full form"
        told += self._swap(building, target, f"layer-{diff_id}-{form}")
        return told + (", containers that run keep the old files until they are started again" if in_use else "")

    def patch(self, diff_ids: Sequence[str], form: str) -> str:
        """Build an image's patch again from its layers."""
        building = f"{self._layout.tmp}/{owner.token()}"
        directories = [self._layout.layer(item, form) for item in diff_ids]
        target = patch_dir(self._layout, diff_ids, form)
        id_map = idmap.of_form(form, engine_ns.engine_map())
        if id_map is not None:
            building = forms.build(self._layout, patch_dir(self._layout, diff_ids, engine_ns.FORM_FULL), target, id_map)
        elif not patch.build(directories, temporary=building, spawn=self._spawn):
            return self.set_aside(target, f"patch-{diff_ids[-1]}-{form}")
        fsio.sync_file_system(building)
        return "built again from the layers" + self._swap(building, target, f"patch-{diff_ids[-1]}-{form}")

    def record(self, record: dict[str, Any]) -> str:
        """Write an image's record anew."""
        staged = records.stage(self._layout, record)
        self._replace_file(self._layout.image(record["manifest"]), staged, f"record-{record['manifest']}")
        return "made again from manifest and config"

    def set_aside(self, path: str, what: str) -> str:
        """Take away what does not belong there."""
        return f"kept as {quarantine.take(self._layout, path, what)}"

    def _unpack(self, descriptor: Descriptor, diff_id: str, form: str) -> str:
        building = f"{self._layout.tmp}/{owner.token()}"
        os.mkdir(building, 0o700)
        try:
            unpack.unpack_stream(
                blobs.chunks(self._layout.blob(descriptor.digest)), descriptor=descriptor, diff_id=diff_id,
                dest_dir=building, form=form, spawn=self._spawn,
            )  # fmt: skip
            fsio.sync_file_system(building)
        except BaseException:
            trees.remove_tree(building)
            raise
        return building

    def _swap(self, building: str, target: str, what: str) -> str:
        fsio.make_directory(target.rpartition("/")[0])
        kept = quarantine.take(self._layout, target, what)
        os.rename(building, target)
        return _kept(kept)

    def _replaced(self, digest: str, staged: str) -> str:
        os.chmod(staged, blobs.BLOB_MODE)
        kept = self._replace_file(self._layout.blob(digest), staged, f"blob-{digest}")
        return _kept(kept)

    def _replace_file(self, path: str, staged: str, what: str) -> str:
        try:
            fsio.sync_file_system(staged.rpartition("/")[0])
            kept = quarantine.keep_file(self._layout, path, what)
            os.rename(staged, path)
        except BaseException:
            fsio.unlink_quietly(staged)
            raise
        return kept

    def _given_up(self, path: str, what: str) -> str:
        return f"it cannot be had again{_kept(quarantine.take(self._layout, path, what))}"

    def _from_places(self, places: Sequence[str], get: Callable[[ImageSource, Reference], _Got]) -> tuple[_Got, str]:
        """Ask the registries that an image came from, one after the other; ``places``: NAME@DIGEST each."""
        failure: PyrunError | None = None
        for name in dict.fromkeys(place.partition("@")[0] for place in places):
            at = parse_normalized(name)
            try:
                source = sources.source_of(at, tls_verify=self._tls_verify)
                try:
                    return get(source, at), f"fetched again from {at.name}"
                finally:
                    source.close()
            except PyrunError as error:
                failure = error
        raise failure or StoreCorruptError(
            "no registry is known to have it", path="", hint="pull or build the image again"
        )

    def _small(self, source: ImageSource, at: Reference, digest: str) -> bytes:
        at.digest = digest
        return source.resolve(at)[1]

    def _fetch(self, source: ImageSource, descriptor: Descriptor) -> str:
        """Bring a blob below tmp/, verified."""
        staged = f"{self._layout.tmp}/{owner.token()}"
        state, count = digests.hasher(descriptor.digest), 0
        fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for chunk in source.chunks(descriptor):
                state.update(chunk)
                count += len(chunk)
                if count > descriptor.size:
                    break
                fsio.write_all(fd, chunk)
            what = f"layer {descriptor.digest}"
            if count != descriptor.size:
                raise SizeMismatchError(what, expected=descriptor.size, actual=count)
            if f"sha256:{state.hexdigest()}" != descriptor.digest:
                raise DigestMismatchError(what, expected=descriptor.digest, actual=f"sha256:{state.hexdigest()}")
        except OSError as error:
            fsio.unlink_quietly(staged)
            raise fsio.full_or(error, staged) from error
        except BaseException:
            fsio.unlink_quietly(staged)
            raise
        finally:
            os.close(fd)
        return staged


def _kept(path: str) -> str:
    return f", the damaged one is kept as {path}" if path else ""
