"""The errors of pyrun: one tree, each class carries its values, a message and a hint.

It must not know who shows an error: front ends map classes to exit codes (cli/errors.py).
Messages are ``what failed: which object: why``, lower case, no full stop. Hints say what to change.

PyrunError
    InvalidInputError
        InvalidReferenceError
        InvalidDigestError
        InvalidConfigError
        InvalidArchiveError
        UnsupportedFlagError
        FlagValueError
        RefusedError
    NotFoundError
        ImageNotFoundError
        ContainerNotFoundError
        VolumeNotFoundError
    ConflictError
        NameInUseError
        ImageInUseError
        WrongStatusError
        StoreBusyError
    RegistryError
        AuthenticationError
        RegistryUnreachableError
        ManifestUnknownError
        NoMatchingPlatformError
    IntegrityError
        DigestMismatchError
        SizeMismatchError
        UnsafeLayerError
        SignatureError
            PolicyRejectedError
    StoreError
        StoreVersionError
        StoreCorruptError
        StorageFullError
    KernelError
        SyscallError
        FeatureMissingError
    CommandError
        CommandNotExecutableError
        CommandNotFoundError
"""

from __future__ import annotations


class PyrunError(Exception):
    """Root of everything that pyrun raises on purpose."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInputError(PyrunError):
    """What the user or a file said cannot be understood."""


class InvalidReferenceError(InvalidInputError):
    """A text is no image reference."""

    def __init__(self, text: str, reason: str = "invalid reference format", *, hint: str = "") -> None:
        super().__init__(f"invalid image reference: {text!r}: {reason}", hint=hint)
        self.text = text
        self.reason = reason


class InvalidDigestError(InvalidInputError):
    """A text is no digest, or one whose algorithm is not known."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"invalid digest: {text!r}: {reason}", hint="a digest is sha256: and 64 hexadecimal digits")
        self.text = text
        self.reason = reason


class InvalidConfigError(InvalidInputError):
    """A JSON document breaks its schema; ``pointer`` says where (RFC 6901)."""

    def __init__(self, document: str, pointer: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"invalid {document}: {pointer or '/'}: {reason}", hint=hint)
        self.document = document
        self.pointer = pointer
        self.reason = reason


class InvalidArchiveError(InvalidInputError):
    """A file holds no image; ``name``: which file, as the user knows it."""

    def __init__(self, reason: str, *, name: str = "", hint: str = "") -> None:
        super().__init__(
            f"invalid image archive: {name}: {reason}" if name else f"invalid image archive: {reason}", hint=hint
        )
        self.name = name
        self.reason = reason


class UnsupportedFlagError(InvalidInputError):
    """A flag that docker has and pyrun does not have yet."""

    def __init__(self, flag: str) -> None:
        super().__init__(f"flag {flag} is not supported yet")
        self.flag = flag


class FlagValueError(InvalidInputError):
    """A flag's value is malformed: docker's client refuses it before it asks anybody."""

    def __init__(self, flag: str, value: str, reason: str) -> None:
        super().__init__(f'invalid argument "{value}" for "{flag}" flag: {reason}')
        self.flag = flag
        self.value = value


class RefusedError(InvalidInputError):
    """What docker's client refuses before there is anything to run: its exit code is 1, of `run` and `exec` too."""


class NotFoundError(PyrunError):
    """A named object does not exist."""


class ImageNotFoundError(NotFoundError):
    """No such image in the store."""

    def __init__(self, name: str, *, hint: str = "") -> None:
        super().__init__(f"no such image: {name}", hint=hint)
        self.name = name


class ContainerNotFoundError(NotFoundError):
    """No such container."""

    def __init__(self, name: str, *, hint: str = "") -> None:
        super().__init__(f"no such container: {name}", hint=hint or "`pyrun ps -a` lists the containers")
        self.name = name


class VolumeNotFoundError(NotFoundError):
    """No such volume."""

    def __init__(self, name: str, *, hint: str = "") -> None:
        super().__init__(f"no such volume: {name}", hint=hint)
        self.name = name


class ConflictError(PyrunError):
    """The object is in a state that forbids the operation."""


class NameInUseError(ConflictError):
    """A container name is taken."""

    def __init__(self, name: str, container_id: str) -> None:
        super().__init__(
            f"container name {name!r} is already in use by container {container_id[:12]}",
            hint=f"remove it with `pyrun rm {name}`, or choose another name",
        )
        self.name = name
        self.container_id = container_id


class ImageInUseError(ConflictError):
    """An image cannot be removed because a container uses it. The sentences are docker's."""

    def __init__(self, message: str, container_id: str, container_name: str, *, running: bool) -> None:
        option = "-f " if running else ""
        super().__init__(
            message,
            hint=f"the container is {container_name}: remove it first, with `pyrun rm {option}{container_name}`",
        )
        self.container_id = container_id
        self.container_name = container_name
        self.running = running

    @classmethod
    def by_reference(
        cls, reference: str, container_id: str, container_name: str, image_id: str, *, running: bool
    ) -> ImageInUseError:
        """It is the last name that was to go."""
        what = f'conflict: unable to remove repository reference "{reference}" (must force)'
        why = f"container {container_id[:12]} is using its referenced image {image_id.partition(':')[2][:12]}"
        return cls(f"{what} - {why}", container_id, container_name, running=running)

    @classmethod
    def by_id(cls, image_id: str, container_id: str, container_name: str, *, running: bool) -> ImageInUseError:
        """It was asked for by its id."""
        how, status = ("cannot be forced", "running") if running else ("must be forced", "stopped")
        what = f"conflict: unable to delete {image_id.partition(':')[2][:12]} ({how})"
        why = f"image is being used by {status} container {container_id[:12]}"
        return cls(f"{what} - {why}", container_id, container_name, running=running)


