"""`--secret`: a file in the container's memory alone, read anew at each start, shown nowhere."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")

WORD = "a-word-that-nothing-else-holds"


def test_from_a_file_and_from_a_variable(box: Box, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\0binary\n" + WORD.encode())
    options = (
        "--secret", f"id=one,src={tmp_path}/key",
        "--secret", "id=two,env=TOKEN,target=sub/two,mode=0400,uid=1000,gid=100",
        "--secret", f"id=three,source={tmp_path}/key,target=/etc/app/key",
    )  # fmt: skip
    script = """
        cd /run/secrets; tail -c 30 one; echo; cat sub/two; echo
        stat -c '%n %a %u:%g' one sub/two /etc/app/key; cmp one /etc/app/key; grep -c ' /run/secrets ' /proc/mounts
        stat -f -c %T . ; touch /etc/app/key 2>&1 | grep -c -i read-only
    """
    seen = box.sh(script, *options, TOKEN="of the environment").split("\n")
    assert seen == [
        WORD, "of the environment", "one 444 0:0", "sub/two 400 1000:100", "/etc/app/key 444 0:0", "1", "tmpfs", "1",
    ]  # fmt: skip


def test_it_is_nowhere_else(box: Box, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(WORD)
    options = (
        "--secret",
        f"id=key,src={tmp_path}/key",
        "--secret",
        "id=word,env=TOKEN",
        "--secret",
        f"id=at,src={tmp_path}/key,target=/at",
    )
    run = ("run", "-d", "--network", "none", "--name", "keeper", *options, box.image, "sleep", "1000")
    done = box.pyrun("--debug=plan", *run, environment={"TOKEN": WORD})
    assert done.returncode == 0
    assert WORD not in done.stderr
    assert "write the secret /run/secrets/key" in done.stderr
    assert box.pyrun.ok("exec", "keeper", "cat", "/run/secrets/word", "/at") == WORD * 2
    assert WORD not in box.pyrun.ok("inspect", "keeper")
    assert WORD not in box.pyrun.ok("exec", "keeper", "env")
    found = subprocess.run(["grep", "-rl", WORD, box.pyrun.root, box.pyrun.runtime], capture_output=True, text=True)
    assert found.stdout == ""
    assert WORD not in box.pyrun("export", "keeper").stdout


def test_read_at_each_start(box: Box, tmp_path: Path) -> None:
    key = tmp_path / "key"
    box.pyrun.ok(
        "create",
        "--name",
        "keeper",
        "--network",
        "none",
        "--secret",
        f"id=key,src={key}",
        box.image,
        "cat",
        "/run/secrets/key",
    )
    message = box.pyrun.fails(1, "start", "-a", "keeper")
    assert f"cannot read secret: key: {key}: no such file or directory" in message
    for content in ("first", "second"):
        key.write_text(content)
        assert box.pyrun.ok("start", "-a", "keeper") == content
    (tmp_path / "relative").write_text("from here")
    program = [*box.pyrun.program, "run", "--rm", "--network", "none", "--secret", "id=x,src=relative", box.image]
    done = subprocess.run(
        [*program, "cat", "/run/secrets/x"], cwd=tmp_path, env=box.pyrun.environment, capture_output=True
    )
    assert done.stdout == b"from here"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stored", 'no secret with name or id "stored"'),
        ("id=x", "it takes an id, and src=FILE or env=VARIABLE"),
        ("src=/etc/hosts", "it takes an id"),
        ("id=x,src=/a,env=B", "it takes an id"),
        ("id=x,env=NOT_SET_ANYWHERE", "cannot read secret: x: the variable NOT_SET_ANYWHERE is not set"),
        ("id=x,src=/nosuch", "cannot read secret: x: /nosuch: no such file or directory"),
        ("id=x,src=/dev/zero", "it is longer than 512000 bytes"),
        ("id=../x,src=/etc/hosts", "a path may not lead elsewhere"),
        ("id=x,src=/etc/hosts,target=a/../../b", "a path may not lead elsewhere"),
        ("id=x,src=/etc/hosts,mode=888", "'888' is no number for that"),
        ("id=x,src=/etc/hosts,uid=root", "'root' is no number for that"),
        ("id=x,src=/etc/hosts,colour=red", "'colour=red'"),
        ("id=x,env=PATH,type=env", "flag --secret type=env is not supported yet"),
    ],
)
def test_refused(shared_box: Box, text: str, words: str) -> None:
    assert words in shared_box.fails(125, "--secret", text)
    assert shared_box.names("-a") == []


def test_an_image_that_leads_elsewhere(box: Box, tmp_path: Path) -> None:
    """What is written lands on the tmpfs, whatever stands in its way."""
    (tmp_path / "key").write_text(WORD)
    box.pyrun.ok(
        "create",
        "--name",
        "bent",
        "--network",
        "none",
        "--secret",
        f"id=key,src={tmp_path}/key",
        box.image,
        "cat",
        "/run/secrets/key",
    )
    upper = Path(box.inspect("bent")["GraphDriver"]["Data"]["UpperDir"])
    (upper / "run").symlink_to("/etc")
    assert box.pyrun.ok("start", "-a", "bent") == WORD
    assert subprocess.run(["grep", "-rl", WORD, upper], capture_output=True).stdout == b""
