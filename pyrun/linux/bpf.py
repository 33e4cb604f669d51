"""Classic BPF as seccomp uses it: encode and decode programs.

It must not know syscall names or profiles.
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

# struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; }
NR, ARCH = 0, 4
_INSTRUCTION = struct.Struct("<HBBI")

RET_KILL_PROCESS, RET_KILL_THREAD, RET_TRAP, RET_ERRNO = 0x80000000, 0x00000000, 0x00030000, 0x00050000
RET_USER_NOTIF, RET_TRACE, RET_LOG, RET_ALLOW = 0x7FC00000, 0x7FF00000, 0x7FFC0000, 0x7FFF0000
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
