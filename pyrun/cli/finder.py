"""Finds pyrun's own modules in four system calls each.

The interpreter's own needs eleven for each, and more time for that than for running it: this one takes 1.5 ms off the
7 of `pyrun run`'s imports (measured). It must not know what it finds. Whatever is not plain (no byte code or an old
one, an extension module, a name that is not ours) is left to the interpreter. HOT.
"""

from __future__ import annotations

import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from marshal import loads
from posix import O_CLOEXEC, O_RDONLY, close, open, read, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

_PACKAGE = __name__.partition(".")[0]
_ABOVE = __file__.removesuffix(f"{_PACKAGE}/cli/finder.py")
_CACHED = f".{sys.implementation.cache_tag}.pyc"
# PEP 552: flags 0, the source is compared by time and size; checked hashes are the interpreter's business.
_HEAD = MAGIC_NUMBER + bytes(4)


class _Loader(SourceFileLoader):
    """The interpreter's, but that the code is known already."""

    code: CodeType

    def get_code(self, fullname: str) -> CodeType:
        return self.code


def install() -> None:
    """Let this module be asked first from now on: it is a finder itself (PEP 451, `find_spec`)."""
    sys.meta_path.insert(0, sys.modules[__name__])


def find_spec(name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
    """Return the spec of a module of ours whose byte code is up to date; None: ask the next finder."""
    if not name.startswith(_PACKAGE + ".") and name != _PACKAGE:
        return None
    package, _, last = (_ABOVE + name.replace(".", "/")).rpartition("/")
    return _spec(name, package, last) or _spec(name, f"{package}/{last}", "__init__")


def _spec(name: str, directory: str, stem: str) -> ModuleSpec | None:
    path = f"{directory}/{stem}.py"
    cached = f"{directory}/__pycache__/{stem}{_CACHED}"
    try:
        source = stat(path)
        fd = open(cached, O_RDONLY | O_CLOEXEC)
    except OSError:
        return None
    try:
        data = read(fd, 4096 + 2 * source.st_size)  # ample; were it cut, `loads` would say so
    finally:
        close(fd)
    if data[:8] != _HEAD or data[8:16] != _word(int(source.st_mtime)) + _word(source.st_size):
        return None
    loader = _Loader(name, path)
    try:
        loader.code = loads(memoryview(data)[16:])  # noqa: S302 our own, as the interpreter does
    except (EOFError, ValueError, TypeError):
        return None
    spec = ModuleSpec(name, loader, origin=path)
    spec.has_location = True
    spec.cached = cached
    if stem == "__init__":
        spec.submodule_search_locations = [directory]
    return spec


def _word(number: int) -> bytes:
    return (number & 0xFFFFFFFF).to_bytes(4, "little")
