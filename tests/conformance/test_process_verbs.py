"""pause, unpause, rename, kill, stop, wait, start, restart, rm: the same command lines for pyrun and podman."""

from __future__ import annotations

import pytest

from tests.support.conformance import Case, differs, same_as_podman

pytestmark = pytest.mark.requires(
    "unprivileged", "userns", "subids", "overlay", "podman", "skopeo", "registry", "freezer"
)

RUN = "run --network none"
CREATE = "create --network none --name con {image}"
TRAPS = 'trap "exit 3" TERM; trap "exit 4" USR2; echo up; while :; do sleep 0.1; done'
LOOP = f"{RUN} -d --name con {{image}} sh -c '{TRAPS}'"
STATE = "inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.ExitCode}}' con"
CODES = "what fails: docker 1, podman 125"
STARTS = "several, one of them none: docker goes on with the others, podman does nothing"
NO_CGROUP = "podman pauses only where it has made a cgroup"
SILENT = "one that runs already: docker names it, podman does not"
OWN_NAME = "to its own name: docker 1, podman 0"

CASES = [
    Case("rename", LOOP, "rename con other", "ps --format '{{.Names}}'", f"{RUN} --name con {{image}} true",
         differs("rename other con", CODES, code=True), "rm -f -t 0 other", "rm con", "ps -aq"),
    Case("kill", LOOP, "logs con", "kill -s USR2 con", "wait con", STATE, differs("kill con", CODES, code=True),
         differs("kill -s NOSUCH con", CODES, code=True)),
    Case("stop, start, restart", LOOP, "logs con", "stop con", "stop con", STATE, "start con",
         differs("start con", SILENT), "restart -t 9 con", STATE, "kill con", "wait con", "restart -t 0 con",
         "rm -f con"),
]  # fmt: skip
MORE = [
    Case("pause where nothing runs", CREATE + " true", differs("pause con", CODES, code=True),
         differs("unpause con", CODES, code=True)),
    Case("several, one of them none", f"{RUN} --name con {{image}} true", f"{RUN} --name two {{image}} true",
         differs("start con none two", STARTS, code=True), "start two con", "wait con two",
         differs("rm none con", STARTS), "rm two", "ps -q"),
    Case("wait for states", CREATE + " true", "wait --condition created con", "start con",
         "wait --condition exited con", "wait con", "restart con", "wait con"),
    Case("pause", LOOP, differs("unpause con", CODES, code=True), differs("pause con", NO_CGROUP, code=True),
         differs("unpause con", NO_CGROUP, code=True), "stop con", STATE),
    Case("bad names", CREATE + " true", differs("rename con con", OWN_NAME, code=True),
         differs("rename con ''", CODES, code=True), differs("rename con 'a b'", CODES, code=True),
         differs("rename none other", CODES, code=True), "ps -a --format '{{.Names}}'"),
    Case("what is only created", CREATE + " true", differs("kill con", CODES, code=True), "stop con", STATE,
         differs("top con", CODES, code=True), differs("attach con", CODES, code=True), "logs con", "port con",
         differs("exec con true", "where nothing runs: docker 1, podman 255", code=True), "rm con"),
    Case("how many arguments", *(differs(verb, CODES, code=True) for verb in (
        *("start", "stop", "restart", "kill", "wait", "rm", "pause", "unpause", "rename con", "logs", "top", "port"),
        *("attach", "cp con", "diff", "export", "commit", "inspect", "run", "create", "exec"),
    ))),
    Case("none of that name", *(differs(f"{verb} none{rest}", CODES, code=True) for verb, rest in (
        *(("pause", ""), ("unpause", ""), ("rename", " x"), ("kill", ""), ("wait", ""), ("restart", ""), ("start", "")),
        *(("start -a", ""), ("attach", ""), ("top", ""), ("stats --no-stream", ""), ("port", ""), ("logs", "")),
        *(("diff", ""), ("export -o x", ""), ("commit", ""), ("exec", " true"), ("inspect", "")),
        *(("container inspect", ""), ("update", "")),
    )), "rm none", "rm -f none"),
]  # fmt: skip

test_same_as_podman = same_as_podman(CASES)
test_more_of_the_same = same_as_podman(MORE, full=True)
