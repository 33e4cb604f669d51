"""Write the C source of ``pyrun._native``: ``python build.py OUT.c``. Declarations: cdef.txt; the code is in *.c."""

import sys
from pathlib import Path

import cffi

here = Path(__file__).resolve().parent
ffi = cffi.FFI()
ffi.cdef((here / "cdef.txt").read_text())
ffi.set_source("pyrun._native", '#include "module.h"\n', py_limited_api=True)

if __name__ == "__main__":
    ffi.emit_c_code(sys.argv[1])
