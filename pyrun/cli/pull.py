"""`pyrun pull`: fetch an image, with progress bars on a terminal and docker's plain lines elsewhere. HOT."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session
    from pyrun.engine.pull import PullResult


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import (
        Verb,
        argument,
        cert_dir,
        flag,
        platform_parts,
        signature_policy,
        text,
        tls_verify,
        unsupported,
    )

    return Verb(
        "pull", execute, usage="NAME[:TAG|@DIGEST]", summary="Download an image from a registry",
        params=[
            flag("-a --all-tags", "Download all tagged images in the repository"),
            flag("--all-platforms", "Keep all that the image's index names, of other platforms the blobs"),
            text("--authfile", "Use the credentials of this file", metavar="path"),
            text("--creds", "User and password for this pull, as USER:PASSWORD", metavar="user:password"),
            flag("--disable-content-trust", "Skip image verification (it has no effect)", default=True),
            *platform_parts(),
            text("--platform", "Set platform if server is multi-platform capable"),
            text("--policy", "When the registry is asked (always, missing, newer, never)", default="always"),
            flag("-q --quiet", "Suppress verbose output"),
            signature_policy(),
            tls_verify(),
            cert_dir(),
            *unsupported("", "--decryption-key"),
            argument("image"),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Pull, then print digest, status and the full reference."""
    if params["arch"] or params["os"] or params["variant"]:
        from pyrun.oci.platform import from_parts

        params["platform"] = from_parts(params["platform"], params["os"], params["arch"], params["variant"])
    _check(params)
    names = ("platform", "policy", "tls_verify", "all_platforms", "signature_policy")
    options = {name: params[name] for name in names}
    if params["cert_dir"]:
        options["cert_dir"] = params["cert_dir"]
    if params["authfile"] or params["creds"]:
        from pyrun.engine.sources import credentials_of

        options["credentials"] = credentials_of(params["authfile"] or "", params["creds"] or "")
    image = params["image"]
    if os.isatty(0) and os.isatty(1):
        from pyrun.cli import short_name_prompt

        image = short_name_prompt.ask(session, image, params["policy"])
    if params["all_tags"]:
        _pull_all(session, image, options, quiet=params["quiet"])
    else:
        _pull_one(session, image, options, quiet=params["quiet"])
    if image != params["image"]:
        short_name_prompt.keep(params["image"], image)
    return 0


def _pull_one(session: Session, image: str, options: dict[str, Any], *, quiet: bool) -> None:
    result = _pull(session, image, options, quiet=quiet, stream=sys.stdout)
    for line in result.status_lines[-1:] if quiet else result.status_lines:
        print(line)


def _check(params: dict[str, Any]) -> None:
    from pyrun.errors import InvalidInputError, UnsupportedFlagError

    if not params["disable_content_trust"]:
        raise UnsupportedFlagError("--disable-content-trust=false")
    if params["all_platforms"] and params["platform"]:
        raise InvalidInputError("--platform and --all-platforms cannot be given together")


def _pull_all(session: Session, image: str, options: dict[str, Any], *, quiet: bool) -> None:
    from pyrun.engine.pull import pull_all_tags, status

    def each(reference: str) -> PullResult:
        result = _pull(session, reference, options, quiet=quiet, stream=sys.stdout)
        if not quiet:
            print(result.status_lines[0], flush=True)
        return result

    asked = {name: options[name] for name in ("tls_verify", "credentials", "cert_dir") if name in options}
    results = pull_all_tags(session.layout, image, each, **asked)
    reference = results[0].reference
    if not quiet:
        print(status(reference.familiar_name, up_to_date=all(result.up_to_date for result in results)))
    print(reference.name)


def fetch_for_run(
    session: Session, image: str, platform: str | None, policy: str, *, quiet: bool, signature_policy: str | None
) -> None:
    """Pull for `run` and `create`: everything is said on stderr, stdout is the container's.

    Nothing is said of the image that ships with pyrun: it comes from beside us.
    """
    options = {"platform": platform, "policy": policy, "signature_policy": signature_policy}
    if quiet or image.startswith("pyrun.local/"):
        _pull(session, image, options, quiet=True, stream=sys.stderr)
        return
    if policy == "missing":
        print(f"Unable to find image {_tagged(image)!r} locally", file=sys.stderr, flush=True)
    chosen = image
    if os.isatty(0) and os.isatty(1):
        from pyrun.cli import short_name_prompt

        chosen = short_name_prompt.ask(session, image, policy)
    result = _pull(session, chosen, options, quiet=False, stream=sys.stderr)
    for line in result.status_lines[:-1]:
        print(line, file=sys.stderr, flush=True)
    if chosen != image:
        short_name_prompt.keep(image, chosen)


def _pull(session: Session, image: str, options: dict[str, Any], *, quiet: bool, stream: TextIO) -> PullResult:
    from pyrun.engine.pull import pull
    from pyrun.oci import reference as references

    if quiet:
        return pull(session.layout, image, quiet=True, **options)
    if ":" not in image.rpartition("/")[2] and "@" not in image:
        references.parse_normalized(image)  # of what is no name nothing is said but that
        print("Using default tag: latest", file=stream, flush=True)
    from pyrun.cli.progress import shown_on

    with shown_on(stream) as progress:
        return pull(session.layout, image, progress=progress, **options)


def _tagged(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
