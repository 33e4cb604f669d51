"""Go templates as docker's --format uses them."""

from __future__ import annotations

from typing import Any

import pytest

from pyrun.cli.template import Template, TemplateError

DATA: dict[str, Any] = {
    "ID": "abc", "Count": 3, "Ok": True, "Nothing": None, "Names": ["a", "b"], "Empty": [],
    "State": {"Running": False, "Pid": 7, "Health": {"Status": "ok"}},
    "Config": {"Labels": {"x.y": "1", "z": "2"}, "Env": ["A=1", "B=2"]},
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "90/udp": None},
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("{{.ID}}", "abc"),
        ("a{{ .State.Health.Status }}b", "aokb"),
        ("{{.Count}} {{.Ok}} {{.Nothing}} {{.Names}}", "3 true <no value> [a b]"),
        ("{{json .Names}}", '["a","b"]'),
        ("{{json .State}}", '{"Running":false,"Pid":7,"Health":{"Status":"ok"}}'),
        ("{{.Names | json}}", '["a","b"]'),
        ("{{.Config.Labels}}", "map[x.y:1 z:2]"),
        ('{{index .Config.Labels "x.y"}}', "1"),
        ('{{index .Config.Labels "missing"}}', ""),
        ("{{.Config.Labels.z}} {{.Config.Labels.missing}}", "2 <no value>"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ("{{range .Names}}<{{.}}>{{end}}", "<a><b>"),
        ("{{range $i, $n := .Names}}{{$i}}={{$n}} {{end}}", "0=a 1=b "),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "x.y=1;z=2;"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ('{{range .Names}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}', "a"),
        ('{{range .Names}}{{if eq . "a"}}{{continue}}{{end}}{{.}}{{end}}', "b"),
        ("{{range $p, $b := .Ports}}{{$p}}{{if $b}}->{{(index $b 0).HostPort}}{{end}},{{end}}", "80/tcp->8080,90/udp,"),
        ("{{if .State.Running}}up{{else if .Ok}}ok{{else}}down{{end}}", "ok"),
        ("{{if and .Ok (gt .Count 2)}}y{{end}}{{if or .Empty .Nothing}}n{{end}}", "y"),
        ("{{if not .State.Running}}stopped{{end}}", "stopped"),
        ("{{with .State.Health}}{{.Status}}{{end}}{{with .Nothing}}x{{else}}-{{end}}", "ok-"),
        ("{{with $x := .ID}}{{$x}}{{$.Count}}{{end}}", "abc3"),
        ("{{$a := 1}}{{$a = 2}}{{$a}}", "2"),
        ('{{join .Names ", "}} {{upper .ID}} {{title "go"}} {{lower "AB"}}', "a, b ABC Go ab"),
        ('{{range split "a:b" ":"}}[{{.}}]{{end}}', "[a][b]"),
        ('{{printf "%s-%d-%v-%q-%05d|%-4s|" .ID .Count .Ok "x" 7 "l"}}', 'abc-3-true-"x"-00007|l   |'),
        ('{{println "a" 1}}', "a 1\n"),
        ("{{len .Names}} {{slice .ID 1 2}} {{truncate .ID 2}}[{{pad .ID 1 2}}]", "2 b ab[ abc  ]"),
        ("{{eq .Count 1 3}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{ge 1 2}}", "true true true true false"),
        ("a  {{- .Count -}}  b", "a3b"),
        ("a {{/* comment */}} b", "a  b"),
        ('{{"}}"}}', "}}"),
        ("{{`raw\\n`}}", "raw\\n"),
    ],
)
def test_rendering(template: str, wanted: str) -> None:
    assert Template(template).render(DATA) == wanted


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{.Nonesuch}}", "can't evaluate field Nonesuch"),
        ("{{.ID.Deeper}}", "can't evaluate field Deeper"),
        ("{{.ID", "unclosed action"),
        ("{{}}", "missing value"),
        ("{{if .Ok}}x", "an {{end}} is missing"),
        ("x{{end}}", "unexpected {{end}}"),
        ("{{nonesuch .ID}}", "function 'nonesuch' not defined"),
        ("{{$x}}", "undefined variable"),
        ("{{index .Names 5}}", "error calling index: index out of range: 5"),
        ("{{(.ID}}", "unclosed left paren"),
        ("{{range .ID}}{{end}}", "range can't iterate over abc"),
        ("{{.ID | }}", "missing value"),
        ("{{lt .ID 1}}", "error calling lt"),
        ("{{# .ID}}", "unexpected"),
    ],
)
def test_errors_name_the_cause(template: str, words: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(template).render(DATA)
    assert words in caught.value.message
