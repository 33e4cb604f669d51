"""Credential helpers: programs called ``docker-credential-NAME`` that keep secrets elsewhere.

It must not know of files or registries. Protocol: docker-credential-helpers README "Development".
"""

from __future__ import annotations

import os
import select
import subprocess
from time import monotonic

from pyrun.errors import AuthenticationError
from pyrun.oci import json

TIMEOUT_SECONDS = 60  # a helper may ask its user to unlock a key ring
MAX_ANSWER_BYTES = 1 << 20
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
        raise _failed(name, "store", output.replace(secret, "***"))


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
    # In memory, not through a pipe: a helper need not read it.
    with open(os.memfd_create("credential", os.MFD_CLOEXEC), "w+b") as question:
        question.write(text.encode())
        question.seek(0)
        try:
            child = subprocess.Popen(
                [program, verb], stdin=question, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
            )
        except FileNotFoundError:
            raise _failed(name, verb, f"{program} is not installed") from None
        except OSError as error:
            raise _failed(name, verb, (error.strerror or str(error)).lower()) from error
    with child:
        try:
            output = _answer(child)
        except _NoAnswerError as error:
            raise _failed(name, verb, str(error)) from None
        finally:
            child.kill()  # of no effect where it has ended and was waited for
    return child.returncode, output.decode("utf-8", "replace").strip()


class _NoAnswerError(Exception):
    """A helper does not answer as it should; the text says how."""


def _answer(child: subprocess.Popen[bytes]) -> bytes:
    """Read what a helper says until it has ended: an agent that it has started may hold its output for ever."""
    assert child.stdout is not None
    output, end = b"", monotonic() + TIMEOUT_SECONDS
    pidfd = os.pidfd_open(child.pid)
    try:
        poll = select.poll()
        poll.register(child.stdout, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        while ready := dict(poll.poll(max(0.0, end - monotonic()) * 1000)):
            if ready.get(child.stdout.fileno(), 0) & select.POLLIN:
                output += os.read(child.stdout.fileno(), 1 << 16)
                if len(output) > MAX_ANSWER_BYTES:
                    raise _NoAnswerError(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
            elif pidfd in ready:
                child.wait()
                return output
            else:
                poll.unregister(child.stdout)  # closed, and the helper still runs
        raise _NoAnswerError(f"no answer within {TIMEOUT_SECONDS} seconds")
    finally:
        os.close(pidfd)


def _failed(name: str, verb: str, reason: str) -> AuthenticationError:
    reason = "".join(character if character.isprintable() else " " for character in reason[:300]) or "no reason given"
    hint = "mend credsStore or credHelpers in docker's config.json, or install the helper"
    return AuthenticationError(f"credential helper failed: {name} {verb}: {reason}", registry="", hint=hint)
