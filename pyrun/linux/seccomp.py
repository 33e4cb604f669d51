"""Compiled seccomp filters, from the cache on disk: the path that every container start takes.

It must not know how a filter is compiled: on a miss it imports seccomp_compile, else next to nothing.
A cache entry is trusted only if its checksum holds and libseccomp is still the file that compiled it.
"""

from __future__ import annotations

import _blake2
import os

from pyrun.errors import InvalidInputError
from pyrun.linux import capabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

UNCONFINED = "unconfined"
DEFAULT = "default"
# Part of every key: raise it when the compiler or the pretend filter changes what it emits.
FORMAT = b"pyrun seccomp 1"
_PROFILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "profiles", "default.json")
# The maximum of a JSON profile that is read; Docker's own has 20 kB.
_MAX_PROFILE_BYTES = 4 << 20
_SUM_BYTES = 32


def compiled(
    cache_dir: str,
    profile: str,
    caps: Iterable[str | int] | int,
    arch: str | None = None,
    extra_pretend: bool | tuple[int, int] = False,
) -> bytes | None:
    """Return the filter as an array of struct sock_filter (8 bytes each), or None for no filter.

    `profile`: "default" (or "builtin", ""), "unconfined", or the path of a JSON profile in Docker's or the OCI
    runtime-spec's format.
    `caps`: the container's bounding set (names, numbers or a mask): Docker's profile depends on it.
    `arch`: as uname(2) says (x86_64, aarch64); the machine's own if None.
    `extra_pretend`: for a single-id map; True if its ids are 0:0 inside, else (uid, gid) inside.
    A damaged, foreign or outdated cache entry is compiled again; a cache that cannot be written is no error.
    Raises InvalidInputError (profile unreadable), InvalidConfigError (profile malformed),
    FeatureMissingError (libseccomp missing).
    """
    pretend = (0, 0) if extra_pretend is True else extra_pretend or None
    if profile == UNCONFINED and pretend is None:
        return None
    text = b"" if profile == UNCONFINED else read_profile(profile)
    name, release = os.uname(), ""
    machine = arch or name.machine
    release = name.release  # a profile's minKernel is answered at compile time
    bits = capabilities.mask(caps)
    key = _digest(b"\0".join((FORMAT, _digest(text), f"{machine} {release} {bits:x} {pretend}".encode()))).hex()
    path = os.path.join(cache_dir, f"seccomp-{key[:32]}")
    program = _cached(path, key)
    if program is None:
        from pyrun.linux import seccomp_compile

        program = seccomp_compile.compile_profile(text, profile, bits, machine, release, pretend)
        _store(path, key, program, seccomp_compile.library_path())
    return program


def read_profile(profile: str) -> bytes:
    """Return the bytes of the default or the named profile."""
    path = _PROFILE if profile in (DEFAULT, "builtin", "") else profile
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_PROFILE_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(f"cannot read seccomp profile: {path}: {os.strerror(error.errno or 0)}") from error
    if len(text) > _MAX_PROFILE_BYTES:
        raise InvalidInputError(f"cannot read seccomp profile: {path}: larger than {_MAX_PROFILE_BYTES} bytes")
    return text


def _digest(data: bytes) -> bytes:
    # _blake2 without hashlib: hashlib loads OpenSSL, 4 ms of a start.
    return _blake2.blake2b(data, digest_size=_SUM_BYTES).digest()


def _library_state(path: str) -> str:
    """Return what changes when libseccomp is exchanged: a stat costs microseconds, loading it milliseconds."""
    try:
        status = os.stat(path)
    except OSError:
        return "gone"
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _cached(path: str, key: str) -> bytes | None:
    """Return the program in a cache entry, or None if there is none that can be believed.

    Entry: checksum of the rest (32 bytes); lines with the key, libseccomp's path, its state; the program.
    """
    try:
        with open(path, "rb") as file:
            entry = file.read()
    except OSError:
        return None
    body = entry[_SUM_BYTES:]
    if len(entry) <= _SUM_BYTES or _digest(body) != entry[:_SUM_BYTES]:
        return None
    stored_key, library, state, program = body.split(b"\n", 3)
    if stored_key.decode() != key or _library_state(library.decode()) != state.decode():
        return None
    return program


def is_damaged(path: str) -> bool:
    """Say whether a cache entry is not what was written there."""
    try:
        with open(path, "rb") as file:
            entry = file.read()
    except OSError:
        return False
    return _digest(entry[_SUM_BYTES:]) != entry[:_SUM_BYTES]


def _store(path: str, key: str, program: bytes, library: str) -> None:
    """Write a cache entry; readers see the whole of it or nothing."""
    body = f"{key}\n{library}\n{_library_state(library)}\n".encode() + program
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return  # a cache: full disk or read-only root cost time, not correctness
    try:
        try:
            os.write(descriptor, _digest(body) + body)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)  # no fsync: a torn entry fails its checksum
    except OSError:
        _discard(temporary)


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return  # swept with the rest of the cache
