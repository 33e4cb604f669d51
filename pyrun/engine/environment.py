"""Docker's rules for a container's environment.

It must not know the image format: lists of ``NAME=value`` in, one out. Source: docker run "Environment variables";
moby container/container_unix.go CreateDaemonEnvironment; docker/cli opts/file.go.
"""

from __future__ import annotations

import os

from pyrun.errors import InvalidInputError

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def merge(base: list[str], over: list[str]) -> list[str]:
    """Return ``base`` with the variables of ``over`` replaced in place or appended; ``NAME`` alone removes it."""
    order = {item.partition("=")[0]: item for item in base}
    for item in over:
        name, separator, _ = item.partition("=")
        if separator:
            order[name] = item
        else:
            order.pop(name, None)
    return list(order.values())


def from_options(env: list[str], env_files: list[str]) -> list[str]:
    """Resolve ``-e`` and ``--env-file``: files first. ``NAME`` alone takes the caller's value.

    Where the caller has none, a file's line is left out and ``-e NAME`` stays as it is: `merge` then removes what the
    image gives (moby container/env.go ReplaceOrAppendEnvValues).
    """
    result: list[str] = []
    for path in env_files:
        result = merge(result, [item for line in _lines(path) if (item := _resolve(line, path))])
    given = []
    for text in env:
        if not text or text.startswith("="):
            raise InvalidInputError(f"invalid environment variable: {text}")
        given.append(_resolve(text, "") or text)
    return [*result, *given]


def with_host(image: list[str]) -> list[str]:
    """Return the caller's environment under the image's (podman --env-host)."""
    own = [f"{name}={value}" for name, value in os.environ.items() if name not in ("HOSTNAME", "TERM")]
    return merge(own, image)


def _resolve(text: str, path: str) -> str | None:
    name, separator, _ = text.partition("=")
    if path and (not name or any(character in " \t" for character in name)):
        raise InvalidInputError(
            f"poorly formatted environment: {path}: variable {name!r} contains whitespaces or is empty"
        )
    if separator:
        return text
    value = os.environ.get(name)
    return None if value is None else f"{name}={value}"


def _lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            content = file.read().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise InvalidInputError(f"cannot read env file: {path}: {os.strerror(error.errno or 0).lower()}") from error
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"poorly formatted environment: {path}: invalid utf8 bytes") from None
    # Not splitlines(): a form feed or U+2028 in a value ends no line for docker (bufio.ScanLines).
    lines = [line.removesuffix("\r").lstrip() for line in text.split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


def container_environment(image: list[str], options: list[str], *, hostname: str, tty: bool, home: str) -> list[str]:
    """Return the environment of a container's first process."""
    base = [f"PATH={DEFAULT_PATH}", f"HOSTNAME={hostname}"]
    if tty:
        base.append("TERM=xterm")
    result = merge(merge(base, image), options)
    if not any(item.startswith("HOME=") for item in result):
        result.append(f"HOME={home}")
    return result
