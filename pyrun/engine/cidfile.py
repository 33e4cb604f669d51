"""``--cidfile``: the file that a container's id is written to.

It must not know how a container is made. Source: docker/cli cli/command/container/create.go "newCIDFile".
"""

from __future__ import annotations

import os

from pyrun.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class CidFile:
    """The file, claimed on entering a ``with`` block; removed again where the block fails.

    Raises: StoreError if there is a file of that name, even an empty one or a link to nowhere.
    """

    __slots__ = ("_fd", "_path")

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            raise StoreError(
                f"container ID file found: {self._path}: make sure the other container is not running, or delete it",
                path=self._path,
            ) from None
        except OSError as error:
            raise self._failed(error) from error
        return self

    def write(self, container_id: str) -> None:
        """Write the id, once."""
        try:
            os.write(self._fd, container_id.encode("ascii"))
        except OSError as error:
            raise self._failed(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._fd)
        if kind is not None:
            os.unlink(self._path)

    def _failed(self, error: OSError) -> StoreError:
        reason = os.strerror(error.errno or 0).lower()
        return StoreError(f"cannot write container ID file: {self._path}: {reason}", path=self._path)


def rewrite(path: str, container_id: str) -> None:
    """Name another container in a file that is ours already."""
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(fd, container_id.encode("ascii"))
    finally:
        os.close(fd)
