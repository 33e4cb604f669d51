"""What podman 4.3 answers otherwise than docker, and so than pyrun: COMPATIBILITY.md's last part. Cold.

tests/conformance gives both the same command lines and names these reasons; a unit test compares the two.
"""

from __future__ import annotations

# What differs -> the verbs.
DIFFERENCES = {
    "what fails: docker 1, podman 125": "attach, commit, container inspect, cp, create, diff, exec, export, history, "
    "image inspect, image prune, image tree, images, import, inspect, kill, load, login, logs, manifest annotate, "
    "manifest create, pause, port, ps, push, rename, restart, rm, rmi, run, save, search, start, stats, stop, tag, "
    "top, unpause, untag, update, wait",
    "several, one of them none: docker goes on with the others, podman does nothing": "rm, start",
    "a user or directory that is none: docker 125, podman 126": "run",
    "a working directory that is missing: docker makes it, podman 126": "run",
    "-a with -d: docker refuses it, podman does not": "run",
    "--replace: podman names what it has removed": "create",
    "what cannot be executed: docker 1, podman 125": "start",
    "one that runs already: docker names it, podman does not": "start",
    "-i: docker attaches, podman does not without -a": "start",
    "podman pauses only where it has made a cgroup": "pause, unpause",
    "to its own name: docker 1, podman 0": "rename",
    "one that runs, without -f: docker 1, podman 2": "rm",
    "podman cannot wait for health": "wait",
    "podman has no --restart": "update",
    "without a flag: docker 1, podman 0": "update",
    "where nothing runs: docker 1, podman 255": "exec",
    "-d: podman says an id, docker nothing": "exec",
    "docker answers the container's exit code; podman 0, and an empty line": "attach",
    "podman says an empty line of its own": "attach",
    "--until 1h: docker: until an hour ago; podman: until an hour from now": "logs",
    "--tail WORD: docker takes it for all, podman 125": "logs",
    "-n: --tail in docker, names in podman": "logs",
    "--details: docker sets a space before each line": "logs",
    "several names: docker 1, podman 125": "logs",
    "CRI logs: podman does not end the line before an unfinished one": "logs",
    "docker has ps's columns and the machine's pids; podman its own, as seen inside": "top",
    "podman has names of columns of its own": "top",
    "columns and fields: docker's; podman has its own": "stats",
    "a port that is not published: docker 1, podman 0": "port",
    "docker quotes the command, podman does not": "ps",
    "`.State`: docker has one word, podman the whole status": "ps",
    "`.Status`: docker: Up 2 hours; podman: Up 2 hours ago": "ps",
    "`.Status`: docker: (health: starting); podman: (starting)": "ps",
    "podman has no `.Label`": "ps",
    "`.Name`: docker has a slash before it": "inspect",
    "`.State.Health` where there is no check: docker has none, podman an empty one": "inspect",
    "a template that cannot be parsed: docker 64, podman 125": "inspect",
    "podman makes files under /etc, and shows them": "diff",
    "a directory that was replaced: docker tells what the old one had, podman names it alone": "diff",
    "what cannot be copied: docker 1, podman 125": "cp",
    "a file that is named as a directory: docker refuses it, podman copies it": "cp",
    "a symbolic link: docker copies it, podman what it leads to": "cp",
    "podman has no -L": "cp",
    "an image's id: docker: sha256: and the digits; podman: the digits": "commit, history, image inspect, manifest add",
    "one of its names is asked for: docker lists that, podman all of the image's": "images",
    "an image with several names: docker's -q says its id for each, podman once": "images",
    "an image that a container uses: docker 1, podman 2": "rmi",
    "docker's size is that of the files, podman's that of their archives": "image inspect, image tree",
    "docker prints the space that is free now, podman ids alone": "image prune",
    "docker's words; podman prints ids": "manifest create, manifest rm",
    "a list is OCI's unless all of its images are docker's; podman's is docker's": "manifest inspect",
    "-q: docker prints the name, podman nothing": "push",
    "columns: docker's; podman has its own": "search",
    "docker's sentences; podman has its own": "login, logout",
    "nobody is logged in: docker 0, podman 125": "logout",
    "times, order and the runtime's own files": "export",
    "docker prints headings and the space; podman ids alone": "container prune",
}


def rows() -> set[tuple[str, str]]:
    """Return every difference with each of its verbs."""
    return {(reason, verb) for reason, verbs in DIFFERENCES.items() for verb in verbs.split(", ")}


def section() -> str:
    """Return the part of COMPATIBILITY.md."""
    lines = [f"| {reason} | `{verbs.replace(', ', '`, `')}` |" for reason, verbs in DIFFERENCES.items()]
    return _HEAD + "\n".join(lines) + "\n"


_HEAD = """## Where podman 4.3 is not as docker

pyrun is as docker there: `tests/conformance` gives both the same command lines. A number is an exit code.

| difference | verbs |
| --- | --- |
"""
