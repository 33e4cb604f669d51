"""`rename`: the name in every list, in every state; the old one is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.features import requires

if TYPE_CHECKING:
    from tests.support.boxes import Box

pytestmark = requires("userns", "subids", "overlay")


def test_rename_in_every_state(box: Box) -> None:
    pyrun = box.pyrun
    box.start("running")
    pyrun.ok("create", "--name", "created", box.image)
    box.start("ended", command=("true",))
    pyrun.ok("wait", "ended")
    for name in ("running", "created", "ended"):
        identity = box.inspect(name)["Id"]
        assert pyrun.ok("container", "rename", name, f"{name}2") == ""
        assert box.inspect(f"{name}2")["Id"] == identity
        assert box.inspect(identity)["Name"] == f"/{name}2"
        assert name in pyrun.fails(1, "inspect", name)
    assert sorted(box.names("-a")) == ["created2", "ended2", "running2"]
    assert box.names() == ["running2"]
    pyrun.ok("start", "created2", "ended2")
    box.start("running")
    pyrun.ok("rm", "-f", "running", "running2", "created2", "ended2")
    assert list((pyrun.root / "names").iterdir()) == []


def test_what_rename_refuses(box: Box) -> None:
    pyrun = box.pyrun
    pyrun.ok("create", "--name", "one", box.image)
    pyrun.ok("create", "--name", "two", box.image)
    message = pyrun.fails(1, "rename", "one", "two")
    assert "'two' is already in use by container " + box.inspect("two")["Id"][:12] in message
    assert "current name" in pyrun.fails(1, "rename", "one", "one")
    assert "may be empty" in pyrun.fails(1, "rename", "one", "")
    assert "invalid container name (-x)" in pyrun.fails(1, "rename", "one", "--", "-x")
    assert "no such container: three" in pyrun.fails(1, "rename", "three", "four")
    assert "requires 2 arguments" in pyrun.fails(1, "rename", "one")
    assert sorted(box.names("-a")) == ["one", "two"]


def test_rename_of_one_that_removes_itself(box: Box) -> None:
    box.start("once", "--rm")
    box.pyrun.ok("rename", "once", "again")
    assert box.names() == ["again"]
    box.pyrun.ok("kill", "again")
    assert box.names("-a") == []
    # Its monitor knew the old name: the new one leads nowhere, and so is free.
    box.start("again", command=("true",))
    assert box.pyrun.ok("wait", "again") == "0"
