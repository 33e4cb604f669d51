"""Start a container that exists: its bundle to a monitor. What run and start share.

It must not print. Below it: runtime/launch.py. Ends when the program has been executed, or could not be.
"""

from __future__ import annotations

import os

from pyrun.engine import events, filters, idmap
from pyrun.errors import KernelError, NotFoundError, SyscallError, WrongStatusError
from pyrun.runtime import compile as compiler
from pyrun.runtime import engine_ns, job, launch, state
from pyrun.store import containers, fsio, owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrun.runtime.launch import Monitor
    from pyrun.runtime.plan import Plan
    from pyrun.store.containers import Created
    from pyrun.store.layout import Layout


class Launch:
    """A monitor that has been started with this plan for this container."""

    __slots__ = ("created", "is_first_on_fuse", "monitor", "plan")

    def __init__(self, created: Created, monitor: Monitor, plan: Plan, *, is_first_on_fuse: bool) -> None:
        self.created = created
        self.is_first_on_fuse = is_first_on_fuse
        self.monitor = monitor
        self.plan = plan

    def wait_started(self) -> None:
        """Wait for execve; raises why it could not be. 126, 127: CommandNotExecutableError, CommandNotFoundError."""
        launch.wait_started(self.monitor, self.plan, self.created.record["path"])


def run_to_exec(
    layout: Layout, created: Created, *, attached: bool, window: tuple[int, int],
    again: Callable[[], Created] | None = None, show_plan: Callable[[str], None] | None = None,
) -> Launch:  # fmt: skip
    """Start a container and wait for execve; again without overlay, then without fuse-overlayfs, where refused.

    While `cp` works on it, that waits; of one just made, the monitor alone asks (native/monitor/start.c).
    ``again`` makes a --rm container anew: its monitor has removed what could not be started.
    """
    copying = containers.copying(created.directory)
    may_be_copied = created.bundle is None
    while True:
        try:
            if not may_be_copied or not os.path.exists(copying):
                return _run_to_exec(layout, created, attached, window, again, show_plan)
            with fsio.FileLock(copying, exclusive=False):
                return _run_to_exec(layout, created, attached, window, again, show_plan)
        except SyscallError as error:
            # `cp` has the root mounted since we looked: two at once are one too many for an upper directory.
            if error.syscall != "copying":
                raise
            may_be_copied = True


def _run_to_exec(
    layout: Layout, created: Created, attached: bool, window: tuple[int, int],
    again: Callable[[], Created] | None, show_plan: Callable[[str], None] | None,
) -> Launch:  # fmt: skip
    while True:
        started = start(layout, created, attached=attached, window=window)
        if show_plan is not None:
            show_plan(started.plan.describe_all())
        try:
            started.wait_started()
        except KernelError as error:
            from pyrun.engine import root_choice

            # Not without end: what was refused is remembered, and a copied tree is the last thing tried.
            if not root_choice.falls_back(layout, created.directory, error, is_first=started.is_first_on_fuse):
                raise
            created = again() if again is not None else created
        else:
            return started


def start(layout: Layout, created: Created, *, attached: bool, window: tuple[int, int] = (0, 0)) -> Launch:
    """Start the monitor. ``attached``: the caller is the first client; its stdin is the container's while it stays.

    Raises: WrongStatusError if it runs; KernelError.
    """
    record, directory = created.record, created.directory
    if created.bundle is None:
        now = state.status(directory)
        if now.is_up:
            raise WrongStatusError("start", record["name"], now.word)
        if not now.is_recorded:
            from pyrun.engine import obituary

            obituary.write(layout, directory)
        if state.pause_begun(directory):  # it was killed from outside while it was paused
            from pyrun.engine import lifecycle

            lifecycle.remove_group(lifecycle.pause_group(directory))
        config, rootfs = (
            containers.load_file(directory, name, verified=True) for name in ("config.json", "rootfs.json")
        )
        _check_lowers(record, rootfs)
        if rootfs.get("volatile"):
            _mount_again(layout, rootfs["work"])
    else:
        config, rootfs = created.bundle
    engine = engine_ns.engine_map()
    was_on_fuse = "fuse" in rootfs
    if was_on_fuse or _may_be_refused(layout):
        rootfs = _without_overlay(layout, directory, config, rootfs)
    programs = filters.compiled(layout, config, engine)
    filters.keep(directory, programs)
    if compiler.lacks_user(config):
        from pyrun.engine import foreign_root

        foreign_root.prepare(layout, directory, config, rootfs)
    else:
        _prepare(directory)
    shared, beside = compiler.shared(config), None
    if shared:
        from pyrun.engine import sharing

        beside = sharing.check(shared)
    link = record["uplink"]
    if record["tty"]:
        config["process"]["consoleSize"] = {"height": window[0], "width": window[1]}
    plan = compiler.compile_start(
        config, rootfs, directory + "/rootfs", programs, init=record["options"]["init"], wait=bool(link["argv"]),
        secrets=_secrets(record),
    )  # fmt: skip
    orders = _orders(layout, created, config, window, attached)
    if record.get("healthcheck"):
        from pyrun.engine import health

        orders.health = health.orders(record, config, programs)
    if link["argv"]:
        orders.network_argv = link["argv"]
        orders.flags |= job.NETWORK | (job.NETWORK_READY_FD if link["ready_fd"] else 0)
        if link["api_socket"]:
            from pyrun.engine import networking

            orders.network_api, orders.network_requests = link["api_socket"], networking.requests(record)
    orders.shared = [f"{flags} {path}" for path, flags in shared.items()]
    containers.link_live(layout, created.id, directory)
    monitor = launch.start_monitor(layout.engine, engine, orders, plan, beside=beside)
    return Launch(created, monitor, plan, is_first_on_fuse="fuse" in rootfs and not was_on_fuse)


