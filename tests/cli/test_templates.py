# ruff: noqa: E501 -- tables
"""Go templates: what Go's text/template makes of the same text and data."""

from __future__ import annotations

from typing import Any

import pytest

from nakagin.cli.templates import Template, TemplateError

DATA: dict[str, Any] = {
    "Name": "web",
    "Empty": "",
    "Number": 7,
    "Float": 1.5,
    "Yes": True,
    "Nothing": None,
    "State": {"Status": "running", "Pid": 42, "Nested": {"Deep": "x"}},
    "List": ["a", "b", "c"],
    "Objects": [{"Name": "one", "On": True}, {"Name": "two", "On": False}],
    "Labels": {"b": "2", "a": "1", "com.x/y": "<z>"},
    "Label": lambda name: f"label {name}",
}

CASES = [
    ("plain", "plain"),
    ("{{.Name}}", "web"),
    ("{{ .State.Status }}/{{.State.Nested.Deep}}", "running/x"),
    ("{{.Missing}}", "<no value>"),
    ("{{.Nothing}} {{.Yes}} {{.Float}} {{.List}} {{.State}}", "<no value> true 1.5 [a b c] map[Nested:map[Deep:x] Pid:42 Status:running]"),
    ("{{json .State}}", '{"Status":"running","Pid":42,"Nested":{"Deep":"x"}}'),
    ('{{json (index .Labels "com.x/y")}}', '"<z>"'),
    ("{{index .List 1}} {{(index .Objects 0).Name}} {{index .Objects 1 \"Name\"}}", "b one two"),
    ("{{len .List}} {{len .Labels}} {{len .Name}}", "3 2 3".replace("2", "3")),
    ('{{.Label "k"}} {{.Label `r`}}', "label k label r"),
    ("{{range .List}}<{{.}}>{{end}}", "<a><b><c>"),
    ("{{range $i, $x := .List}}{{if $i}},{{end}}{{$i}}{{$x}}{{end}}", "0a,1b,2c"),
    ("{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}", "a=1 b=2 com.x/y=<z> "),
    ("{{range .Missing}}x{{else}}none{{end}}", "none"),
    ("{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac"),
    ("{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"),
    ("{{range 3}}{{.}}{{end}}", "012"),
    ("{{if .Empty}}a{{else if .Yes}}b{{else}}c{{end}}", "b"),
    ("{{if and .Yes .Name}}{{and .Yes .Name}}{{end}} {{or .Empty .Name}} {{not .Empty}}", "web web true"),
    ("{{with .State}}{{.Pid}} {{$.Name}}{{end}}{{with .Nothing}}x{{else}}-{{end}}", "42 web-"),
    ("{{with $x := .Number}}{{$x}}{{end}}", "7"),
    ("{{$x := 1}}{{if .Yes}}{{$x = 2}}{{$y := 3}}{{$y}}{{end}}{{$x}}", "32"),
    ("{{eq .Number 7}} {{ne .Name `x`}} {{lt 1 2}} {{le 2 2}} {{gt .Float 1.0}} {{ge 1 2}}", "true true true true true false"),
    ("{{eq .Name `a` `web`}}", "true"),
    ("{{.Name | upper | printf \"%s!\"}}", "WEB!"),
    ('{{printf "%-5s|%5s|%05d|%x|%q|%v|%t|%.2f|%%" "ab" "cd" 42 255 "q" .List true 1.5}}', "ab   |   cd|00042|ff|\"q\"|[a b c]|true|1.50|%"),
    ('{{printf "%d" "x"}} {{printf "%s"}} {{printf "a" 1}}', "%!d(string=x) %!s(MISSING) a%!(EXTRA int=1)"),
    ('{{print 1 2 "x" 3}}|{{println "a" 1}}', "1 2x3|a 1\n"),
    ('{{join .List "-"}} {{split "a:b" ":"}} {{title "ab cd"}} {{lower "AB"}}', "a-b-c [a b] Ab Cd ab"),
    ('{{pad "x" 1 2}}|{{pad "" 1 2}}|{{truncate "abcdef" 3}}|{{slice "abcdef" 1 3}}', " x  ||abc|bc"),
    ("a  {{- 1 -}}  b {{/* a comment */}}c {{- /* trims */ -}}  d", "a1b cd"),
    ("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Name}}{{block \"u\" .Number}}[{{.}}]{{end}}", "<web>[7]"),
    ("{{true}} {{nil | json}} {{'a'}} {{0x10}} {{-3}} {{1e3}}", "true null 97 16 -3 1000"),
    ("{{\"}}\"}}", "}}"),
    ("{{html \"<a>\"}} {{urlquery \"a b&\"}}", "&lt;a&gt; a+b%26"),
    ("{{$.State.Pid}}{{(len .List)}}", "423"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), CASES, ids=[text for text, _ in CASES])
def test_render(text: str, shown: str) -> None:
    assert Template(text).render(DATA) == shown


BROKEN = [
    "{{", "{{if}}", "{{if .A}}", "{{end}}", "{{else}}", "{{range .List}}", "{{.A}", "{{nope .A}}", "{{/* x", "{{\"}}",
    "{{.A | }}", "{{(.A}}", "{{1 2}}", "{{$x}}", "{{index .List 9}}", "{{index .Nothing 1}}", "{{.Name.Length}}",
    "{{.Nothing.X}}", "{{lt 1 `x`}}", "{{eq .State 1}}", "{{len 1}}", "{{join .Name}}", "{{template \"x\"}}", "{{break}}",
    "{{range .Name}}{{end}}", "{{.Name 1}}", "{{@}}", "{{range .List}}{{else if .A}}{{end}}",
]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_wrong_is_told(text: str) -> None:
    with pytest.raises(TemplateError):
        Template(text).render(DATA)


def test_missing_keys_can_be_errors_or_known() -> None:
    with pytest.raises(TemplateError, match='map has no entry for key "Missing"'):
        Template("{{.Missing}}").render(DATA, absent={})
    assert Template("{{if .Health}}x{{else}}-{{end}}").render(DATA, absent={"Health": None}) == "-"
