"""Classic BPF as seccomp uses it: encode, decode and evaluate programs.

It must not know syscall names or profiles. The evaluator answers "what would this filter do" for tests and --debug.
Source: Documentation/userspace-api/seccomp_filter.rst; Documentation/networking/filter.rst; bpf_check_classic.
"""

from __future__ import annotations

import struct

from pyrun.errors import InvalidInputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Instruction = tuple[int, int, int, int]  # code, jt, jf, k

MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS

LD_ABS, LD_IMM, LD_MEM, LDX_IMM, LDX_MEM, ST, STX = 0x20, 0x00, 0x60, 0x01, 0x61, 0x02, 0x03
LD_LEN, LDX_LEN = 0x80, 0x81
JA, JEQ, JGT, JGE, JSET = 0x05, 0x15, 0x25, 0x35, 0x45
RET_K, RET_A, TAX, TXA, NEG = 0x06, 0x16, 0x07, 0x87, 0x84
AND = 0x54
_SOURCE_X = 0x08
_ALU, _JMP = 0x04, 0x05

# struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; }
NR, ARCH = 0, 4
_DATA = struct.Struct("<IIQ6Q")
_INSTRUCTION = struct.Struct("<HBBI")

RET_KILL_PROCESS, RET_KILL_THREAD, RET_TRAP, RET_ERRNO = 0x80000000, 0x00000000, 0x00030000, 0x00050000
RET_USER_NOTIF, RET_TRACE, RET_LOG, RET_ALLOW = 0x7FC00000, 0x7FF00000, 0x7FFC0000, 0x7FFF0000
_ACTIONS = {
    RET_KILL_PROCESS: "kill_process",
    RET_KILL_THREAD: "kill_thread",
    RET_TRAP: "trap",
    RET_ERRNO: "errno",
    RET_USER_NOTIF: "user_notif",
    RET_TRACE: "trace",
    RET_LOG: "log",
    RET_ALLOW: "allow",
}
# include/uapi/linux/audit.h; x32 is x86_64 with a bit in the number.
AUDIT_ARCH = {"x86_64": 0xC000003E, "x86": 0x40000003, "x32": 0xC000003E, "aarch64": 0xC00000B7, "arm": 0x40000028}
X32_BIT = 0x40000000


def argument_offset(index: int, *, high: bool = False) -> int:
    """Return where the low (or high) half of an argument lies in struct seccomp_data (little endian)."""
    return 16 + 8 * index + 4 * high


def encode(instructions: Sequence[Instruction]) -> bytes:
    """Return the array of struct sock_filter: ``decode(encode(p)) == list(p)``."""
    if len(instructions) > MAX_INSTRUCTIONS:
        raise InvalidInputError(
            f"seccomp filter is too long: {len(instructions)} instructions: the kernel takes {MAX_INSTRUCTIONS}",
            hint="shorten the profile, or name fewer architectures in it",
        )
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)


def decode(program: bytes) -> list[Instruction]:
    """Return the instructions of a program."""
    if len(program) % 8:
        raise InvalidInputError(f"invalid seccomp filter: {len(program)} bytes: not a multiple of 8")
    return list(_INSTRUCTION.iter_unpack(program))


def when(test: int, value: int, block: list[Instruction]) -> list[Instruction]:
    """Run `block` if the accumulator passes `test` (JEQ, JGE, …) against `value`; then go on after it."""
    if len(block) <= 255:
        return [(test, 0, len(block), value), *block]
    # Conditional jumps have 8 bits, JA has 32.
    return [(test, 1, 0, value), (JA, 0, 0, len(block)), *block]


def decision(program: bytes, arch: int | str, nr: int, args: Sequence[int] = ()) -> tuple[str, int]:
    """Return (action, data) of a filter for one system call: ("errno", 38), ("allow", 0), …

    `arch` is an AUDIT_ARCH_ number or a name of AUDIT_ARCH; for x32 the caller sets X32_BIT in `nr`.
    """
    return meaning(run(decode(program), seccomp_data(arch, nr, args)))


def seccomp_data(arch: int | str, nr: int, args: Sequence[int] = ()) -> bytes:
    """Return the struct seccomp_data that a program sees of one system call."""
    token = AUDIT_ARCH[arch] if isinstance(arch, str) else arch
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
        if code == LD_ABS:
            a = int.from_bytes(data[k : k + 4], "little")
        elif code & 0x07 == _JMP:
            pc += k if code == JA else (jump_true if _test(code, a, x, k) else jump_false)
        elif code == RET_K:
            return k
        elif code == RET_A:
            return a
        elif code & 0x07 == _ALU:
            a = _alu(code, a, x, k)
        elif code in (LD_IMM, LD_MEM, LD_LEN, TXA):
            a = {LD_IMM: k, LD_MEM: memory[k & 15], LD_LEN: len(data), TXA: x}[code]
        elif code in (LDX_IMM, LDX_MEM, LDX_LEN, TAX):
            x = {LDX_IMM: k, LDX_MEM: memory[k & 15], LDX_LEN: len(data), TAX: a}[code]
        elif code in (ST, STX):
            memory[k & 15] = a if code == ST else x
        else:
            raise InvalidInputError(f"invalid seccomp filter: instruction {pc - 1}: unknown code {code:#x}")
    raise InvalidInputError("invalid seccomp filter: it ends without a return")


def _test(code: int, a: int, x: int, k: int) -> bool:
    operand = x if code & _SOURCE_X else k
    kind = code & ~_SOURCE_X
    if kind == JEQ:
        return a == operand
    if kind == JGT:
        return a > operand
    if kind == JGE:
        return a >= operand
    if kind == JSET:
        return bool(a & operand)
    raise InvalidInputError(f"invalid seccomp filter: unknown jump {code:#x}")


def _alu(code: int, a: int, x: int, k: int) -> int:
    operand = x if code & _SOURCE_X else k
    kind = code & 0xF0
    if code == NEG:
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
