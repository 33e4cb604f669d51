"""run, ps, inspect, logs, stop, rm: the same command lines for pyrun and podman.

To add a verb: a file like this one, with its own CASES. First see what podman answers.
"""

from __future__ import annotations

import pytest

from tests.support.conformance import Case, differs, same_as_podman

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "podman", "skopeo", "registry")

RUN = "run --network none"
SLEEP = f"{RUN} -d --name con {{image}} sh -c 'trap exit TERM; echo up; while :; do sleep 0.1; done'"
USERS = "a user or directory that is none: docker 125, podman 126"
RUNNING = "one that runs, without -f: docker 1, podman 2"
_QUOTED = "docker quotes the command, podman does not"

CASES = [
    Case("exit code", f"{RUN} --rm {{image}} sh -c 'exit 3'", f"{RUN} --rm {{image}} true"),
    Case("no such command", f"{RUN} --rm {{image}} /nosuch", f"{RUN} --rm {{image}} /etc"),
    Case("a bad flag", "run --nosuch {image}", "ps --nosuch"),
    Case("killed by a signal", f"{RUN} --rm {{image}} sh -c 'kill -9 $$'"),
    Case("both streams", f"{RUN} --rm {{image}} sh -c 'echo out; echo err >&2'", errors=True),
    Case("environment", f"{RUN} --rm -e A=1 -e B= -w /tmp {{image}} sh -c 'echo $A-$B; pwd'"),
    Case("user", f"{RUN} --rm -u 1000 {{image}} id -u", f"{RUN} --rm -u alice:users {{image}} id"),
    Case("no such user", differs(f"{RUN} --rm -u nobodyhere {{image}} id", USERS, code=True)),
    Case(
        "detached", SLEEP, "ps -q", "ps -q --no-trunc", "ps --format '{{.Names}}'",
        differs("ps --format '{{.State}}'", "`.State`: docker has one word, podman the whole status"),
        differs("ps --format '{{.Status}}'", "`.Status`: docker: Up 2 hours; podman: Up 2 hours ago"),
        "inspect -f '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.Path}} {{len .Args}}' con",
        "stop con", "ps -q", "ps -aq",
        "inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Pid}} {{.State.OOMKilled}}' con",
        "rm con", "ps -aq",
    ),
    Case("columns", SLEEP, differs("ps", _QUOTED), "ps --format '{{.ID}} {{.Image}} {{.Names}}'"),
    Case("a name twice", f"{RUN} --name con {{image}} true", f"{RUN} --name con {{image}} true"),
    Case(
        "logs", f"{RUN} --name con {{image}} sh -c 'seq 5; echo err >&2'", "logs con", "logs --tail 2 con",
        "logs --tail 0 con", "logs -t con", errors=True,
    ),
    Case("rm of a running one", SLEEP, differs("rm con", RUNNING, code=True), "rm -f con", "ps -aq"),
    Case("rm of none", "rm con"),
    Case("rm -f of none", "rm -f con"),
    Case("stop of an ended one", f"{RUN} --name con {{image}} true", "stop con"),
    Case("stop of none", differs("stop con", "what fails: docker 1, podman 125", code=True)),
    Case("logs of none", differs("logs con", "what fails: docker 1, podman 125", code=True)),
    Case("inspect of none", differs("inspect con", "what fails: docker 1, podman 125", code=True)),
]  # fmt: skip

test_same_as_podman = same_as_podman(CASES)
