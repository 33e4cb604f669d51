"""The monitor's orders as bytes in a sealed memfd. Layout: native/monitor/job.h."""

from __future__ import annotations

import os
from _struct import pack

from pyrun.runtime.plan import NONE

TTY, STDIN, STDIN_ONCE, EPHEMERAL, INIT, LOG, NETWORK, NETWORK_READY_FD, PASSTHROUGH = (1 << bit for bit in range(9))
MAGIC = 0x424F4A59
VERSION = 1
_HEADER_BYTES = 184


class Job:
    """What one monitor is to do; texts may be None."""

    __slots__ = (
        "boot_id", "clone_flags", "columns", "directory", "event", "events", "events_ended", "events_removed",
        "events_started", "flags", "gid_map", "health", "id", "live_link", "log_attributes", "log_driver",
        "log_max_bytes", "log_max_files", "log_path", "log_ring_bytes", "name_link", "network_api", "network_argv",
        "network_patience_ms", "network_requests", "remove", "retired", "rows", "shared", "socket_path", "uid_map",
    )  # fmt: skip

    def __init__(self, container_id: str, directory: str) -> None:
        self.id = container_id
        self.directory = directory
        self.flags = 0
        self.clone_flags = 0
        self.uid_map: str | None = None
        self.gid_map: str | None = None
        self.live_link: str | None = None
        self.name_link: str | None = None
        self.socket_path: str | None = None
        self.network_argv: list[str] = []
        self.network_api: str | None = None  # slirp4netns's socket, and what to ask there once it is ready
        self.network_requests: list[str] = []
        self.network_patience_ms = 30_000
        self.remove: list[str] = []  # in this order
        self.retired: str | None = None
        self.log_max_bytes = 10_000_000
        self.log_max_files = 3
        self.log_driver = 0  # enum log_driver
        self.log_path: str | None = None  # None: logs/json.log
        self.log_attributes: str | None = None
        self.log_ring_bytes = 0
        self.rows = self.columns = 0
        self.boot_id = ""
        self.events: str | None = None  # the record of events; the others are what engine/events.py has prepared
        self.event: str | None = None
        self.events_started: list[str] = []
        self.events_ended: list[str] = []
        self.events_removed: list[str] = []
        self.shared: list[str] = []  # namespaces of other containers: "CLONE_NEW* DIRECTORY"
        self.health = b""  # what runtime/health_check.py has encoded

    def encode(self, plan: bytes) -> bytes:
        """Return the bytes that ``job_load`` reads."""
        data = bytearray()

        def text(value: str | None) -> int:
            if value is None:
                return NONE
            at = len(data)
            data.extend(os.fsencode(value) + b"\0")
            return at

        def texts(values: list[str]) -> int:
            return text("\0".join(values)) if values else NONE

        offsets = [
            text(self.id), text(self.directory), text(self.live_link), text(self.name_link), text(self.socket_path),
            text(self.uid_map), text(self.gid_map), texts(self.network_argv), texts(self.remove),
        ]  # fmt: skip
        boot, retired, events, event = text(self.boot_id), text(self.retired), text(self.events), text(self.event)
        api, requests = text(self.network_api), texts(self.network_requests)
        lists = [self.events_started, self.events_ended, self.events_removed]
        log_path, log_attributes = text(self.log_path), text(self.log_attributes)
        event_lists = [number for bodies in lists for number in (texts(bodies), len(bodies))]
        shared = texts(self.shared)
        data += b"\0" * (-(_HEADER_BYTES + len(data)) % 8 or 8)
        plan_offset = _HEADER_BYTES + len(data)
        padding = bytes(-len(plan) % 8)
        header = pack(
            "=IIIIIIQQ9IIIIIHHII20I",
            MAGIC, VERSION, self.flags, len(self.network_argv), len(self.remove), self.log_max_files,
            self.clone_flags, self.log_max_bytes, *offsets,
            _HEADER_BYTES, len(data), plan_offset, len(plan), self.rows, self.columns, boot, retired,
            events, event, *event_lists, shared, len(self.shared),
            api, requests, len(self.network_requests), self.network_patience_ms,
            self.log_driver, log_path, log_attributes, self.log_ring_bytes,
            plan_offset + len(plan) + len(padding), len(self.health),
        )  # fmt: skip
        return header + bytes(data) + plan + padding + self.health
