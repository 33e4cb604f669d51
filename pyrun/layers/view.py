"""A read-only merged look at the layers of an image or container: what overlay would show, without a mount.

The only way for the upper half to read a file of an image: passwd, group, the working directory. Every name is looked
up by descriptor with O_NOFOLLOW and links are followed inside the view only: a hostile link reads nothing of the host.
What the user may not read (a directory 0700 of another id in the map) reads as absent here.
It must not know images or containers. Hot: imports only os. Source: overlayfs.rst "whiteouts and opaque directories".
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LINKS = 40  # as the kernel: path_resolution(7)
_IFMT, _IFLNK, _IFDIR, _IFREG, _IFCHR = 0o170000, 0o120000, 0o040000, 0o100000, 0o020000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _is_whiteout(found: os.stat_result, fd: int, name: str) -> bool:
    if found.st_mode & _IFMT == _IFCHR and found.st_rdev == 0:
        return True
    if found.st_mode & _IFMT == _IFREG and found.st_size == 0:
        # The xattr form, from 6.7: an empty file; overlay wants the directory marked "x" as well.
        return _mark_at(fd, name, "user.overlay.whiteout") is not None
    return False


def _mark(fd: int, attribute: str) -> bytes | None:
    try:
        return os.getxattr(fd, attribute)
    except OSError:
        return None


def _mark_at(fd: int, name: str, attribute: str) -> bytes | None:
    # The stat before said: a regular file; O_NONBLOCK in case it is none any more.
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=fd)
    except OSError:
        return None
    try:
        return _mark(file, attribute)
    finally:
        os.close(file)


class _Directory:
    """A merged directory: the descriptors of its parts, highest first."""

    __slots__ = ("fds",)

    def __init__(self, fds: list[int]) -> None:
        self.fds = fds

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def copy(self) -> _Directory:
        return _Directory([os.dup(fd) for fd in self.fds])

    def find(self, name: str) -> tuple[int, os.stat_result] | None:
        """Return the part that has ``name`` on top and what it has, None if the view does not have it."""
        for fd in self.fds:
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except PermissionError:
                return None  # what is in there may hide what is below
            except OSError:
                continue
            return None if _is_whiteout(found, fd, name) else (fd, found)
        return None

    def enter(self, name: str) -> _Directory:
        """Open the merged subdirectory ``name``; the caller knows that the view has a directory there."""
        fds: list[int] = []
        for fd in self.fds:
            try:
                part = os.open(name, _DIRECTORY, dir_fd=fd)
            except FileNotFoundError:
                continue
            except PermissionError:
                # A subordinate owner's, as of most databases: not to be read, but `sources` can tell where it is.
                fds.append(os.open(name, os.O_PATH | _DIRECTORY, dir_fd=fd))
                continue
            except OSError:
                break  # a file or whiteout hides what is below
            fds.append(part)
            if _mark(part, "user.overlay.opaque") == b"y":
                break
        return _Directory(fds)


class View:
    """The merged tree of ``lowerdirs`` (highest first) under ``upper``. Paths are absolute in the container."""

    __slots__ = ("_layers",)

    def __init__(self, lowerdirs: Sequence[str], upper: str | None = None) -> None:
        self._layers = [*([upper] if upper else []), *lowerdirs]

    def _root(self) -> _Directory:
        fds: list[int] = []
        for path in self._layers:
            try:
                fds.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            except PermissionError:
                fds.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))  # as in _Directory.enter
            if _mark(fds[-1], "user.overlay.opaque") == b"y":
                break
        return _Directory(fds)

    def _walk(self, path: str, follow_last: bool) -> tuple[list[_Directory], list[str], str] | None:
        """Return the open directories down to the parent of ``path``, their names, and its last name.

        For a directory it is open too, and the last name "".
        The caller closes them. None: it does not exist, or the links never end.
        """
        directories, names = [self._root()], [""]
        todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        links = 0
        while todo:
            name = todo.pop()
            if name == "..":
                if len(directories) > 1:
                    directories.pop().close()
                    names.pop()
                continue
            found = directories[-1].find(name)
            if found is None:
                return self._fail(directories)
            fd, state = found
            kind = state.st_mode & _IFMT
            if kind == _IFLNK and (todo or follow_last):
                links += 1
                target = os.readlink(name, dir_fd=fd)
                if links > _LINKS:
                    return self._fail(directories)
                if target.startswith("/"):
                    while len(directories) > 1:
                        directories.pop().close()
                        names.pop()
                todo += [part for part in reversed(target.split("/")) if part not in ("", ".")]
            elif kind == _IFDIR:
                directories.append(directories[-1].enter(name))
                names.append(name)
            elif todo:
                return self._fail(directories)
            else:
                return directories, names, name
        return directories, names, ""

    @staticmethod
    def _fail(directories: list[_Directory]) -> None:
        for one in directories:
            one.close()

    def read(self, path: str, limit: int) -> bytes | None:
        """Return the first ``limit`` bytes of a regular file; None if there is none, or it may not be read."""
        walked = self._walk(path, True)
        if walked is None:
            return None
        directories, _, name = walked
        try:
            found = directories[-1].find(name) if name else None
            if found is None or found[1].st_mode & _IFMT != _IFREG:
                return None
            try:
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=found[0])
            except OSError:
                return None
            try:
                return _read(file, limit)
            finally:
                os.close(file)
        finally:
            self._fail(directories)

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result | None:
        """Return what is at ``path``, with the ids as this process sees them; None if there is nothing."""
        walked = self._walk(path, follow)
        if walked is None:
            return None
        directories, _, name = walked
        try:
            if name:
                found = directories[-1].find(name)
                return None if found is None else found[1]
            if directories[-1].fds:
                return os.fstat(directories[-1].fds[0])
            # A directory that may not be opened: its parent still tells.
            return self._stat_closed(directories, walked[1])
        finally:
            self._fail(directories)

    @staticmethod
    def _stat_closed(directories: list[_Directory], names: list[str]) -> os.stat_result | None:
        found = directories[-2].find(names[-1]) if len(directories) > 1 else None
        return None if found is None else found[1]

    def is_dir(self, path: str) -> bool:
        """Tell whether ``path`` is a directory, links followed."""
        found = self.stat(path)
        return found is not None and found.st_mode & _IFMT == _IFDIR

    def realpath(self, path: str) -> str | None:
        """Return ``path`` with all links followed, None if it does not exist."""
        walked = self._walk(path, True)
        if walked is None:
            return None
        directories, names, name = walked
        self._fail(directories)
        return "/" + "/".join([*names[1:], *([name] if name else [])])

    def listdir(self, path: str) -> list[str] | None:
        """Return the sorted names in a directory, None if ``path`` is none."""
        walked = self._walk(path, True)
        if walked is None:
            return None
        directories, _, name = walked
        try:
            if name:
                return None
            here = directories[-1]
            names = {one for fd in here.fds for one in _list(fd)}
            return sorted(one for one in names if here.find(one) is not None)
        finally:
            self._fail(directories)

    def sources(self, path: str) -> list[str]:
        """Return the host directories that merge to the directory ``path``, highest first; [] if it is none.

        What overlay hides is left out; `pyrun-tree copy --overlay` of each, lowest first, gives the merged content.
        """
        walked = self._walk(path, True)
        if walked is None:
            return []
        directories, _, name = walked
        try:
            return [] if name else [os.readlink(f"/proc/self/fd/{fd}") for fd in directories[-1].fds]
        finally:
            self._fail(directories)


def _list(fd: int) -> list[str]:
    try:
        return os.listdir(fd)
    except OSError:
        return []  # O_PATH: it may not be read


def _read(fd: int, limit: int) -> bytes:
    data = b""
    while len(data) < limit and (piece := os.read(fd, limit - len(data))):
        data += piece
    return data
