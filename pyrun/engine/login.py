"""The verbs login and logout: credentials are the registry package's matter; this is their place among the verbs.

It must not know files or helpers of credentials. Cold.
"""

from __future__ import annotations

from pyrun.errors import InvalidInputError
from pyrun.registry import auth


def login(registry: str, user: str, password: str) -> str:
    """Try a user name and password and keep them; return where they are kept. An empty registry is Docker Hub.

    Raises: InvalidInputError; AuthenticationError (nothing is kept); RegistryUnreachableError.
    """
    if not user or not password:
        raise InvalidInputError(
            "cannot log in: user name and password are both needed",
            hint="give -u USER and the password on standard input with --password-stdin",
        )
    return auth.login(auth.registry_domain(registry), user, password)


def logout(registry: str) -> bool:
    """Forget a registry's credentials; return whether there were any."""
    return auth.logout(auth.registry_domain(registry))
