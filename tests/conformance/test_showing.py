"""inspect -f, ps, port, volume, prune: the same command lines for pyrun and podman."""

from __future__ import annotations

import shlex

import pytest

from tests.support.conformance import Case, differs, same_as_podman

pytestmark = pytest.mark.requires("unprivileged", "userns", "subids", "overlay", "podman", "skopeo", "registry")

CREATE = "create --network none --name con"


def template(text: str) -> str:
    return f"inspect --type container -f {shlex.quote(text)} con"


TEMPLATES = [
    "{{.State.Running}}|{{.Config.Cmd}}|{{len .Args}}",
    "{{json .Config.Labels}} {{index .Config.Labels \"b.c\"}} {{.Config.Labels.a}}",
    "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}",
    "{{range .Config.Cmd}}<{{.}}>{{else}}none{{end}}{{with .Config.User}}u{{else}}-{{end}}",
    "{{if and (eq .State.ExitCode 0) (not .State.Running)}}new{{else if .State.Running}}up{{end}}",
    "{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}} {{printf \"%05d|%-4s|%q|%x|%6.2f\" 7 \"l\" \"q\" 255 3.14159}}",
    "{{\"a b\" | printf \"%s-%s\" \"x\" | upper}}",
    "{{join (split \"a:b\" \":\") \"+\"}} {{title \"go\"}} {{lower \"AB\"}}",
    "{{print 1 2 \"a\" 3}} {{println \"x\"}}{{html \"<a>\"}} {{js \"it's\"}}",
    "{{urlquery \"a b&c\"}} {{slice \"abcdef\" 1 3}}",
    "{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 2 2}} {{ne 1 2}} {{eq 1 2 1}} {{or 0 \"x\"}} {{and 1 0}}",
    "a  {{- 1 -}}  b {{/* c */}}{{\"}}\"}}{{`raw`}}",
]  # fmt: skip

CASES = [
    Case("templates", f"{CREATE} --label a=1 --label b.c=2 {{image}} sh -c 'echo x'", *map(template, TEMPLATES)),
    Case("name", f"{CREATE} {{image}} true", differs(template("{{.Name}}"), "`.Name`: docker has a slash before it")),
    Case(
        "bad templates", f"{CREATE} {{image}} true",
        differs(template("{{.Nope}}"), "what fails: docker 1, podman 125", code=True),
        differs(template("{{.Name"), "a template that cannot be parsed: docker 64, podman 125", code=True),
        differs(template("{{nosuch .Name}}"), "a template that cannot be parsed: docker 64, podman 125", code=True),
    ),
    Case(
        "ps filters", f"{CREATE} --label a=1 {{image}} true", "ps -aq --filter label=a=2",
        "ps -a --format '{{.Names}}' -f name=^con$", "ps -aq -f status=exited",
        "ps -a --format '{{.Names}}' -f status=created", "ps -a --format '{{.Names}}' -f label=a -f name=c",
        differs("ps -f nosuch=1", "what fails: docker 1, podman 125", code=True),
        differs("ps --format '{{.Names}}: {{.Label \"a\"}}' -a", "podman has no `.Label`", code=True),
        "ps -aq -f ancestor={image} -f id=nosuch",
    ),
    Case("latest", f"{CREATE} {{image}} true", "ps -l --format '{{.Names}}'", "ps -n 1 --format '{{.Names}}'", "ps -q"),
    Case(
        "volumes", "volume create vol", "volume ls -q", "volume inspect -f '{{.Name}} {{.Driver}}' vol",
        "volume rm vol", "volume ls -q", "volume rm vol",
    ),
    Case("port of none published", f"{CREATE} {{image}} true", "port con"),
    Case(
        "container prune", f"{CREATE} {{image}} true",
        differs("container prune -f", "docker prints headings and the space; podman ids alone"), "ps -aq",
    ),
]  # fmt: skip

test_same_as_podman = same_as_podman(CASES)
