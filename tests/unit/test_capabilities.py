"""--cap-add and --cap-drop as Docker computes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrun.errors import InvalidInputError
from pyrun.linux import capabilities as caps

SETS = st.sets(st.sampled_from(caps.NAMES))


def test_numbers_are_the_kernel_s() -> None:
    # include/uapi/linux/capability.h
    assert len(caps.NAMES) == 41
    expected = {"CAP_CHOWN": 0, "CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_SETFCAP": 31, "CAP_SYSLOG": 34}
    expected |= {"CAP_PERFMON": 38, "CAP_BPF": 39, "CAP_CHECKPOINT_RESTORE": 40}
    assert {name: caps.NUMBERS[name] for name in expected} == expected


def test_default_set_is_docker_s() -> None:
    # What `docker run --rm busybox grep CapEff /proc/self/status` shows.
    assert caps.DEFAULT == 0x00000000A80425FB
    assert len(caps.DEFAULT_NAMES) == 14


def test_nothing_asked_gives_the_default() -> None:
    assert caps.evaluate() == caps.DEFAULT


@pytest.mark.parametrize("text", ["NET_ADMIN", "CAP_NET_ADMIN", "net_admin", "Cap_Net_Admin"])
def test_prefix_and_case_do_not_matter(text: str) -> None:
    assert caps.evaluate([text]) == caps.DEFAULT | 1 << 12


def test_drop_removes() -> None:
    assert caps.evaluate(drop=["chown", "NET_RAW"]) == caps.DEFAULT & ~(1 << 0 | 1 << 13)


def test_an_addition_wins_over_a_drop_of_the_same() -> None:
    assert caps.evaluate(["CHOWN"], ["CHOWN"]) == caps.DEFAULT


def test_add_all_keeps_the_drops() -> None:
    assert caps.evaluate(["ALL"], ["SYS_ADMIN"]) == caps.ALL & ~(1 << 21)


def test_drop_all_leaves_what_is_added() -> None:
    assert caps.evaluate(["SETUID"], ["all"]) == 1 << 7
    assert caps.evaluate([], ["ALL"]) == 0


def test_add_all_and_drop_all_is_all() -> None:
    assert caps.evaluate(["ALL"], ["ALL"]) == caps.ALL


def test_privileged_is_all_whatever_is_dropped() -> None:
    assert caps.evaluate([], ["ALL"], privileged=True) == caps.ALL


@pytest.mark.parametrize(
    ("add", "drop", "message"),
    [
        (["FOO"], [], 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        ([], ["cap_bar"], 'invalid CapDrop: unknown capability: "CAP_BAR"'),
        ([""], [], 'invalid CapAdd: unknown capability: "CAP_"'),
    ],
)
def test_unknown_names_are_refused_in_docker_s_words(add: list[str], drop: list[str], message: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        caps.evaluate(add, drop)
    assert error.value.message == message


def test_what_an_old_kernel_lacks() -> None:
    # 5.7: highest is CAP_AUDIT_READ (37); BPF came with 5.8
    with pytest.raises(InvalidInputError, match=r'not supported by your kernel .*"CAP_BPF"'):
        caps.evaluate(["BPF"], last_capability=37)
    assert caps.evaluate(["ALL"], last_capability=37) == (1 << 38) - 1
    assert caps.evaluate(privileged=True, last_capability=37) == (1 << 38) - 1


def test_last_is_the_running_kernel_s() -> None:
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        assert caps.last() == int(file.read())


@given(SETS)
def test_mask_and_names_are_inverse(names: set[str]) -> None:
    bits = caps.mask(names)
    assert set(caps.names(bits)) == names
    assert caps.mask(caps.numbers(bits)) == bits == caps.mask(bits)


@given(SETS, SETS)
def test_rules_hold_for_any_sets(add: set[str], drop: set[str]) -> None:
    result = set(caps.names(caps.evaluate(add, drop, last_capability=40)))
    assert result == (set(caps.DEFAULT_NAMES) - drop) | add
