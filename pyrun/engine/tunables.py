"""What a container sets of the kernel for itself: ``--shm-size``, ``--sysctl``, ``--oom-score-adj``.

It must not set them. Loaded only where one of them is given. Source: docker/cli opts/opts.go ValidateSysctl;
runc libcontainer/configs/validate; proc_pid_oom_score_adj(5).
"""

from __future__ import annotations

from pyrun.errors import FeatureMissingError, InvalidInputError
from pyrun.volumes.size import ram_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.engine.options import RunOptions
    from pyrun.engine.spec import Decisions

_IPC_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
    "kernel.shmmni", "kernel.shm_rmid_forced",
)  # fmt: skip
_DEFAULT_SHM_BYTES = 64 << 20
_OWN_SCORE = "/proc/self/oom_score_adj"


def apply(options: RunOptions, decided: Decisions) -> None:
    """Put the options into what was decided; its namespaces are known by now. Raises: InvalidInputError."""
    if options.shm_size is not None:
        decided.shm_bytes = _shm_bytes(options.shm_size)
    decided.sysctls = {**decided.sysctls, **dict(_sysctl(text, decided.namespaces) for text in options.sysctl)}
    if options.oom_score_adj is not None:
        decided.oom_score_adj = _oom_score_adj(options.oom_score_adj)


def _shm_bytes(text: str) -> int:
    try:
        size = ram_bytes(text)
    except InvalidInputError as error:
        raise InvalidInputError(f'invalid argument "{text}" for "--shm-size" flag: {error.message}') from error
    if 0 < size < 4096:
        raise InvalidInputError(f"invalid --shm-size: {text}: smaller than a page of memory")
    return size or _DEFAULT_SHM_BYTES


def _sysctl(text: str, namespaces: list[str]) -> tuple[str, str]:
    """Only what belongs to a namespace of the container: all else is the whole machine's."""
    name, equals, value = text.partition("=")
    kind = "network" if name.startswith("net.") else "ipc"
    known = kind == "network" or name in _IPC_SYSCTLS or name.startswith("fs.mqueue.")
    if not equals or not known or "\0" in text:
        raise InvalidInputError(f'invalid argument "{text}" for "--sysctl" flag: sysctl \'{text}\' is not allowed')
    if kind not in namespaces:
        raise InvalidInputError(f"sysctl '{name}' is not allowed: the {kind} namespace is the host's")
    return name, value


def _oom_score_adj(value: int) -> int:
    if not -1000 <= value <= 1000:
        raise InvalidInputError(f"Invalid value {value}, range for oom score adj is [-1000, 1000]")
    with open(_OWN_SCORE, "r+b", buffering=0) as file:
        own = int(file.read())
        if value < own:
            # How low it may go, the kernel alone knows: what root last set (oom_score_adj_min). So: tried.
            try:
                file.write(str(value).encode())
            except PermissionError:
                raise FeatureMissingError(
                    f"--oom-score-adj={value}",
                    f"only the machine's root may go below what this user's processes have ({own})",
                ) from None
            file.write(str(own).encode())
    return value
