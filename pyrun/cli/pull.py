"""`pyrun pull`: fetch an image, with progress bars on a terminal and docker's plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

from pyrun.cli.definitions import Verb, argument, flag, text, tls_verify, unsupported

if TYPE_CHECKING:
    from pyrun.cli.main import Session
    from pyrun.engine.pull import PullResult


def command() -> Verb:
    """Define the verb for click."""
    return Verb(
        "pull", execute, usage="NAME[:TAG|@DIGEST]", summary="Download an image from a registry",
        params=[
            text("--platform", "Set platform if server is multi-platform capable"),
            flag("-q --quiet", "Suppress verbose output"),
            tls_verify(),
            *unsupported("-a/--all-tags --disable-content-trust", ""),
            argument("image"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Pull, then print digest, status and the full reference."""
    result = _pull(
        session, params["image"], params["platform"], "always", quiet=params["quiet"], stream=sys.stdout,
        tls_verify=params["tls_verify"],
    )  # fmt: skip
    for line in result.status_lines[-1:] if params["quiet"] else result.status_lines:
        print(line)
    return 0


def fetch_for_run(session: Session, image: str, platform: str | None, policy: str, *, quiet: bool) -> None:
    """Pull for `run` and `create`: everything is said on stderr, stdout is the container's.

    Nothing is said of the image that ships with pyrun: it comes from beside us.
    """
    if quiet or image.startswith("pyrun.local/"):
        _pull(session, image, platform, policy, quiet=True, stream=sys.stderr)
        return
    if policy == "missing":
        print(f"Unable to find image {_tagged(image)!r} locally", file=sys.stderr, flush=True)
    result = _pull(session, image, platform, policy, quiet=False, stream=sys.stderr)
    for line in result.status_lines[:-1]:
        print(line, file=sys.stderr, flush=True)


def _pull(
    session: Session, image: str, platform: str | None, policy: str, *, quiet: bool, stream: TextIO,
    tls_verify: bool | None = None,
) -> PullResult:  # fmt: skip
    from pyrun.engine.pull import pull

    if not quiet and ":" not in image.rpartition("/")[2] and "@" not in image:
        print("Using default tag: latest", file=stream, flush=True)
    if quiet:
        return pull(session.layout, image, platform=platform, policy=policy, quiet=True, tls_verify=tls_verify)
    from pyrun.cli.progress import shown_on

    with shown_on(stream, image) as progress:
        return pull(session.layout, image, platform=platform, policy=policy, progress=progress, tls_verify=tls_verify)


def _tagged(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