def _secrets(record: dict[str, Any]) -> list[compiler.Secret]:
    texts = record["options"].get("secret")
    if not texts:
        return []
    from pyrun.engine import secrets

    return secrets.read_all(texts)


def _orders(
    layout: Layout, created: Created, config: dict[str, Any], window: tuple[int, int], attached: bool
) -> job.Job:
    record, directory = created.record, created.directory
    orders = job.Job(created.id, directory)
    linux = config["linux"]
    orders.clone_flags = compiler.clone_flags(config)
    orders.uid_map = idmap.map_text([_extent(item) for item in linux["uidMappings"]])
    orders.gid_map = idmap.map_text([_extent(item) for item in linux["gidMappings"]])
    orders.live_link = layout.live_entry(created.id)
    orders.socket_path = layout.socket(created.id)
    orders.flags = job.LOG
    if record.get("log") is not None:
        from pyrun.engine import log_options

        log_options.order(orders, record, config)
    if record["tty"]:
        orders.flags |= job.TTY
    if record["stdin_open"]:
        orders.flags |= job.STDIN | (job.STDIN_ONCE if attached else 0)
    if record["options"]["init"]:
        orders.flags |= job.INIT
    if record["ephemeral"]:
        orders.flags |= job.EPHEMERAL
        orders.name_link = layout.name(record["name"])
        # Volumes while the record still names them.
        orders.remove = [*(layout.volume(name) for name in record["anonymous_volumes"]), directory]
        orders.retired = f"{layout.trash}/{owner.token()}"
    orders.rows, orders.columns = window
    events.prepare(layout, orders, record)
    orders.boot_id = state.boot_id()  # not the record's: that is of the boot that created it
    return orders


def _extent(item: dict[str, int]) -> tuple[int, int, int]:
    return item["containerID"], item["hostID"], item["size"]


def _may_be_refused(layout: Layout) -> bool:
    """Whether root_choice.py has something to say: it writes that file at the first refusal of overlay."""
    return os.path.exists(layout.overlay_refused) or "PYRUN_ROOTFS" in os.environ


def _without_overlay(layout: Layout, directory: str, config: dict[str, Any], rootfs: dict[str, Any]) -> dict[str, Any]:
    from pyrun.engine import root_choice

    return root_choice.decide(layout, directory, config, rootfs)


def _mount_again(layout: Layout, work: str) -> None:
    """Let a volatile overlay be mounted a second time, after `restart`.

    The kernel leaves work/incompat/volatile and refuses what has it; who knows that the system did not crash may remove
    it: overlayfs.rst "Volatile mount". A --rm container that has run does not outlive its boot.
    """
    if os.path.isdir(f"{work}/work"):
        from pyrun.engine import namespace
        from pyrun.store import trees

        namespace.register(layout)
        trees.remove_tree(f"{work}/work")


def _check_lowers(record: dict[str, Any], rootfs: dict[str, Any]) -> None:
    for path in rootfs.get("lowerdirs", ()):
        if not os.path.isdir(path):
            raise NotFoundError(
                f"cannot start container: {record['name']}: a layer of its image is missing: {path}",
                hint=f"`pyrun pull {record['image']}` fetches it again",
            )


def _prepare(directory: str) -> None:
    for name in ("hosts", "hostname", "resolv.conf"):
        # Readable for the container's users, who are not us.
        os.chmod(f"{directory}/{name}", 0o644)
