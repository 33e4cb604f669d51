"""Dockerfile instructions that change an image's configuration, as `commit --change` takes them.

It must not know files or builds: text and a configuration in, a configuration out. Sources: Dockerfile reference; moby
builder/dockerfile (parser/line_parsers.go, dispatchers.go, internals.go), daemon/commit.go `merge`.
"""

from __future__ import annotations

import json
import os

import msgspec

from pyrun.errors import InvalidInputError
from pyrun.oci.config import ContainerConfig, Healthcheck
from pyrun.oci.words import Expansion, split_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SHELL = ["/bin/sh", "-c"]
_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_CHECK_TIMES = ("interval", "timeout", "start-period", "start-interval")
_LEAST_NANOSECONDS = 1_000_000


def apply(config: ContainerConfig, changes: Iterable[str]) -> ContainerConfig:
    """Return a container's configuration with instructions applied, each a line: ``CMD ["sh"]``, ``ENV A=b`` …

    ``$NAME`` is what the configuration's environment has at that point. A new ENTRYPOINT takes the old CMD away.
    Raises: InvalidInputError with docker's words.
    """
    change = _Change(config)
    for line in _lines(changes):
        name, _, rest = line.partition(" ")
        rule = _RULES.get(name.lower())
        if rule is None:
            raise InvalidInputError(f"{name} is not a valid change command")
        rule(change, rest.strip())
    return change.result()


def _lines(changes: Iterable[str]) -> list[str]:
    text = "\n".join(changes).replace("\\\n", " ").replace("\t", " ")
    lines = [line.strip() for line in text.split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


class _Change:
    """What the instructions have set so far."""

    def __init__(self, config: ContainerConfig) -> None:
        self._config = config
        self.env = list(config.env or ())
        self.labels = dict(config.labels or {})
        self.ports = dict(config.exposed_ports or {})
        self.volumes = dict(config.volumes or {})
        self.workdir = config.working_dir or ""
        self.user, self.stop_signal, self.healthcheck = config.user, config.stop_signal, config.healthcheck
        self.entrypoint: list[str] | None = None
        self.cmd: list[str] | None = None
        self.on_build: list[str] = []

    def expand(self, text: str) -> str:
        return Expansion(dict(item.partition("=")[::2] for item in self.env)).word(text)

    def result(self) -> ContainerConfig:
        entrypoint, cmd = self._config.entrypoint, self.cmd
        if self.entrypoint is not None:
            entrypoint = self.entrypoint
        if cmd is None and not self.entrypoint:
            cmd = self._config.cmd
        return msgspec.structs.replace(
            self._config,
            env=self.env or None, labels=self.labels or None, exposed_ports=self.ports or None,
            volumes=self.volumes or None, working_dir=self.workdir or None, user=self.user or None,
            stop_signal=self.stop_signal or None, healthcheck=self.healthcheck, entrypoint=entrypoint or None,
            cmd=cmd or None, on_build=self.on_build or None,
        )  # fmt: skip


def _command(change: _Change, text: str) -> list[str]:
    """Return the exec form of ``["a", "b"]``; anything else is a line for a shell."""
    listed = _json_list(text)
    if listed is not None:
        return listed
    return [*(change._config.shell or _SHELL), text] if text else []


def _json_list(text: str) -> list[str] | None:
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, list) and all(isinstance(item, str) for item in found) else None


def _cmd(change: _Change, text: str) -> None:
    change.cmd = _command(change, text)


def _entrypoint(change: _Change, text: str) -> None:
    change.entrypoint = _command(change, text)


def _env(change: _Change, text: str) -> None:
    for name, value in _pairs(change, text, "ENV"):
        items = {item.partition("=")[0]: item for item in change.env}
        items[name] = f"{name}={value}"
        change.env = list(items.values())


def _label(change: _Change, text: str) -> None:
    change.labels.update(_pairs(change, text, "LABEL"))


def _pairs(change: _Change, text: str, name: str) -> list[tuple[str, str]]:
    """Read ``KEY=VALUE KEY="VALUE" …``, or the old form ``KEY VALUE``."""
    words = split_words(text)
    if not words:
        raise InvalidInputError(f"{name} requires at least one argument")
    if "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value.strip():
            raise InvalidInputError(f"{name} must have two arguments")
        return [(change.expand(key), change.expand(value.strip()))]
    found = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidInputError(
                f"Syntax error - can't find = in {word!r}. Must be of the form: name=value"  # docker's
            )
        if not key:
            raise InvalidInputError(f"{name} names can not be blank")
        found.append((change.expand(key), change.expand(value)))
    return found


