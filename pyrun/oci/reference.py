"""Image references: ``[domain/]path[:tag][@digest]``, and Docker Hub's defaults.

It must not know of registries or of the store. The grammar, the defaults and the reasons of refusal are those of
the ecosystem's reference library (distribution/reference); tests/corpora/references.json holds its answers.
Hot: imported by every verb that takes an image, so no ``re``.
"""

from __future__ import annotations

from pyrun.errors import InvalidDigestError, InvalidReferenceError

_HEX = "0123456789abcdef"
DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
MAX_PATH_LENGTH = 255
MAX_TAG_LENGTH = 128

_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_FORMAT = "invalid reference format"
_UPPERCASE = "repository name must be lowercase"
_DIGITS = "0123456789"
_LOWER = "abcdefghijklmnopqrstuvwxyz"
_LETTERS = _LOWER + _LOWER.upper()
_SEPARATORS = "_.-"
_PATH_CHARACTERS = _LOWER + _DIGITS + _SEPARATORS
_HOST_CHARACTERS = _LETTERS + _DIGITS + "-"
_WORD = _LETTERS + _DIGITS + "_"


class Reference:
    """A parsed reference; ``domain`` and ``path`` are empty where only a digest was given (``parse_any``)."""

    __slots__ = ("digest", "domain", "path", "tag")

    def __init__(self, domain: str, path: str, tag: str = "", digest: str = "") -> None:
        self.domain = domain
        self.path = path
        self.tag = tag
        self.digest = digest

    @property
    def name(self) -> str:
        """The repository: ``docker.io/library/debian``."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def familiar_name(self) -> str:
        """The repository as people write it: ``debian``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        if self.path.startswith(_OFFICIAL) and self.path.count("/") == 1:
            return self.path[len(_OFFICIAL) :]
        return self.path

    @property
    def string(self) -> str:
        """The whole reference; ``parse(r.string) == r``."""
        return self._with_suffix(self.name)

    @property
    def familiar(self) -> str:
        """The whole reference as people write it; ``parse_normalized(r.familiar) == r``."""
        return self._with_suffix(self.familiar_name)

    def _with_suffix(self, name: str) -> str:
        if self.tag:
            name += f":{self.tag}"
        if self.digest:
            name = f"{name}@{self.digest}" if name else self.digest
        return name

    def with_default_tag(self) -> Reference:
        """Give itself, with the tag ``latest`` if it has neither tag nor digest."""
        if self.tag or self.digest or not self.path:
            return self
        return Reference(self.domain, self.path, DEFAULT_TAG)

    def pinned(self) -> Reference:
        """Give what a registry is asked for: the digest alone where there is one, else the tag (or ``latest``)."""
        if self.tag and self.digest:
            return Reference(self.domain, self.path, "", self.digest)
        return self.with_default_tag()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, str, str, str]:
        return (self.domain, self.path, self.tag, self.digest)

    def __repr__(self) -> str:
        return f"Reference({self.string!r})"


def parse(text: str) -> Reference:
    """Parse a reference as it is written, without any default (``docker/docker`` has the domain ``docker``).

    Raises:
        InvalidReferenceError: with the reference library's reason.
    """
    return _parse(text, text)


def parse_normalized(text: str) -> Reference:
    """Parse what a person writes, with Docker Hub's defaults: ``debian`` is ``docker.io/library/debian``.

    No tag is added: see ``Reference.with_default_tag``.

    Raises:
        InvalidReferenceError: with the reference library's reason.
    """
    if is_identifier(text):
        reason = f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        raise InvalidReferenceError(text, reason, hint=f"a whole image id is written sha256:{text}")
    domain, remainder = _split_domain(text)
    remote = remainder.partition(":")[0]
    if remote != remote.lower():
        reason = f"{_FORMAT}: repository name ({remote}) must be lowercase"
        raise InvalidReferenceError(text, reason, hint=f"write {remote.lower()}")
    return _parse(f"{domain}/{remainder}", text)


def parse_any(text: str) -> Reference:
    """Parse what names an image: a whole id, with or without ``sha256:``, else as ``parse_normalized``.

    Raises:
        InvalidReferenceError: with the reference library's reason.
    """
    if is_identifier(text):
        return Reference("", "", "", f"sha256:{text}")
    from pyrun.oci.digest import validate

    try:
        if validate(text)[0] == "sha256":
            return Reference("", "", "", text)
    except InvalidDigestError:
        pass  # a name then: the next line says what is wrong with it
    return parse_normalized(text)


