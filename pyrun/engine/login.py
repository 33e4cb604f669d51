"""The verbs login and logout: credentials are the registry package's matter; this is their place among the verbs.

It must not know files or helpers of credentials. Cold.
"""

from __future__ import annotations

from pyrun.errors import AuthenticationError, InvalidInputError
from pyrun.registry import auth, config
from pyrun.registry.credentials import CredentialStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.registry.auth import Server
    from pyrun.registry.credentials import Credential


class Registry:
    """A registry that somebody logs in to or out of; an empty name is Docker Hub.

    Raises: InvalidInputError; RegistryError if it is blocked.
    """

    __slots__ = ("_cert_dir", "_server", "_store", "_tls_verify")

    def __init__(self, name: str, *, authfile: str = "", tls_verify: bool | None = None, cert_dir: str = "") -> None:
        self._server: Server = auth.Server.parse(name)
        config.load().refuse_blocked(self._server.domain)
        self._store = store_of(authfile)
        self._tls_verify = tls_verify
        self._cert_dir = cert_dir

    @property
    def shown(self) -> str:
        """How docker calls it."""
        return self._server.shown

    @property
    def place(self) -> str:
        """Where its credentials are kept: a file, or a helper."""
        return self._store.place(self._server.domain)

    def known_user(self) -> str:
        """Return the user that somebody is logged in as. Raises: AuthenticationError if nobody is."""
        found = self._known()
        if found is None:
            problems = "; ".join(self._store.problems)
            message = f"not logged in to {self.shown}"
            raise AuthenticationError(message, registry=self._server.domain, hint=problems)
        return found.user

    def log_in_again(self) -> str | None:
        """Try what is kept already; return the user, or nothing if nothing is kept.

        Raises: AuthenticationError if it is no longer accepted; RegistryUnreachableError.
        """
        found = self._known()
        if found is None:
            return None
        auth.check(self._server, found, tls_verify=self._tls_verify, cert_dir=self._cert_dir)
        return found.user or "<token>"

    def log_in(self, user: str, password: str) -> str:
        """Try a user name and password and keep them; return the file in which the password is readable, if one has it.

        Raises: InvalidInputError; AuthenticationError (nothing is kept); RegistryUnreachableError; StoreError.
        """
        if not user or not password:
            raise InvalidInputError(
                "cannot log in: user name and password are both needed",
                hint="give -u USER and the password on standard input with --password-stdin",
            )
        return auth.login(
            self._server, user, password, store=self._store, tls_verify=self._tls_verify, cert_dir=self._cert_dir
        )

    def log_out(self) -> LoggedOut:
        """Forget the credentials. Raises: AuthenticationError (a helper failed); StoreError."""
        was_known = auth.logout(self._server, store=self._store)
        return LoggedOut(self.shown, self._store.elsewhere(self._server.domain, self._server.path), was_known=was_known)

    def _known(self) -> Credential | None:
        return self._store.get(self._server.domain, self._server.path)


class LoggedOut:
    """What is left after a logout: files that it does not change and that have credentials still."""

    __slots__ = ("elsewhere", "shown", "was_known")

    def __init__(self, shown: str, elsewhere: list[str], *, was_known: bool) -> None:
        self.shown = shown
        self.elsewhere = elsewhere
        self.was_known = was_known


def log_out_everywhere(*, authfile: str = "") -> None:
    """Forget every credential that `log_out` could forget one by one. Raises: as there."""
    store = store_of(authfile)
    for name in store.servers():
        domain, _, path = name.partition("/")
        store.erase(domain, path)


def store_of(authfile: str) -> CredentialStore:
    """Return the credentials of a chosen file, or the user's."""
    return CredentialStore([authfile]) if authfile else CredentialStore()
