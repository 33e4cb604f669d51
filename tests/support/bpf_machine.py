"""The machine that executes seccomp's classic BPF: what would this filter do?

Source: Documentation/networking/filter.rst; bpf_check_classic.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pyrun.errors import InvalidInputError
from pyrun.linux import bpf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrun.linux.bpf import Instruction

_SOURCE_X = 0x08
_ALU, _JMP = 0x04, 0x05
# struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; }
_DATA = struct.Struct("<IIQ6Q")
_ACTIONS = {
    bpf.RET_KILL_PROCESS: "kill_process",
    bpf.RET_KILL_THREAD: "kill_thread",
    bpf.RET_TRAP: "trap",
    bpf.RET_ERRNO: "errno",
    bpf.RET_USER_NOTIF: "user_notif",
    bpf.RET_TRACE: "trace",
    bpf.RET_LOG: "log",
    bpf.RET_ALLOW: "allow",
}


def decision(program: bytes, arch: int | str, nr: int, args: Sequence[int] = ()) -> tuple[str, int]:
    """Return (action, data) of a filter for one system call: ("errno", 38), ("allow", 0), …

    `arch` is an AUDIT_ARCH_ number or a name of bpf.AUDIT_ARCH; for x32 the caller sets X32_BIT in `nr`.
    """
    return meaning(run(bpf.decode(program), seccomp_data(arch, nr, args)))


def seccomp_data(arch: int | str, nr: int, args: Sequence[int] = ()) -> bytes:
    """Return the struct seccomp_data that a program sees of one system call."""
    token = bpf.AUDIT_ARCH[arch] if isinstance(arch, str) else arch
    padded = [value & (1 << 64) - 1 for value in args] + [0] * (6 - len(args))
    return _DATA.pack(nr & 0xFFFFFFFF, token, 0, *padded)


def meaning(value: int) -> tuple[str, int]:
    """Return (action, data) of what a program returned; an unknown action kills, as in the kernel."""
    return _ACTIONS.get(value & 0xFFFF0000, "kill_process"), value & 0xFFFF


def run(instructions: Sequence[Instruction], data: bytes) -> int:
    """Execute a program over one struct seccomp_data and return what it returns."""
    a = x = pc = 0
    memory = [0] * 16
    while pc < len(instructions):
        code, jump_true, jump_false, k = instructions[pc]
        pc += 1
        if code == bpf.LD_ABS:
            a = int.from_bytes(data[k : k + 4], "little")
        elif code & 0x07 == _JMP:
            pc += k if code == bpf.JA else (jump_true if _test(code, a, x, k) else jump_false)
        elif code == bpf.RET_K:
            return k
        elif code == bpf.RET_A:
            return a
        elif code & 0x07 == _ALU:
            a = _alu(code, a, x, k)
        elif code in (bpf.LD_IMM, bpf.LD_MEM, bpf.LD_LEN, bpf.TXA):
            a = {bpf.LD_IMM: k, bpf.LD_MEM: memory[k & 15], bpf.LD_LEN: len(data), bpf.TXA: x}[code]
        elif code in (bpf.LDX_IMM, bpf.LDX_MEM, bpf.LDX_LEN, bpf.TAX):
            x = {bpf.LDX_IMM: k, bpf.LDX_MEM: memory[k & 15], bpf.LDX_LEN: len(data), bpf.TAX: a}[code]
        elif code in (bpf.ST, bpf.STX):
            memory[k & 15] = a if code == bpf.ST else x
        else:
            raise InvalidInputError(f"invalid seccomp filter: instruction {pc - 1}: unknown code {code:#x}")
    raise InvalidInputError("invalid seccomp filter: it ends without a return")


def _test(code: int, a: int, x: int, k: int) -> bool:
    operand = x if code & _SOURCE_X else k
    kind = code & ~_SOURCE_X
    if kind == bpf.JEQ:
        return a == operand
    if kind == bpf.JGT:
        return a > operand
    if kind == bpf.JGE:
        return a >= operand
    if kind == bpf.JSET:
        return bool(a & operand)
    raise InvalidInputError(f"invalid seccomp filter: unknown jump {code:#x}")


def _alu(code: int, a: int, x: int, k: int) -> int:
    operand = x if code & _SOURCE_X else k
    kind = code & 0xF0
    if code == bpf.NEG:
        return -a & 0xFFFFFFFF
    if kind == 0x30 and operand == 0:
        return 0  # division by a zero X ends a kernel program with 0; seccomp programs of libseccomp never divide
    results = {
        0x00: a + operand, 0x10: a - operand, 0x20: a * operand, 0x40: a | operand, 0x50: a & operand,
        0x60: a << (operand & 31), 0x70: a >> (operand & 31), 0xA0: a ^ operand,
    }  # fmt: skip
    if kind == 0x30:
        return a // operand
    if kind not in results:
        raise InvalidInputError(f"invalid seccomp filter: unknown operation {code:#x}")
    return results[kind] & 0xFFFFFFFF
