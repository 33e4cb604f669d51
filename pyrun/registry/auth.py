"""Log in to a registry and out of it.

It must not know how a password is asked for: the front end does that.
"""

from __future__ import annotations

from pyrun.errors import AuthenticationError, InvalidInputError
from pyrun.registry.client import RegistryClient
from pyrun.registry.credentials import Credential, CredentialStore
from pyrun.registry.retry import Retry
from pyrun.registry.url import DOCKER_HUB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_SCHEMES = ("https://", "http://")


class _Offered(CredentialStore):
    """A store that knows only what the user just typed."""

    __slots__ = ("_offered",)

    def __init__(self, offered: Credential) -> None:
        super().__init__([])
        self._offered = offered

    def get(self, domain: str, path: str = "") -> Credential | None:
        return self._offered


def registry_domain(text: str) -> str:
    """Bring what users write after ``login`` to a domain: ``https://index.docker.io/v1/`` and nothing are Docker Hub.

    Raises:
        InvalidInputError: no host name.
    """
    for scheme in _SCHEMES:
        text = text.removeprefix(scheme)
    host = text.partition("/")[0]
    if not host and not text:
        return DOCKER_HUB
    if not host or not host.isascii() or not host.isprintable() or " " in host or "@" in host:
        raise InvalidInputError(f"invalid registry: {text!r}: no host name", hint="a registry is host[:port]")
    return DOCKER_HUB if host in ("index.docker.io", "registry-1.docker.io") else host


def login(
    registry: str,
    user: str,
    password: str,
    *,
    store: CredentialStore | None = None,
    insecure: Iterable[str] = (),
    retry: Retry | None = None,
) -> str:
    """Try a user name and password at a registry and keep them; give where they are kept (a file, or a helper).

    Nothing is kept unless the registry took them.

    Raises:
        AuthenticationError: the registry refused them.
        RegistryUnreachableError: it could not be asked.
    """
    domain = registry_domain(registry)
    if not user or ":" in user:
        raise InvalidInputError("cannot log in: the user name is empty or has a colon")
    credential = Credential(user, password)
    with RegistryClient(domain, _Offered(credential), insecure=insecure, retry=retry) as client:
        try:
            client.ping()
        except AuthenticationError as error:
            message = f"login failed: {domain}: wrong user name or password"
            hint = "many registries want an access token in place of the password"
            raise AuthenticationError(message, registry=domain, status=error.status, hint=hint) from error
    return (store or CredentialStore()).store(domain, credential)


def logout(registry: str, *, store: CredentialStore | None = None) -> bool:
    """Forget a registry's credential; False if there was none."""
    return (store or CredentialStore()).erase(registry_domain(registry))
