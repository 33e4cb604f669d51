"""The click application: which verbs there are, the groups, global options, and how click's errors read.

Cold: imported for cold verbs, `--help`, completion and errors. It must not know what a verb does.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from pyrun.cli.definitions import ArgumentCountError, OptionalValue, Parser, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session

# verb -> module of pyrun.cli whose `command()` defines it
VERBS = {
    "attach": "attach",
    "commit": "commit",
    "cp": "cp",
    "create": "create",
    "diff": "diff",
    "events": "events",
    "exec": "exec",
    "export": "export",
    "fsck": "fsck",
    "history": "history",
    "image-inspect": "image_inspect",
    "images": "images",
    "import": "import_image",
    "info": "info",
    "inspect": "inspect",
    "kill": "kill",
    "load": "load",
    "login": "login",
    "logout": "logout",
    "logs": "logs",
    "pause": "pause",
    "port": "port",
    "ps": "ps",
    "pull": "pull",
    "push": "push",
    "rename": "rename",
    "restart": "restart",
    "rm": "rm",
    "rmi": "rmi",
    "run": "run",
    "save": "save",
    "search": "search",
    "start": "start",
    "stats": "stats",
    "stop": "stop",
    "tag": "tag",
    "top": "top",
    "unpause": "unpause",
    "untag": "untag",
    "update": "update",
    "version": "version",
    "wait": "wait",
}
CONTAINER_VERBS = {
    "attach": "attach",
    "commit": "commit",
    "cp": "cp",
    "create": "create",
    "diff": "diff",
    "exec": "exec",
    "export": "export",
    "inspect": "container_inspect",
    "kill": "kill",
    "list": "ps",
    "logs": "logs",
    "ls": "ps",
    "pause": "pause",
    "port": "port",
    "prune": "container_prune",
    "ps": "ps",
    "rename": "rename",
    "restart": "restart",
    "rm": "rm",
    "run": "run",
    "start": "start",
    "stats": "stats",
    "stop": "stop",
    "top": "top",
    "unpause": "unpause",
    "update": "update",
    "wait": "wait",
}
IMAGE_VERBS = {
    "diff": "image_diff", "exists": "image_exists", "generate-key-pair": "image_generate_key_pair",
    "history": "history", "import": "import_image", "inspect": "image_inspect", "list": "images", "load": "load",
    "ls": "images", "mount": "image_mount", "prune": "image_prune", "pull": "pull", "push": "push",
    "remove": "rmi", "rm": "rmi", "save": "save", "sign": "image_sign", "tag": "tag", "tree": "image_tree",
    "umount": "image_unmount", "unmount": "image_unmount", "untag": "untag", "verify": "image_verify",
}  # fmt: skip
MANIFEST_VERBS = {
    "add": "manifest_add", "annotate": "manifest_annotate", "create": "manifest_create", "exists": "manifest_exists",
    "inspect": "manifest_inspect", "push": "manifest_push", "remove": "manifest_remove", "rm": "manifest_rm",
}  # fmt: skip
REGISTRY_VERBS = {
    "catalog": "registry_catalog", "copy": "registry_copy", "delete": "registry_delete",
    "inspect": "registry_inspect", "ls": "registry_ls",
}  # fmt: skip
SYSTEM_VERBS = {"check": "fsck", "df": "system_df", "events": "events", "info": "info", "prune": "system_prune"}
VOLUME_VERBS = {
    "create": "volume_create", "inspect": "volume_inspect", "list": "volume_ls", "ls": "volume_ls",
    "prune": "volume_prune", "remove": "volume_rm", "rm": "volume_rm",
}  # fmt: skip
# Docker's verbs, and podman's of images, that pyrun does not have yet: named, so that nobody takes them for a slip of
# the pen.
NOT_YET = (
    "build",
    "builder",
    "buildx",
    "compose",
    "container",
    "context",
    "network",
    "plugin",
    "scp",
    "swarm",
    "trust",
)


class UnknownCommandError(click.UsageError):
    """A verb that docker has not either: docker answers 1, not the 125 of a bad flag."""


class Verbs(click.Group):
    """A group whose commands are imported when they are asked for."""

    def __init__(self, name: str, modules: Mapping[str, str], **more: Any) -> None:
        super().__init__(name, **more)
        self.modules = modules

    def make_parser(self, ctx: click.Context) -> Any:
        return Parser(ctx, self.get_params(ctx), interspersed=False)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.modules, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        module = self.modules.get(cmd_name)
        return None if module is None else define(module)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None:
            if args[0] in NOT_YET:
                raise click.UsageError(f"command {args[0]} is not supported yet", ctx)
            raise UnknownCommandError(f"unknown command: {ctx.command_path} {args[0]}", ctx)
        return super().resolve_command(ctx, args)


def define(module: str) -> Verb:
    """Import a verb's module and return its click command."""
    verb: Verb = import_module(f"pyrun.cli.{module}").command()
    return verb


def root() -> Verbs:
    """Return the whole command line."""
    group = Verbs(
        "pyrun", VERBS, help="Run OCI containers without root and without a daemon.", no_args_is_help=True,
        params=[
            text("--root", "Where images and containers are kept", metavar="directory"),
            OptionalValue(
                ["-D", "--debug", "debug"], default="", metavar="[=plan]",
                help="Show tracebacks; with =plan also what the container is made of",
            ),
            click.Option(
                ["-v", "--version"], is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
                help="Print version information and quit",
            ),
        ],
        callback=_remember,
    )  # fmt: skip
    group.add_command(Verbs("container", CONTAINER_VERBS, help="Manage containers", no_args_is_help=True))
    group.add_command(Verbs("image", IMAGE_VERBS, help="Manage images", no_args_is_help=True))
    group.add_command(Verbs("manifest", MANIFEST_VERBS, help="Manage manifest lists", no_args_is_help=True))
    group.add_command(
        Verbs("registry", REGISTRY_VERBS, help="Work on images where they are: at a registry", no_args_is_help=True)
    )
    group.add_command(Verbs("system", SYSTEM_VERBS, help="Manage pyrun", no_args_is_help=True))
    group.add_command(Verbs("volume", VOLUME_VERBS, help="Manage volumes", no_args_is_help=True))
    return group


def invoke(session: Session, argv: Sequence[str]) -> int:
    """Run a command line through click; its exceptions are left to `cli/errors.py`.

    Not by `Group.main`, except for completion: that answers a closed pipe with 1 instead of telling us.
    """
    group = root()
    if "_PYRUN_COMPLETE" in os.environ:
        group.main(list(argv), prog_name="pyrun", obj=session)
    if argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    try:
        with group.make_context("pyrun", list(argv), obj=session) as context:
            result = group.invoke(context)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message() if error.ctx is None else error.ctx.get_help())
        return 0
    except click.exceptions.Exit as end:  # --help, --version
        return end.exit_code
    return result if isinstance(result, int) else 0


def explain(error: BaseException) -> tuple[str, str, int]:
    """Turn one of click's exceptions into (sentence, hint, exit code)."""
    if isinstance(error, click.exceptions.Abort):
        return "interrupted", "", 130
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "pyrun"
        code = 1 if isinstance(error, ArgumentCountError | UnknownCommandError) else 125
        return error.format_message(), f"see `{path} --help`", code
    return str(error), "", 1


@click.pass_obj
def _remember(session: Session, root: str | None, debug: str) -> None:
    session.root = root
    session.debug = debug


def _show_version(context: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from pyrun import __version__

        click.echo(f"pyrun version {__version__}")
        context.exit()
