"""`pyrun login`: try a user name and password at a registry and keep them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, cert_dir, flag, text, tls_verify
from pyrun.errors import AuthenticationError, InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session
    from pyrun.engine.login import Registry

# docker/cli file_store.go: whoever greps for it finds it here too.
UNENCRYPTED = """
WARNING! Your credentials are stored unencrypted in '{}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/
"""


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "login", execute, usage="[SERVER]", summary="Authenticate to a registry",
        params=[
            text("--authfile", "Keep credentials in this file (default: $REGISTRY_AUTH_FILE, or docker's config.json)"),
            flag("--get-login", "Print the user that is logged in to the registry"),
            text("-p --password", "Password or Personal Access Token (PAT)"),
            flag("--password-stdin", "Take the Password or Personal Access Token (PAT) from stdin"),
            cert_dir(),
            tls_verify(),
            text("-u --username", "Username"),
            flag("-v --verbose", "Say where the credentials are kept"),
            argument("server", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Log in; ask for what was not given if somebody is there to answer."""
    from pyrun.engine.login import Registry

    user, password = params["username"], params["password"]
    if password is not None:
        if params["password_stdin"]:
            raise InvalidInputError("conflicting options: --password and --password-stdin")
        print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.", file=sys.stderr, flush=True)
    registry = Registry(
        params["server"] or "", authfile=params["authfile"] or "", tls_verify=params["tls_verify"],
        cert_dir=params["cert_dir"] or "",
    )  # fmt: skip
    if params["get_login"]:
        print(registry.known_user())
        return 0
    if params["password_stdin"]:
        if not user:
            raise InvalidInputError("the --password-stdin option requires --username")
        password = sys.stdin.read().rstrip("\r\n") if sys.stdin else ""
    if user is None and password is None and _logged_in_again(registry):
        return 0
    user = user or _ask("Username: ")
    password = password if params["password_stdin"] or password else _ask_secret()
    file = registry.log_in(user, password)
    if file:
        print(UNENCRYPTED.format(file), file=sys.stderr, flush=True)
    if params["verbose"]:
        print(f"Used: {registry.place}")
    print("Login Succeeded")
    return 0


def _logged_in_again(registry: Registry) -> bool:
    try:
        user = registry.log_in_again()
    except AuthenticationError as error:
        print(f"Login did not succeed, error: {error.message}", file=sys.stderr, flush=True)
        return False
    if user is None:
        return False
    print(f"Authenticating with existing credentials... [Username: {user}]")
    print("Login Succeeded")
    return True


def _ask(question: str) -> str:
    _require_terminal()
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def _ask_secret() -> str:
    from getpass import getpass

    _require_terminal()
    secret = getpass("Password: ", stream=sys.stderr)
    if not secret:
        raise InvalidInputError("password is empty")
    return secret


def _require_terminal() -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise InvalidInputError(
            "cannot ask for a user name or password: standard input is not a terminal",
            hint="use --username and --password-stdin",
        )
