"""Which hosts may be spoken to without TLS, or with a certificate that nobody vouches for.

It must not know how a request is made. Nobody is between this machine and itself, so loopback needs no declaration;
everywhere else plain HTTP is spoken only where it was declared.
"""

from __future__ import annotations

from pyrun.registry.url import Url, authority_of, insecure_from_environment, is_loopback, split_authority

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self


class Trust:
    """The hosts (``host`` or ``host:port``) that were declared; ``is_strict``: not even loopback goes without TLS.

    ``certificates``: a directory whose authorities and client certificates count instead of those of certs.d.
    """

    __slots__ = ("_insecure", "_is_strict", "certificates")

    def __init__(self, insecure: frozenset[str], *, is_strict: bool = False, certificates: str = "") -> None:
        self._insecure = insecure
        self._is_strict = is_strict
        self.certificates = certificates

    @classmethod
    def of(
        cls, domain: str, insecure: Iterable[str] | None = None, tls_verify: bool | None = None, cert_dir: str = ""
    ) -> Self:
        """Put together what is declared for a registry: in the environment, and in the configuration unless given.

        ``insecure``: what the configuration says of the repository that is meant.
        Raises: InvalidConfigError; InvalidInputError for a ``cert_dir`` that is none.
        """
        if cert_dir:
            _require_directory(cert_dir)
        if tls_verify:
            return cls(frozenset(), is_strict=True, certificates=cert_dir)
        if insecure is None:
            from pyrun.registry import config

            insecure = [authority_of(domain)] if config.load().is_insecure(domain) else []
        named = frozenset(insecure) | insecure_from_environment()
        return cls(named | {authority_of(domain)} if tls_verify is False else named, certificates=cert_dir)

    def is_insecure(self, url: Url) -> bool:
        """Say whether a URL's host was declared."""
        return not self._insecure.isdisjoint((url.host, url.authority, f"{url.host}:{url.port}"))

    def allows_password(self, url: Url, registry: str) -> bool:
        """Say whether a password may go to a URL that a registry names for that.

        ``registry``: its host, if it is spoken to without TLS itself. Loopback is for registries on this machine.
        """
        if url.scheme == "https" or self.is_insecure(url):
            return True
        return bool(registry) and (url.host == registry or (is_loopback(url.host) and is_loopback(registry)))

    def schemes(self, authority: str) -> list[str]:
        """List the schemes that may be tried at a registry, the likelier first."""
        host, _ = split_authority(authority)
        if self._is_strict:
            return ["https"]
        if is_loopback(host):
            return ["http", "https"]  # TLS here is the exception
        if host in self._insecure or authority in self._insecure:
            return ["https", "http"]  # as docker does for insecure-registries
        return ["https"]


def _require_directory(path: str) -> None:
    """Refuse a wrong --cert-dir also where no TLS is spoken in the end."""
    import os

    try:
        os.listdir(path)
    except OSError as error:
        from pyrun.errors import InvalidInputError

        reason = (error.strerror or "").lower()
        raise InvalidInputError(f"cannot read certificates: {path}: {reason}", hint="--cert-dir DIRECTORY") from error
