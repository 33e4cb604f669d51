"""Log in to a registry and out of it.

It must not know how a password is asked for: the front end does that.
"""

from __future__ import annotations

from pyrun.errors import AuthenticationError, InvalidInputError, InvalidReferenceError
from pyrun.oci import reference as references
from pyrun.registry.client import RegistryClient
from pyrun.registry.credential_file import normal
from pyrun.registry.credentials import HUB_SERVER, Credential, CredentialStore, Offered
from pyrun.registry.url import DOCKER_HUB

_SCHEMES = ("https://", "http://")


class Server:
    """What users write after ``login``: a registry, perhaps with a namespace of it (podman's), and how to call it."""

    __slots__ = ("domain", "path", "shown")

    def __init__(self, domain: str, path: str, shown: str) -> None:
        self.domain = domain
        self.path = path
        self.shown = shown

    @classmethod
    def parse(cls, text: str) -> Server:
        """Read it: nothing and ``https://index.docker.io/v1/`` are Docker Hub; a path counts only without a scheme.

        Raises: InvalidInputError: no host name, or a namespace that no repository can have.
        """
        if not text:
            return cls(DOCKER_HUB, "", HUB_SERVER)
        rest = text
        for scheme in _SCHEMES:
            rest = rest.removeprefix(scheme)
        host = rest.partition("/")[0]
        if not references.is_host(host):
            raise InvalidInputError(f"invalid registry: {text!r}: no host name", hint="a registry is host[:port]")
        domain, _, path = normal(rest if rest == text else host).partition("/")
        if path:
            try:
                parsed = references.parse(f"{domain}/{path}")
                if parsed.tag or parsed.digest:
                    raise InvalidReferenceError(text, "a namespace has no tag and no digest")
            except InvalidReferenceError as error:
                raise InvalidInputError(f"invalid registry: {text!r}: {error.reason}") from None
        return cls(domain, path, f"{host}/{path}" if path else host)


def check(server: Server, credential: Credential, *, tls_verify: bool | None = None, cert_dir: str = "") -> None:
    """Ask a registry whether it takes a credential.

    Raises:
        AuthenticationError: the registry refused it.
        RegistryUnreachableError: it could not be asked.
    """
    with RegistryClient(server.domain, Offered(credential), tls_verify=tls_verify, cert_dir=cert_dir) as client:
        try:
            client.ping()
        except AuthenticationError as error:
            message = f"login failed: {server.shown}: wrong user name or password"
            hint = "many registries want an access token in place of the password"
            raise AuthenticationError(message, registry=server.domain, status=error.status, hint=hint) from error


def login(
    server: Server,
    user: str,
    password: str,
    *,
    store: CredentialStore | None = None,
    tls_verify: bool | None = None,
    cert_dir: str = "",
) -> str:
    """Try a user name and password at a registry and keep them; give the file with the password, if one has it now.

    Nothing is kept unless the registry took them. A registry that gives an identity token gets that one kept instead.
    Raises: as `check`, and as `CredentialStore.store`.
    """
    if not user or ":" in user:
        raise InvalidInputError("cannot log in: the user name is empty or has a colon")
    store = store or CredentialStore()
    credential = Credential(user, password, is_offered=True)
    check(server, credential, tls_verify=tls_verify, cert_dir=cert_dir)
    token = credential.granted_token
    helper = store.store(server.domain, Credential(user, "", token) if token else credential, server.path)
    return "" if helper or token else store.paths[0]


def logout(server: Server, *, store: CredentialStore | None = None) -> bool:
    """Forget a registry's credential; False if there was none. Raises: as `CredentialStore.store`."""
    return (store or CredentialStore()).erase(server.domain, server.path)
