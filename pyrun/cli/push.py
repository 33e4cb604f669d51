"""`pyrun push`: docker's lines, its flags, and podman's for where to and how compressed. HOT."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrun.cli.definitions import Verb
    from pyrun.cli.main import Session
    from pyrun.engine.push import Pushed


def command() -> Verb:
    """Define the verb for click."""
    from pyrun.cli.definitions import Verb, argument, cert_dir, flag, integer, text, tls_verify, unsupported
    from pyrun.cli.registry_options import sign_options

    return Verb(
        "push", execute, usage="NAME[:TAG] [DESTINATION]", summary="Upload an image to a registry",
        params=[
            flag("-a --all-tags", "Push all tags of an image to the repository"),
            text("--authfile", "Use the credentials of this file", metavar="path"),
            integer("--compression-level", "How hard to compress anew: gzip 1 to 9, zstd 1 to 22"),
            text("--compression-format", "Compress layers anew that are not gzip or zstd, as is said"),
            text("--creds", "User and password for this push, as USER:PASSWORD", metavar="user:password"),
            text("--digestfile", "Write the digest of what was pushed to a file", metavar="path"),
            flag("--disable-content-trust", "Skip image signing", default=True),
            flag("--force-compression", "Compress anew what has the wanted format already, too"),
            text("-f --format", "Media types of the manifest: oci or v2s2"),
            text("--platform", "Push a platform-specific manifest as a single-platform image to the registry"),
            flag("-q --quiet", "Suppress verbose output"),
            tls_verify(),
            flag("--remove-signatures", "Push no signatures that the image has (none is, ever)"),
            *unsupported("--compress", "--encrypt-layer --encryption-key --sign-by"),
            cert_dir(),
            *sign_options(),
            argument("image"),
            argument("destination", required=False),
        ],
    )  # fmt: skip


def execute(session: Session, params: dict[str, Any]) -> int:
    """Push; then docker's line with tag, digest and size for each tag."""
    from pyrun.engine.push import PushOptions
    from pyrun.errors import UnsupportedFlagError
    from pyrun.oci import reference as references

    if not params["disable_content_trust"]:
        raise UnsupportedFlagError("--disable-content-trust=false")
    image = params["image"]
    is_short = not (params["quiet"] or params["all_tags"] or params["destination"])
    if is_short and ":" not in image.rpartition("/")[2] and "@" not in image:
        references.parse_any(image)  # of what is no name nothing is said but that
        print("Using default tag: latest", flush=True)
    options = PushOptions(
        platform=params["platform"] or "",
        format=params["format"] or "",
        compression_format=params["compression_format"] or "",
        compression_level=params["compression_level"],
        force_compression=params["force_compression"],
        credentials=params["creds"] or "",
        authfile=params["authfile"] or "",
        tls_verify=params["tls_verify"],
        cert_dir=params["cert_dir"] or "",
    )

    sign = None
    if params["sign_by_sigstore_private_key"] or params["sign_passphrase_file"]:
        from pyrun.cli.registry_options import signer_of

        sign = signer_of(params, session.layout)

    def show(pushed: Pushed) -> None:
        words = f"{pushed.reference.tag}: digest: {pushed.digest} size: {pushed.size}"
        print(pushed.reference.string if params["quiet"] else words, flush=True)
        if params["digestfile"]:
            from pyrun.cli import digest_file

            digest_file.write(params["digestfile"], pushed.digest)
        if sign is not None:
            sign(pushed.reference.string, pushed.digest)

    _push(session, params, options, show)
    return 0


def _push(session: Session, params: dict[str, Any], options: Any, show: Callable[[Pushed], None]) -> None:
    from pyrun.cli.push_progress import shown_on
    from pyrun.engine.push import push

    under_bars: list[Pushed] = []  # what is printed beside bars that move would be wrapped as they are
    see = under_bars.append if sys.stdout.isatty() else show
    try:
        with shown_on(sys.stdout, quiet=params["quiet"]) as hear:
            for pushed in push(
                session.layout, params["image"], params["destination"] or "", all_tags=params["all_tags"],
                options=options, hear=hear,
            ):  # fmt: skip
                see(pushed)
    finally:
        for pushed in under_bars:
            show(pushed)
