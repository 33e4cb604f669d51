"""A repository of a registry, spoken to as it is: no mirror, no store.

What the verbs `registry …` share. It must not print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pyrun.engine import sources
from pyrun.errors import InvalidInputError
from pyrun.oci import reference as references
from pyrun.oci.reference import Reference
from pyrun.registry.client import RegistryClient
from pyrun.registry.url import authority_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyrun.oci.descriptor import Descriptor

_SCHEME = "docker://"  # as skopeo names a registry; there is no other place here


class Access(NamedTuple):
    """How registries are reached: credentials of another file, or typed; TLS demanded, or done without.

    ``cert_dir``: certificates of this directory instead of those of certs.d.
    """

    authfile: str = ""
    tls_verify: bool | None = None
    creds: str = ""
    cert_dir: str = ""

    def elsewhere(self) -> Access:
        """Return how another registry is reached than the one that a password was typed for."""
        return self._replace(creds="")


def require_one_registry(names: Iterable[str], access: Access) -> None:
    """Refuse to show a password that was typed to more registries than one. Raises: InvalidInputError."""
    if not access.creds:
        return
    found = dict.fromkeys(references.parse_normalized(name.removeprefix(_SCHEME)).domain for name in names)
    if len(found) > 1:
        raise InvalidInputError(f"credentials are for one registry: there are {', '.join(found)}")


class Repository:
    """An open repository and the reference that led to it; close it, or use it with ``with``."""

    __slots__ = ("client", "path", "reference")

    def __init__(self, text: str, access: Access, *, is_changed: bool = False) -> None:
        """Find it, ask nothing yet; to change it, at the registry that is named, whatever its ``location`` is.

        Raises: InvalidReferenceError; RegistryError where it is blocked.
        """
        self.reference = references.parse_normalized(text.removeprefix(_SCHEME)).with_default_tag()
        configuration = sources.configuration()
        place = configuration.named(self.reference) if is_changed else configuration.primary(self.reference)
        self.path = place.path
        self.client = client_of(place.domain, access, insecure=place.insecure)

    @property
    def name(self) -> str:
        """The repository, whole, as the user named it: no tag, no digest."""
        return self.reference.name

    def resolve(self) -> tuple[Descriptor, bytes]:
        """Fetch what the reference names. Raises: RegistryError and its kinds; DigestMismatchError."""
        return self.client.resolve(Reference(self.client.domain, self.path, self.reference.tag, self.reference.digest))

    def manifest(self, descriptor: Descriptor) -> bytes:
        """Fetch a manifest by digest. Raises: as `resolve`."""
        return self.client.manifest(self.path, descriptor.digest, descriptor.size)[1]

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()


def client_of(domain: str, access: Access, *, insecure: bool = False) -> RegistryClient:
    """Return a client of one registry. Raises: InvalidInputError for credentials that are none."""
    credentials = sources.credentials_of(access.authfile, access.creds)
    hosts = [authority_of(domain)] if insecure else []
    return RegistryClient(domain, credentials, insecure=hosts, tls_verify=access.tls_verify, cert_dir=access.cert_dir)
