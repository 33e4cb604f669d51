"""create, run, start; restart policies and health checks: the same command lines for pyrun and podman."""

from __future__ import annotations

import pytest

from tests.support.conformance import Case, Line, differs, same_as_podman

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "podman", "skopeo", "registry")

RUN = "run --network none"
ONCE = f"{RUN} --rm"
CREATE = "create --network none --name con"
LOOP = "sh -c 'trap exit TERM; echo up; while :; do sleep 0.1; done'"
POLICY = "{{.RestartCount}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}"
POLICY = f"inspect -f '{{{{.State.Status}}}} {{{{.State.ExitCode}}}} {POLICY}' con"
HEALTH = "inspect -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}} {{len .State.Health.Log}}' con"
CODES = "what fails: docker 1, podman 125"
NO_START = "what cannot be executed: docker 1, podman 125"
USERS = "a user or directory that is none: docker 125, podman 126"
NO_RESTART = "podman has no --restart"
NO_DIRECTORY = "a working directory that is missing: docker makes it, podman 126"
DETACHED = "-a with -d: docker refuses it, podman does not"
NO_CHECK = "`.State.Health` where there is no check: docker has none, podman an empty one"
NO_CONDITION = "podman cannot wait for health"

CASES = [
    Case(
        "start, attached", f"{CREATE} -i {{image}} sh -c 'read x; echo got $x; echo err >&2; exit 4'",
        Line("start -ai con", input="word\n"),
        differs("start -i con", "-i: docker attaches, podman does not without -a", code=True, input="more\n"),
    ),
    Case(
        "on-failure", f"{RUN} --restart on-failure:2 --name con {{image}} sh -c 'echo once; exit 3'", POLICY,
        "logs con", "start -a con",
    ),
    Case(
        "always, and stopped", f"{RUN} -d --restart always --name con {{image}} {LOOP}", "stop con", POLICY,
        "start con", "kill con", "wait con", POLICY,
    ),
    Case(
        "health", f"{RUN} -d --health-cmd true --health-interval 1h --name con {{image}} {LOOP}", HEALTH,
        differs("ps --format '{{.Status}}'", "`.Status`: docker: (health: starting); podman: (starting)"),
        "inspect -f '{{.Config.Healthcheck.Test}} {{.Config.Healthcheck.Interval}}' con",
        differs("wait --condition unhealthy none", NO_CONDITION, code=True), "rm -f con",
    ),
]  # fmt: skip
MORE = [
    Case(
        "files of an id", f"{CREATE} --cidfile id {{image}} true", f"{ONCE} --cidfile id {{image}} true",
        f"{ONCE} --cidfile /nosuch/id {{image}} true", f"{ONCE} --cidfile other {{image}} true", "rm con", "ps -aq",
    ),
    Case(
        "what cannot be executed", f"{CREATE} {{image}} nosuch", differs("start con", NO_START, code=True),
        differs("start -a con", NO_START, code=True), "ps -a --format '{{.Names}}'", "rm con",
        f"{RUN} -d --name con {{image}} nosuch", "inspect -f '{{.State.Status}} {{.State.Running}}' con", "rm con",
        f"{ONCE} {{image}} nosuch", "ps -aq",
    ),
    Case(
        "names that are none", f"{ONCE} Bad:::name true", f"{ONCE} --name 'a b' {{image}} true",
        f"{ONCE} --pull never nosuch.invalid/image true", f"{CREATE} {{image}} true", f"{CREATE} {{image}} true",
    ),
    Case(
        "on-failure, and good", f"{RUN} --restart on-failure:2 --name con {{image}} echo good", POLICY,
    ),
    Case(
        "unless-stopped", f"{RUN} -d --restart unless-stopped --name con {{image}} {LOOP}", "stop con", POLICY,
        "restart con", POLICY, "kill -s TERM con",
    ),
    Case(
        "policies that are none", *(f"{RUN} --restart {policy} {{image}} true" for policy in (
            "nosuch", "on-failure:x", "on-failure:-1", "always:3", "no:1", "unless-stopped:1",
        )), f"{ONCE} --restart always {{image}} true", f"{ONCE} --restart no {{image}} true",
    ),
    Case(
        "update", f"{CREATE} {{image}} true", differs("update --restart on-failure:3 con", NO_RESTART, code=True),
        differs(POLICY, NO_RESTART, about="update"), differs("update --restart nosuch con", CODES, code=True),
        differs("update con", "without a flag: docker 1, podman 0", code=True),
    ),
    Case(
        "users",
        *(f"{ONCE} -u {user} {{image}} sh -c 'id -u; id -g'" for user in ("alice", "1000:100", ":users", "4242", "''")),
        differs(f"{ONCE} -u nobodyhere {{image}} id", USERS, code=True),
        differs(f"{ONCE} -u 1000:nobodies {{image}} id", USERS, code=True),
        differs(f"{ONCE} -u 99999999999 {{image}} id", USERS, code=True),
    ),
    Case(
        "working directories", f"{ONCE} -w /tmp {{image}} pwd",
        differs(f"{ONCE} -w /new/dir {{image}} pwd", NO_DIRECTORY, code=True),
        differs(f"{ONCE} -w /etc/passwd {{image}} pwd", USERS, code=True),
        differs(f"{ONCE} -w relative {{image}} pwd", USERS, code=True),
    ),
    Case(
        "commands", f"{ONCE} {{image}} /etc/passwd", f"{ONCE} {{image}} /", f"{ONCE} {{image}} /nosuch/x",
        f"{ONCE} {{image}} sh -c 'exit 125'", f"{ONCE} {{image}} sh -c 'exit 300'",
        f"{ONCE} {{image}} sh -c 'kill -TERM $$; exit 5'", f"{ONCE} --entrypoint nosuch {{image}}",
        f"{ONCE} --entrypoint echo {{image}} one two", f"{ONCE} --init {{image}} sh -c 'exit 6'",
    ),
    Case(
        "options that are none", *(f"{ONCE} {option} {{image}} true" for option in (
            "-e =x", "-v /a:/b:nosuch", "-v x:relative", "--env-file /nosuch", "--cap-add NOSUCH", "--network nosuch",
            "--ulimit nofile=x", "--mount type=nosuch", "--pull nosuch", "--health-cmd true --health-interval 1x",
            "--health-retries=-1", "--health-cmd true --no-healthcheck", "--replace", "--log-driver nosuch",
        )),
    ),
    Case(
        "a detached one to attach to",
        differs(f"{RUN} -d -a stdout --name con {{image}} true", DETACHED, code=True),
    ),
    Case(
        "no health", f"{RUN} -d --no-healthcheck --name con {{image}} {LOOP}",
        differs(HEALTH, NO_CHECK, code=True), "ps --format '{{.Names}}' --filter health=healthy",
    ),
]  # fmt: skip

test_same_as_podman = same_as_podman(CASES)
test_more_of_the_same = same_as_podman(MORE, full=True)
