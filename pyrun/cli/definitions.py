"""What verbs are defined with: click's commands and options, parsed with docker's grammar (`fastparse.scan`).

click stays the authority on which options exist, their help and defaults; only its tokeniser is replaced, since
click knows neither `--rm=false` nor pflag's words for errors. It must not know any verb.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pyrun.cli import fastparse
from pyrun.errors import UnsupportedFlagError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyrun.cli.main import Session

    Execute = Callable[[Session, dict[str, Any]], int]

UNSUPPORTED = "unsupported:"  # prefix of the destination of a flag that docker has and pyrun has not


class Unsupported(click.Option):
    """A flag of docker's that pyrun does not have yet: hidden, takes its value, answers UnsupportedFlagError."""


class OptionalValue(click.Option):
    """A flag whose value may be left out: `--debug`, `--debug=plan`."""


class Parser:
    """Stands where click expects its own option parser (`Command.make_parser`)."""

    def __init__(self, context: click.Context, params: Sequence[click.Parameter], *, interspersed: bool) -> None:
        self._context = context
        self._options = {name: row for param in params for name, row in option_rows(param)}
        self._order = [param for param in params if isinstance(param, click.Option)]
        self._arguments = [param for param in params if isinstance(param, click.Argument)]
        self._interspersed = interspersed
        self._opt_prefixes: set[str] = set()  # click 8 reads it after parsing, for abbreviations we do not have

    def parse_args(self, args: list[str]) -> tuple[dict[str, Any], list[str], list[click.Parameter]]:
        """Return (values by parameter, what is left, parameters in order of invocation)."""
        try:
            found, rest = fastparse.scan(self._options, args, interspersed=self._interspersed)
        except fastparse.FlagError as error:
            raise click.UsageError(str(error), self._context) from None
        values: dict[str, Any] = {}
        multiple = {param.name for param in self._order if param.multiple}
        asks_help = any(name == param.name for name, _ in found for param in self._order if param.is_eager)
        for name, value in found:
            if name in multiple:
                values.setdefault(name, []).append(value)
            elif name.startswith(UNSUPPORTED) and not asks_help:
                raise UnsupportedFlagError(name[len(UNSUPPORTED) :])
            else:
                values[name] = value
        used = [param for param in self._order if param.name in values]
        if self._arguments and not asks_help:
            rest = self._take_arguments(values, rest)
        return values, rest, [*used, *self._arguments]

    def _take_arguments(self, values: dict[str, Any], rest: list[str]) -> list[str]:
        check_count(self._context, self._arguments, len(rest))
        for argument in self._arguments:
            name = argument.name or ""
            if argument.nargs < 0:
                values[name], rest = tuple(rest), []
            elif rest:
                values[name], rest = rest[0], rest[1:]
        return rest


