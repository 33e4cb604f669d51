"""How a failure is shown on the command line: one table from class to exit code, one printer.

It must not know which verb failed beyond whether docker answers 125 for it. Imported only when something failed.
Source: docker's exit codes, `docker run` reference "Exit status".
"""

from __future__ import annotations

import os
import sys

from pyrun import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

# Verbs whose own exit code is the container's: theirs must be told apart, so pyrun's failures are 125.
CONTAINER_CODE_VERBS = ("run", "create", "exec")

CLIENT = -1  # 125 for the verbs above, 1 for every other
REFUSED = 1  # whatever the verb: docker/cli run.go and exec.go return the plain error
NOT_EXECUTABLE = 126
NOT_FOUND = 127
USAGE = 125  # a flag that cannot be parsed, whatever the verb: docker/cli FlagErrorFunc
INTERRUPTED = 130
BROKEN_PIPE = 141

EXIT_CODES: dict[type[errors.PyrunError], int] = {
    errors.PyrunError: CLIENT,
    errors.InvalidInputError: CLIENT,
    errors.InvalidReferenceError: CLIENT,
    errors.InvalidConfigError: CLIENT,
    errors.InvalidArchiveError: CLIENT,
    errors.InvalidDigestError: CLIENT,
    errors.UnsupportedFlagError: USAGE,
    errors.FlagValueError: USAGE,
    errors.RefusedError: REFUSED,
    errors.NotFoundError: CLIENT,
    errors.ImageNotFoundError: CLIENT,
    errors.ContainerNotFoundError: CLIENT,
    errors.VolumeNotFoundError: CLIENT,
    errors.ConflictError: CLIENT,
    errors.NameInUseError: CLIENT,
    errors.ImageInUseError: CLIENT,
    errors.WrongStatusError: CLIENT,
    errors.StoreBusyError: CLIENT,
    errors.RegistryError: CLIENT,
    errors.AuthenticationError: CLIENT,
    errors.RegistryUnreachableError: CLIENT,
    errors.ManifestUnknownError: CLIENT,
    errors.NoMatchingPlatformError: CLIENT,
    errors.IntegrityError: CLIENT,
    errors.DigestMismatchError: CLIENT,
    errors.SizeMismatchError: CLIENT,
    errors.UnsafeLayerError: CLIENT,
    errors.SignatureError: CLIENT,
    errors.PolicyRejectedError: CLIENT,
    errors.StoreError: CLIENT,
    errors.StoreVersionError: CLIENT,
    errors.StoreCorruptError: CLIENT,
    errors.StorageFullError: CLIENT,
    errors.KernelError: CLIENT,
    errors.SyscallError: CLIENT,
    errors.FeatureMissingError: CLIENT,
    errors.CommandError: NOT_EXECUTABLE,
    errors.CommandNotExecutableError: NOT_EXECUTABLE,
    errors.CommandNotFoundError: NOT_FOUND,
}


def report(error: BaseException, *, verb: str, debug: bool) -> int:
    """Print what failed on stderr and return the exit code."""
    client = 125 if verb in CONTAINER_CODE_VERBS else 1
    if verb == "exec" and isinstance(error, (errors.ContainerNotFoundError, errors.WrongStatusError)):
        client = 1  # docker's daemon answers 404 and 409 before there is anything to run: docker/cli exec.go
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        _silence_stdout()
        return BROKEN_PIPE
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if debug:
        _print_traceback(error, error.__traceback__)
    if isinstance(error, errors.PyrunError):
        show(error.message, error.hint, getattr(error, "__notes__", ()))
        code = exit_code(type(error))
        # 126 and 127 stand for a program; `start` and `restart` have a code of their own (docker/cli start.go).
        is_own = client != 125 and isinstance(error, errors.CommandError)
        return client if code == CLIENT or is_own else code
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.strerror):
        from pyrun.cli.system_errors import explain

        show(*explain(error))
        return client
    if isinstance(error, ImportError) or (type(error) is RuntimeError and "new thread" in str(error)):
        show(f"cannot start: {error}", "is memory short, or a limit reached? `ulimit -v`, `ulimit -u`")
        return client
    if any(ancestor.__module__.partition(".")[0] == "click" for ancestor in type(error).__mro__):
        from pyrun.cli import app

        message, hint, code = app.explain(error)
        show(message, hint)
        return code
    show(f"internal error: {type(error).__name__}: {error}", "" if debug else "--debug shows the traceback")
    return client


def exit_code(kind: type[errors.PyrunError]) -> int:
    """Look up a class's code, or that of its nearest ancestor in the table."""
    for ancestor in kind.__mro__:
        if ancestor in EXIT_CODES:
            return EXIT_CODES[ancestor]
    return CLIENT


def show(message: str, hint: str, notes: tuple[str, ...] | list[str] = ()) -> None:
    """Print one failure: the sentence, what was noted on the way, and what to change."""
    lines = [f"pyrun: {message}", *notes]
    if hint:
        lines.append(f"hint: {hint}")
    if not all(line.isprintable() for line in lines):
        from pyrun.cli.text import printable

        lines = [*map(printable, lines)]
    try:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
    except OSError:  # stderr is closed or full: nobody is left to tell, the exit code still tells
        return


def _print_traceback(error: BaseException, trace: TracebackType | None) -> None:
    import traceback

    traceback.print_exception(type(error), error, trace)


def _silence_stdout() -> None:
    """Point stdout to /dev/null: the interpreter flushes it once more at exit and would complain."""
    sink = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(sink, 1)
    os.close(sink)
