"""Lines of scripts that were written for docker, typed into a shell in which `docker` is pyrun."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.boxes import Box

pytestmark = pytest.mark.requires("unprivileged", "userns", "overlay", "skopeo", "registry", "busybox")

# Each: what is typed, and what it says, standard error too. $I is busybox. All is removed afterwards.
START = "docker run -d --network none --name"
SCRIPTS = {
    "remove all": (
        f"{START} aa $I sleep 99 >/dev/null; docker create --name bb $I >/dev/null; "
        "docker ps -aq | xargs docker rm -f | wc -l; docker ps -aq; docker rm -f $(docker ps -aq) || echo none",
        "2\npyrun: 'pyrun rm' requires at least 1 argument\nhint: see `pyrun rm --help`\nnone\n",
    ),
    "stop all": (
        f"{START} aa $I sleep 99 >/dev/null; {START} bb $I sleep 99 >/dev/null; "
        "docker stop -t 0 $(docker ps -q) | wc -l; "
        "docker container ls --filter status=exited --format 'table {{.Names}}\\t{{.State}}' | cat",
        "2\nNAMES     STATE\nbb        exited\naa        exited\n",
    ),
    "wait": (f"docker wait $({START} aa $I sh -c 'exit 7'); docker inspect -f '{{{{.State.ExitCode}}}}' aa", "7\n7\n"),
    "id file": (
        "docker run -d --network none --cidfile id $I sleep 99 >/dev/null; docker kill -s KILL $(cat id) | wc -c; "
        "docker wait $(cat id); docker rm $(cat id) >/dev/null; docker ps -a --format '{{.Names}}'; rm id",
        "65\n137\n",
    ),
    "a script by its input": (
        f"{START} aa $I sleep 99 >/dev/null; echo 'echo from $1; exit 3' >s; docker exec -i aa sh -s here <s; echo $?",
        "from here\n3\n",
    ),
    "only what is new": (
        f"{START} aa $I sh -c 'echo old; echo new' >/dev/null; "
        "docker wait aa; docker logs --tail 0 -f aa; docker logs --tail 1 -f aa",
        "0\nnew\n",
    ),
    "until it says": (
        f"{START} aa $I sh -c 'i=0; while :; do echo line $i; i=$((i+1)); sleep 0.02; done' >/dev/null; "
        "docker logs -f aa | grep -m 1 'line 5$'",
        "line 5\n",
    ),
    "archives": (
        f"{START} aa $I sleep 99 >/dev/null; docker cp aa:/etc/group - | tar xO | head -n 1; echo word >f; "
        "tar cf - f | docker cp - aa:/tmp; docker exec aa cat /tmp/f; docker cp aa:/tmp . && cat tmp/f; "
        "docker export aa | tar t | grep -c ^etc/passwd",
        "root:x:0:\nword\nword\n1\n",
    ),
    "this directory": (
        'docker run --rm --network none -v "$PWD":/w -w /w $I sh -c "echo made >made"; cat made; stat -c %U made | '
        'grep -c "^$(id -un)$"; docker run --rm --network none --mount type=bind,source="$PWD",target=/w,readonly $I '
        "touch /w/x || echo read-only",
        "made\n1\ntouch: /w/x: Read-only file system\nread-only\n",
    ),
    "addresses": (
        f"{START} aa $I sleep 99 >/dev/null; "
        "docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{.IPAddress}}{{end}}' aa; "
        "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}|' aa; "
        "docker inspect --format '{{json .State.Health}} {{.Name}} {{.HostConfig.NetworkMode}}' aa",
        "none=\n|\nnull /aa none\n",
    ),
    "is it there": (
        'docker inspect nosuch >/dev/null 2>&1 || echo absent; [ -z "$(docker ps -qf name=^nosuch$)" ] && echo none; '
        "docker container inspect -f '{{.State.Running}}' nosuch 2>/dev/null || true",
        "absent\nnone\n\n",
    ),
    "until it is well": (
        f"{START} aa --health-cmd 'test -f /ok' --health-interval 50ms $I sh -c 'touch /ok; sleep 99' >/dev/null; "
        "until [ \"$(docker inspect -f '{{.State.Health.Status}}' aa)\" = healthy ]; do :; done; "
        "docker ps --filter health=healthy --format '{{.Names}} {{.Status}}' | sed 's/Up .* (/(/'",
        "aa (healthy)\n",
    ),
    "processes": (
        f"{START} aa $I sleep 99 >/dev/null; docker top aa -eo pid,cmd | sed 's/[0-9]* *sleep 99/P sleep 99/'",
        "PID                 CMD\nP sleep 99\n",
    ),
    "changes": (
        "docker run --network none --name aa $I sh -c 'echo x >/new'; docker diff aa; "
        'docker commit -m words -c \'CMD ["cat", "/new"]\' aa mine:1 | cut -c 1-7; '
        "docker run --rm --network none mine:1; "
        "docker rmi -f mine:1 >/dev/null",
        "A /new\nsha256:\nx\n",
    ),
    "volumes": (
        "docker volume create vol; docker run --rm --network none -v vol:/d $I sh -c 'echo 1 >/d/f'; docker run --rm "
        "--network none -v vol:/d:ro -v $PWD:/to $I tar cf /to/v.tar -C /d .; tar tf v.tar; "
        "docker volume ls -qf dangling=true; docker volume rm vol",
        "vol\n./\n./f\nvol\nvol\n",
    ),
    "exit codes": (
        "for word in true false nosuch /etc; do docker run --rm --network none $I $word 2>/dev/null; echo -n $?,; "
        "done; "
        "docker run --rm --nosuch $I 2>/dev/null; echo -n $?,; docker run --rm -it $I 2>/dev/null; echo $?",
        "0,1,127,126,125,1\n",
    ),
    "what happened": (
        f"{START} told $I true >/dev/null; docker wait told; docker events --since 1m --until 0s -f container=told "
        "--format '{{.Action}} {{.Actor.Attributes.name}}'; docker events --format '{{.Nope}}' 2>/dev/null || echo $?",
        "0\ncreate told\nstart told\ndie told\n64\n",
    ),
    "space": (
        "docker system df --format '{{.Type}}: {{.TotalCount}}'; docker system df -v | grep -c 'space usage:$'",
        "Images: 1\nContainers: 0\nLocal Volumes: 0\nBuild Cache: 0\n3\n",
    ),
    "help": (
        "docker help | head -n 1; docker help rm | head -n 1; docker port 2>&1 | head -n 1; "
        "docker info --format '{{json .}}' | grep -c '\" Running'",
        "Usage: pyrun [OPTIONS] COMMAND [ARGS]...\nUsage: pyrun rm [OPTIONS] CONTAINER [CONTAINER...]\n"
        "pyrun: 'pyrun port' requires at least 1 and at most 2 arguments\n0\n",
    ),
    "what cannot be executed": (
        "docker create --network none --name aa $I nosuch >/dev/null; docker start aa; echo $?; "
        "docker restart aa 2>/dev/null; echo $?",
        "pyrun: cannot execute command: nosuch: executable file not found in $PATH\n1\n1\n",
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_as_with_docker(name: str, shared_box: Box, tmp_path: Path) -> None:
    script, wanted = SCRIPTS[name]
    pyrun = shared_box.pyrun
    (tmp_path / "docker").symlink_to(pyrun.program[0])
    path = f"{tmp_path}{os.pathsep}{pyrun.environment['PATH']}"
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        ["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=120, cwd=tmp_path / "work", env={**pyrun.environment, "PATH": path, "I": shared_box.image},
    )  # fmt: skip
    if names := pyrun.ok("ps", "-aq").split():
        pyrun.ok("rm", "-fv", *names)
    assert done.stdout == wanted
