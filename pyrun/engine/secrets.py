"""``--secret id=NAME,src=FILE|env=VARIABLE[,target=…,mode=…,uid=…,gid=…]``: a file in the container's memory alone.

It must not write it: the plan's step does, on a tmpfs (native/plan/step_secret.c). What it holds is read at each start,
and goes from here to the monitor in sealed memory, never to disk; container.json has only where to read it. Names:
docker build --secret, podman-run(1). There is no store of secrets, so podman's `--secret NAME` finds none.
"""

from __future__ import annotations

import os

from pyrun.errors import InvalidInputError, NotFoundError, UnsupportedFlagError

DIRECTORY = "/run/secrets"
MAXIMUM_BYTES = 512000  # podman's
_KEYS = {
    "id": "id", "src": "src", "source": "src", "env": "env", "target": "target", "dst": "target",
    "destination": "target", "mode": "mode", "uid": "uid", "gid": "gid", "type": "type",
}  # fmt: skip


class Secret:
    """One ``--secret``. ``source``: a file's absolute path, or, if ``is_variable``, the name of a variable."""

    __slots__ = ("gid", "is_variable", "mode", "name", "source", "target", "uid")

    def __init__(self, name: str, source: str, *, is_variable: bool) -> None:
        self.name = name
        self.source = source
        self.is_variable = is_variable
        self.target = name
        self.mode = 0o444
        self.uid = self.gid = 0

    @property
    def path(self) -> str:
        """Where the file is, always below `DIRECTORY`."""
        return f"{DIRECTORY}/{self.name if self.target.startswith('/') else self.target}"

    @property
    def place(self) -> str | None:
        """Where it is bound as well: an absolute target."""
        return self.target if self.target.startswith("/") else None

    @property
    def text(self) -> str:
        """The option again, without regard to the working directory."""
        kind = "env" if self.is_variable else "src"
        ids = f"mode={self.mode:o},uid={self.uid},gid={self.gid}"
        return f"id={self.name},{kind}={self.source},target={self.target},{ids}"

    def read(self) -> bytes:
        """Return the content as it is now. Raises: NotFoundError, InvalidInputError."""
        if self.is_variable:
            value = os.environb.get(os.fsencode(self.source))
            if value is None:
                raise NotFoundError(f"cannot read secret: {self.name}: the variable {self.source} is not set")
            content = value
        else:
            try:
                with open(self.source, "rb") as file:
                    content = file.read(MAXIMUM_BYTES + 1)
            except OSError as error:
                reason = os.strerror(error.errno or 0).lower()
                raise NotFoundError(f"cannot read secret: {self.name}: {self.source}: {reason}") from error
        if len(content) > MAXIMUM_BYTES:
            raise InvalidInputError(f"cannot read secret: {self.name}: it is longer than {MAXIMUM_BYTES} bytes")
        return content


def parse(text: str) -> Secret:
    """Read one ``--secret``. Raises: InvalidInputError; NotFoundError for the name of a stored one."""
    fields: dict[str, str] = {}
    for item in text.split(","):
        key, equals, value = item.partition("=")
        if not equals and not fields:
            raise NotFoundError(f'no secret with name or id "{key}"', hint="--secret id=NAME,src=FILE, or env=VARIABLE")
        if key not in _KEYS or not value:
            raise InvalidInputError(f"invalid --secret: {text}: {item!r}")
        fields[_KEYS[key]] = value
    if fields.get("type", "mount") not in ("mount", "file"):
        raise UnsupportedFlagError(f"--secret type={fields['type']}")
    if ("src" in fields) == ("env" in fields) or "id" not in fields:
        raise InvalidInputError(f"invalid --secret: {text}: it takes an id, and src=FILE or env=VARIABLE")
    is_variable = "env" in fields
    source = fields["env"] if is_variable else os.path.abspath(fields["src"])
    secret = Secret(fields["id"], source, is_variable=is_variable)
    secret.target = fields.get("target", secret.name)
    if "/" in secret.name or secret.name in (".", "..") or ".." in secret.target.split("/"):
        raise InvalidInputError(f"invalid --secret: {text}: a path may not lead elsewhere")
    secret.mode = _number(text, fields.get("mode", "444"), 8, 0o777)
    secret.uid, secret.gid = (_number(text, fields.get(key, "0"), 10, (1 << 31) - 1) for key in ("uid", "gid"))
    return secret


def _number(text: str, digits: str, base: int, most: int) -> int:
    allowed = "01234567" if base == 8 else "0123456789"
    if not digits or digits.strip(allowed) or len(digits) > 10 or int(digits, base) > most:
        raise InvalidInputError(f"invalid --secret: {text}: {digits!r} is no number for that")
    return int(digits, base)


def read_all(texts: list[str]) -> list[tuple[str, str | None, bytes, int, int, int]]:
    """Return what runtime.compile takes of every secret. Raises: as `Secret.read`."""
    found = map(parse, texts)
    return [(item.path, item.place, item.read(), item.mode, item.uid, item.gid) for item in found]


def settled(texts: list[str]) -> list[str]:
    """Return the options without regard to the working directory. Raises: as `parse`; InvalidInputError."""
    found = [parse(text) for text in texts]
    if len({item.path for item in found}) < len(found):
        raise InvalidInputError("invalid --secret: two of them have the same place")
    return [item.text for item in found]
