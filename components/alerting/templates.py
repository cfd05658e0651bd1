"""Alertmanager's message templates, with everything filled in that is fixed for a stack.

They are Jinja2 templates of Go templates, since a Go template cannot store the output of another one: text that must be
measured and truncated cannot be shared by `define`. In components/alerting/templates/, `<<name>>` is a word of the
language, a value of the stack or a piece of Go. `<channel>.tmpl.j2` holds a channel's markup and limits, and becomes a
file beside alertmanager.yml, with Go templates of the name `dockyard.<kind of receiver>.<field>`. Files whose names
begin with `_` hold what channels share.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from settings.alerts import Alerts, Environment
from settings.problems import LOADER

if TYPE_CHECKING:
    import jinja2

FOLDER = Path(__file__).parent / "templates"
CHANNELS = ("discord", "slack", "teams", "telegram", "ntfy", "pagerduty", "opsgenie", "sms", "email", "email_html")

HTML = ("email.html",)
"""Templates that Alertmanager renders as HTML."""

_DEFINITION = re.compile(r'define "dockyard\.([\w.]+)"')

_GO = {
    # One line, without invisible characters or those that change the direction of writing.
    "flat": r'reReplaceAll "[\\s\\p{C}\\x{2028}\\x{2029}]+" " " | trimSpace',
    # Text of which no line would be a key if it were parsed as YAML.
    "no_keys": r'reReplaceAll ": " ":\u00a0" | reReplaceAll ":(\\n|$)" ":\u00a0${1}"',
    "characters": 'len (reReplaceAll "(?s)." "x" $longer)',
    "bytes": "len $longer",
    "cut": lambda length: _truncate(length, "…"),
    "sms_cut": lambda length: _truncate(length, "..."),
    "quote": json.dumps,
}
"""Pieces of Go."""

_FORMAT = {
    "escape": "print",
    "escape_url": "print",
    "bold": "%s",
    # Between links, between lines, and before an alert of several.
    "separator": " · ",
    "line": r"\n",
    "paragraph": r"\n\n",
    # As many alerts in full as one can read on a phone, and the length of a message with them, measured in `size`. At
    # most some 300 characters follow them.
    "max_alerts": 5,
    "size": _GO["characters"],
    # Whether the links of a message about a single alert are buttons instead of text.
    "has_buttons": "false",
}
"""The markup and limits of a channel as Go, where its file sets no others."""


def message_files(alerts: Alerts, environment: Environment, grafana: str) -> dict[str, str]:
    """Return path → text of the templates that the receivers of one environment need.

    `grafana` is the address at which people reach Grafana.
    """
    kinds = {type(receiver).__name__.lower() for receiver in alerts.receivers_in(environment).values()}
    channels = [channel for channel in CHANNELS if channel.split("_")[0] in kinds]
    return {f"templates/{name}.tmpl": text for name, text in render_channels(channels, alerts, grafana).items()}


def render_check_command(files: Mapping[str, str]) -> str:
    """Return the shell command that renders each message once with amtool, from amtool's own sample alerts.

    It fails where a template can never be rendered: an image may lack a time zone that Python knows, for instance.
    """
    names = sorted({name for text in files.values() for name in _DEFINITION.findall(text)})
    commands = ["true"]
    for kind in ("text", "html"):
        chosen = [name for name in names if (name in HTML) == (kind == "html")]
        if chosen:
            calls = "".join(f'{{{{ template "dockyard.{name}" . }}}}' for name in chosen)
            flags = f"--template.type={kind} --template.glob='templates/*.tmpl' --template.text={shlex.quote(calls)}"
            commands.append(f"amtool template render {flags} >/dev/null")
    return " && ".join(commands)


def render_channels(channels: Sequence[str], alerts: Alerts, grafana: str) -> dict[str, str]:
    """Return channel → the content of its template file for Alertmanager."""
    if not channels:
        return {}
    environment = _jinja_environment()
    text = (FOLDER / f"words.{alerts.language}.yaml").read_text()
    text = text.replace("<<zone>>", " UTC" if alerts.timezone == "UTC" else "")
    words = yaml.load(text, LOADER)  # noqa: S506 - a safe one
    stack = {"timezone": alerts.timezone, "language": alerts.language, "grafana": json.dumps(grafana)[1:-1]}
    link = f"%[2]s{words['colon']} %[3]s"
    return {
        channel: environment.get_template(f"{channel}.tmpl.j2").render(**words, **stack, kind=channel, link=link)
        for channel in channels
    }


def _truncate(length: int, end: str) -> str:
    """Return the Go that truncates a line to `length` characters, with an ellipsis at the end."""
    return f'reReplaceAll "^(.{{{length - len(end)}}}).{{{len(end) + 1},}}$" "${{1}}{end}"'


def _jinja_environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - takes 15 ms, which a stack without receivers need not spend

    environment = jinja2.Environment(
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        line_statement_prefix="%%",
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - renders templates, whose own functions escape
    )
    environment.globals = {**_FORMAT, **_GO}
    return environment
