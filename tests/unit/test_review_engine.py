"""What images and files of the user may hold, and what the engine makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyrun.engine import environment, lifecycle, users
from pyrun.errors import InvalidConfigError, InvalidInputError
from pyrun.layers.view import View
from pyrun.oci.config import decode_config

MANY = "9" * 5000  # more digits than int() takes


def test_a_user_of_thousands_of_digits_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text(f"bob:x:{MANY}:{MANY}::/home/bob:/bin/sh\n")
    (tmp_path / "etc" / "group").write_text(f"staff:x:{MANY}:bob\n")
    view = View([str(tmp_path)])
    with pytest.raises(InvalidInputError, match="unable to find user"):
        users.look_up(view, MANY)
    with pytest.raises(InvalidInputError, match="unable to find group"):
        users.look_up(view, "0:staff")
    with pytest.raises(InvalidInputError, match="no id that can be used"):
        users.look_up(view, "bob")


@pytest.mark.parametrize("text", [MANY, "²", "RTMIN+" + MANY, "RTMIN+²", "", "SIG", "0", "65", "-1"])
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(InvalidInputError, match="invalid signal"):
        lifecycle.signal_number(text)


@pytest.mark.parametrize(
    "field",
    [
        {"User": "ro\0ot"},
        {"WorkingDir": "/a\0b"},
        {"Cmd": ["sh\0"]},
        {"Entrypoint": ["\0"]},
        {"Volumes": {"/a\0": {}}},
        {"StopSignal": "9\0"},
    ],
)
def test_a_config_with_a_nul_is_refused(field: dict[str, object]) -> None:
    document = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}, "config": field}
    with pytest.raises(InvalidConfigError, match="a NUL byte"):
        decode_config(json.dumps(document).encode())


def test_only_a_newline_ends_a_line_of_an_env_file(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_bytes("\ufeffA=1\u20282\x0c3\r\n  # comment\n  \n\tB= x \n".encode())
    assert environment.from_options([], [str(file)]) == ["A=1\u20282\x0c3", "B= x "]


def test_a_number_is_an_id_whoever_has_it_for_a_name(tmp_path: Path) -> None:
    """CVE-2016-3697: `-u 1000` of an image whose passwd calls root 1000."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("1000:x:0:0::/root:/bin/sh\nann:x:1000:7::/home/ann:/bin/sh\n")
    (tmp_path / "etc" / "group").write_text("2000:x:0:\nstaff:x:50:ann\n")
    found = users.look_up(View([str(tmp_path)]), "1000")
    assert (found.uid, found.gid, found.groups, found.home) == (1000, 7, [50], "/home/ann")
    found = users.look_up(View([str(tmp_path)]), "1000:2000")
    assert (found.uid, found.gid) == (1000, 2000)


@pytest.mark.parametrize("row", ["bob:x::5::/:", "bob:x:-1:5::/:", "bob:x:5:none::/:", "bob:x:4294967295:5::/:"])
def test_a_user_without_a_usable_id_is_not_root(tmp_path: Path, row: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text(row + "\n")
    with pytest.raises(InvalidInputError, match="no id that can be used"):
        users.look_up(View([str(tmp_path)]), "bob")
