"""--log-driver and --log-opt: what they may say, and what each record then carries. Imported where one is given.

It must not know the command line; docker's sentences (daemon/logger: factory.go, jsonfilelog.go, local.go), and
podman's k8s-file with `path`. The record keeps what was decided: `engine/log_files.py` DEFAULT shows its shape.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyrun.engine.log_files import DEFAULT, DRIVERS, settings
from pyrun.errors import InvalidInputError
from pyrun.runtime import job

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from pyrun.runtime.job import Job

_ATTRIBUTES = ("env", "env-regex", "labels", "labels-regex", "tag")
_FILES = ("compress", "max-file", "max-size")
_TAKEN = {"json-file": (*_FILES, *_ATTRIBUTES, "path"), "k8s-file": (*_FILES, "path"), "local": _FILES}
_NOT_HERE = ("awslogs", "fluentd", "gcplogs", "gelf", "journald", "splunk", "syslog", "etwlogs")
# docker's local driver: 5 files of 20 MB.
_LOCAL = {"max_bytes": 20_000_000, "max_files": 5}
_RING_BYTES = 1_000_000  # docker: 1 MB, max-buffer-size
_MOST_ATTRIBUTE_BYTES = 16384  # native/monitor/log.h LOG_FRAME_BYTES
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kKmMgGtTpP]?)([iI]?)([bB]?)")
_PREFIXES = "kmgtp"


def decide(driver: str | None, pairs: Iterable[str], *, tty: bool) -> dict[str, Any]:
    """Return what container.json keeps. Raises: InvalidInputError."""
    name = driver or "json-file"
    options = dict(_pair(text) for text in pairs)
    if name in ("none", "passthrough"):
        if options:
            raise InvalidInputError(f"invalid logging opts for driver {name}")
        if name == "passthrough" and tty:
            raise InvalidInputError(
                "the '--log-driver passthrough' option cannot be used with -t: there is no terminal"
            )
        return {**DEFAULT, "driver": name}
    if name in _NOT_HERE:
        raise InvalidInputError(
            f"log driver {name} is not supported: {', '.join((*DRIVERS, 'none', 'passthrough'))} are"
        )
    if name not in DRIVERS:
        raise InvalidInputError(f"logger: no log driver named '{name}' is registered")
    decided = {**DEFAULT, **(_LOCAL if name == "local" else {}), "driver": name, "options": options}
    decided["ring_bytes"] = _mode(options)
    for key in options:
        if key not in _TAKEN[name] and key not in ("mode", "max-buffer-size"):
            kind = "json-file log driver" if name == "json-file" else f"log driver {name}"
            raise InvalidInputError(f"unknown log opt '{key}' for {kind}")
    _limits(options, decided)
    _check_attributes(options)
    return decided


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _mode(options: Mapping[str, str]) -> int:
    """Return how many bytes may wait to be written; 0: the container waits."""
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidInputError(f"logger: logging mode not supported: {mode}")
    size = options.get("max-buffer-size")
    if size is not None and mode != "non-blocking":
        raise InvalidInputError("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
    if mode != "non-blocking":
        return 0
    size_bytes = _RING_BYTES if size is None else parse_size(size, base=1024)
    most = _most_of_a_pipe()
    if not 0 < size_bytes <= most:
        raise InvalidInputError(
            f"invalid log opt max-buffer-size: {size}: what waits is in a pipe, which holds {most} bytes at most",
            hint="the limit is the sysctl fs.pipe-max-size",
        )
    return size_bytes


def _most_of_a_pipe() -> int:
    with open("/proc/sys/fs/pipe-max-size", encoding="ascii") as file:
        return int(file.read())


def _limits(options: Mapping[str, str], decided: dict[str, Any]) -> None:
    if "max-size" in options:
        decided["max_bytes"] = parse_size(options["max-size"], base=1000)
        if decided["max_bytes"] <= 0:
            raise InvalidInputError("max-size must be a positive number")
    if "max-file" in options:
        decided["max_files"] = _whole(options["max-file"])
        if decided["max_files"] < 1:
            raise InvalidInputError("max-file cannot be less than 1")
    if options.get("compress", "false") not in ("0", "f", "F", "false", "FALSE", "False"):
        raise InvalidInputError("log opt compress is not supported: rotated files stay as they are")
    if "path" in options:
        decided["path"] = _path(options["path"])


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,9}", text):
        raise InvalidInputError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def _path(text: str) -> str:
    import os

    path = os.path.abspath(text)
    if text.endswith("/") or not os.path.isdir(os.path.dirname(path)):
        raise InvalidInputError(f"invalid log path: {text!r}: its directory does not exist")
    return path


def parse_size(text: str, *, base: int) -> int:
    """Return the bytes of docker's `10m` (`base` 1000: units.FromHumanSize; 1024: units.RAMInBytes)."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InvalidInputError(f"invalid size: '{text}'")
    return int(float(found[1]) * base ** (1 + _PREFIXES.index(found[2].lower()) if found[2] else 0))


