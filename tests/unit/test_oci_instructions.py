"""Dockerfile instructions as `commit --change` takes them: words, variables, docker's refusals."""

from __future__ import annotations

import pytest

from pyrun.errors import InvalidInputError
from pyrun.oci import instructions
from pyrun.oci.config import ContainerConfig, Healthcheck
from pyrun.oci.words import Expansion, split_words

BASE = ContainerConfig(
    env=["PATH=/bin", "A=1"], cmd=["old"], entrypoint=["/entry"], working_dir="/srv", labels={"a": "b"},
    exposed_ports={"1/tcp": {}}, volumes={"/v": {}}, user="me", on_build=["RUN old"],
    healthcheck=Healthcheck(test=["CMD", "old"], interval=5, retries=7),
)  # fmt: skip


def changed(*changes: str) -> ContainerConfig:
    return instructions.apply(BASE, changes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b  c", ["a", "b", "c"]),
        ("a='b c' d", ["a='b c'", "d"]),
        ('a="b \\" c" d', ['a="b \\" c"', "d"]),
        ("a\\ b c", ["a\\ b", "c"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A", "1"),
        ("${A}x", "1x"),
        ("$AB-$NONE.", "-."),
        ("'$A'", "$A"),
        ('"$A b"', "1 b"),
        ("\\$A", "$A"),
        ('"\\$A \\x"', "$A \\x"),
        ("${NONE:-d$A}", "d1"),
        ("${A:-d}", "1"),
        ("${A:+y}${NONE:+n}", "y"),
        ("$", "$"),
        ("a$", "a$"),
    ],
)
def test_variables(text: str, expected: str) -> None:
    assert Expansion({"A": "1"}).word(text) == expected


@pytest.mark.parametrize("text", ["'a", '"a', "${A", "${A:x}", "${}"])
def test_what_is_not_closed(text: str) -> None:
    with pytest.raises(InvalidInputError):
        Expansion({"A": "1"}).word(text)


def test_commands() -> None:
    assert (changed('CMD ["a", "b"]').cmd, changed('CMD ["a", "b"]').entrypoint) == (["a", "b"], ["/entry"])
    assert changed("CMD a b").cmd == ["/bin/sh", "-c", "a b"]
    assert changed('cmd ["a", 1]').cmd == ["/bin/sh", "-c", '["a", 1]']
    # A new entry point makes nothing of the old arguments.
    assert (changed('ENTRYPOINT ["x"]').entrypoint, changed('ENTRYPOINT ["x"]').cmd) == (["x"], None)
    assert (changed('ENTRYPOINT ["x"]', "CMD y").cmd) == ["/bin/sh", "-c", "y"]
    assert (changed("ENTRYPOINT []").entrypoint, changed("ENTRYPOINT []").cmd) == (None, ["old"])


def test_environment_and_labels() -> None:
    # The words of one instruction all see what was before it: Dockerfile reference, "Environment replacement".
    assert changed("ENV B=2 A='x y' C=$A", "ENV D=$A").env == ["PATH=/bin", "A=x y", "B=2", "C=1", "D=x y"]
    assert changed("ENV PATH $PATH:/more here").env == ["PATH=/bin:/more here", "A=1"]
    assert changed('LABEL a=1 "c d"="e f"', "LABEL g h i").labels == {"a": "1", "c d": "e f", "g": "h i"}


def test_the_rest() -> None:
    new = changed("EXPOSE 80 90-91/udp", "USER $A", "WORKDIR ../x", "WORKDIR y", 'VOLUME ["/a b"]', "VOLUME /c /d",
                  "STOPSIGNAL SIGINT", "ONBUILD RUN $A", "ONBUILD COPY . .")  # fmt: skip
    assert sorted(new.exposed_ports or ()) == ["1/tcp", "80/tcp", "90/udp", "91/udp"]
    assert sorted(new.volumes or ()) == ["/a b", "/c", "/d", "/v"]
    assert (new.user, new.working_dir, new.stop_signal) == ("1", "/x/y", "SIGINT")
    assert new.on_build == ["RUN $A", "COPY . ."]
    assert changed().on_build is None
    assert changed("\n# comment\nUSER \\\nroot").user == "root"


def test_healthcheck() -> None:
    new = changed('HEALTHCHECK --interval=1m30s --start-period=500ms CMD ["t"]').healthcheck
    assert new == Healthcheck(test=["CMD", "t"], interval=90 * 10**9, start_period=500_000_000, retries=7)
    assert changed("HEALTHCHECK --retries=2 CMD a | b").healthcheck == Healthcheck(
        test=["CMD-SHELL", "a | b"], interval=5, retries=2
    )
    none = changed("HEALTHCHECK NONE").healthcheck
    assert none is not None
    assert none.test == ["NONE"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("RUN x", "RUN is not a valid change command"),
        ("COPY a b", "COPY is not a valid change command"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", "can't find = in 'B'"),
        ("LABEL =x", "LABEL names can not be blank"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("EXPOSE http", "invalid containerPort: http"),
        ("EXPOSE 80/icmp", "invalid containerPort: 80/icmp"),
        ("EXPOSE 99999", "invalid containerPort: 99999"),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("VOLUME", "VOLUME specified can not be an empty string"),
        ('VOLUME [""]', "VOLUME specified can not be an empty string"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK", "Unknown type '' in HEALTHCHECK"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --interval=1us CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --interval=5 CMD x", "invalid duration"),
        ("HEALTHCHECK --nosuch=5 CMD x", "Unknown flag: nosuch"),
    ],
)
def test_refusals(change: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        changed(change)
    assert words in raised.value.message
