"""The fast parser and click read every command line alike, and the table is what click's definitions say."""

from __future__ import annotations

import functools
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrun.cli import app, fastparse, generate_table, table
from pyrun.cli.definitions import Unsupported
from pyrun.cli.main import Session, parse
from pyrun.errors import PyrunError, UnsupportedFlagError

_VALUES = st.sampled_from(
    ["", "x", "-", "--", "a=b", "=", "10", "-5", "0x1", "true", "false", "-it", "--rm", "image", "é"]
)


# Both are made once a verb: thousands of examples need them, and none changes them.
define = functools.cache(app.define)


def click_parse(module: str, argv: list[str]) -> dict[str, Any] | BaseException:
    """What click makes of a verb's arguments, or what it raises."""
    try:
        return define(module).make_context("verb", list(argv)).params
    except (click.exceptions.Exit, click.ClickException, PyrunError) as error:
        return error


@functools.cache
def words_of(module: str) -> st.SearchStrategy[list[str]]:
    """Command lines of spellings that the verb knows, with and without values, and of ones that it does not."""
    spellings = [name for param in define(module).params for name in param.opts if name.startswith("-")]
    known = st.sampled_from([*spellings, "--nonesuch", "-Z"])
    shorts = "".join(name[1] for name in spellings if len(name) == 2) or "q"
    clusters = st.text(st.sampled_from(shorts), min_size=1, max_size=3)
    word = st.one_of(
        known,
        st.builds(lambda name, value: f"{name}={value}", known, _VALUES),
        st.builds(lambda letters, value: f"-{letters}{value}", clusters, _VALUES),
        _VALUES,
    )
    return st.lists(word, max_size=7)


@pytest.mark.parametrize("module", generate_table.HOT)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_fast_parse_agrees_with_click_or_falls_through(module: str, data: st.DataObject) -> None:
    argv = data.draw(words_of(module))
    fast = fastparse.parse(table.ROWS[module], argv)
    slow = click_parse(module, argv)
    if fast is None:
        assert not isinstance(slow, dict), f"click takes it, the fast parser does not: {argv}"
    else:
        assert fast == slow


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_grammar_agrees_with_clicks_own_parser_where_both_have_words(data: st.DataObject) -> None:
    """An oracle that shares no code: click's stock parser, for words that mean the same in both grammars."""
    verb = define("run")
    options = [p for p in verb.params if isinstance(p, click.Option) and not isinstance(p, Unsupported)]
    flags = [option.opts[-1] for option in options if option.is_flag]
    texts = [option.opts[-1] for option in options if not option.is_flag and option.type is not click.INT]
    pair = st.one_of(
        st.sampled_from(flags).map(lambda name: [name]),
        st.tuples(st.sampled_from(texts), st.sampled_from(["a", "a=b", "10"])).map(list),
        st.tuples(st.sampled_from(texts), st.sampled_from(["a", "=b", ""])).map(lambda p: [f"{p[0]}={p[1]}"]),
        st.sampled_from(["-it", "-dit", "-eA=1", "-p80", "-itu0"]).map(lambda word: [word]),
    )
    argv = [word for words in data.draw(st.lists(pair, max_size=6)) for word in words]
    argv += ["image", *data.draw(st.lists(st.sampled_from(["sh", "-c", "--rm", "--", "x"]), max_size=3))]
    stock = click.Command("run", params=list(verb.params), context_settings={"allow_interspersed_args": False})
    assert fastparse.parse(table.ROWS["run"], argv) == stock.make_context("run", list(argv)).params


def test_table_is_up_to_date() -> None:
    assert generate_table.TARGET.read_text() == generate_table.generate(), "run python -m pyrun.cli.generate_table"


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["-it", "--rm", "b", "sh", "-c", "--rm"], {"image": "b", "args": ("sh", "-c", "--rm"), "rm": True}),
        (["--rm=false", "-d=true", "b"], {"rm": False, "detach": True}),
        (["--sig-proxy=false", "b"], {"sig_proxy": False}),
        (["-eA=1", "-e", "B", "--env=C=3", "b"], {"env": ("A=1", "B", "C=3")}),
        (["-h", "host", "b"], {"hostname": "host"}),
        (["--net", "none", "b"], {"network": "none"}),
        (["--", "b", "-x"], {"image": "b", "args": ("-x",)}),
        (["--stop-timeout", "-1", "b"], {"stop_timeout": -1}),
        (["b"], {"pull": "missing", "args": (), "name": None, "sig_proxy": True}),
    ],
)  # fmt: skip
def test_run_reads_what_docker_reads(argv: list[str], wanted: dict[str, Any]) -> None:
    for params in (fastparse.parse(table.ROWS["run"], argv), click_parse("run", argv)):
        assert isinstance(params, dict)
        assert {name: params[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--nonesuch", "b"], "unknown flag: --nonesuch"),
        (["--na", "b"], "unknown flag: --na"),
        (["-iZt", "b"], "unknown shorthand flag: 'Z' in -Zt"),
        (["--name"], "flag needs an argument: --name"),
        (["-e"], "flag needs an argument: 'e' in -e"),
        (["---x", "b"], "bad flag syntax: ---x"),
        (
            ["--rm=maybe", "b"],
            'invalid argument "maybe" for "--rm" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (
            ["--stop-timeout", "x", "b"],
            'invalid argument "x" for "--stop-timeout" flag: strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (
            ["--detach=x", "b"],
            'invalid argument "x" for "-d, --detach" flag: strconv.ParseBool: parsing "x": invalid syntax',
        ),
        (
            ["--stop-timeout", "9" * 20, "b"],
            f'invalid argument "{"9" * 20}" for "--stop-timeout" flag: strconv.ParseInt: parsing "{"9" * 20}": '
            "value out of range",
        ),
        ([], "'verb' requires at least 1 argument"),
    ],
)
def test_errors_are_pflags(argv: list[str], message: str) -> None:
    error = click_parse("run", argv)
    assert isinstance(error, click.UsageError)
    assert error.message == message


@pytest.mark.parametrize(
    ("argv", "flag"),
    [
        (["--memory", "1g", "b"], "--memory"),
        (["-m1g", "b"], "--memory"),
        (["-c", "5", "b"], "--cpu-shares"),
        (["--gpus=all", "b"], "--gpus"),
        (["--memory-swap", "--rm", "b"], "--memory-swap"),  # takes its value, whatever that looks like
    ],
)
def test_flags_that_docker_has_and_pyrun_has_not(argv: list[str], flag: str) -> None:
    error = click_parse("run", argv)
    assert isinstance(error, UnsupportedFlagError)
    assert error.flag == flag
    assert error.message == f"flag {flag} is not supported yet"


def test_globals_and_groups_reach_the_same_verb() -> None:
    session = Session()
    call = parse(session, ["--root", "/x", "--debug=plan", "container", "ls", "-a"])
    assert call is not None
    assert (call[0], call[1]["all"], session.root, session.debug, session.verb) == ("ps", True, "/x", "plan", "ps")


@pytest.mark.parametrize(
    "argv", [[], ["info"], ["run", "--help"], ["--version"], ["container"], ["nonesuch"], ["volume", "ls"]]
)
def test_everything_else_is_left_to_click(argv: list[str]) -> None:
    session = Session()
    assert parse(session, argv) is None
    assert session.root is None
