"""The format of the store: the skeleton is made once, and a format that is too new is refused in one sentence.

It must not know what the directories hold. Hot: every verb calls `open_store` first.
"""

from __future__ import annotations

import os

from pyrun.errors import StoreError, StoreVersionError
from pyrun.store import fsio, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.store.layout import Layout

FORMAT = 1
_CONTENT = b'{"format":1,"min_reader":1,"min_writer":1}\n'
_OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_EMPTY_INDEX = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'


def open_store(layout: Layout, *, write: bool = True) -> None:
    """Check the store's version and make what is missing of it (also the runtime directory); cheap when all is there.

    Raises:
        StoreVersionError: a newer pyrun wrote it in a format that this one must not read (or not write).
        StoreError: the directory is not ours, or cannot be made.
    """
    try:
        content = fsio.read_bytes(layout.version)
    except FileNotFoundError:
        _create(layout)
    except OSError as error:
        raise StoreError(
            f"cannot read store: {layout.version}: {(error.strerror or '').lower()}",
            path=layout.version,
            hint="give a directory of yours with --root DIRECTORY or PYRUN_ROOT",
        ) from error
    else:
        if content != _CONTENT:
            _judge(layout, content, write)
        if os.geteuid() == 0:
            _check_owner(layout)
    _create_runtime(layout)


def damaged(layout: Layout) -> list[tuple[str, bytes]]:
    """Return the files of the skeleton that are not as they were written, each with what it should hold.

    A store that a newer pyrun has upgraded is not for this function: `open_store` refuses it.
    """
    found = []
    for path, content in ((layout.version, _CONTENT), (layout.oci_layout, _OCI_LAYOUT)):
        try:
            if _meaning(fsio.read_bytes(path)) == _meaning(content):
                continue
        except FileNotFoundError:
            pass
        found.append((path, content))
    return found


def is_nonsense(layout: Layout) -> bool:
    """Whether the version file is damaged: no version of pyrun needs a newer reader or writer than wrote it."""
    document = _meaning(fsio.read_bytes(layout.version))
    if not isinstance(document, dict):
        return True
    try:
        return bool(max(document["min_reader"], document["min_writer"]) > document["format"])
    except (KeyError, TypeError):
        return True


def _meaning(content: bytes) -> object:
    """Another tool may have written the same document with other spaces."""
    from pyrun.oci import json

    try:
        return json.loads(content)
    except ValueError:
        return None


def _check_owner(layout: Layout) -> None:
    """Refuse root a user's store (`sudo -E`, `--root`): what root makes there, its owner could not change or remove."""
    uid = os.stat(layout.version).st_uid
    if uid != 0:
        raise StoreError(
            f"cannot use store: {layout.root}: it belongs to user {uid}",
            path=layout.root,
            hint="run pyrun as that user, without sudo; or give root a store of its own with --root DIRECTORY",
        )


def _judge(layout: Layout, content: bytes, write: bool) -> None:
    from pyrun.oci import json

    try:
        document = json.loads(content)
        found, needed = document["format"], document["min_writer" if write else "min_reader"]
        is_too_new = needed > FORMAT
    except (ValueError, KeyError, TypeError):
        raise StoreVersionError(
            f"cannot use store: {layout.root}: its version file is not readable",
            path=layout.version,
            hint="give another store with --root DIRECTORY",
        ) from None
    if is_too_new:
        raise StoreVersionError(
            f"cannot {'write' if write else 'read'} store: {layout.root}: it has format {found}, "
            f"this pyrun knows format {FORMAT}",
            path=layout.root,
            hint="use the newer pyrun that wrote it, or another store: --root DIRECTORY",
        )


def _create(layout: Layout) -> None:
    try:
        for path in (
            f"{layout.blobs}/sha256",
            f"{layout.layers}/sha256",
            layout.images,
            layout.signatures,
            layout.containers,
            layout.ephemeral,
            layout.names,
            layout.volumes,
            layout.networks,
            layout.cache,
            layout.events_directory,
            layout.partials,
            layout.tmp,
            layout.leases,
            layout.trash,
        ):
            fsio.make_directory(path)
        # Several first starts at once: whoever is last replaces a file by the same bytes; the index only if absent.
        fsio.write_atomic(layout.oci_layout, _OCI_LAYOUT, temporary=f"{layout.tmp}/{owner.token()}")
        with fsio.FileLock(layout.index_lock, exclusive=True):
            if not os.path.exists(layout.index):
                fsio.write_atomic(layout.index, _EMPTY_INDEX, temporary=f"{layout.tmp}/{owner.token()}")
        # Last: a store with a version file is complete.
        fsio.write_atomic(layout.version, _CONTENT, temporary=f"{layout.tmp}/{owner.token()}")
    except OSError as error:
        raise StoreError(
            f"cannot make store: {error.filename or layout.root}: {(error.strerror or '').lower()}",
            path=layout.root,
            hint="give a directory of yours with --root DIRECTORY or PYRUN_ROOT",
        ) from error


def _create_runtime(layout: Layout) -> None:
    # A cleaner of /tmp, or the end of a login session, takes some of them, or all.
    missing = [path for path in (layout.live, layout.sockets, layout.runtime_network) if not os.path.isdir(path)]
    if not missing:
        return
    try:
        for path in missing:
            fsio.make_directory(path)
    except OSError as error:
        raise StoreError(
            f"cannot make runtime directory: {error.filename or layout.runtime}: {(error.strerror or '').lower()}",
            path=layout.runtime,
            hint="set XDG_RUNTIME_DIR to a private directory of yours",
        ) from error
    if layout.live in missing:
        from pyrun.store import containers

        containers.link_running(layout)