def _check_attributes(options: Mapping[str, str]) -> None:
    for key in ("env-regex", "labels-regex"):
        try:
            re.compile(options.get(key, ""))
        except re.error as error:
            raise InvalidInputError(f"invalid log opt {key}: {options[key]!r}: {error}") from None
    if unknown := [word for word in re.findall(r"{{(.*?)}}", options.get("tag", "")) if word.strip() not in _TAGS]:
        raise InvalidInputError(f"invalid log tag: {options['tag']!r}: no field {unknown[0].strip()}")


# docker's logger.Info.
_TAGS: dict[str, Any] = {
    ".ID": lambda record: record["id"][:12],
    ".FullID": lambda record: record["id"],
    ".Name": lambda record: record["name"],
    ".ImageID": lambda record: record["image_id"].partition(":")[2][:12],
    ".ImageFullID": lambda record: record["image_id"],
    ".ImageName": lambda record: record["image"],
    ".DaemonName": lambda record: "pyrun",
}


def order(orders: Job, record: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Tell the monitor. Raises: InvalidInputError where this start cannot be."""
    decided = settings(dict(record))
    if decided["driver"] not in DRIVERS:
        orders.flags &= ~job.LOG
        if decided["driver"] == "passthrough":
            _refuse_terminal()
            orders.flags |= job.PASSTHROUGH
        return
    orders.log_driver, name = DRIVERS[decided["driver"]]
    orders.log_path = decided["path"] or name
    orders.log_max_bytes, orders.log_max_files = decided["max_bytes"], decided["max_files"]
    orders.log_ring_bytes = decided["ring_bytes"]
    orders.log_attributes = _attributes_json(record, config["process"]["env"])


def _refuse_terminal() -> None:
    """As podman: a program that holds the caller's terminal can type into it (TIOCSTI)."""
    import os

    if any(os.isatty(fd) for fd in (0, 1, 2)):
        raise InvalidInputError(
            "the '--log-driver passthrough' option cannot be used on a TTY", hint="give it pipes, files or /dev/null"
        )


def attributes(record: Mapping[str, Any], environment: Iterable[str]) -> dict[str, str]:
    """Return what --log-opt labels, env and tag add to each record of this container."""
    options = settings(dict(record))["options"]
    found = _chosen(record["labels"], options.get("labels"), options.get("labels-regex"))
    found |= _chosen(dict(_pair(text) for text in environment), options.get("env"), options.get("env-regex"))
    if options.get("tag"):
        found["tag"] = re.sub(r"{{(.*?)}}", lambda field: str(_TAGS[field[1].strip()](record)), options["tag"])
    return dict(sorted(found.items()))


def _chosen(values: Mapping[str, str], names: str | None, pattern: str | None) -> dict[str, str]:
    wanted = set((names or "").split(","))
    return {
        key: value
        for key, value in values.items()
        if key in wanted or (pattern and re.search(pattern, key) is not None)
    }


def _attributes_json(record: Mapping[str, Any], environment: Iterable[str]) -> str | None:
    """Return the JSON of `attributes`; None if there are none. Raises: InvalidInputError if it is too long."""
    found = attributes(record, environment)
    if not found:
        return None
    from pyrun.oci import json

    # As Go's encoding/json, for who compares bytes.
    text = json.dumps(found).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    if len(text) > _MOST_ATTRIBUTE_BYTES:
        raise InvalidInputError(
            f"log attributes are too long: {record['name']}: {_MOST_ATTRIBUTE_BYTES} bytes are allowed"
        )
    return text


def details(found: Mapping[str, str]) -> str:
    """Write attributes as `docker logs --details` does: escaped as in a query, joined by commas."""
    from urllib.parse import quote_plus

    return ",".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in found.items())
