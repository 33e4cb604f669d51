"""What a user asks for: one object per verb, filled by a front end, read by the engine.

It must not know the command line; names are docker's flags. Absent texts are None, absent lists are empty.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LISTS = (
    "args", "env", "env_file", "volume", "mount", "tmpfs", "publish", "dns", "dns_search", "dns_option", "add_host",
    "cap_add", "cap_drop", "security_opt", "ulimit", "label", "label_file", "log_opt", "annotation", "attach", "device",
    "expose", "group_add", "secret", "sysctl", "volumes_from",
)  # fmt: skip
_FLAGS = (
    "detach", "interactive", "tty", "rm", "read_only", "publish_all", "init", "privileged", "env_host", "quiet",
    "replace", "no_healthcheck",
)  # fmt: skip
_TEXTS = (
    "name", "workdir", "user", "entrypoint", "hostname", "network", "userns", "platform", "stop_signal", "cidfile",
    "detach_keys", "debug", "restart", "log_driver", "pid", "ipc", "uts", "cgroupns", "domainname", "mac_address",
    "shm_size", "health_cmd", "health_interval", "health_timeout", "health_start_period", "health_start_interval",
    "signature_policy",
)  # fmt: skip


class RunOptions:
    """``run`` and ``create``. ``stop_timeout`` in seconds; ``pull``: missing, always or never."""

    __slots__ = (
        "health_retries", "image", "oom_score_adj", "pull", "sig_proxy", "stop_timeout", *_LISTS, *_FLAGS, *_TEXTS,
    )  # fmt: skip
    if TYPE_CHECKING:
        image: str
        pull: str
        sig_proxy: bool
        stop_timeout: int | None
        oom_score_adj: int | None
        health_retries: int | None
        args: list[str]
        env: list[str]
        env_file: list[str]
        volume: list[str]
        mount: list[str]
        tmpfs: list[str]
        publish: list[str]
        dns: list[str]
        dns_search: list[str]
        dns_option: list[str]
        add_host: list[str]
        cap_add: list[str]
        cap_drop: list[str]
        security_opt: list[str]
        ulimit: list[str]
        label: list[str]
        label_file: list[str]
        log_opt: list[str]
        annotation: list[str]
        attach: list[str]
        device: list[str]
        expose: list[str]
        group_add: list[str]
        secret: list[str]
        sysctl: list[str]
        volumes_from: list[str]
        detach: bool
        interactive: bool
        tty: bool
        rm: bool
        read_only: bool
        publish_all: bool
        init: bool
        privileged: bool
        env_host: bool
        quiet: bool
        replace: bool
        no_healthcheck: bool
        name: str | None
        workdir: str | None
        user: str | None
        entrypoint: str | None
        hostname: str | None
        network: str | None
        userns: str | None
        platform: str | None
        stop_signal: str | None
        cidfile: str | None
        detach_keys: str | None
        debug: str | None
        restart: str | None
        health_cmd: str | None
        health_interval: str | None
        health_timeout: str | None
        health_start_period: str | None
        health_start_interval: str | None
        pid: str | None
        ipc: str | None
        uts: str | None
        cgroupns: str | None
        log_driver: str | None
        domainname: str | None
        mac_address: str | None
        shm_size: str | None
        signature_policy: str | None

    def __init__(self, image: str, **values: Any) -> None:
        self.image = image
        self.pull = "missing"
        self.sig_proxy = True
        self.stop_timeout = self.oom_score_adj = self.health_retries = None
        for name in _LISTS:
            setattr(self, name, [])
        for name in _FLAGS:
            setattr(self, name, False)
        for name in _TEXTS:
            setattr(self, name, None)
        for name, value in values.items():
            setattr(self, name, value)

    @property
    def shares_namespaces(self) -> bool:
        """Whether some namespace is, or may be, not the container's own: then engine/sharing.py decides."""
        others = f"{self.network} {self.userns}"
        return bool(self.pid or self.ipc or self.uts or self.cgroupns or "container:" in others)

    @property
    def speaks_of_health(self) -> bool:
        """Whether there is any of --health-* and --no-healthcheck."""
        return self.no_healthcheck or any(
            getattr(self, name) is not None for name in self.__slots__ if name.startswith("health_")
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what container.json keeps."""
        return {name: getattr(self, name) for name in self.__slots__}


class ExecOptions:
    """``exec``."""

    __slots__ = (
        "args", "container", "debug", "detach", "detach_keys", "env", "env_file", "interactive", "privileged", "tty",
        "user", "workdir",
    )  # fmt: skip

    def __init__(self, container: str, args: list[str], **values: Any) -> None:
        self.container = container
        self.args = args
        self.env: list[str] = []
        self.env_file: list[str] = []
        self.detach = self.interactive = self.tty = self.privileged = False
        self.user: str | None = None
        self.workdir: str | None = None
        self.detach_keys: str | None = None
        self.debug: str | None = None
        for name, value in values.items():
            setattr(self, name, value)
