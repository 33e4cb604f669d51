"""Write the C source of the extension pyrun._seccomp: ``python native/seccomp/build.py OUT.c``.

Compile it with the interpreter's headers and link ``-lseccomp`` (CMake does; README.md shows it by hand).
"""

from __future__ import annotations

import os
import sys

from cffi import FFI

HERE = os.path.dirname(os.path.abspath(__file__))


def _text(name: str) -> str:
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


def ffibuilder() -> FFI:
    """Return the builder; cffi makes an abi3 module of it where the interpreter allows (Py_LIMITED_API)."""
    ffi = FFI()
    ffi.cdef(_text("cdef.txt"))
    ffi.set_source("pyrun._seccomp", _text("source.c"), libraries=["seccomp"])
    return ffi


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: build.py OUT.c")
    ffibuilder().emit_c_code(sys.argv[1])
