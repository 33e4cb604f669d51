"""``exec``: a further process in a running container, with its capabilities, filters and user.

It must not print. The process is started and waited for by native/monitor/exec.c; nothing of ours is executed inside.
"""

from __future__ import annotations

import os

from pyrun.engine import events, filters, lifecycle
from pyrun.engine.exec_streams import Streams
from pyrun.errors import InvalidInputError, RefusedError, WrongStatusError
from pyrun.runtime import compile as compiler
from pyrun.runtime import state
from pyrun.runtime.join import join
from pyrun.store import containers, fsio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.engine.options import ExecOptions
    from pyrun.runtime.plan import Plan
    from pyrun.runtime.state import State
    from pyrun.store.layout import Layout

_EAGAIN = 11


def exec_(layout: Layout, options: ExecOptions) -> int:
    """Run a command in a container; return its exit code, 0 for a detached one.

    Raises: ContainerNotFoundError; WrongStatusError if it does not run; CommandNotFoundError;
    CommandNotExecutableError.
    """
    keys = b""
    if options.tty or options.detach_keys is not None:
        from pyrun.engine import detach_keys

        keys = detach_keys.parse(options.detach_keys)
    if options.tty and options.interactive and not options.detach and not os.isatty(0):
        raise RefusedError("the input device is not a TTY", hint="leave out -t, or -i")
    _, directory = containers.resolve(layout, options.container)
    now = state.status(directory)
    if now.paused:
        raise WrongStatusError(
            "exec in", options.container, "paused", hint=f"unpause it first: `pyrun unpause {options.container}`"
        )
    pidfd = lifecycle.open_process(now.pid, now.starttime) if now.status == "running" else -1
    if now.status == "restarting":
        raise WrongStatusError("exec in", options.container, "restarting", hint="wait until it is running")
    if pidfd < 0:
        raise WrongStatusError(
            "exec in", options.container, "not running", hint=f"`pyrun start {options.container}` starts it"
        )
    try:
        return _run(layout, directory, options, now, pidfd, keys)
    finally:
        os.close(pidfd)


def _run(layout: Layout, directory: str, options: ExecOptions, now: State, pidfd: int, keys: bytes) -> int:
    config = containers.load_file(directory, "config.json")
    programs = [] if options.privileged else filters.kept(directory)
    plan = compiler.compile_exec(process_of(directory, config, options), programs)
    flags = compiler.exec_flags(config)
    with Streams(
        interactive=options.interactive, tty=options.tty, detached=options.detach, detach_keys=keys
    ) as streams:
        record_event = events.Exec(layout, containers.load(directory), options.args)
        record_event("exec_create")
        group = _open_group(now.pid)
        try:
            joined = join(
                pidfd, flags, plan, streams.child, has_console=options.tty, cgroup_fd=group,
                events=layout.events, event=record_event.prepared(),
            )  # fmt: skip
        finally:
            if group >= 0:
                os.close(group)
        streams.started()
        if joined.failure:
            joined.has_failed()
            raise _gone_or(joined.failure, plan, options.args[0])
        if options.tty:
            streams.take_console(joined.console)
        if state.pause_begun(directory):
            from pyrun.runtime import pause

            pause.stop_newcomers(directory)
        record_event("exec_start")
        joined.start_is_recorded()
        try:
            code = 0 if options.detach else streams.pump(joined.process)
        finally:
            joined.close()
        if options.detach or streams.is_detached:
            joined.process.leave()
        if streams.is_detached:
            record_event("exec_detach")
        return code


def process_of(directory: str, config: dict[str, Any], options: ExecOptions) -> dict[str, Any]:
    """Return the OCI process object: the container's own, changed by the options."""
    process = dict(config["process"])
    home = ""
    if options.user is not None:
        from pyrun.engine.spec import HOME_ANNOTATION

        process["user"], own_home = _user(directory, config, options.user)
        home = own_home if config["annotations"].get(HOME_ANNOTATION) else ""
    if options.tty or home or options.env or options.env_file:
        process["env"] = _environment(process["env"], options, home)
    process["args"] = options.args
    process["terminal"] = options.tty
    if options.tty and not options.detach:
        from pyrun.engine.terminal import console_size

        process["consoleSize"] = console_size()
    if options.workdir is not None:
        if not options.workdir.startswith("/"):
            raise InvalidInputError(f"invalid working directory: {options.workdir!r}: it needs to be an absolute path")
        process["cwd"] = options.workdir
    if options.privileged:
        from pyrun.linux import capabilities

        held = capabilities.names(capabilities.evaluate(privileged=True))
        process["capabilities"] = {"bounding": held, "permitted": held, "effective": held}
    # The limits are the container's and were inherited by nobody: set anew, as docker does.
    return process


def _environment(base: list[str], options: ExecOptions, home: str) -> list[str]:
    from pyrun.engine import environment

    if options.tty:
        base = environment.merge(["TERM=xterm"], base)
    if home:
        base = environment.merge(base, [f"HOME={home}"])
    return environment.merge(base, environment.from_options(options.env, options.env_file))


def _user(directory: str, config: dict[str, Any], text: str) -> tuple[dict[str, Any], str]:
    from pyrun.engine.users import look_up
    from pyrun.layers.view import View

    rootfs = containers.load_file(directory, "rootfs.json")
    tree = rootfs.get("tree")
    view = View([tree]) if tree else View(rootfs["lowerdirs"], rootfs["upper"])
    found = look_up(view, text)
    user: dict[str, Any] = {"uid": found.uid, "gid": found.gid, "umask": 0o022}
    if "additionalGids" in config["process"]["user"]:
        user["additionalGids"] = [found.gid, *found.groups]
    return user, found.home


def _open_group(init: int) -> int:
    """Open cgroup.procs of the container's group; -1 if we are in it, or may not go there."""
    try:
        if fsio.read_bytes("/proc/self/cgroup") == fsio.read_bytes(f"/proc/{init}/cgroup"):
            return -1
        from pyrun.linux import freezer
        from pyrun.runtime import pause

        # Not the one in which it is being paused just now: there we would be stopped half-way.
        group = pause.home_of(freezer.group_of(init))
        return os.open(f"{group}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) if group else -1
    except OSError:
        return -1


def _gone_or(record: bytes, plan: Plan, command: str) -> Exception:
    from pyrun.runtime.failure import Failure, to_error

    failure = Failure.decode(record)
    if failure.step < 0 and failure.syscall in ("setns", "clone3") and failure.errno != _EAGAIN:
        # Its init ended between our look and our step. (EAGAIN: the user's limit of processes.)
        return WrongStatusError("exec in", command, "not running any more")
    return to_error(failure, plan, command)
