"""What the container's process is when its program starts: ids, capabilities, limits, filters, signals, descriptors."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.errors import CommandNotExecutableError, CommandNotFoundError, SyscallError
from pyrun.linux import capabilities
from tests.support import no_syscall
from tests.support.features import requires

if TYPE_CHECKING:
    from typing import Any

    from tests.support.bundle import Bundle

# Any filter will do: what counts is when it is installed.
FILTER = no_syscall.program({"open_tree": 1})


def status_of(box: Bundle, config: dict[str, Any] | None = None, **options: Any) -> dict[str, str]:
    config = config or box.config("cat", "/proc/self/status", **options)
    config["process"]["args"] = ["cat", "/proc/self/status"]
    result = box.run(config=config)
    assert result.code == 0, result
    return {name: value.strip() for name, _, value in (line.partition(":") for line in result.out.splitlines())}


def full_map(box: Bundle) -> None:
    if box.engine.size == 1:
        pytest.skip("needs subids")


def test_capabilities_are_dockers_fourteen(box: Bundle) -> None:
    status = status_of(box)
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[name], 16) == capabilities.DEFAULT, name
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0


def test_an_ordinary_user_has_no_capability_and_a_bounded_future(box: Bundle) -> None:
    full_map(box)
    status = status_of(box, uid=1000)
    assert status["Uid"].split() == status["Gid"].split() == ["1000"] * 4
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == 0
    assert int(status["CapBnd"], 16) == capabilities.DEFAULT


def test_ambient_capabilities_survive_for_an_ordinary_user(box: Bundle) -> None:
    full_map(box)
    config = box.config("true", uid=1000)
    wanted = ["CAP_NET_BIND_SERVICE"]
    config["process"]["capabilities"] = {
        "bounding": wanted, "permitted": wanted, "effective": wanted, "inheritable": wanted, "ambient": wanted,
    }  # fmt: skip
    status = status_of(box, config)
    for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"):
        assert int(status[name], 16) == capabilities.mask(wanted), name


def test_groups_are_those_asked_for(box: Bundle) -> None:
    full_map(box)
    config = box.config("true")
    config["process"]["user"]["additionalGids"] = [0, 7, 4242]
    assert status_of(box, config)["Groups"].split() == ["0", "7", "4242"]


def test_no_signal_is_blocked_or_ignored(box: Bundle) -> None:
    # Python ignores SIGPIPE and SIGXFSZ; the caller may block what it likes.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM, signal.SIGRTMIN + 3})
    handler = signal.signal(signal.SIGRTMIN + 5, signal.SIG_IGN)
    try:
        running = box.start("sleep", "1000")
        status = Path(f"/proc/{running.pid}/status").read_text()
        inside = box.exec(running, "cat", "/proc/self/status").out
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGRTMIN + 5, handler)
    running.kill()
    running.wait()
    for text in (status, inside):
        masks = {
            line.split(":")[0]: int(line.split(":")[1], 16)
            for line in text.splitlines()
            if line.startswith("Sig") and "/" not in line
        }
        assert masks["SigIgn"] == masks["SigBlk"] == masks["SigPnd"] == 0, text


def test_a_broken_pipe_ends_a_program(box: Bundle) -> None:
    result = box.sh("(yes; echo $? >&2) | head -n 1")
    assert result.err.strip() == "141", "SIGPIPE is 13: a container must not inherit that Python ignores it"


def test_only_the_standard_streams_are_open(box: Bundle) -> None:
    os.set_inheritable(leak := os.open("/", os.O_RDONLY), True)
    try:
        running = box.start("sh", "-c", "ls -l /proc/$$/fd; sleep 1000")
        inside = box.exec(running, "sh", "-c", "ls -l /proc/$$/fd; true")
    finally:
        os.close(leak)
    running.until(b" 2 -> ")
    running.kill()
    for text in (running.wait().out, inside.out):
        links = [line.split(" -> ") for line in text.splitlines() if " -> " in line]
        assert [left.split()[-1] for left, _ in links] == ["0", "1", "2"], text
        assert links[0][1] == "/dev/null"
        assert all(target.startswith("pipe:") for _, target in links[1:]), text


def test_limits_are_set_in_the_container_and_for_exec(box: Bundle) -> None:
    config = box.config("sh", "-c", "ulimit -n; ulimit -Hn; ulimit -c; sleep 1000")
    limits = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    config["process"]["rlimits"] = limits
    running = box.start(config=config)
    running.until(b"77\n88\n0\n")
    inside = box.exec(running, "sh", "-c", "ulimit -n; ulimit -Hn", changes={"rlimits": limits})
    assert inside.out == "77\n88\n"
    running.kill()
    running.wait()


@requires("unprivileged")
def test_a_limit_above_the_callers_is_an_error_that_names_it(box: Bundle) -> None:
    config = box.config("true")
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 2**30, "hard": 2**30}]
    with pytest.raises(SyscallError, match=r"cannot set resource limit 7 .*setrlimit: operation not permitted"):
        box.run(config=config)


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("no_new_privs", [False, True])
def test_the_filter_is_in_force_with_and_without_no_new_privs(box: Bundle, uid: int, no_new_privs: bool) -> None:
    if uid:
        full_map(box)
    box.filters = [FILTER]
    config = box.config("true", uid=uid)
    config["process"]["noNewPrivileges"] = no_new_privs
    status = status_of(box, config)
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == str(int(no_new_privs))
    assert int(status["CapEff"], 16) == (0 if uid else capabilities.DEFAULT)


def test_two_filters_are_both_in_force(box: Bundle) -> None:
    box.filters = [FILTER, FILTER]
    assert status_of(box)["Seccomp_filters"] == "2"


def test_a_filter_that_forbids_the_last_steps_does_not_stop_a_start(box: Bundle) -> None:
    # Profiles older than close_range(2) answer it with an error; no_new_privs installs the filter right before.
    box.filters = [no_syscall.program({"close_range": 1})]
    for no_new_privs in (False, True):
        box.fresh_records()
        config = box.config("sh", "-c", "ls /proc/$$/fd; true")
        config["process"]["noNewPrivileges"] = no_new_privs
        assert box.run(config=config).out.split() == ["0", "1", "2"]


def test_no_keyring_left_passes_only_under_a_filter(box: Bundle) -> None:
    box.lacking = "keyctl=EDQUOT"
    with pytest.raises(SyscallError, match="cannot make a session keyring: keyctl: disk quota exceeded"):
        box.run("true")
    box.fresh_records()
    box.filters = [FILTER]
    assert box.run("true").code == 0


@requires("gcc")
def test_the_session_keyring_is_its_own(box: Bundle) -> None:
    # KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING; /proc/keys would also list those of others.
    source = "#include <stdio.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n"
    source += 'int main(void) { printf("%ld\\n", syscall(SYS_keyctl, 0, -3, 1)); return 0; }\n'
    Path(box.base, "keyring.c").write_text(source)
    program = box.lower + "/bin/keyring"
    subprocess.run(["gcc", "-static", "-O1", box.base + "/keyring.c", "-o", program], check=True)
    ours = int(subprocess.run([program], capture_output=True, text=True, check=True).stdout)
    running = box.start("sleep", "1000")
    first = int(box.exec(running, "keyring").out)
    second = int(box.exec(running, "keyring").out)
    running.kill()
    running.wait()
    assert min(ours, first, second) > 0
    assert len({ours, first, second}) == 3


def test_time_namespace_where_asked_for(box: Bundle) -> None:
    if not os.path.exists("/proc/self/ns/time"):
        pytest.skip("no time namespaces")
    config = box.config("readlink", "/proc/self/ns/time")
    assert box.run(config=config).out.strip() == os.readlink("/proc/self/ns/time")
    box.fresh_records()
    config["linux"]["namespaces"].append({"type": "time"})
    assert box.run(config=config).out.strip() != os.readlink("/proc/self/ns/time")


def test_every_namespace_is_its_own(box: Bundle) -> None:
    result = box.sh("for n in user pid mnt ipc uts net cgroup; do readlink /proc/self/ns/$n; done")
    own = {os.readlink(f"/proc/self/ns/{name}") for name in ("user", "pid", "mnt", "ipc", "uts", "net", "cgroup")}
    shared = own & set(result.out.split())
    assert not shared if box.engine.size else all(name.startswith("user:") for name in shared)


def test_clone_2_where_clone3_is_hidden(box: Bundle) -> None:
    box.lacking = "clone3"
    assert box.sh("echo $$; hostname").out == "1\nbox\n"


def test_loopback_is_up(box: Bundle) -> None:
    assert "UP" in box.run("ip", "link", "show", "lo").out


@pytest.mark.parametrize("init", [False, True])
@pytest.mark.parametrize(
    ("command", "error", "text"),
    [
        ("not-there", CommandNotFoundError, r"executable file not found in \$PATH"),
        ("/not/there", CommandNotFoundError, "no such file or directory"),
        ("/etc", CommandNotExecutableError, "permission denied"),
        ("/etc/passwd", CommandNotExecutableError, "permission denied"),
        ("/bin/broken", CommandNotExecutableError, "exec format error"),
        ("broken", CommandNotExecutableError, "exec format error"),
        ("/bin/lost", CommandNotFoundError, "interpreter"),
        ("", CommandNotFoundError, r"not found in \$PATH"),
    ],
)
def test_a_command_that_cannot_be_executed(
    box: Bundle, command: str, error: type[Exception], text: str, init: bool
) -> None:
    box.init = init
    Path(box.lower, "bin/broken").write_text("no program\n")
    Path(box.lower, "bin/broken").chmod(0o755)
    Path(box.lower, "bin/lost").write_text("#!/no/interpreter\n")
    Path(box.lower, "bin/lost").chmod(0o755)
    with pytest.raises(error, match=text):
        box.run(command)


def test_exec_of_what_cannot_be_executed(box: Bundle) -> None:
    running = box.start("sleep", "1000")
    with pytest.raises(CommandNotFoundError):
        box.exec(running, "not-there")
    with pytest.raises(CommandNotExecutableError):
        box.exec(running, "/etc/passwd")
    with pytest.raises(CommandNotFoundError, match="cannot change to directory /none"):
        box.exec(running, "true", changes={"cwd": "/none"})
    assert box.exec(running, "true").code == 0
    running.kill()
    running.wait()


def test_exec_has_the_capabilities_and_filter_of_the_container(box: Bundle) -> None:
    box.filters = [FILTER]
    running = box.start("sleep", "1000")
    text = box.exec(running, "cat", "/proc/self/status").out
    running.kill()
    running.wait()
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == capabilities.DEFAULT
    assert (status["Seccomp"], status["Seccomp_filters"]) == ("2", "1")


def test_the_working_directory_is_made(box: Bundle) -> None:
    config = box.config("pwd")
    config["process"]["cwd"] = "/made/for/it"
    assert box.run(config=config).out == "/made/for/it\n"


@pytest.mark.root
def test_the_hosts_null_device_keeps_owner_and_mode(box: Bundle) -> None:
    before = os.stat("/dev/null")
    box.run("sh", "-c", "chown 1000 /proc/self/fd/0; chmod 600 /proc/self/fd/0", uid=1000)
    box.fresh_records()
    config = box.config("sh", "-c", "chmod 600 /proc/timer_list /proc/kcore /proc/self/fd/0")
    for mount in config["mounts"]:
        if mount["type"] == "bind":
            mount["options"] = ["bind", "ro"]
    box.run(config=config)
    after = os.stat("/dev/null")
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
