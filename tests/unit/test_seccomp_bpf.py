"""The cBPF evaluator, against programs written by hand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrun.errors import InvalidInputError
from pyrun.linux import bpf
from tests.support import bpf_machine

INSTRUCTIONS = st.tuples(
    st.integers(0, 0xFFFF), st.integers(0, 255), st.integers(0, 255), st.integers(0, 0xFFFFFFFF)
)  # fmt: skip


@given(st.lists(INSTRUCTIONS, max_size=50))
def test_decode_is_the_inverse_of_encode(program: list[tuple[int, int, int, int]]) -> None:
    assert bpf.decode(bpf.encode(program)) == program


def test_layout_of_an_instruction_is_the_kernel_s() -> None:
    # struct sock_filter { __u16 code; __u8 jt, jf; __u32 k; }
    assert bpf.encode([(0x15, 1, 2, 0xC000003E)]) == struct.pack("<HBBI", 0x15, 1, 2, 0xC000003E)


def test_arguments_are_read_low_half_first() -> None:
    program = bpf.encode(
        [
            (bpf.LD_ABS, 0, 0, bpf.argument_offset(2, high=True)),
            (bpf.JEQ, 0, 2, 0x11111111),
            (bpf.LD_ABS, 0, 0, bpf.argument_offset(2)),
            (bpf.JEQ, 1, 0, 0x22222222),
            (bpf.RET_K, 0, 0, bpf.RET_KILL_PROCESS),
            (bpf.RET_K, 0, 0, bpf.RET_ERRNO | 17),
        ]
    )
    assert bpf_machine.decision(program, "x86_64", 0, (0, 0, 0x1111111122222222)) == ("errno", 17)
    assert bpf_machine.decision(program, "x86_64", 0, (0, 0, 0x1111111122222223)) == ("kill_process", 0)
    assert bpf_machine.decision(program, "x86_64", 0, (0x1111111122222222,)) == ("kill_process", 0)


@pytest.mark.parametrize(
    ("test", "value", "yes", "no"),
    [(bpf.JEQ, 5, 5, 6), (bpf.JGT, 5, 6, 5), (bpf.JGE, 5, 5, 4), (bpf.JSET, 6, 2, 1)],
)
def test_jumps(test: int, value: int, yes: int, no: int) -> None:
    program = bpf.encode(
        [
            (bpf.LD_ABS, 0, 0, bpf.NR),
            *bpf.when(test, value, [(bpf.RET_K, 0, 0, bpf.RET_ALLOW)]),
            (bpf.RET_K, 0, 0, bpf.RET_LOG),
        ]
    )
    assert bpf_machine.decision(program, "x86_64", yes) == ("allow", 0)
    assert bpf_machine.decision(program, "x86_64", no) == ("log", 0)


def test_a_block_longer_than_a_conditional_jump_reaches() -> None:
    block = [(bpf.LD_IMM, 0, 0, 1)] * 300 + [(bpf.RET_K, 0, 0, bpf.RET_ALLOW)]
    program = bpf.encode([(bpf.LD_ABS, 0, 0, bpf.NR), *bpf.when(bpf.JEQ, 7, block), (bpf.RET_K, 0, 0, bpf.RET_TRAP)])
    assert bpf_machine.decision(program, "x86_64", 7) == ("allow", 0)
    assert bpf_machine.decision(program, "x86_64", 8) == ("trap", 0)


def test_arithmetic_and_memory() -> None:
    program = [
        (bpf.LD_IMM, 0, 0, 0xF0F0),
        (bpf.AND, 0, 0, 0xFF00),
        (bpf.ST, 0, 0, 3),
        (bpf.LD_IMM, 0, 0, 4),
        (bpf.TAX, 0, 0, 0),
        (bpf.LD_MEM, 0, 0, 3),
        (0x7C, 0, 0, 0),  # A >>= X
        (bpf.RET_A, 0, 0, 0),
    ]
    assert bpf_machine.run(program, bytes(64)) == 0xF00


def test_malformed_programs_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="multiple of 8"):
        bpf.decode(b"123")
    with pytest.raises(InvalidInputError, match="without a return"):
        bpf_machine.run([(bpf.LD_IMM, 0, 0, 1)], bytes(64))
    with pytest.raises(InvalidInputError, match="unknown code 0x30"):
        bpf_machine.run([(0x30, 0, 0, 0)], bytes(64))
    with pytest.raises(InvalidInputError, match="4097 instructions"):
        bpf.encode([(bpf.RET_K, 0, 0, 0)] * 4097)
