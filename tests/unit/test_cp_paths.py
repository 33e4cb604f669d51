"""Docker's rules of `cp`: which directory, and under which name."""

from __future__ import annotations

import pytest

from pyrun.engine.cp_paths import Source, Target, absolute, asserts_directory, place, split_argument
from pyrun.errors import InvalidInputError

FILE, DIRECTORY, NOTHING = (True, False), (True, True), (False, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("box:/etc", ("box", "/etc")),
        ("box:etc", ("box", "etc")),
        ("box:", ("box", "")),
        ("box:a:b", ("box", "a:b")),
        ("/a:b", ("", "/a:b")),
        ("./a:b", ("", "./a:b")),
        ("..:b", ("", "..:b")),
        ("a/b:c", ("a/b", "c")),
        ("plain", ("", "plain")),
        ("-", ("", "-")),
        (":x", ("", "x")),
    ],
)
def test_arguments(text: str, expected: tuple[str, str]) -> None:
    assert split_argument(text) == expected


@pytest.mark.parametrize(
    ("path", "base", "expected"),
    [
        ("/a/b", "/", "/a/b"),
        ("a/b/", "/", "/a/b/"),
        ("/a/../b/.", "/", "/b/."),
        ("/../..", "/", "/"),
        ("/", "/", "/"),
        ("/.", "/", "/."),
        ("//a//b", "/", "/a/b"),
        (".", "/home/me", "/home/me/."),
        ("..", "/home/me", "/home"),
        ("x/", "/home/me", "/home/me/x/"),
        ("", "/", "/"),
    ],
)
def test_absolute(path: str, base: str, expected: str) -> None:
    assert absolute(path, base) == expected


def test_what_asserts_a_directory() -> None:
    assert [asserts_directory(path) for path in ("/a/", "/a/.", "/", ".", "/a", "/a.", "/a/..")] == [True] * 4 + [
        False
    ] * 3


@pytest.mark.parametrize(
    ("source", "is_directory", "target", "there", "expected"),
    [
        # The target is a directory: into it, under the source's name, or its contents.
        ("/s/f", False, "/t/d", DIRECTORY, ("/t/d", "f")),
        ("/s/f", False, "/t/d/", DIRECTORY, ("/t/d/", "f")),
        ("/s/d", True, "/t/d", DIRECTORY, ("/t/d", "d")),
        ("/s/d/", True, "/t/d", DIRECTORY, ("/t/d", "d")),
        ("/s/d/.", True, "/t/d", DIRECTORY, ("/t/d", ".")),
        ("/", True, "/t/d", DIRECTORY, ("/t/d", ".")),
        ("/.", True, "/t/d", DIRECTORY, ("/t/d", ".")),
        # It is a file: a file replaces it.
        ("/s/f", False, "/t/f2", FILE, ("/t", "f2")),
        # It is nothing yet: the source gets its name.
        ("/s/f", False, "/t/new", NOTHING, ("/t", "new")),
        ("/s/d", True, "/t/new", NOTHING, ("/t", "new")),
        ("/s/d", True, "/t/new/", NOTHING, ("/t", "new")),
        ("/s/d/.", True, "/t/new", NOTHING, ("/t", "new")),
        ("/s/d", True, "/t/new/.", NOTHING, ("/t/new", ".")),
        ("/s/f", False, "/new", NOTHING, ("/", "new")),
    ],
)
def test_places(
    source: str, is_directory: bool, target: str, there: tuple[bool, bool], expected: tuple[str, str]
) -> None:
    exists, target_is_directory = there
    where = Target(target, exists=exists, is_directory=target_is_directory)
    assert place(Source(source, is_directory=is_directory), where) == expected


def test_a_directory_over_a_file() -> None:
    with pytest.raises(InvalidInputError, match=r"^cannot copy directory$"):
        place(Source("/s/d", is_directory=True), Target("/t/f", exists=True, is_directory=False))


@pytest.mark.parametrize("path", ["/t/new/", "/t/new/."])
def test_a_file_to_a_directory_that_is_not_there(path: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^no such directory"):
        place(Source("/s/f", is_directory=False), Target(path, exists=False, is_directory=False))
