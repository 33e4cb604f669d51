"""logs, attach, log drivers: the same command lines for pyrun and podman."""

from __future__ import annotations

import pytest

from tests.support.conformance import Case, differs, same_as_podman

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "podman", "skopeo", "registry")

RUN = "run --network none"
LINES = f"{RUN} --name con {{image}} seq 6"
CODES = "what fails: docker 1, podman 125"
ATTACHED = "docker answers the container's exit code; podman 0, and an empty line"
EMPTY_LINE = "podman says an empty line of its own"

CASES = [
    Case(
        "logs, their parts", LINES, "logs con", "logs --tail 2 con", "logs --tail 0 con", "logs --tail 99 con",
        "logs -t --tail 1 con", "logs --since 1h con",
        differs("logs --until 1h con", "--until 1h: docker: until an hour ago; podman: until an hour from now"),
        "logs --since 2000-01-01 con",
        "logs --since 2000-01-01T00:00:00Z --until 2001-01-01T00:00:00 con", "logs -f con", "logs -f --tail 1 con",
    ),
    Case(
        "a driver without a log", f"{RUN} --log-driver none --name con {{image}} echo seen",
        differs("logs con", CODES, code=True), "inspect -f '{{.HostConfig.LogConfig.Type}}' con",
    ),
    Case("passthrough", f"{RUN} --rm --log-driver passthrough {{image}} sh -c 'echo out; exit 3'"),
    Case(
        "CRI's form", f"{RUN} --log-driver k8s-file --name con {{image}} sh -c 'echo one; printf two'", "logs con",
        differs("logs --tail 1 con", "CRI logs: podman does not end the line before an unfinished one"),
    ),
    Case("a driver that nobody has", f"{RUN} --log-driver nosuch {{image}} true"),
    Case("no size", f"{RUN} --log-opt max-size=xx {{image}} true"),
    Case("a size below nothing", f"{RUN} --log-opt max-size=-1 {{image}} true"),
    Case(
        "attach to one that runs",
        f"{RUN} -d -i --name con {{image}} sh -c 'read x; echo out $x; echo err >&2; exit 5'",
        differs("attach con", ATTACHED, code=True, input="word\n"), "logs con", "inspect -f '{{.State.ExitCode}}' con",
        errors=True,
    ),
    Case(
        "attach and watch", f"{RUN} -d --name con {{image}} sh -c 'sleep 1; echo late; exit 4'",
        differs("attach --no-stdin con", ATTACHED, code=True), errors=True,
    ),
    Case(
        "end of input", f"{RUN} -d -i --name con {{image}} cat", differs("attach con", EMPTY_LINE, input="a\nb\n"),
        "logs con",
    ),
    Case("attach to one that has ended", f"{RUN} --name con {{image}} true", differs("attach con", CODES, code=True)),
    Case("attach to none", differs("attach con", CODES, code=True)),
]  # fmt: skip

test_same_as_podman = same_as_podman(CASES)
