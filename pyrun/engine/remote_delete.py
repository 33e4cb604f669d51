"""The verb registry delete: forget an image at its registry. It must not print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrun.engine.remote import Repository
from pyrun.errors import RegistryError

if TYPE_CHECKING:
    from pyrun.engine.remote import Access


def delete(text: str, access: Access) -> str:
    """Delete a manifest by digest, and with it every tag that points to it; return the digest.

    A tag alone cannot be deleted everywhere (distribution-spec 1.1 "Deleting tags" is optional), a digest can wherever
    deletion is allowed. Its blobs are left to the registry's own collection.
    Raises: ManifestUnknownError; RegistryError where the registry allows no deletion.
    """
    with Repository(text, access, is_changed=True) as repository:
        digest = repository.reference.digest or repository.resolve()[0].digest
        try:
            repository.client.delete_manifest(repository.path, digest)
        except RegistryError as error:
            if error.status == 405:
                error.hint = (
                    "the registry must allow it: docker-registry does with REGISTRY_STORAGE_DELETE_ENABLED=true"
                )
            raise
        return digest
