"""Options of run, create and exec: the same command lines for pyrun and podman."""

from __future__ import annotations

import pytest

from tests.support.conformance import Case, differs, same_as_podman

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "podman", "skopeo", "registry")

RUN = "run --rm --network none"
USERS = "a user or directory that is none: docker 125, podman 126"
DONOR = "run -d --network none --name donor --ipc shareable {image} sleep 1000"

CASES = [
    Case(
        "namespaces of the host",
        f"{RUN} --pid host {{image}} sh -c 'test $$ -gt 100 && echo host'",
        f"{RUN} --uts host {{image}} hostname",
        f"{RUN} --ipc none {{image}} sh -c 'ls /dev/shm 2>/dev/null | wc -l'",
        f"{RUN} --ipc private {{image}} ls /dev/shm",
    ),
    Case(
        "namespaces of another", DONOR, "exec donor sh -c 'echo word > /dev/shm/file'",
        f"{RUN} --ipc container:donor {{image}} cat /dev/shm/file",
        f"{RUN} --pid container:donor {{image}} ps -o pid,args 1",
        f"{RUN} --uts container:donor {{image}} sh -c 'hostname | wc -c'",
        "run --rm --network container:donor {image} sh -c 'hostname | wc -c'",
        "kill donor", "wait donor",
    ),
    Case(
        "modes that are none", f"{RUN} --pid nobody {{image}} true", f"{RUN} --ipc nobody {{image}} true",
        f"{RUN} --uts nobody {{image}} true", f"{RUN} --pid container:nobody {{image}} true",
    ),
    Case(
        "size of /dev/shm",
        f"{RUN} --shm-size 1m {{image}} sh -c \"df -k /dev/shm | tail -1 | tr -s ' ' | cut -d ' ' -f 2\"",
    ),
    Case("sysctl", f"{RUN} --sysctl net.core.somaxconn=99 {{image}} sysctl -n net.core.somaxconn"),
    Case(
        "groups", f"{RUN} --group-add users --group-add 77 {{image}} id -G",
        differs(f"{RUN} --group-add nobodies {{image}} id", USERS, code=True),
    ),
    Case("oom score", f"{RUN} --oom-score-adj 300 {{image}} cat /proc/self/oom_score_adj"),
    Case("device", f"{RUN} --device /dev/fuse:/dev/mine {{image}} sh -c 'test -c /dev/mine && echo node'"),
    Case("no such device", f"{RUN} --device /dev/nosuch {{image}} true"),
    Case(
        "volumes of another", "create --name donor -v named:/data -v /other {image} true",
        f"{RUN} --volumes-from donor {{image}} sh -c 'echo one > /data/word; echo two > /other/word'",
        f"{RUN} --volumes-from donor:ro {{image}} cat /data/word /other/word",
        f"{RUN} --volumes-from donor:ro {{image}} touch /data/x",
        "rm -v donor", f"{RUN} -v named:/data {{image}} cat /data/word",
    ),
    Case(
        "replace", "create --name con {image} true",
        differs("create --replace --name con {image} false", "--replace: podman names what it has removed"),
        "ps -a --format '{{.Names}}'", "create --replace {image} true",
    ),
    Case("attached streams", f"{RUN} -a stdout {{image}} sh -c 'echo out; echo err >&2'", errors=True),
    Case("environment of the host", f"{RUN} --env-host -e HOME=/x {{image}} sh -c 'echo $HOME $LANG'"),
    Case(
        "exec", DONOR, "exec donor sh -c 'exit 7'", "exec donor nosuch", "exec donor /etc",
        differs("exec -d donor true", "-d: podman says an id, docker nothing"),
        "exec -u 1000 -w /tmp -e A=b donor sh -c 'id -u; pwd; echo $A'", "exec donor sh -c 'echo out; echo err >&2'",
        "exec -i donor cat", "kill donor",
    ),
    Case(
        "exec where nothing runs", "create --name con {image} true",
        differs("exec con true", "where nothing runs: docker 1, podman 255", code=True),
        differs("exec nobody true", "what fails: docker 1, podman 125", code=True),
    ),
]  # fmt: skip

test_same_as_podman = same_as_podman(CASES)