class WrongStatusError(ConflictError):
    """A container's status does not allow the verb."""

    def __init__(self, verb: str, name: str, status: str, *, hint: str = "") -> None:
        super().__init__(f"cannot {verb} container: {name}: it is {status}", hint=hint)
        self.verb = verb
        self.name = name
        self.status = status


class StoreBusyError(ConflictError):
    """Another process holds a lock of the store for too long."""

    def __init__(self, path: str) -> None:
        super().__init__(f"store is busy: {path}: locked by another process")
        self.path = path


class RegistryError(PyrunError):
    """A registry refused or failed; ``status`` is the HTTP status or 0."""

    def __init__(self, message: str, *, registry: str, status: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.registry = registry
        self.status = status


class AuthenticationError(RegistryError):
    """The registry wants other credentials (401, 403)."""


class RegistryUnreachableError(RegistryError):
    """No answer: name unknown, connection refused, TLS failed, timed out."""


class ManifestUnknownError(RegistryError):
    """The registry has no such tag, digest or repository (404)."""


class NoMatchingPlatformError(RegistryError):
    """The image exists, but not for the platform that was asked for."""


class IntegrityError(PyrunError):
    """Bytes are not what their name says."""


class DigestMismatchError(IntegrityError):
    """The content's digest is another than the one it was asked by."""

    def __init__(self, what: str, *, expected: str, actual: str) -> None:
        super().__init__(f"digest does not match: {what}: expected {expected}, got {actual}")
        self.expected = expected
        self.actual = actual


class SizeMismatchError(IntegrityError):
    """The content's size is another than its descriptor says."""

    def __init__(self, what: str, *, expected: int, actual: int) -> None:
        super().__init__(f"size does not match: {what}: expected {expected} bytes, got {actual}")
        self.expected = expected
        self.actual = actual


class UnsafeLayerError(IntegrityError):
    """A layer's archive tries to do what no layer may; ``entry`` names the member."""

    def __init__(self, layer: str, entry: str, reason: str) -> None:
        super().__init__(f"refused layer {layer}: entry {entry!r}: {reason}")
        self.layer = layer
        self.entry = entry
        self.reason = reason


class SignatureError(IntegrityError):
    """No signature says what was asked for."""


class PolicyRejectedError(SignatureError):
    """The signature policy does not accept an image; ``scope`` is the part of ``file`` that decided."""

    def __init__(self, image: str, reason: str, *, scope: str, file: str, hint: str) -> None:
        super().__init__(f"refused by the signature policy: {image}: {reason} (scope {scope} of {file})", hint=hint)
        self.image = image
        self.reason = reason
        self.scope = scope
        self.file = file


class StoreError(PyrunError):
    """The store on disk cannot be used; ``path`` says where."""

    def __init__(self, message: str, *, path: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


class StoreVersionError(StoreError):
    """The store was written by a newer pyrun."""


class StoreCorruptError(StoreError):
    """A file of the store is unreadable or does not parse."""


class StorageFullError(StoreError):
    """ENOSPC or EDQUOT while writing."""


class KernelError(PyrunError):
    """The kernel refused."""


class SyscallError(KernelError):
    """A system call failed; carries which, on what, and errno; ``op`` names the plan's operation, if it was one."""

    def __init__(
        self, message: str, *, syscall: str, errno: int, path: str = "", step: int = -1, op: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.syscall = syscall
        self.errno = errno
        self.path = path
        self.step = step
        self.op = op


class FeatureMissingError(KernelError):
    """This machine does not offer what the request needs."""

    def __init__(self, feature: str, needs: str, *, hint: str = "") -> None:
        verb = "are" if feature.endswith("namespaces") else "is"
        super().__init__(f"{feature} {verb} not available: {needs}", hint=hint)
        self.feature = feature
        self.needs = needs


class CommandError(PyrunError):
    """The container's command could not be executed."""

    def __init__(self, command: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"cannot execute command: {command}: {reason}", hint=hint)
        self.command = command
        self.reason = reason


class CommandNotExecutableError(CommandError):
    """execve(2) said EACCES, ENOEXEC and the like: exit 126."""


class CommandNotFoundError(CommandError):
    """execve(2) said ENOENT: exit 127."""


def is_no_answer(error: OSError) -> bool:
    """Whether a call failed for want of descriptors or memory, or by a fault of the disk.

    That says nothing of what was asked: who takes it for "there is none" removes what is alive.
    """
    return error.errno in (5, 12, 23, 24)  # EIO, ENOMEM, ENFILE, EMFILE