def is_identifier(text: str) -> bool:
    """Say whether a text is a whole image id without its algorithm: 64 lower-case hexadecimal digits."""
    return len(text) == 64 and not text.strip(_HEX)


def is_short(text: str) -> bool:
    """Say whether a text names no registry, so that docker would add its own."""
    head, slash, _ = text.partition("/")
    return not (slash and _looks_like_domain(head))


def is_host(text: str) -> bool:
    """Say whether a text is ``host`` or ``host:port``."""
    return _is_domain(text)


def _looks_like_domain(head: str) -> bool:
    # Only what looks like a host is one: it has a dot, a port or an upper-case letter, or is "localhost".
    return "." in head or ":" in head or head == "localhost" or head != head.lower()


def _split_domain(text: str) -> tuple[str, str]:
    head, slash, rest = text.partition("/")
    if slash and _looks_like_domain(head):
        domain, remainder = head, rest
    else:
        domain, remainder = DEFAULT_DOMAIN, text
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = _OFFICIAL + remainder
    return domain, remainder


def _parse(text: str, written: str) -> Reference:
    parts = _match(text)
    if parts is None:
        if not text:
            raise InvalidReferenceError(written, "repository name must have at least one component")
        if _match(text.lower()) is not None:
            raise InvalidReferenceError(written, _UPPERCASE, hint="only host names, tags and variables have upper case")
        raise InvalidReferenceError(written, _FORMAT, hint="a reference is [host[:port]/]path[:tag][@sha256:digest]")
    domain, path, tag, digest = parts
    if len(path) > MAX_PATH_LENGTH:
        raise InvalidReferenceError(written, f"repository name must not be more than {MAX_PATH_LENGTH} characters")
    if digest:
        from pyrun.oci.digest import validate

        try:
            algorithm = validate(digest)[0]
        except InvalidDigestError as error:
            raise InvalidReferenceError(written, error.reason, hint=error.hint) from None
        if algorithm != "sha256":
            raise InvalidReferenceError(written, "unsupported digest algorithm", hint="digests are sha256")
    return Reference(domain, path, tag, digest)


def _match(text: str) -> tuple[str, str, str, str] | None:
    """Split along the grammar, or give None. Only the text before the first slash can be a domain."""
    head, slash, rest = text.partition("/")
    domain = head if slash and _is_domain(head) else ""
    remainder = rest if domain else text
    remainder, at, digest = remainder.partition("@")
    if at and not _is_digest_shaped(digest):
        return None
    path, colon, tag = remainder.partition(":")
    if colon and not _is_tag(tag):
        return None
    for component in path.split("/"):
        if not _is_path_component(component):
            return None
    return domain, path, tag, digest


def _is_domain(text: str) -> bool:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not (host and bracket) or host.strip("0123456789abcdefABCDEF:"):
            return False
        return not rest or (rest[0] == ":" and _is_port(rest[1:]))
    host, colon, port = text.partition(":")
    if colon and not _is_port(port):
        return False
    for label in host.split("."):
        if not label or label[0] == "-" or label[-1] == "-" or label.strip(_HOST_CHARACTERS):
            return False
    return True


def _is_port(text: str) -> bool:
    return bool(text) and not text.strip(_DIGITS)


def _is_tag(text: str) -> bool:
    if not text or len(text) > MAX_TAG_LENGTH or text[0] not in _WORD:
        return False
    return not text.strip(_WORD + ".-")


def _is_path_component(text: str) -> bool:
    """Runs of lower-case letters and digits, joined by ``.``, ``_``, ``__`` or any number of ``-``."""
    if not text or text[0] in _SEPARATORS or text[-1] in _SEPARATORS or text.strip(_PATH_CHARACTERS):
        return False
    run = ""
    for character in text:
        if character in _SEPARATORS:
            run += character
        elif run:
            if run not in ("_", ".", "__") and run.strip("-"):
                return False
            run = ""
    return True


def _is_digest_shaped(text: str) -> bool:
    """The reference grammar's digest: algorithm words, then ≥ 32 hexadecimal digits of either case."""
    algorithm, _, encoded = text.partition(":")
    if len(encoded) < 32 or encoded.strip("0123456789abcdefABCDEF"):
        return False
    word_starts = True
    for character in algorithm:
        if word_starts:
            if character not in _LETTERS:
                return False
            word_starts = False
        elif character in "+.-_":
            word_starts = True
        elif character not in _LETTERS and character not in _DIGITS:
            return False
    return not word_starts
