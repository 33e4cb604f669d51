"""The rules that make a single-id user namespace livable: calls that cannot work there pretend to have worked.

It must not know profiles. Everything here returns errno 0 without running the call, so it never widens a filter.

What pretends, and why so:
- chown, fchown, lchown, fchownat to an id other than the one that is mapped (or -1). A chown to the mapped ids is the
  kernel's: it fails as it should on missing or foreign files.
- mknod, mknodat of character and block devices (not 0:0, which any user may make since 5.8, and no other type).
- setgroups, whatever the list: BPF sees only its length, and the kernel says EPERM to every list while the
  namespace's setgroups is "deny" (since 3.19, user_namespaces(7)): initgroups(3) would end su, cron and apt.
  Nobody is told a lie that lasts: getgroups(2) stays true, and the setgid and setuid that follow are the kernel's.
- setuid, setgid, setreuid, setresuid & co. do NOT pretend: to the mapped id the kernel lets them succeed, to any
  other it says EINVAL. Pretending would make `su bob -c id` print root's id as bob's.
- setxattr & co. do NOT pretend: BPF cannot read the name, and pretending would lose user.* in silence.
  security.capability needs no help: since 4.14 the kernel stores it with the namespace's root id (capabilities(7)).
"""

from __future__ import annotations

from pyrun.linux import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrun.linux.bpf import Instruction

_S_IFMT, _S_IFCHR, _S_IFBLK = 0xF000, 0x2000, 0x6000
# name: (argument of the uid, argument of the gid, width of an id in bits where the kernel has two calls)
_CHOWN = {"chown": 1, "fchown": 1, "lchown": 1, "chown32": 1, "fchown32": 1, "lchown32": 1, "fchownat": 2}
_MKNOD = {"mknod": 1, "mknodat": 2}
_SETGROUPS = ("setgroups", "setgroups32")
_SUCCESS: Instruction = (bpf.RET_K, 0, 0, bpf.RET_ERRNO)
_RELOAD: Instruction = (bpf.LD_ABS, 0, 0, bpf.NR)


def rules(number: Callable[[str], int], uid: int, gid: int, *, has_16_bit_ids: bool) -> list[Instruction]:
    """Return the rules of one architecture; on entry and exit the accumulator holds the system call's number.

    `number` gives the number of a name, negative where the architecture has no such call.
    `uid`, `gid`: what the mapped ids are called inside.
    `has_16_bit_ids`: x86 and arm, whose plain chown takes 16-bit ids and has a chown32 beside it.
    """
    program: list[Instruction] = []
    for name, first in _CHOWN.items():
        if number(name) >= 0:
            narrow = has_16_bit_ids and name in ("chown", "fchown", "lchown")
            program += bpf.when(bpf.JEQ, number(name), _chown(first, uid, gid, narrow=narrow))
    for name, mode in _MKNOD.items():
        if number(name) >= 0:
            program += bpf.when(bpf.JEQ, number(name), _mknod(mode))
    for name in _SETGROUPS:
        if number(name) >= 0:
            program += bpf.when(bpf.JEQ, number(name), [_SUCCESS])
    return program


def _chown(first: int, uid: int, gid: int, *, narrow: bool) -> list[Instruction]:
    """Succeed unless both ids are the mapped ones or "leave it" (-1)."""
    keep = 0xFFFF if narrow else 0xFFFFFFFF

    def load(argument: int) -> list[Instruction]:
        # Ids are 32 bits: the kernel ignores the upper half of the register, so it is not compared.
        instruction = (bpf.LD_ABS, 0, 0, bpf.argument_offset(argument))
        return [instruction, (bpf.AND, 0, 0, 0xFFFF)] if narrow else [instruction]

    group = load(first + 1)
    return [
        *load(first),
        (bpf.JEQ, 1, 0, uid),
        (bpf.JEQ, 0, len(group) + 2, keep),
        *group,
        (bpf.JEQ, 2, 0, gid),
        (bpf.JEQ, 1, 0, keep),
        _SUCCESS,
        _RELOAD,
    ]


def _mknod(mode: int) -> list[Instruction]:
    """Succeed for devices; a whiteout (character device 0:0) and every other type are the kernel's."""
    return [
        (bpf.LD_ABS, 0, 0, bpf.argument_offset(mode)),
        (bpf.AND, 0, 0, _S_IFMT),
        (bpf.JEQ, 3, 0, _S_IFBLK),
        (bpf.JEQ, 0, 3, _S_IFCHR),
        (bpf.LD_ABS, 0, 0, bpf.argument_offset(mode + 1)),
        (bpf.JEQ, 1, 0, 0),
        _SUCCESS,
        _RELOAD,
    ]
