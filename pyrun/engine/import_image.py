"""The verb import: a root file system's tar becomes an image of one layer.

It must not print. The tar is packed as `commit` packs its layers, whatever it was packed with.
"""

from __future__ import annotations

import os
import time
from contextlib import closing

from pyrun.engine import commit, commit_layer, events, judgement, namespace, obituary, publication
from pyrun.engine.lifecycle import signal_number
from pyrun.engine.origin import Origin
from pyrun.errors import InvalidInputError, PyrunError, UnsafeLayerError
from pyrun.images import tar_header
from pyrun.layers import compression
from pyrun.layers.write import read_chunks, write_layer
from pyrun.oci import instructions, media_types
from pyrun.oci import reference as references
from pyrun.oci.config import ContainerConfig, History, ImageConfig, RootFS
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.manifest import Manifest
from pyrun.oci.platform import Platform, host
from pyrun.runtime import state
from pyrun.store import leases
from pyrun.store.sweep import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from pyrun.engine.fetch import Staged
    from pyrun.layers.unpack import Unpacker
    from pyrun.layers.write import Written
    from pyrun.store.layout import Layout

STDIN = "-"
_BUFFER = 1 << 18


class Options:
    """``reference``: the tag, or ""; ``changes``: Dockerfile instructions; ``message`` "": where it came from."""

    __slots__ = ("changes", "message", "platform", "reference")

    def __init__(
        self, *, reference: str = "", message: str = "", changes: Sequence[str] = (), platform: str | None = None
    ) -> None:
        self.reference = reference
        self.message = message
        self.changes = changes
        self.platform = platform


def import_image(layout: Layout, source: str, options: Options, *, input_fd: int = 0) -> str:
    """Make an image of what a file, an http(s) URL or ``input_fd`` (source ``-``) holds; return its id, ``sha256:…``.

    Raises: PolicyRejectedError; InvalidInputError and its kinds; RegistryError; UnsafeLayerError for what is no tar;
    StorageFullError.
    """
    tag = commit.tag_of(options.reference)
    platform = Platform.parse(options.platform) if options.platform else host()
    defaults = instructions.apply(ContainerConfig(), options.changes)
    if defaults.stop_signal:
        signal_number(defaults.stop_signal)
    obituary.write_all(layout)
    sweep(layout)
    # There are no signatures to ask for, so it can be judged before anything is read.
    admitted = judgement.admit(Origin.tarball("" if source == STDIN else source), "")
    with publication.undone_on_failure(layout), leases.acquire(layout, []) as lease:
        namespace.register(layout)
        with closing(_checked(_decompressed(_raw(source, input_fd), source), source)) as chunks:

            def pack(blob_fd: int, unpacker: Unpacker) -> Written:
                return write_layer(chunks, blob_fd, unpacker.write)

            try:
                layer = commit_layer.stage(layout, lease, pack)
            except UnsafeLayerError as error:
                reason = f"{error.entry}: {error.reason}" if error.entry else error.reason
                raise _refused(source, reason) from error
        if layer is None:
            raise _refused(source, "it is empty")
        config = _config(platform, defaults, layer, options.message or f"Imported from {source}")
        nothing = Descriptor(media_types.OCI_CONFIG, layer.diff_id, 0)  # store_image describes the configuration
        manifest = Manifest(2, nothing, [layer.descriptor], media_type=media_types.OCI_MANIFEST)
        image_id = commit.store_image(layout, config, manifest, layer, {}, lease, tag, admitted)
    events.image(layout, "import", image_id, references.parse_normalized(tag).familiar if tag else image_id)
    return image_id


def _config(platform: Platform, defaults: ContainerConfig, layer: Staged, comment: str) -> ImageConfig:
    created = state.rfc3339(time.time_ns())
    return ImageConfig(
        architecture=platform.architecture, os=platform.os, variant=platform.variant or None, created=created,
        config=defaults, rootfs=RootFS(type="layers", diff_ids=[layer.diff_id]),
        history=[History(created=created, comment=comment)],
    )  # fmt: skip


def _raw(source: str, input_fd: int) -> Generator[bytes, None, None]:
    if source == STDIN:
        yield from _read(input_fd, source)
    elif source.startswith(("http://", "https://")):
        if "@" in source.split("/")[2]:  # it would stand in the image's history, for everybody
            raise InvalidInputError(
                "cannot import: the URL has a user or password, which is not sent", hint="`curl URL | pyrun import -`"
            )
        from pyrun.registry import download

        yield from download.chunks(source)
    elif "://" in source:
        raise InvalidInputError(
            f"cannot import: {source}: not an http or https URL", hint="`curl URL | pyrun import -`, or a file's path"
        )
    else:
        try:
            fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _refused(source, (error.strerror or "").lower()) from error
        try:
            yield from _read(fd, source)
        finally:
            os.close(fd)


def _read(fd: int, source: str) -> Generator[bytes, None, None]:
    try:
        yield from read_chunks(fd)
    except IsADirectoryError:
        hint = f"`tar -c -C {'.' if source == STDIN else source} . | pyrun import -`"
        raise _refused(source, "it is a directory", hint=hint) from None
    except OSError as error:
        raise _refused(source, f"it cannot be read: {(error.strerror or '').lower()}") from error


def _checked(chunks: Generator[bytes, None, None], source: str) -> Generator[bytes, None, None]:
    """Give what comes if a tar begins so."""
    with closing(chunks):
        head = b""
        while len(head) < tar_header.BLOCK and (chunk := next(chunks, b"")):
            head += chunk
        if head and not tar_header.begins(head[: tar_header.BLOCK]):
            raise _refused(
                source, "it is no tar archive", hint="it has to be one of a root file system: `tar -c -C DIRECTORY .`"
            )
        yield from filter(None, [head])
        yield from chunks


def _decompressed(raw: Generator[bytes, None, None], source: str) -> Generator[bytes, None, None]:
    with closing(raw):
        head = b""
        while len(head) < compression.MAGIC_SIZE and (chunk := next(raw, b"")):
            head += chunk
        kind = compression.detect(head)
        if kind == "none":
            yield from filter(None, [head])
            yield from raw
            return
        reader = compression.reader(kind, head, lambda: next(raw, b""))
        buffer, is_empty = bytearray(_BUFFER), True
        try:
            while size := reader.readinto(buffer):
                is_empty = False
                yield bytes(memoryview(buffer)[:size])
            if is_empty:
                raise _refused(source, f"nothing comes out of it ({kind}): it is empty, or cut short")
        except PyrunError:
            raise
        except compression.errors() as error:
            raise _refused(source, f"it cannot be decompressed ({kind}): {error}") from error


def _refused(source: str, reason: str, *, hint: str = "") -> InvalidInputError:
    what = "standard input" if source == STDIN else source or "''"
    return InvalidInputError(f"cannot import: {what}: {reason}", hint=hint)