class Verb(click.Command):
    """One verb: its options, and the function that executes it."""

    def __init__(
        self,
        name: str,
        execute: Execute,
        *,
        summary: str,
        params: Sequence[click.Parameter],
        usage: str = "",
        interspersed: bool = True,
    ) -> None:
        super().__init__(
            name, params=list(params), help=summary, short_help=summary, options_metavar="[OPTIONS]",
            callback=click.pass_obj(lambda session, **values: execute(session, values)),
        )  # fmt: skip
        self.usage = usage
        self.interspersed = interspersed

    def make_parser(self, ctx: click.Context) -> Any:
        return Parser(ctx, self.get_params(ctx), interspersed=self.interspersed)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.obj is not None:
            # Before parsing: what is refused while parsing needs the verb's exit code. `volume create` is not `create`.
            ctx.obj.verb = ctx.command_path.removeprefix("pyrun ").removeprefix("container ")
        if not any(isinstance(param, click.Argument) for param in self.params) and not ctx.resilient_parsing:
            return self._parse_without_arguments(ctx, args)
        return super().parse_args(ctx, args)

    def _parse_without_arguments(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        check_count(ctx, (), len(rest))
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", self.usage] if self.usage else super().collect_usage_pieces(ctx)


class ArgumentCountError(click.UsageError):
    """Too few or too many positional arguments: docker answers 1, for `run` too, not the 125 of a bad flag."""


def check_count(context: click.Context, arguments: Sequence[click.Argument], count: int) -> None:
    """Refuse a wrong number of positional arguments in docker's words."""
    least = sum(1 for argument in arguments if argument.required)
    most = None if any(argument.nargs < 0 for argument in arguments) else len(arguments)
    if count >= least and (most is None or count <= most):
        return
    if most == 0:
        wanted = "accepts no arguments"
    elif most is None:
        wanted = f"requires at least {least} argument{'s' * (least != 1)}"
    elif least == most:
        wanted = f"requires {most} argument{'s' * (most != 1)}"
    else:
        at_least = f"at least {least} and " if least else ""
        wanted = f"requires {at_least}at most {most} argument{'s' * (most != 1)}"
    raise ArgumentCountError(f"'{context.command_path}' {wanted}", context)


def option_rows(param: click.Parameter) -> list[tuple[str, tuple[str, str]]]:
    """Describe an option for `fastparse.scan`: (spelling, (destination, kind)) for each of its spellings."""
    if not isinstance(param, click.Option):
        return []
    if isinstance(param, OptionalValue):
        kind = fastparse.OPTIONAL
    elif param.is_flag:
        kind = fastparse.FLAG
    elif param.multiple:
        kind = fastparse.MANY
    else:
        kind = fastparse.INTEGER if param.type is click.INT else fastparse.TEXT
    name = f"{UNSUPPORTED}{param.opts[-1]}" if isinstance(param, Unsupported) else param.name or ""
    return [(spelling, (name, kind)) for spelling in param.opts]


def flag(spellings: str, words: str, *, default: bool | None = False, hidden: bool = False) -> click.Option:
    """Define a boolean option. `spellings`: short ones first, the last is the name, as "-d --detach"."""
    return click.Option(_declare(spellings), is_flag=True, default=default, help=words, hidden=hidden)


def text(
    spellings: str, words: str, *, default: str | None = None, metavar: str = "string", hidden: bool = False
) -> click.Option:
    """Define an option with one value."""
    return click.Option(
        _declare(spellings), type=click.STRING, default=default, metavar=metavar, help=words, hidden=hidden
    )


def integer(spellings: str, words: str, *, default: int | None = None) -> click.Option:
    """Define an option with one whole number."""
    return click.Option(_declare(spellings), type=click.INT, default=default, metavar="int", help=words)


def many(spellings: str, words: str, *, metavar: str = "list") -> click.Option:
    """Define an option that may be given again and again."""
    return click.Option(_declare(spellings), type=click.STRING, multiple=True, metavar=metavar, help=words)


def tls_verify() -> click.Option:
    """Define podman's option of the verbs that talk to a registry; None if it is not given."""
    return flag("--tls-verify", "Demand TLS and a trusted certificate; =false does without either", default=None)


def cert_dir() -> click.Option:
    """Define podman's option of the same verbs."""
    words = "Certificates of this directory (*.crt, *.cert and *.key) instead of those of certs.d"
    return text("--cert-dir", words, metavar="directory")


def platform_parts() -> list[click.Option]:
    """Define podman's options that --platform has in one (`oci.platform.from_parts`)."""
    return [
        text("--arch", "Architecture, if it is not this machine's"),
        text("--os", "Operating system, if it is not this machine's"),
        text("--variant", "Variant of the architecture"),
    ]


def signature_policy() -> click.Option:
    """Define podman's option of the verbs by which images come in."""
    return text("--signature-policy", "Signature policy to obey instead of policy.json", metavar="file")


def unsupported(flags: str, with_value: str) -> list[click.Option]:
    """Define docker's flags that pyrun lacks: `flags` without, `with_value` with a value; "-m/--memory --cpus …"."""
    rows = [(word, True) for word in flags.split()] + [(word, False) for word in with_value.split()]
    return [
        Unsupported([*word.split("/"), f"unsupported_{index}"], is_flag=is_flag, hidden=True, expose_value=False)
        for index, (word, is_flag) in enumerate(rows)
    ]


def argument(name: str, *, required: bool = True, rest: bool = False) -> click.Argument:
    """Define a positional argument; `rest` takes all that are left."""
    return click.Argument([name], required=required, nargs=-1 if rest else 1, type=click.UNPROCESSED)


def _declare(spellings: str) -> list[str]:
    """Name an option after its last spelling; further spellings before it are aliases."""
    words = spellings.split()
    return [*words, words[-1].lstrip("-").replace("-", "_")]
