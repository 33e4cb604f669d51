"""`pyrun login`: try a user name and password at a registry and keep them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pyrun.cli.definitions import Verb, argument, flag, text
from pyrun.errors import InvalidInputError

if TYPE_CHECKING:
    from pyrun.cli.main import Session

DEFAULT_SERVER = "docker.io"


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "login", execute, usage="[SERVER]", summary="Authenticate to a registry",
        params=[
            text("-p --password", "Password or Personal Access Token (PAT)"),
            flag("--password-stdin", "Take the Password or Personal Access Token (PAT) from stdin"),
            text("-u --username", "Username"),
            argument("server", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Log in; ask for what was not given if somebody is there to answer."""
    from pyrun.engine.login import login

    user, password = params["username"], params["password"]
    if password is not None:
        if params["password_stdin"]:
            raise InvalidInputError("conflicting options: --password and --password-stdin")
        print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.", file=sys.stderr)
    if params["password_stdin"]:
        if not user:
            raise InvalidInputError("the --password-stdin option requires --username")
        password = sys.stdin.readline().rstrip("\r\n") if sys.stdin else ""
    user = user or _ask("Username: ")
    password = password or _ask_secret()
    login(params["server"] or DEFAULT_SERVER, user, password)
    print("Login Succeeded")
    return 0


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
