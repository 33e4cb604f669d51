"""--ulimit: docker's names, grammar and messages."""

from __future__ import annotations

import resource

import pytest

from pyrun.errors import InvalidInputError
from pyrun.volumes.ulimit import NUMBERS, UNLIMITED, parse_ulimit, resolve


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("nofile=1024", ("RLIMIT_NOFILE", 1024, 1024)),
        ("nofile=1024:2048", ("RLIMIT_NOFILE", 1024, 2048)),
        ("core=-1", ("RLIMIT_CORE", UNLIMITED, UNLIMITED)),
        ("core=0:-1", ("RLIMIT_CORE", 0, UNLIMITED)),
        ("memlock=unlimited:unlimited", ("RLIMIT_MEMLOCK", UNLIMITED, UNLIMITED)),
    ],
)
def test_grammar(spec: str, expected: tuple[str, int, int]) -> None:
    limit = parse_ulimit(spec)
    assert (limit.type, limit.soft, limit.hard) == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nofile", "invalid ulimit argument: nofile"),
        ("", "invalid ulimit argument: "),
        ("files=1", "invalid ulimit type: files"),
        ("NOFILE=1", "invalid ulimit type: NOFILE"),
        ("nofile=", "invalid ulimit argument: nofile="),
        ("nofile=x", "invalid ulimit argument: nofile=x"),
        ("nofile=1:", "invalid ulimit argument: nofile=1:"),
        ("nofile=-2", "invalid ulimit argument: nofile=-2"),
        ("nofile=99999999999999999999", "invalid ulimit argument: nofile=99999999999999999999"),
        ("nofile=1:2:3", "too many limit values - 1:2:3, can only have up to two, `soft[:hard]`"),
        ("nofile=2:1", "ulimit soft limit must be less than or equal to hard limit: soft: 2, hard: 1"),
        (
            "nofile=-1:1",
            "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: 1",
        ),
    ],
)
def test_bad_ulimit(spec: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_ulimit(spec)
    assert caught.value.message == message


def test_numbers_are_the_kernels() -> None:
    for name, number in NUMBERS.items():
        known = getattr(resource, f"RLIMIT_{name.upper()}", None)
        assert known is None or known == number, name


def test_last_one_of_a_name_wins_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda number: (100, 4096))
    assert [(limit.name, limit.soft, limit.hard) for limit in resolve([])] == [("nofile", 4096, 4096)]
    chosen = resolve(["core=0", "nofile=10", "nofile=20:30"])
    assert [(limit.name, limit.soft, limit.hard) for limit in chosen] == [("nofile", 20, 30), ("core", 0, 0)]


def test_default_is_dockers_where_the_hard_limit_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda number: (1024, UNLIMITED))
    assert resolve([])[0].hard == 1048576
    monkeypatch.setattr(resource, "getrlimit", lambda number: (1024, 4096))
    assert resolve([], privileged=True)[0].hard == 1048576


@pytest.mark.parametrize("value", ["5000", "10:5000", "-1"])
def test_limit_above_the_users_own(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda number: (100, 4096))
    with pytest.raises(InvalidInputError) as caught:
        resolve([f"nofile={value}"])
    assert caught.value.message == f"cannot set ulimit: nofile={value}: the hard limit of this user is 4096"
    assert "--ulimit nofile=4096" in caught.value.hint
    assert resolve([f"nofile={value}"], privileged=True)[0].soft in (5000, 10, UNLIMITED)
