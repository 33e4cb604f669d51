"""The sidecar of an unpacked layer: what its tree cannot hold. The format is described in native/tree/sidecar.c.

It must not know the store.
"""

from __future__ import annotations

from pyrun.errors import StoreCorruptError

_HEADER = b"pyrun-layer 1\n"


class Facts:
    """What the archive says of one path, where the tree says something else. None: the tree is right.

    ``device``: (``b`` or ``c``, major, minor) of a device that was not made; ``xattrs``: those that could not be set.
    """

    __slots__ = ("device", "gid", "implied", "mode", "uid", "xattrs")

    def __init__(self, text: bytes) -> None:
        self.implied = False
        self.uid: int | None = None
        self.gid: int | None = None
        self.mode: int | None = None
        self.device: tuple[str, int, int] | None = None
        self.xattrs: dict[str, bytes] = {}
        for word in text.decode("ascii").split():
            key, _, value = word.partition("=")
            self._set(key, value)

    def _set(self, key: str, value: str) -> None:
        if key == "implied":
            self.implied = True
        elif key == "uid":
            self.uid = int(value)
        elif key == "gid":
            self.gid = int(value)
        elif key == "mode":
            self.mode = int(value, 8)
        elif key == "device":
            kind, major, minor = value.split(":")
            self.device = (kind, int(major), int(minor))
        elif key == "xattr":
            name, _, data = value.partition(":")
            self.xattrs[bytes.fromhex(name).decode("utf-8", "surrogateescape")] = bytes.fromhex(data)


def load(path: str) -> dict[bytes, Facts]:
    """Return the facts by path (relative, bytes), in the order of the file: a directory before what is in it.

    Raises:
        StoreCorruptError: it is no sidecar.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        return {name: Facts(text) for name, text in records(data, path).items()}
    except ValueError as error:
        raise StoreCorruptError(f"cannot read sidecar: {path}: {error}", path=path) from error


def records(data: bytes, path: str) -> dict[bytes, bytes]:
    """Return the facts of a sidecar's bytes as they are written, by path. Raises: as `load`, which names ``path``."""
    words = data[len(_HEADER) :].split(b"\0")
    if not data.startswith(_HEADER) or len(words) % 2 != 1 or words[-1]:
        raise StoreCorruptError(f"cannot read sidecar: {path}: not in its format", path=path)
    return dict(zip(words[:-1:2], words[1::2], strict=True))


def implied(path: str) -> list[bytes]:
    """Return the directories that the archive did not list but needed, parents first."""
    return [name for name, facts in load(path).items() if facts.implied]
