"""Writes `COMPATIBILITY.md`: docker's flags, one by one, and what pyrun does with each, from the click definitions.

python -m pyrun.cli.compatibility    writes the file, as `generate_table` does too; a unit test says when it is due
"""

from __future__ import annotations

from pathlib import Path

import click

from pyrun.cli.app import CONTAINER_VERBS, IMAGE_VERBS, MANIFEST_VERBS, SYSTEM_VERBS, VERBS, VOLUME_VERBS, define
from pyrun.cli.definitions import Unsupported
from pyrun.cli.docker_flags import FLAGS
from pyrun.cli.podman_differences import section as podman_section
from pyrun.cli.podman_flags import FLAGS as PODMAN_FLAGS

TARGET = Path(__file__).with_name("COMPATIBILITY.md")
_GROUPS = {
    "container": CONTAINER_VERBS, "image": IMAGE_VERBS, "manifest": MANIFEST_VERBS, "system": SYSTEM_VERBS,
    "volume": VOLUME_VERBS,
}  # fmt: skip
_NOT_YET = "not yet"
# Why a flag answers 125 with its name.
_REASONS = {
    "for Windows alone": "--cpu-count --cpu-percent --io-maxbandwidth --io-maxiops",
    "there is no daemon, and so no socket of one": "--use-api-socket",
    "gone from the kernel": "--kernel-memory --oom-kill-disable",
    "links are gone: docker calls them legacy": "--link",
    "checkpoints are not docker's any more": "--checkpoint --checkpoint-dir",
    "a swarm's volumes": "--availability --cluster --group --limit-bytes --required-bytes --scope --secret --sharing "
    "--topology-preferred --topology-required --type",
    "no plugins": "--opt --volume-driver",
    "resource limits are not there yet": "--blkio-weight --blkio-weight-device --cgroup-parent --cpu-period "
    "--cpu-quota --cpu-rt-period --cpu-rt-runtime --cpu-shares --cpus --cpuset-cpus --cpuset-mems --device-read-bps "
    "--device-read-iops --device-write-bps --device-write-iops --memory --memory-reservation --memory-swap "
    "--memory-swappiness --pids-limit",
    "an overlay has no quota without privilege": "--storage-opt",
    "no device cgroup without privilege": "--device-cgroup-rule",
    "no GPG signatures": "--directory --sign-by",
    "no encrypted images": "--decryption-key --encrypt-layer --encryption-key",
    "a directory is not pushed to": "--compress",
    "there are no containers of other tools": "--external",
    "layers of a list go as they are": "--compression-format",
    "a private network has no addresses of its own yet": "--ip --ip6 --link-local-ip --network-alias",
}
_WHY = {flag: reason for reason, flags in _REASONS.items() for flag in flags.split()}
# What works, but not just as in docker: "VERB FLAG" -> how.
DIFFERS = {
    "container attach --no-stdin": "without it the end of the caller's input is that of the container's, as in podman; "
    "docker keeps that of a `run -di` open",
    "container cp --archive": "keeps owners on the way in, and for root on the way out; without it files in a "
    "container are root's, as docker's documentation says (its daemon keeps the numbers)",
    "container commit --change": "`$NAME` is what the container's environment has",
    "container ls --format": "`.Platform` is the image's; `.Networks` is `private` where docker has `bridge`",
    "container ls --filter": "`restart-policy` and `should-start-on-boot` besides; and `isolation` is Windows'",
    "image history --platform": "another than runs here where the image was pulled with `--all-platforms`; "
    "a layer that is not unpacked has the size of its blob",
    "image inspect --platform": "another than runs here where the image was pulled with `--all-platforms`",
    "image ls --tree": "an image's id is that of its configuration, as everywhere here",
    "image rm --platform": "the platform that is unpacked goes last, with the image",
    "image prune --filter": "`dangling=false` is as `--all`, and with `--all` `dangling=true` is refused",
    "image pull --disable-content-trust": "`=false` is refused: nothing verifies by a notary",
    "push --disable-content-trust": "`=false` is refused: nothing signs for a notary",
    "search --filter": "`is-automated` too, which docker has deprecated",
    "system events --filter": "there is no `oom`, as no container has a memory group of its own that would count it, "
    "and no `resize`",
    "system info --format": (
        "docker's keys but those of containerd and runc; pyrun's own besides, which say what this machine allows"
    ),
    "system prune --all": "there are no networks and no build cache to prune yet",
    "image load --platform": "one; without it an index gives this machine's: an image here is for one platform",
    "image save --platform": "one; others than what runs here where the image was pulled with `--all-platforms`. "
    "Without it `oci-archive` and `oci-dir` have all of such an image, docker's format what runs here",
    "inspect --type": "container, image and volume",
    "volume create --opt": "no: a volume is a directory, without options",
    "version --format": "`.Server` is the client: there is no daemon",
}
# Of `run` and `create` alike.
_DIFFERS_AT_CREATE = {
    "--device": "a node is given whole (`rwm`): there is no device cgroup without privilege; no CDI names",
    "--isolation": "`default` alone, as on every Linux",
    "--log-driver": "`json-file`, `local`, `none`, and podman's `k8s-file` and `passthrough`",
    "--network": "`private` (the default) instead of `bridge`; no networks of the user's yet",
    "--oom-score-adj": "not below what the user's own processes have",
    "--publish": "forwarded by a user-mode program: tcp and udp, not sctp",
    "--security-opt": "no labels but `label=disable`, no profiles but `apparmor=unconfined`",
    "--userns": "podman's words too: `keep-id`, `auto`, `nomap`",
}
_OF_INSPECT = (
    "`.ExecIDs` is null: an `exec` is known to nobody but its caller; no methods of Go's types, as "
    "`.HostConfig.NetworkMode.IsHost`"
)
DIFFERS |= {f"{verb} --format": _OF_INSPECT for verb in ("container inspect", "inspect")}
DIFFERS |= {f"container {verb} {flag}": how for verb in ("create", "run") for flag, how in _DIFFERS_AT_CREATE.items()}
_HEAD = """# What works as in docker, flag by flag

Written by `python -m pyrun.cli.compatibility` from the definitions of the verbs: do not edit. Compared with docker
28.2.2.

*yes*: as there. *differs*: it works, not just as there. *no*: pyrun answers 125 and names the flag. What prints
templates (`--format`) takes those of Go, executed as Go does; `define`, `template`, `block` and `call` are left out.
"""
_PODMAN_HEAD = """## podman's flags of the verbs of images

Compared with podman 4.3. What docker has too is as docker's, above.

| verb | flags | |
| --- | --- | --- |
"""


