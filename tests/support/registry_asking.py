"""What tests ask hostile registries for, and how."""

from __future__ import annotations

import random
from binascii import b2a_base64

from pyrun.oci import media_types
from pyrun.oci.descriptor import Descriptor
from pyrun.oci.reference import Reference, parse_normalized
from pyrun.registry.client import RegistryClient
from pyrun.registry.credentials import Credential, CredentialStore
from tests.support.registry_hostile import HostileRegistry, digest_of, manifest_of

DATA = random.Random(1).randbytes(3_000_000)
LAYER = Descriptor(media_types.OCI_LAYER_GZIP, digest_of(DATA), len(DATA))
PATH = f"/v2/app/blobs/{LAYER.digest}"
MANIFEST = manifest_of(b"{}", DATA)


class Known(CredentialStore):
    """Knows one user for every registry."""

    def __init__(self, user: str = "", password: str = "", identity_token: str = "") -> None:
        super().__init__([])
        self._known = Credential(user, password, identity_token) if user or identity_token else None

    def get(self, domain: str, path: str = "") -> Credential | None:
        return self._known


ANONYMOUS = Known()


def reference(registry: HostileRegistry, rest: str = "app:1") -> Reference:
    return parse_normalized(f"{registry.domain}/{rest}")


def fetch(client: RegistryClient, descriptor: Descriptor = LAYER, offset: int = 0) -> bytes:
    with client.blob("app", descriptor, offset) as stream:
        return b"".join(stream)


def basic(user: str, password: str) -> str:
    return "Basic " + b2a_base64(f"{user}:{password}".encode(), newline=False).decode()
