"""Docker's rules of what `cp` copies to where: from paths and what is there to a directory and a name.

It must not touch a file. Sources: docker/cli cli/command/container/cp.go; moby/go-archive copy.go (PrepareArchiveCopy).
"""

from __future__ import annotations

import os

from pyrun.errors import InvalidInputError


class Source:
    """What is copied. ``name``: what it is called in the archive; ".": its contents, of a directory named ``x/.``."""

    __slots__ = ("is_directory", "name")

    def __init__(self, path: str, *, is_directory: bool) -> None:
        self.is_directory = is_directory
        self.name = "." if is_current(path) or path.strip("/") == "" else os.path.basename(os.path.normpath(path))


class Target:
    """Where it goes. ``path``: with the trailing ``/`` or ``/.`` that was given, links followed."""

    __slots__ = ("exists", "is_directory", "path")

    def __init__(self, path: str, *, exists: bool, is_directory: bool) -> None:
        self.path = path
        self.exists = exists
        self.is_directory = is_directory


def split_argument(text: str) -> tuple[str, str]:
    """Split ``CONTAINER:PATH``; a local path has no container: it has no ``:``, or begins with ``/`` or ``.``."""
    container, colon, path = text.partition(":")
    if text.startswith("/") or not colon or container.startswith("."):
        return "", text
    return container, path


def is_current(path: str) -> bool:
    """Say whether the last part of a path is ``.``."""
    return path == "." or path.endswith("/.")


def asserts_directory(path: str) -> bool:
    """Say whether a path can only mean a directory: it ends with ``/`` or ``/.``."""
    return path.endswith("/") or is_current(path)


def absolute(path: str, base: str = "/") -> str:
    """Return a path cleaned and absolute, with the trailing ``/`` or ``/.`` that it was given with.

    ``..`` is taken by the text, as docker does, whatever links there are.
    """
    # normpath keeps two leading slashes: POSIX leaves their meaning open.
    clean = "/" + os.path.normpath(os.path.join(base, path)).lstrip("/")
    if is_current(path):
        return clean.rstrip("/") + "/."
    return clean.rstrip("/") + "/" if path.endswith("/") else clean


def place(source: Source, target: Target) -> tuple[str, str]:
    """Return the directory that the archive is unpacked in, and what the source is called in it.

    Raises: InvalidInputError with docker's words where the two do not fit.
    """
    if target.exists and target.is_directory:
        return target.path, source.name
    directory, name = _split(target.path)
    if target.exists and source.is_directory:
        raise InvalidInputError("cannot copy directory", hint=f"{target.path} is a file")
    if not target.exists and not source.is_directory and asserts_directory(target.path):
        raise InvalidInputError(
            f"no such directory: {target.path}", hint="a file is copied into a directory that exists"
        )
    return directory, name


def _split(path: str) -> tuple[str, str]:
    if is_current(path):
        return os.path.normpath(path), "."
    return os.path.split(os.path.normpath(path))
