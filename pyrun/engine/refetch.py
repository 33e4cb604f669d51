"""Blobs that `system prune --blobs` has dropped come back, from a registry that had them: for push, save, another form.

It must not know verbs. Verified, resumed and fetched once as in a pull. The caller holds a lease on what it wants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.engine import sources
from pyrun.engine.fetch import Fetch
from pyrun.errors import IntegrityError, PyrunError, RegistryError
from pyrun.layers.pyrun_tree import spawn_here
from pyrun.oci import reference as references
from pyrun.oci.descriptor import Descriptor
from pyrun.runtime.engine_ns import FORM_FULL
from pyrun.store import dropped, fsio

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyrun.engine.push_content import Described
    from pyrun.engine.sources import ImageSource
    from pyrun.registry.credentials import CredentialStore
    from pyrun.store.layout import Layout


class Refetch:
    """Fetches again; ``credentials`` and ``tls_verify`` as for a pull. Usable from several threads."""

    def __init__(
        self, layout: Layout, *, credentials: CredentialStore | None = None, tls_verify: bool | None = None
    ) -> None:
        self._layout = layout
        self._credentials = credentials
        self._tls_verify = tls_verify
        self._open: list[ImageSource] = []
        self._is_aborted = False

    def bring(self, wanted: Iterable[Described]) -> None:
        """Fetch those that were dropped; others that are missing are their reader's to tell of.

        Raises: RegistryError where no registry that had them gives them; StorageFullError.
        """
        groups: dict[tuple[str, ...], dict[str, Descriptor]] = {}
        for item in wanted:
            if names := dropped.repositories(self._layout, item.digest):
                groups.setdefault((*names,), {})[item.digest] = Descriptor(item.media_type, item.digest, item.size)
        for places, blobs in groups.items():
            self._from_any(places, blobs)

    def abort(self) -> None:
        """End it, from another thread."""
        self._is_aborted = True
        for source in [*self._open]:
            source.abort()

    def _from_any(self, names: tuple[str, ...], blobs: dict[str, Descriptor]) -> None:
        failure: PyrunError | None = None
        for name in names:
            try:
                return self._from(name, [*blobs.values()])
            except (RegistryError, IntegrityError) as error:
                failure = failure or error
                if self._is_aborted:
                    raise
        assert failure is not None
        raise RegistryError(
            f"cannot fetch again what `system prune --blobs` dropped: {failure.message}", registry="", hint=failure.hint
        ) from failure

    def _from(self, name: str, blobs: list[Descriptor]) -> None:
        place = references.parse_normalized(name)
        source = sources.source_of(place, tls_verify=self._tls_verify, credentials=self._credentials)
        self._open.append(source)
        try:
            if self._is_aborted:  # just before it could be told
                source.abort()
            with Fetch(self._layout, source, FORM_FULL, spawn_here, _deaf) as fetch:
                fetch.stage([], blobs=blobs)
                fsio.sync_file_system(self._layout.root)
                fetch.publish()
        finally:
            self._open.remove(source)
            source.close()


def _deaf(event: str, what: str, number: int) -> None:
    """Hear no progress."""
