"""Containers whose monitor, and whose record, are of the release before: version 1 of job, plan and attach socket.

old-monitor.tar.xz holds native/monitor and native/plan as they were then, before restart policies, health checks,
events and log drivers. They are compiled as they are; the orders and the record are written as that release wrote them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING
from unittest import mock

from pyrun.engine import start as start_verb
from pyrun.runtime import job, launch
from pyrun.runtime.plan import NONE
from pyrun.store.layout import Layout
from tests.support.features import ROOT

if TYPE_CHECKING:
    from tests.support.boxes import Box

_SOURCES = Path(__file__).with_name("old-monitor.tar.xz")
_RECORD = (
    "id name created image image_ref image_id manifest platform path args ephemeral options labels mounts ports "
    "hostname stop_signal stop_timeout tty stdin_open network uplink form anonymous_volumes boot_id"
).split()
_OPTIONS = (
    "image pull sig_proxy stop_timeout args env env_file volume mount tmpfs publish dns dns_search dns_option add_host "
    "cap_add cap_drop security_opt ulimit label label_file detach interactive tty rm read_only publish_all init "
    "privileged name workdir user entrypoint hostname network userns platform stop_signal cidfile detach_keys debug"
).split()
_HEADER_BYTES = 104


def build() -> str:
    """Return the directory of the old pyrun-monitor; compiled once."""
    data = _SOURCES.read_bytes()
    target = ROOT / "build/cache" / f"old-monitor-{hashlib.sha256(data).hexdigest()[:12]}"
    if not (target / "pyrun-monitor").exists():
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tar", "-xJf", str(_SOURCES), "-C", str(target)], check=True)
        sources = [str(path) for kind in ("monitor", "plan") for path in sorted((target / "native" / kind).glob("*.c"))]
        command = ["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-w", "-static", "-o", f"{target}/new-{os.getpid()}"]
        subprocess.run([*command, *sources], check=True, capture_output=True)
        os.rename(f"{target}/new-{os.getpid()}", target / "pyrun-monitor")
    return str(target)


def encode(orders: job.Job, plan: bytes) -> bytes:
    """Write the orders as that release did."""
    data = bytearray()

    def text(value: str | None) -> int:
        if value is None:
            return NONE
        at = len(data)
        data.extend(os.fsencode(value) + b"\0")
        return at

    offsets = [text(value) for value in (orders.id, orders.directory, orders.live_link, orders.name_link)]
    offsets += [text(value) for value in (orders.socket_path, orders.uid_map, orders.gid_map)]
    offsets += [text("\0".join(words)) if words else NONE for words in (orders.network_argv, orders.remove)]
    boot, retired = text(orders.boot_id), text(orders.retired)
    data += b"\0" * (-(_HEADER_BYTES + len(data)) % 8 or 8)
    header = pack(
        "=IIIIIIQQ9IIIIIHHII", 0x424F4A59, 1, orders.flags & 0xFF, len(orders.network_argv), len(orders.remove), 3,
        orders.clone_flags, 10_000_000, *offsets, _HEADER_BYTES, len(data), _HEADER_BYTES + len(data), len(plan),
        orders.rows, orders.columns, boot, retired,
    )  # fmt: skip
    return header + bytes(data) + plan


def layout_of(box: Box) -> Layout:
    return Layout.default(environ=box.pyrun.environment)


def age_record(directory: str) -> None:
    """Leave in a container's record what that release wrote."""
    path = Path(directory, "container.json")
    record = json.loads(path.read_text())
    aged = {key: record[key] for key in _RECORD}
    aged["options"] = {key: record["options"][key] for key in _OPTIONS}
    path.write_text(json.dumps(aged))
    for name in ("restart", "stopped", "health"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{directory}/{name}")


def start(box: Box, name: str, *options: str, command: tuple[str, ...] = ("sleep", "1000")) -> str:
    """Start a detached container under the old monitor; return its directory."""
    identity = box.pyrun.ok("create", "--network", "none", "--name", name, *options, box.image, *command)
    layout = layout_of(box)
    directory = layout.container(identity)
    age_record(directory)
    with mock.patch.object(launch, "LIBEXEC", build()), mock.patch.object(job.Job, "encode", encode):
        start_verb.start(layout, name)
    return directory
