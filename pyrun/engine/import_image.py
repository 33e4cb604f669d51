"""The verb import: a root file system's tar becomes an image of one layer.

It must not print. The tar is packed as `commit` packs its layers, whatever it was packed with.
"""

from __future__ import annotations

import os
import time
from contextlib import closing

from pyrun.engine import commit, commit_layer, events, namespace, obituary, publication
from pyrun.engine.lifecycle import signal_number
from pyrun.errors import InvalidInputError, PyrunError, UnsafeLayerError
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

    Raises: InvalidInputError and its kinds; RegistryError; UnsafeLayerError for what is no tar; StorageFullError.
    """
    tag = commit.tag_of(options.reference)
    platform = Platform.parse(options.platform) if options.platform else host()
    defaults = instructions.apply(ContainerConfig(), options.changes)
    if defaults.stop_signal:
        signal_number(defaults.stop_signal)
    obituary.write_all(layout)
    sweep(layout)
    with publication.undone_on_failure(layout), leases.acquire(layout, []) as lease:
        namespace.register(layout)
        with closing(_decompressed(_raw(source, input_fd), source)) as chunks:

            def pack(blob_fd: int, unpacker: Unpacker) -> Written:
                return write_layer(chunks, blob_fd, unpacker.write)

            try:
                layer = commit_layer.stage(layout, lease, pack)
            except UnsafeLayerError as error:
                reason = f"{error.entry}: {error.reason}" if error.entry else error.reason
                raise InvalidInputError(f"cannot import: {_shown(source)}: {reason}") from error
        if layer is None:
            raise InvalidInputError(f"cannot import: {_shown(source)}: it is empty")
        config = _config(platform, defaults, layer, options.message or f"Imported from {source}")
        nothing = Descriptor(media_types.OCI_CONFIG, layer.diff_id, 0)  # store_image describes the configuration
        manifest = Manifest(2, nothing, [layer.descriptor], media_type=media_types.OCI_MANIFEST)
        image_id = commit.store_image(layout, config, manifest, layer, {}, lease, tag)
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
        yield from read_chunks(input_fd)
    elif source.startswith(("http://", "https://")):
        if "@" in source.split("/")[2]:  # it would stand in the image's history, for everybody
            raise InvalidInputError(
                "cannot import: the URL has a user or password, which is not sent", hint="`curl URL | pyrun import -`"
            )
        from pyrun.registry import download

        yield from download.chunks(source)
    else:
        try:
            fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InvalidInputError(f"cannot import: {source}: {(error.strerror or '').lower()}") from error
        try:
            yield from read_chunks(fd)
        except IsADirectoryError:
            raise InvalidInputError(
                f"cannot import: {source}: it is a directory", hint=f"`tar -c -C {source} . | pyrun import -`"
            ) from None
        finally:
            os.close(fd)


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
        buffer = bytearray(_BUFFER)
        try:
            while size := reader.readinto(buffer):
                yield bytes(memoryview(buffer)[:size])
        except PyrunError:
            raise
        except compression.errors() as error:
            reason = f"it cannot be decompressed ({kind}): {error}"
            raise InvalidInputError(f"cannot import: {_shown(source)}: {reason}") from error


def _shown(source: str) -> str:
    return "standard input" if source == STDIN else source
