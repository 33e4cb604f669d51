"""The monitor and its network program: what it waits for, how long, and the ports that it asks for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrun.errors import ConflictError, KernelError
from pyrun.network import slirp
from pyrun.network.ports import PortMapping
from pyrun.runtime import job
from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.bundle import Bundle

pytestmark = requires("userns", "overlay")

# Ready at once; answers every request on its socket, port 7 with an error, and notes what it was asked.
SLIRP = """
import json, os, socket, sys
path, ready = sys.argv[1], int(sys.argv[2])
if os.path.exists(path): os.unlink(path)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
os.write(ready, b"1")
os.close(ready)
while True:
    client, _ = server.accept()
    asked = json.loads(client.makefile().read())["arguments"]
    with open(path + ".asked", "a") as file: print(asked["host_port"], file=file)
    bad = b'{"error":{"desc":"bad request: add_hostfwd: slirp_add_hostfwd failed"}}'
    client.sendall(bad if asked["host_port"] == 7 else b'{"return":{"id":1}}')
    client.close()
"""


def use(box: Bundle, argv: list[str], *ports: int, flags: int = job.NETWORK | job.NETWORK_READY_FD) -> None:
    def change(orders: job.Job) -> None:
        orders.flags |= flags
        orders.network_argv = argv
        orders.network_patience_ms = 30_000 if ports else 200
        orders.network_api = box.base + "/api"
        orders.network_requests = slirp.requests([PortMapping("127.0.0.1", port, 80, "tcp") for port in ports])

    box.flags |= flags
    box.job_changes = change


def fake(box: Bundle) -> list[str]:
    Path(box.base, "slirp.py").write_text(SLIRP)
    return [sys.executable, box.base + "/slirp.py", box.base + "/api", "{ready}"]


def asked(box: Bundle) -> list[str]:
    return Path(box.base, "api.asked").read_text().split()


def test_ports_are_asked_for_before_the_program_runs(box: Bundle) -> None:
    use(box, fake(box), 8080, 8081)
    started = box.start("sleep", "1000")
    assert asked(box) == ["8080", "8081"]
    started.kill()
    assert started.wait().code == 137


def test_they_are_asked_for_again_at_each_run(box: Bundle) -> None:
    use(box, fake(box), 8080)
    Path(box.directory, "restart").write_text("on-failure 2\n")
    assert box.run("false").code == 1
    assert asked(box) == ["8080"] * 3


def test_a_port_that_is_refused_is_named(box: Bundle) -> None:
    use(box, fake(box), 8080, 7, 8082)
    with pytest.raises(ConflictError) as caught:
        box.start("sleep", "1000")
    assert caught.value.message == (
        "cannot publish port: 127.0.0.1:7/tcp: slirp4netns: bad request: add_hostfwd: slirp_add_hostfwd failed"
    )
    assert asked(box) == ["8080", "7"]


def test_no_socket_is_an_error_too(box: Bundle) -> None:
    use(box, ["/bin/sh", "-c", "echo 1 >&{ready}; exec sleep 1000"], 8080)
    with pytest.raises(ConflictError, match=r"127.0.0.1:8080/tcp: slirp4netns: no such file"):
        box.start("true")


@pytest.mark.parametrize("flags", [job.NETWORK, job.NETWORK | job.NETWORK_READY_FD], ids=["pasta", "slirp4netns"])
def test_a_program_that_hangs_is_not_waited_for_for_ever(box: Bundle, flags: int) -> None:
    use(box, ["/bin/sleep", "1000"], flags=flags)
    with pytest.raises(KernelError, match="cannot set up the network: its program was not ready in time"):
        box.start("true")


def test_the_job_can_be_as_long_as_ports_can_be_many(box: Bundle) -> None:
    many = [*range(20000, 20300)]
    use(box, fake(box), *many)
    assert box.run("true").code == 0
    assert asked(box) == [str(port) for port in many]
    assert json.loads(slirp.requests([PortMapping("", 1, 2, "udp")])[0])["arguments"]["host_addr"] == "0.0.0.0"


def test_an_argument_that_would_be_cut_off_is_refused(box: Bundle) -> None:
    use(box, ["/bin/echo", "x" * 500])
    with pytest.raises(KernelError, match="argument list too long"):
        box.start("true")
