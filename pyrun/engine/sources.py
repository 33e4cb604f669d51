"""Where images come from: a registry, its mirrors, or what ships with pyrun (engine/layout_source.py).

It must not know the store. Each gives verified documents and unverified streams of blobs.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from pyrun.errors import RegistryError, RegistryUnreachableError
from pyrun.oci.reference import Reference
from pyrun.registry.url import authority_of
from pyrun.store.layout import registries_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from typing import Protocol, Self

    from pyrun.oci.descriptor import Descriptor
    from pyrun.oci.signature import Signature
    from pyrun.registry.client import RegistryClient
    from pyrun.registry.config import Configuration, Endpoint
    from pyrun.registry.credentials import CredentialStore

    class ImageSource(Protocol):
        """What `pull` needs of a place."""

        def head(self, reference: Reference) -> str: ...
        def tags(self) -> Iterable[str]: ...
        def resolve(self, reference: Reference) -> tuple[Descriptor, bytes]: ...
        def manifest(self, descriptor: Descriptor) -> bytes: ...
        def blob(self, descriptor: Descriptor) -> bytes: ...
        def chunks(self, descriptor: Descriptor, offset: int = 0) -> Generator[bytes, None, None]: ...
        def abort(self) -> None: ...
        def signatures(self, digest: str) -> Iterator[Signature]: ...
        def close(self) -> None: ...


EMBEDDED_DOMAIN = "pyrun.local"
MIRROR_TRIES = 2  # another place is known: no reason to insist


def credentials_of(authfile: str, typed: str) -> CredentialStore | None:
    """Return what `--authfile` and `--creds USER:PASSWORD` name; None for neither: the user's own files.

    Raises: InvalidInputError for a file that is not there, or words of another form.
    """
    if not authfile and not typed:
        return None
    from pyrun.errors import InvalidInputError
    from pyrun.registry.credentials import Credential, CredentialStore, Offered

    if typed:
        user, colon, password = typed.partition(":")
        if not (user and colon):
            raise InvalidInputError("invalid credentials: not of the form USER:PASSWORD")
        return Offered(Credential(user, password))
    if not os.path.exists(authfile):
        hint = "`pyrun login --authfile FILE` makes one"
        raise InvalidInputError(f"cannot read credentials: {authfile}: no such file", hint=hint)
    return CredentialStore([authfile])


def source_of(
    reference: Reference,
    *,
    tls_verify: bool | None = None,
    credentials: CredentialStore | None = None,
    cert_dir: str = "",
) -> ImageSource:
    """Return the place that a reference names: its registry and that one's mirrors, or what ships with pyrun.

    ``credentials``: instead of the user's; what was typed for the registry is not shown to a mirror of it.

    Raises: RegistryError where the registry is blocked; InvalidConfigError for a bad configuration file.
    """
    if reference.domain == EMBEDDED_DOMAIN:
        from pyrun.engine.layout_source import LayoutSource

        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return LayoutSource(f"{here}/data/{reference.path}", EMBEDDED_DOMAIN)
    for_mirrors = _shown_to_mirrors(credentials)
    places = [
        RegistrySource(place, for_mirrors if place.is_mirror else credentials, tls_verify=tls_verify, cert_dir=cert_dir)
        for place in configuration().endpoints(reference)
    ]
    if len(places) == 1:
        return places[0]
    from pyrun.engine.mirrored_source import MirroredSource

    return MirroredSource(places)


def _shown_to_mirrors(credentials: CredentialStore | None) -> CredentialStore | None:
    if credentials is None:
        return None
    from pyrun.registry.credentials import Offered

    return None if isinstance(credentials, Offered) else credentials


def find(
    text: str,
    *,
    tls_verify: bool | None = None,
    is_asked: bool = True,
    credentials: CredentialStore | None = None,
    cert_dir: str = "",
) -> tuple[Reference, ImageSource]:
    """Return what a name stands for and the place that has it; of several meanings, the first that is there.

    Without ``is_asked`` what has tags is there: a repository need not have `latest`.

    Raises: InvalidReferenceError; as `source_of`; RegistryError where no place of several has it; InvalidInputError
    where a typed password would be shown to several registries.
    """
    from pyrun.registry import short_names

    meanings = [meaning.with_default_tag() for meaning in short_names.to_fetch(text, registries_cache(os.environ))]
    if len(meanings) == 1:
        return meanings[0], source_of(meanings[0], tls_verify=tls_verify, credentials=credentials, cert_dir=cert_dir)
    _refuse_offer(text, meanings, credentials)
    notes: list[str] = []
    for reference in meanings:
        remote = source_of(reference, tls_verify=tls_verify, credentials=credentials, cert_dir=cert_dir)
        try:
            if is_asked:
                remote.resolve(reference)
            else:
                next(iter(remote.tags()), None)
            return reference, remote
        except RegistryError as error:
            remote.close()
            if reference is meanings[-1]:
                for note in notes:
                    error.add_note(note)
                raise
            notes.append(str(error))
    raise AssertionError("the last one's failure is raised")


def _refuse_offer(text: str, meanings: list[Reference], credentials: CredentialStore | None) -> None:
    from pyrun.errors import InvalidInputError
    from pyrun.registry.credentials import Offered

    if isinstance(credentials, Offered):
        names = ", ".join(reference.string for reference in meanings)
        raise InvalidInputError(f"--creds is for one registry: {text} may be at several", hint=f"write one of {names}")


def configuration() -> Configuration:
    """Return how registries are found, parsed anew only where a file has changed. Raises: InvalidConfigError."""
    from pyrun.registry import config

    return config.load(registries_cache(os.environ))


class RegistrySource:
    """One repository of a registry. Usable from several threads at once."""

    __slots__ = ("_cert_dir", "_credentials", "_lock", "_made", "_place", "_repository", "_tls_verify", "domain")

    def __init__(
        self,
        place: Endpoint,
        credentials: CredentialStore | None = None,
        *,
        tls_verify: bool | None = None,
        cert_dir: str = "",
    ) -> None:
        self.domain = place.domain
        self._credentials = credentials
        self._place = place
        self._repository = place.path
        self._tls_verify = tls_verify
        self._cert_dir = cert_dir
        self._lock = allocate_lock()
        self._made: RegistryClient | None = None

    @property
    def _client(self) -> RegistryClient:
        """The client, made at first use: it costs 20 ms to import."""
        with self._lock:
            if self._made is None:
                from pyrun.registry.client import RegistryClient
                from pyrun.registry.retry import Retry

                insecure = [authority_of(self.domain)] if self._place.insecure else []
                retry = Retry(tries=MIRROR_TRIES) if self._place.is_mirror else None
                self._made = RegistryClient(
                    self.domain,
                    self._credentials,
                    insecure=insecure,
                    tls_verify=self._tls_verify,
                    cert_dir=self._cert_dir,
                    retry=retry,
                )
            return self._made

    def head(self, reference: Reference) -> str:
        """Ask for the digest of what the reference names; empty if the registry does not tell, or refuses.

        Why it refuses is told in words to who fetches it: this request's answers have no body.
        Raises: RegistryUnreachableError.
        """
        here = self._here(reference).pinned()
        if not self._tls_verify and not self._cert_dir and self._credentials is None:
            from pyrun.registry import plain_head

            found = plain_head.digest_of(self.domain, here.path, here.digest or here.tag)
            if found:
                return found
        try:
            return self._client.head(here)
        except RegistryUnreachableError:
            raise
        except RegistryError:
            return ""

    def tags(self) -> Iterable[str]:
        """List the repository's tags. Raises: RegistryError and its kinds."""
        from pyrun.registry import listing

        return listing.tags(self._client, self._repository)

    def resolve(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """Fetch what the reference names, from here, whatever registry it names itself.

        Raises: RegistryError and its kinds; DigestMismatchError.
        """
        return self._client.resolve(self._here(reference))

    def _here(self, reference: Reference) -> Reference:
        return Reference(self.domain, self._repository, reference.tag, reference.digest)

    def manifest(self, descriptor: Descriptor) -> bytes:
        """Fetch a manifest by digest, verified."""
        return self._client.manifest(self._repository, descriptor.digest, descriptor.size)[1]

    def blob(self, descriptor: Descriptor) -> bytes:
        """Fetch a small blob whole, verified."""
        return self._client.blob_bytes(self._repository, descriptor)

    def chunks(self, descriptor: Descriptor, offset: int = 0) -> Generator[bytes, None, None]:
        """Give a blob's bytes from ``offset`` on, as they come; the reader verifies them."""
        with self._client.blob(self._repository, descriptor, offset) as blob:
            yield from blob

    def abort(self) -> None:
        """End all requests, from another thread than theirs."""
        self._client.abort()

    def signatures(self, digest: str) -> Iterator[Signature]:
        """Give the signatures beside a manifest, unverified. Raises: RegistryError where they cannot be asked for."""
        from pyrun.registry import signatures

        return signatures.of(self._client, self._repository, digest)

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
