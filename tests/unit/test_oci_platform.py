"""pyrun.oci.platform: spellings, this machine's platform, and the choice from an index."""

from __future__ import annotations

import platform as stdlib
import subprocess
import sys

import pytest

from pyrun.errors import InvalidInputError
from pyrun.oci.descriptor import Descriptor, PlatformFields
from pyrun.oci.platform import Platform, acceptable, best_match, host, runs
from tests.support.features import ROOT


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/X86-64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("arm64", "linux/arm64"),
        ("macos/arm64", "darwin/arm64"),
        ("windows/amd64", "windows/amd64"),
        ("linux/s390x", "linux/s390x"),
    ],
)
def test_spellings(text: str, normal: str) -> None:
    assert str(Platform.parse(text)) == normal
    assert Platform.parse(normal) == Platform.parse(text)


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "linux//v8", "a/b/c/d", "lin ux/amd64", "toaster", "linux/../x", "é"]
)
def test_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="invalid platform"):
        Platform.parse(text)


def test_host() -> None:
    assert host().os == "linux"
    if stdlib.machine() == "x86_64":
        assert str(host()) == "linux/amd64"
        assert host(with_variant=True).variant in ("", "v2", "v3", "v4")
    assert str(Platform.parse("linux")) == str(host())


def entry(text: str | None, number: int) -> Descriptor:
    fields = None
    if text is not None:
        os_, architecture, *variant = text.split("/")
        fields = PlatformFields(architecture, os_, variant[0] if variant else None)
    return Descriptor("application/vnd.oci.image.manifest.v1+json", f"sha256:{number:064x}", number, platform=fields)


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64/v2"], None),
        ("linux/amd64", ["linux/amd64/v1"], 0),
        ("linux/amd64/v4", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v3"], 2),
        ("linux/amd64/v2", ["linux/amd64/v3", "linux/amd64"], 1),
        ("linux/amd64", ["linux/386", "windows/amd64"], 0),
        ("linux/amd64", ["linux/386", "linux/amd64"], 1),
        ("linux/arm/v8", ["linux/arm/v5", "linux/arm/v6", "linux/arm"], 2),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], 1),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], 1),
        ("linux/arm/v6", ["linux/arm/v7"], None),
        ("linux/arm64", ["linux/arm64/v8"], 0),
        ("linux/arm64/v8", ["linux/arm64"], 0),
        ("linux/arm64", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/riscv64", ["linux/amd64"], None),
        ("linux/amd64", ["unknown/unknown", None], 1),
        ("linux/amd64", [None, "linux/amd64"], 1),
        ("linux/amd64", ["linux/amd64", "linux/amd64"], 0),
        ("linux/amd64", [], None),
    ],
)
def test_choice(wanted: str, offered: list[str | None], chosen: int | None) -> None:
    entries = [entry(text, number) for number, text in enumerate(offered)]
    found = best_match(entries, Platform.parse(wanted))
    assert found is (None if chosen is None else entries[chosen])


def test_runs() -> None:
    assert runs(Platform.parse("linux/arm/v6"), Platform.parse("linux/arm/v7"))
    assert not runs(Platform.parse("linux/arm64"), Platform.parse("linux/amd64"))
    assert str(acceptable(Platform.parse("linux/amd64/v9"))[0]) == "linux/amd64"


def test_imports_nothing_heavy() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import os; before = set(sys.modules);"
        "import pyrun.oci.platform, pyrun.oci.media_types;"
        "print(sorted(n for n in set(sys.modules) - before if not n.startswith('pyrun')))"
    )
    result = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert set(eval(result.stdout)) <= {"__future__"}