def _expose(change: _Change, text: str) -> None:
    words = [change.expand(word) for word in split_words(text)]
    if not words:
        raise InvalidInputError("EXPOSE requires at least one argument")
    for word in words:
        numbers, _, protocol = word.partition("/")
        first, dash, last = numbers.partition("-")
        protocol = protocol.lower() or "tcp"
        if protocol not in ("tcp", "udp", "sctp") or not _is_port(first) or (dash and not _is_port(last)):
            raise InvalidInputError(f"invalid containerPort: {word}")
        for number in range(int(first), int(last or first) + 1):
            change.ports[f"{number}/{protocol}"] = {}


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 65536


def _one(change: _Change, text: str, name: str) -> str:
    if not text:
        raise InvalidInputError(f"{name} requires exactly one argument")
    return change.expand(text)


def _user(change: _Change, text: str) -> None:
    change.user = _one(change, text, "USER")


def _workdir(change: _Change, text: str) -> None:
    path = _one(change, text, "WORKDIR")
    change.workdir = "/" + os.path.normpath(os.path.join("/", change.workdir, path)).lstrip("/")


def _stop_signal(change: _Change, text: str) -> None:
    change.stop_signal = _one(change, text, "STOPSIGNAL")


def _volume(change: _Change, text: str) -> None:
    listed = _json_list(text)
    words = [change.expand(word) for word in (split_words(text) if listed is None else listed)]
    if not words or not all(word.strip() for word in words):
        raise InvalidInputError("VOLUME specified can not be an empty string")
    change.volumes.update((word, {}) for word in words)


def _on_build(change: _Change, text: str) -> None:
    trigger = text.partition(" ")[0].upper()
    if trigger == "ONBUILD":
        raise InvalidInputError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("", "MAINTAINER", "FROM"):
        what = f"{trigger} isn't allowed as an ONBUILD trigger" if trigger else "ONBUILD requires at least one argument"
        raise InvalidInputError(what)
    change.on_build.append(text)


def _healthcheck(change: _Change, text: str) -> None:
    words = text.split(" ")
    options: dict[str, int] = {}
    while words and words[0].startswith("--"):
        name, _, value = words.pop(0)[2:].partition("=")
        if name == "retries" and value.isascii() and value.isdigit():
            options["retries"] = int(value)
        elif name in _CHECK_TIMES:
            options[name.replace("-", "_")] = _duration(name, value)
        else:
            raise InvalidInputError(f"Unknown flag: {name}")
    kind, rest = (words[0].upper() if words else ""), " ".join(words[1:]).strip()
    if kind == "NONE" and not rest:
        test = ["NONE"]
    elif kind == "CMD" and rest:
        listed = _json_list(rest)
        test = ["CMD-SHELL", rest] if listed is None else ["CMD", *listed]
    else:
        raise InvalidInputError(f"Unknown type {kind!r} in HEALTHCHECK (try CMD)" if kind != "CMD" else
                                "Missing command after HEALTHCHECK CMD")  # fmt: skip
    old = change.healthcheck
    kept = {} if old is None else {name: getattr(old, name) for name in ("interval", "timeout", "start_period",
                                                                         "start_interval", "retries")}  # fmt: skip
    change.healthcheck = Healthcheck(test=test, **{**kept, **options})


def _duration(name: str, text: str) -> int:
    """Return the nanoseconds of ``1m30s``, ``500ms``. Raises: InvalidInputError, also for less than one millisecond."""
    total, rest = 0.0, text
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = next((unit for unit in sorted(_UNITS, key=len, reverse=True) if rest.startswith(unit)), "")
        if not unit or not number.strip(".") or number.count(".") > 1:
            raise InvalidInputError(f'time: invalid duration "{text}"')
        total += float(number) * _UNITS[unit]
        rest = rest[len(unit) :]
    if not text or 0 < total < _LEAST_NANOSECONDS:
        raise InvalidInputError(f'Interval "{name}" cannot be less than 1ms')
    return int(total)


_RULES: dict[str, Callable[[_Change, str], None]] = {
    "cmd": _cmd, "entrypoint": _entrypoint, "env": _env, "expose": _expose, "healthcheck": _healthcheck,
    "label": _label, "onbuild": _on_build, "stopsignal": _stop_signal, "user": _user, "volume": _volume,
    "workdir": _workdir,
}  # fmt: skip