def generate() -> str:
    """Return the text of the file. Raises: KeyError for a flag of docker's that nobody has thought of."""
    parts = [_HEAD]
    for verb, flags in FLAGS.items():
        group, _, name = verb.rpartition(" ")
        module = _GROUPS[group].get(name) if group else VERBS.get(name)
        if module is None:
            parts.append(f"## {verb}\n\nnot yet\n")
            continue
        parts.append(_section(verb, module, flags.split()))
    return "\n".join([*parts, _of_podman(), podman_section()])


def _of_podman() -> str:
    """Return the part on podman's flags of image verbs: those of a verb that are answered alike, in one row."""
    rows = []
    for verb, flags in PODMAN_FLAGS.items():
        known = podman_options(verb)
        if known is None:
            rows.append(f"| `{verb}` | | no |")
            continue
        answers: dict[str, list[str]] = {}
        for flag in flags.split():
            name = flag.rpartition("/")[2]
            answer = f"no: {_WHY.get(name, _NOT_YET)}" if isinstance(known[name], Unsupported) else "yes"
            answers.setdefault(answer, []).append(f"`{flag.replace('/', '`, `')}`")
        rows += [f"| `{verb}` | {', '.join(names)} | {answer} |" for answer, names in answers.items()]
    return _PODMAN_HEAD + "\n".join(rows) + "\n"


def podman_options(verb: str) -> dict[str, click.Option] | None:
    """Return the options of podman's verb by each spelling; None if there is no such verb."""
    group, _, name = verb.rpartition(" ")
    module = _GROUPS[group].get(name) if group else VERBS.get(name)
    if module is None:
        return None
    options = [param for param in define(module).params if isinstance(param, click.Option)]
    return {spelling: option for option in options for spelling in option.opts}


def _section(verb: str, module: str, flags: list[str]) -> str:
    options = [param for param in define(module).params if isinstance(param, click.Option) and not param.is_eager]
    known = {spelling: option for option in options for spelling in option.opts}
    rows = [f"| `{flag.replace('/', '`, `')}` | {_answer(verb, flag, known)} |" for flag in flags]
    named = {spelling for flag in flags for spelling in flag.split("/")}
    own = sorted(
        o.opts[-1] for o in options if not isinstance(o, Unsupported) and not o.hidden and not named & set(o.opts)
    )
    text = f"## {verb}\n\n"
    text += "\n".join(["| flag | |", "| --- | --- |", *rows]) + "\n" if rows else "no flags\n"
    return text + (f"\nBesides: {', '.join(f'`{flag}`' for flag in own)}\n" if own else "")


def _answer(verb: str, flag: str, known: dict[str, click.Option]) -> str:
    short, _, name = flag.rpartition("/")
    option = known[name]
    if isinstance(option, Unsupported):
        return f"no: {_WHY.get(name, _NOT_YET)}"
    differs = DIFFERS.get(f"{verb} {name}", "")
    if short and short not in option.opts:
        differs = f"no {short}" + (f"; {differs}" if differs else "")
    return f"differs: {differs}" if differs and not differs.startswith("no: ") else differs or "yes"


def main() -> None:
    """Write the file."""
    TARGET.write_text(generate())


if __name__ == "__main__":
    main()
