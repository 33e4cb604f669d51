"""Credential helpers: programs called ``docker-credential-NAME`` that keep secrets elsewhere.

It must not know of files or registries. Protocol: docker-credential-helpers README "Development".
"""

from __future__ import annotations

import subprocess

from pyrun.errors import AuthenticationError
from pyrun.oci import json

TIMEOUT_SECONDS = 60  # a helper may ask its user to unlock a key ring
_NOT_FOUND = "credentials not found in native keychain"


def get(name: str, server: str) -> tuple[str, str] | None:
    """Ask for a server's user and secret; None if the helper knows none.

    Raises:
        AuthenticationError: the helper is missing, failed or answered nonsense.
    """
    status, output = _call(name, "get", server)
    if status != 0:
        if _NOT_FOUND in output:
            return None
        raise _failed(name, "get", output)
    try:
        answer = json.loads(output)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError):
        raise _failed(name, "get", "its answer is no JSON object with Username and Secret") from None
    return (user, secret) if isinstance(user, str) and isinstance(secret, str) and secret else None


def store(name: str, server: str, user: str, secret: str) -> None:
    """Give the helper a secret to keep.

    Raises:
        AuthenticationError: it did not.
    """
    status, output = _call(name, "store", json.dumps({"ServerURL": server, "Username": user, "Secret": secret}))
    if status != 0:
        raise _failed(name, "store", output)


def erase(name: str, server: str) -> bool:
    """Make the helper forget a server; False if it knew none.

    Raises:
        AuthenticationError: it failed.
    """
    known = get(name, server) is not None
    status, output = _call(name, "erase", server)
    if status != 0 and _NOT_FOUND not in output:
        raise _failed(name, "erase", output)
    return known


def servers(name: str) -> list[str]:
    """List the servers that the helper knows.

    Raises:
        AuthenticationError: it failed or answered nonsense.
    """
    status, output = _call(name, "list", "")
    if status != 0:
        raise _failed(name, "list", output)
    try:
        answer = json.loads(output or "{}")
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _failed(name, "list", "its answer is no JSON object")
    return list(answer)


def _call(name: str, verb: str, text: str) -> tuple[int, str]:
    # The name is from a file: a slash would make it any program of the file system.
    if "/" in name or not name:
        raise _failed(name, verb, "no name of a helper")
    program = f"docker-credential-{name}"
    try:
        done = subprocess.run(
            [program, verb],
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise _failed(name, verb, f"{program} is not installed") from None
    except subprocess.TimeoutExpired:
        raise _failed(name, verb, f"no answer within {TIMEOUT_SECONDS} seconds") from None
    except OSError as error:
        raise _failed(name, verb, (error.strerror or str(error)).lower()) from error
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()


def _failed(name: str, verb: str, reason: str) -> AuthenticationError:
    reason = "".join(character if character.isprintable() else " " for character in reason[:300]) or "no reason given"
    hint = "mend credsStore or credHelpers in docker's config.json, or install the helper"
    return AuthenticationError(f"credential helper failed: {name} {verb}: {reason}", registry="", hint=hint)
