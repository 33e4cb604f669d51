"""The OCI distribution specification 1.1: manifests by tag or digest, and blobs, fetched and pushed.

It must not know of the store: what is returned here is verified, what is streamed (``Blob``) is not yet; what is pushed
is verified on its way (``upload.py``).
"""

from __future__ import annotations

from pyrun.errors import (
    DigestMismatchError,
    InvalidConfigError,
    ManifestUnknownError,
    RegistryError,
    RegistryUnreachableError,
    SizeMismatchError,
)
from pyrun.oci import digest, media_types
from pyrun.oci.limits import MAX_DOCUMENT_BYTES
from pyrun.registry.agent import user_agent
from pyrun.registry.blob import Blob
from pyrun.registry.credentials import CredentialStore
from pyrun.registry.requests import Requests, media_type_of
from pyrun.registry.retry import Retry
from pyrun.registry.transport import DroppedError, Response
from pyrun.registry.trust import Trust
from pyrun.registry.upload import Placed, Upload, push_scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from pyrun.oci.descriptor import Descriptor
    from pyrun.oci.reference import Reference
    from pyrun.registry.upload import Hear, OpenAt, Sized

_ACCEPT = {"Accept": media_types.ACCEPT}


class RegistryClient:
    """A client of the registry of one domain (``docker.io``, ``localhost:5000``); usable from several threads at once.

    ``insecure`` names hosts that may be spoken to without TLS, as the configuration says unless it is given; besides
    them, what the environment names and this machine.
    ``tls_verify``: True demands TLS with a certificate that is trusted, whatever was declared; False does without.
    ``cert_dir``: a directory of certificates (``*.crt``, ``*.cert`` with ``*.key``) instead of those of certs.d.
    """

    __slots__ = ("_requests", "domain")

    def __init__(
        self,
        domain: str,
        credentials: CredentialStore | None = None,
        *,
        insecure: Iterable[str] | None = None,
        tls_verify: bool | None = None,
        cert_dir: str = "",
        platform_ua: str = "",
        retry: Retry | None = None,
    ) -> None:
        self.domain = domain
        agent = user_agent(platform_ua)
        trust = Trust.of(domain, insecure, tls_verify, cert_dir)
        self._requests = Requests(domain, credentials or CredentialStore(), trust, agent, retry or Retry())

    def resolve(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """Fetch what a reference names: by its digest where it has one, else by its tag (``latest`` if none).

        Raises:
            ManifestUnknownError, AuthenticationError, RegistryUnreachableError, RegistryError: no answer to use.
            DigestMismatchError: the bytes are not those of the digest.
            InvalidConfigError: the document is too large.
        """
        wanted = reference.pinned()
        return self._manifest(wanted.path, wanted.digest or wanted.tag, wanted.familiar)

    def manifest(self, repository: str, wanted: str, expected_size: int | None = None) -> tuple[Descriptor, bytes]:
        """Fetch a manifest by digest. Raises as ``resolve``, and SizeMismatchError."""
        name = f"{self.domain}/{repository}@{wanted}"
        descriptor, data = self._manifest(repository, wanted, name)
        if expected_size is not None and expected_size != len(data):
            raise SizeMismatchError(f"manifest {name}", expected=expected_size, actual=len(data))
        return descriptor, data

    def head(self, reference: Reference) -> str:
        """Ask for the digest of a reference, without its content; empty if the registry does not say it.

        Docker Hub does not count it as a pull. Raises as ``resolve``.
        """
        wanted = reference.pinned()
        target = f"/v2/{wanted.path}/manifests/{wanted.digest or wanted.tag}"
        with self._requests.send("HEAD", target, _ACCEPT, repository=wanted.path, what=wanted.familiar) as answer:
            answer.drain()
            return _served_digest(answer)

    def blob(self, repository: str, descriptor: Descriptor, offset: int = 0) -> Blob:
        """Open a blob for reading from ``offset`` on; close it, or use it with ``with``.

        The request is made at the first read; a dropped connection is resumed. The reader verifies the digest.
        """
        digest.validate(descriptor.digest)
        target = f"/v2/{repository}/blobs/{descriptor.digest}"
        what = f"blob {descriptor.digest} of {self.domain}/{repository}"

        def open_at(position: int) -> Response:
            headers = {"Range": f"bytes={position}-{descriptor.size - 1}"} if position else {}
            return self._requests.send("GET", target, headers, repository=repository, what=what, accepted=(200, 206))

        return Blob(descriptor, offset, open_at, self._requests.retry, f"{self.domain}/{repository}")

    def blob_bytes(self, repository: str, descriptor: Descriptor, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
        """Fetch a small blob (a config) whole, verified.

        Raises:
            InvalidConfigError: its descriptor says that it is larger than ``limit``.
            DigestMismatchError, SizeMismatchError, RegistryError: as ``resolve``.
        """
        what = f"blob {descriptor.digest} of {self.domain}/{repository}"
        if descriptor.size > limit:
            raise InvalidConfigError(what, "", f"{descriptor.size} bytes are more than the limit of {limit}")
        data = descriptor.data
        if data is None or len(data) != descriptor.size:
            with self.blob(repository, descriptor) as blob:
                data = blob.read()
        digest.verify(data, descriptor.digest, what)
        return data

    def has_blob(self, repository: str, descriptor: Sized) -> bool:
        """Ask whether a repository has a blob, as one who wants to push it. Raises as ``resolve``."""
        return self.upload(repository, descriptor).is_there()

    def upload(self, repository: str, descriptor: Sized, *, chunk_bytes: int = 0, hear: Hear | None = None) -> Upload:
        """Give the upload of a blob, nothing of it done yet: ``is_there``, ``mount``, ``send``, ``cancel``."""
        return Upload(self._requests, repository, descriptor, chunk_bytes=chunk_bytes, hear=hear)

    def put_blob(
        self,
        repository: str,
        descriptor: Sized,
        open_at: OpenAt,
        *,
        mount_from: Iterable[str] = (),
        hear: Hear | None = None,
    ) -> tuple[Placed, str]:
        """See to it that a repository has a blob: it is there, mounted from another one (the second value), or sent.

        ``open_at(offset)`` gives its bytes from there on; it is called only if they must be sent, and again after a
        connection has broken. After a failure nothing half-sent is left where the registry can be told.
        Raises: DigestMismatchError, SizeMismatchError if they are other bytes; and as ``resolve``.
        """
        upload = self.upload(repository, descriptor, hear=hear)
        if upload.is_there():
            return Placed.EXISTED, ""
        try:
            for source in mount_from:
                if upload.mount(source):
                    return Placed.MOUNTED, source
            upload.send(open_at)
        except BaseException as error:
            if not isinstance(error, RegistryUnreachableError):
                upload.cancel()
            raise
        return Placed.PUSHED, ""

    def put_manifest(self, repository: str, wanted: str, media_type: str, data: bytes) -> str:
        """Push a manifest or an index under a tag or its digest; give its digest.

        Raises: DigestMismatchError: ``wanted`` is the digest of other bytes, or the registry has kept others;
            as ``resolve``.
        """
        name = f"{self.domain}/{repository}{'@' if ':' in wanted else ':'}{wanted}"
        if ":" in wanted:
            digest.verify(data, wanted, f"manifest {name}")
        with self._requests.send(
            "PUT", f"/v2/{repository}/manifests/{wanted}", {"Content-Type": media_type}, repository=repository,
            what=name, scope=push_scope(repository), body=data, accepted=(201, 200, 202, 204),
        ) as answer:  # fmt: skip
            answer.drain()
            served = _served_digest(answer)
        actual = wanted if ":" in wanted else digest.of(data)
        if served and served.partition(":")[0] == actual.partition(":")[0] and served != actual:
            raise DigestMismatchError(f"manifest {name}", expected=actual, actual=served)
        return actual

    def delete_manifest(self, repository: str, wanted: str) -> None:
        """Delete a manifest by its digest, or (where a registry can) a tag alone. Raises as ``resolve``."""
        name = f"{self.domain}/{repository}{'@' if ':' in wanted else ':'}{wanted}"
        with self._requests.send(
            "DELETE", f"/v2/{repository}/manifests/{wanted}", {}, repository=repository, what=name,
            scope=f"repository:{repository}:delete", accepted=(202, 200, 204),
        ) as answer:  # fmt: skip
            answer.drain()

    def ping(self) -> None:
        """Ask whether the registry is there and takes the credentials. Raises as ``resolve``."""
        try:
            with self._requests.send("GET", "/v2/", {}, repository="", what=f"registry {self.domain}") as answer:
                answer.drain()
        except ManifestUnknownError as error:
            message = f"no registry: {self.domain}: there is no /v2/ (status {error.status})"
            raise RegistryError(message, registry=self.domain, hint="is the address right?") from error

    def get(self, target: str, *, repository: str = "", what: str) -> Response:
        """Ask for a path with a query; give the successful answer, to be closed. Raises as ``resolve``."""
        return self._requests.send("GET", target, {}, repository=repository, what=what)

    def abort(self) -> None:
        """End all requests, from another thread than theirs; the client is of no use afterwards."""
        self._requests.abort()

    def close(self) -> None:
        """Close the idle connections."""
        self._requests.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _manifest(self, repository: str, wanted: str, name: str) -> tuple[Descriptor, bytes]:
        from pyrun.oci.descriptor import Descriptor  # msgspec: not for head and ping

        by_digest = ":" in wanted  # a tag holds no colon
        if by_digest:
            digest.validate(wanted)
        served, media_type, data = self._document(repository, wanted, name)
        if by_digest:
            digest.verify(data, wanted, f"manifest {name}")
        actual = wanted if by_digest else digest.of(data)
        if served.startswith("sha256:") and actual.startswith("sha256:") and served != actual:
            raise DigestMismatchError(f"manifest {name}", expected=served, actual=actual)
        return Descriptor(self._kind_of(data, media_type, name), actual, len(data)), data

    def _kind_of(self, data: bytes, served_as: str, name: str) -> str:
        """Find the kind of a document, also of one that was served as text/plain or the like (``served_as``: "").

        Here, and not where it is used: what is none at a mirror is asked of the next place.
        """
        from pyrun.oci.index import Index
        from pyrun.oci.manifest import decode_manifest

        try:
            document = decode_manifest(data, served_as)
        except InvalidConfigError as error:
            message = f"registry failed: {name}: its answer is no manifest: {error.pointer or '/'}: {error.reason}"
            hint = error.hint or f"is {self.domain} a registry?"
            raise RegistryError(message, registry=self.domain, hint=hint) from error
        is_index = isinstance(document, Index)
        return served_as or document.media_type or (media_types.OCI_INDEX if is_index else media_types.OCI_MANIFEST)

    def _document(self, repository: str, wanted: str, name: str) -> tuple[str, str, bytes]:
        """Fetch a manifest's bytes, and what the registry says of them: digest and media type."""
        target, failures = f"/v2/{repository}/manifests/{wanted}", 0
        while True:
            with self._requests.send("GET", target, _ACCEPT, repository=repository, what=name) as answer:
                try:
                    data = answer.read(MAX_DOCUMENT_BYTES)
                except DroppedError as error:
                    failures += 1
                    if self._requests.retry.pause(failures):
                        continue
                    raise self._requests.broken(name, error, failures) from error
                if len(data) > MAX_DOCUMENT_BYTES:
                    reason = f"it is larger than the limit of {MAX_DOCUMENT_BYTES} bytes"
                    raise InvalidConfigError(f"manifest {name}", "", reason)
                media_type = media_type_of(answer)
                known = media_type in media_types.INDEXES or media_type in media_types.MANIFESTS
                return _served_digest(answer), media_type if known else "", data


def _served_digest(answer: Response) -> str:
    text = (answer.headers.get("Docker-Content-Digest") or "").strip()
    return text if digest.is_well_formed(text) else ""
