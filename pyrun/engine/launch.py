"""Start a container that exists: its bundle to a monitor. What run and start share.

It must not print. Below it: runtime/launch.py. Ends when the program has been executed, or could not be.
"""

from __future__ import annotations

import os

from pyrun.engine import idmap, plain_root, spec
from pyrun.engine.create import Created
from pyrun.errors import KernelError, NotFoundError, WrongStatusError
from pyrun.linux import seccomp
from pyrun.oci import json
from pyrun.runtime import compile as compiler
from pyrun.runtime import engine_ns, job, launch, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrun.runtime.launch import Monitor
    from pyrun.runtime.plan import Plan
    from pyrun.store.layout import Layout

_SECCOMP_FILE = "seccomp.bpf"


class Launch:
    """A monitor that has been started with this plan for this container."""

    __slots__ = ("created", "monitor", "plan")

    def __init__(self, created: Created, monitor: Monitor, plan: Plan) -> None:
        self.created = created
        self.monitor = monitor
        self.plan = plan

    def wait_started(self) -> None:
        """Wait for execve; raises why it could not be. 126, 127: CommandNotExecutableError, CommandNotFoundError."""
        launch.wait_started(self.monitor, self.plan, self.created.record["path"])
        if self.created.record["uplink"]["api_socket"]:
            from pyrun.engine import networking

            networking.publish(self.created.record)


def run_to_exec(
    layout: Layout, created: Created, *, attached: bool, window: tuple[int, int],
    again: Callable[[], Created] | None = None, show_plan: Callable[[str], None] | None = None,
) -> Launch:  # fmt: skip
    """Start a container and wait for execve; once more without overlay where that is refused.

    ``again`` makes a --rm container anew: its monitor has removed what could not be started.
    """
    started = start(layout, created, attached=attached, window=window)
    if show_plan is not None:
        show_plan(started.plan.describe_all())
    try:
        started.wait_started()
    except KernelError as error:
        if not plain_root.is_refusal(error):
            raise
        plain_root.remember(layout)
        created = again() if again is not None else created
        started = start(layout, created, attached=attached, window=window)
        started.wait_started()
    return started


def start(layout: Layout, created: Created, *, attached: bool, window: tuple[int, int] = (0, 0)) -> Launch:
    """Start the monitor. ``attached``: the caller is the first client; its stdin is the container's while it stays.

    Raises: WrongStatusError if it runs; KernelError.
    """
    record, directory = created.record, created.directory
    if state.status(directory).status == "running":
        raise WrongStatusError("start", record["name"], "running")
    config = _load(directory, "config.json")
    rootfs = _load(directory, "rootfs.json")
    engine = engine_ns.engine_map()
    _check_lowers(record, rootfs)
    if "tree" not in rootfs and plain_root.is_refused(layout):
        rootfs = plain_root.ensure_tree(layout, directory, rootfs)
    filters = compiled_filters(layout, config, engine)
    _keep_filters(directory, filters)
    _prepare(directory)
    link = record["uplink"]
    plan = compiler.compile_start(
        config, rootfs, directory + "/rootfs", filters, init=record["options"]["init"], wait=bool(link["argv"])
    )
    orders = _orders(layout, created, config, window, attached)
    if link["argv"]:
        orders.network_argv = link["argv"]
        orders.flags |= job.NETWORK | (job.NETWORK_READY_FD if link["ready_fd"] else 0)
    _link_live(layout, created)
    monitor = launch.start_monitor(layout.engine, engine, orders, plan)
    return Launch(created, monitor, plan)


def compiled_filters(layout: Layout, config: dict[str, Any], engine: engine_ns.EngineMap) -> list[bytes]:
    """Return the seccomp programs of a container, the one to install first first."""
    process = config["process"]
    held = process["capabilities"]["bounding"]
    # A single-id map cannot chown: there the filter makes it seem to succeed (design: linux/seccomp_pretend.py).
    pretend = (process["user"]["uid"], process["user"]["gid"]) if engine.size == 1 else False
    profile = config["annotations"][spec.SECCOMP_ANNOTATION]
    program = seccomp.compiled(layout.cache, profile, held, None, pretend)
    return [program] if program else []


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
    if record["tty"]:
        orders.flags |= job.TTY
    if record["stdin_open"]:
        orders.flags |= job.STDIN | (job.STDIN_ONCE if attached else 0)
    if record["options"]["init"]:
        orders.flags |= job.INIT
    if record["ephemeral"]:
        orders.flags |= job.EPHEMERAL
        orders.name_link = layout.name(record["name"])
        orders.remove = [
            layout.ephemeral_data(created.id),
            directory,
            *(layout.volume(name) for name in record["anonymous_volumes"]),
        ]
    orders.rows, orders.columns = window
    orders.boot_id = state.boot_id()  # not the record's: that is of the boot that created it
    return orders


def _extent(item: dict[str, int]) -> tuple[int, int, int]:
    return item["containerID"], item["hostID"], item["size"]


def _load(directory: str, name: str) -> dict[str, Any]:
    from pyrun.store import containers

    return containers.load_file(directory, name)


def _check_lowers(record: dict[str, Any], rootfs: dict[str, Any]) -> None:
    for path in rootfs.get("lowerdirs", ()):
        if not os.path.isdir(path):
            raise NotFoundError(
                f"cannot start container: {record['name']}: a layer of its image is missing: {path}",
                hint=f"`pyrun pull {record['image']}` fetches it again",
            )


def _keep_filters(directory: str, filters: list[bytes]) -> None:
    """Keep what is installed: `exec` installs the very same, whatever happens to the profile's file."""
    fd = os.open(f"{directory}/{_SECCOMP_FILE}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps([program.hex() for program in filters]).encode())
    finally:
        os.close(fd)


def kept_filters(directory: str) -> list[bytes]:
    """Return the programs that the running container was started with."""
    with open(f"{directory}/{_SECCOMP_FILE}", "rb") as file:
        return [bytes.fromhex(text) for text in json.loads(file.read())]


def _prepare(directory: str) -> None:
    for name in ("hosts", "hostname", "resolv.conf"):
        # Readable for the container's users, who are not us.
        os.chmod(f"{directory}/{name}", 0o644)


def _link_live(layout: Layout, created: Created) -> None:
    link = layout.live_entry(created.id)
    try:
        os.symlink(created.directory, link)
    except FileExistsError:
        pass
