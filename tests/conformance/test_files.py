"""cp, diff, export, commit: the same command lines for pyrun and podman, where podman has docker's rules.

Where podman differs from docker's documentation, pyrun follows docker: the table says so.
"""

from __future__ import annotations

import pytest

from tests.support.conformance import Case, differs, same_as_podman

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "podman", "skopeo", "registry")

CREATE = "create --network none --name con {image} sh -c 'cat /f; ls -ln /d; cat /d/f'"
RUN = "run --network none --name con {image} sh -c"
# Files and directories of every kind in it; `look` tells what has become of them.
FULL = f"{RUN} 'mkdir -p /d/sub /e/sub; echo one >/d/f; echo two >/d/sub/g; echo e >/e/sub/f; ln -s d/sub /l'"
_NONE = "what fails: docker 1, podman 125"
_FILES = "podman makes files under /etc, and shows them"
_OWN = "what cannot be copied: docker 1, podman 125"
_SLASH = "a file that is named as a directory: docker refuses it, podman copies it"


DIFF = [
    Case("diff of nothing", CREATE, "diff con"),
    Case(
        "diff", f"{RUN} 'mkdir -p /a/b; echo >/a/b/c; echo x >>/etc/passwd; rm /etc/group; ln -s x /a/l'", "diff con",
        "start con", "wait con", "diff con",
    ),
    Case(
        "diff: a directory that was replaced", f"{RUN} 'rm -r /home; mkdir /home; echo >/home/new'",
        differs("diff con", "a directory that was replaced: docker tells what the old one had, podman names it alone"),
    ),
    Case("diff: modes", f"{RUN} 'chmod 700 /home; mkdir /x; chmod 1777 /x'", differs("diff con", _FILES)),
    Case("diff: one file moved", f"{RUN} 'mv /etc/group /etc/groups'", "diff con"),
    Case("diff: made and removed", f"{RUN} 'touch /x; rm /x'", differs("diff con", _FILES)),
    Case(
        "diff: what is mounted",
        "run --network none --name con -v vol:/data --tmpfs /mem {image} sh -c 'echo >/data/x; echo >/mem/x'",
        differs("diff con", _FILES),
    ),
    Case("diff of none", differs("diff con", _NONE, code=True)),
]  # fmt: skip

# Each copies something out of `con` and into /t of `two`, which then tells what it has.
TWO = f"{RUN.replace('con', 'two')} 'mkdir -p /t; cd /t; find . | sort; cat f d/f n/f x 2>/dev/null; true'"
COPIES = {
    "a file into a directory": ("cp con:/d/f c1", "cp c1 two:/t/f"),
    "a directory to a new name": ("cp con:/e c2", "cp c2 two:/t"),
    "a directory into one that is there": ("cp con:/e c3", "cp c3 two:/t/n", "cp con:/e/sub c3", "cp c3 two:/t/n"),
    "contents into one that is there": ("cp con:/e c4", "cp con:/e/sub/. c4", "cp c4/. two:/t"),
    "contents to a new name": ("cp con:/e/. c5", "cp c5/. two:/t/new"),
    "a trailing slash": ("cp con:/e/ c6", "cp c6/ two:/t/"),
    "a file over a file": (
        "cp con:/d/f c7",
        "cp con:/d/sub/g c7",
        "cp c7 two:/t/f",
        "cp con:/d/f c7",
        "cp c7 two:/t/f",
    ),
    "a link to a directory, with a slash": ("cp con:/l/ c8", "cp c8 two:/t/x"),
    "contents of a link to a directory": ("cp con:/l/. c9", "cp c9/. two:/t"),
    "through a link": ("cp con:/l/g c10", "cp c10 two:/t/x"),
    "a relative path": ("cp con:d/f c11", "cp c11 two:t/x"),
    "dots in a path": ("cp con:/e/../d/./f c12", "cp ./c12 two:/t/../t/x"),
}
REFUSED = {
    "none in the container": "cp con:/nosuch x1",
    "none on the host": "cp nosuch con:/d",
    "no directory on the way in": "cp con:/d/f x1/x/x",
    "no directory on the way out": "cp /etc/hostname con:/nosuch/x",
    "a file to a directory that is not there": "cp /etc/hostname con:/nosuch/",
    "a directory over a file": "cp /etc/apt con:/d/f",
    "a stream into a file": "cp - con:/d/f",
    "no container": "cp a b",
}
CP = [
    *(Case(f"cp: {name}", FULL, TWO, *lines, "start -a two") for name, lines in COPIES.items()),
    *(Case(f"cp: {name}", FULL, differs(line, _OWN, code=True)) for name, line in REFUSED.items()),
    Case("cp: a file, named as a directory", FULL, differs("cp con:/d/f/ x2", _SLASH, code=True)),
    Case(
        "cp: a link", FULL, TWO, "cp con:/l c20", "cp c20 two:/t/l",
        differs("start -a two", "a symbolic link: docker copies it, podman what it leads to", about="cp"),
    ),
    Case("cp: a link, followed", FULL, TWO, differs("cp -L con:/l c21", "podman has no -L", code=True)),
    Case("cp of none", differs("cp con:/x y", _NONE, code=True)),
]  # fmt: skip


_ID = "an image's id: docker: sha256: and the digits; podman: the digits"
CHANGED = (
    f"{RUN} 'mkdir /a; echo b >/a/b; chown -R 5:6 /a; rm -r /etc/group /home; mkdir /home; touch -d 2001-01-01 /a/b'"
)
SHOWN = "run --rm --network none localhost/img:1"
LOOK = "ls -ln /a; ls -A /home; ls /etc | grep -E 'group|passwd'; stat -c %u:%g:%a:%n /a /home"
SETTINGS = """-c 'CMD ["sh", "-c", "id -u; pwd; echo $A"]' -c 'ENV A=b' -c 'WORKDIR /srv/x' -c 'USER 1000'"""
COMMIT = [
    Case(
        "commit", CHANGED, differs("commit con localhost/img:1", _ID), f'{SHOWN} sh -c "{LOOK}"',
        "run -d --network none --name two localhost/img:1 true", "wait two", "diff two",
    ),
    Case("commit with changes", CHANGED, differs(f"commit {SETTINGS} con localhost/img:1", _ID), SHOWN),
    Case("commit: none of its changes", CHANGED, differs("commit -c 'RUN x' con", _NONE, code=True)),
    Case("commit of none", differs("commit con", _NONE, code=True)),
    Case("export of none", differs("export -o x con", _NONE, code=True)),
    Case("export", CHANGED, differs("export con", "times, order and the runtime's own files")),
]  # fmt: skip

test_same_as_podman = same_as_podman([*DIFF, *CP, *COMMIT])
