"""Texts of messages: Alertmanager's templates, with everything that is known beforehand already filled in.

A Go template cannot store the output of another one, so text that must be measured and truncated cannot be shared by
`define`. It is shared before: in components/alerting/templates/, `<<name>>` stands for a word of the language, a value
of the stack, a piece of Go or another file. Files whose names begin with `_` are such pieces; every other one becomes a
file beside alertmanager.yml, with templates of the name `dockyard.<kind of receiver>.<field>`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from settings.alerts import Alerts
from settings.receivers import Environment

FOLDER = Path(__file__).parent / "templates"

HTML = ("email.html",)
"""Templates that Alertmanager renders as HTML."""

_DEFINITION = re.compile(r'define "dockyard\.([\w.]+)"')
_PLACE = re.compile(r"<<(\w+)(?: (\d+))?>>")
_CHARACTERS = 'len (reReplaceAll "(?s)." "x" $longer)'
_BYTES = "len $longer"


@dataclass(frozen=True)
class ChannelFormat:
    """The markup of a channel, as pieces of Go templates, and its limits of length."""

    escape: str
    bold: str
    link: str
    """Format of a link: `%[2]s` is its text, `%[3]s` its address."""

    room: int
    """Maximum length of a message's alerts in full; at most some 300 characters follow them."""

    most: int = 5
    """Maximum number of alerts in full: as many as one can read on a phone."""

    size: str = _CHARACTERS
    line: str = r"\n"
    gap: str = r"\n\n"
    between: str = " · "
    escape_url: str = "print"
    buttons: str = "false"
    """Whether the links of a message about a single alert are buttons instead of text."""


# Escapes with a backslash the characters that are markup in these channels, anywhere or at the start of a line.
_MARKDOWN = r'reReplaceAll "([\\\\\\x60*_~|<>\\[\\]])" "\\${1}" | reReplaceAll "^([#+-])" "\\${1}"'
_MARKDOWN_LINK = "[%[2]s](%[3]s)"
_HTML_LINK = r"<a href=\"%[3]s\">%[2]s</a>"
_PLAIN_LINK = "%[2]s<<colon>> %[3]s"

CHANNEL_FORMATS = {
    "discord": ChannelFormat(_MARKDOWN, "**%s**", _MARKDOWN_LINK, room=3600),
    # https://docs.slack.dev/messaging/formatting-message-text#escaping: only these three are escaped.
    "slack": ChannelFormat(
        'reReplaceAll "&" "&amp;" | reReplaceAll "<" "&lt;" | reReplaceAll ">" "&gt;"',
        "*%s*",
        "<%[3]s|%[2]s>",
        room=3400,
        escape_url='reReplaceAll "&" "&amp;"',
    ),
    "teams": ChannelFormat(_MARKDOWN, "**%s**", _MARKDOWN_LINK, room=9000, most=10, size=_BYTES, line=r"\n\n"),
    "telegram": ChannelFormat("html", "<b>%s</b>", _HTML_LINK, room=2700, escape_url="html"),
    "ntfy": ChannelFormat("print", "%s", _PLAIN_LINK, between=r"\n", room=3400, size=_BYTES, buttons="true"),
    "pagerduty": ChannelFormat("print", "%s", _PLAIN_LINK, between=r"\n", room=9000, most=10),
    "opsgenie": ChannelFormat("print", "%s", _PLAIN_LINK, between=r"\n", room=9000, most=10),
    "sms": ChannelFormat("print", "%s", _PLAIN_LINK, between=r"\n", room=0),
    "email": ChannelFormat("print", "%s", _PLAIN_LINK, between=r"\n", room=60_000, most=20),
    "email_html": ChannelFormat(
        "html", "<b>%s</b>", _HTML_LINK, room=60_000, most=20, line=r"<br>\n", gap=r"</p>\n<p>", escape_url="html"
    ),
}

# Replacements in an SMS for characters that GSM 7-bit lacks or counts twice (3GPP TS 23.038, 6.2.1).
_GSM = {
    "e": "êë",
    "E": "ÊËÈ",
    "a": "âáã",
    "A": "ÂÀÁÃ",
    "i": "îïí",
    "I": "ÎÏÍÌ",
    "o": "ôóõ",
    "O": "ÔÓÕÒ",
    "u": "ûú",
    "U": "ÛÙÚ",
    "c": "ç",
    "oe": "œ",
    "OE": "Œ",
    "'": "`\u2018\u2019",
    '"': "«»\u201c\u201d",
    "-": "~·\u2013\u2014",
    "...": "…",
    " ": "\u00a0\u202f",
    "x": "\u00d7",
    "(": "[{",
    ")": "]}",
    "/": "|\\",
    "EUR": "€",
}
_GSM_LACKS = r"""[^@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&'()*+,./0-9:;<=>?¡A-ZÄÖÑÜ§¿a-zäöñüà-]"""

_PIECES = {
    # One line, without invisible characters or those that change the direction of writing.
    "flat": r'reReplaceAll "[\\s\\p{C}\\x{2028}\\x{2029}]+" " " | trimSpace',
    "gsm": " | ".join(
        [
            *(
                f"reReplaceAll {json.dumps(f'[{re.escape(signs)}]')} {json.dumps(replacement)}"
                for replacement, signs in _GSM.items()
            ),
            f'reReplaceAll {json.dumps(_GSM_LACKS)} "?"',
        ]
    ),
    # Text of which no line would be a key if it were parsed as YAML.
    "no_keys": r'reReplaceAll ": " ":\u00a0" | reReplaceAll ":(\\n|$)" ":\u00a0${1}"',
    "address": r"^https?://[\\w.~:/?#@!$&+,;=%()'\\[\\]-]{1,490}$",
    "whole": 'reReplaceAll "[(]" "%28" | reReplaceAll "[)]" "%29" | reReplaceAll "\'" "%27"',
    "unmatched": "severity|scope|tier|notify_sms|dockyard_test",
    "unshown": "alertname|product|environment|service|job|instance|severity|scope|tier|notify_sms|dockyard_test",
}


def message_files(alerts: Alerts, environment: Environment, grafana: str) -> dict[str, str]:
    """Return path → text of the templates that the receivers of one environment need.

    `grafana` is the address at which people reach Grafana.
    """
    kinds = {type(receiver).__name__.lower() for receiver in alerts.receivers_in(environment).values()}
    return {
        f"templates/{name}.tmpl": template(name, alerts, grafana)
        for name in CHANNEL_FORMATS
        if name.split("_")[0] in kinds
    }


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


def template(name: str, alerts: Alerts, grafana: str) -> str:
    """Return the content of one of Alertmanager's template files."""
    words = yaml.safe_load((FOLDER / f"words.{alerts.language}.yaml").read_text())
    format_values = {key: str(value) for key, value in asdict(CHANNEL_FORMATS[name]).items()}
    stack = {
        "kind": name,
        "timezone": alerts.timezone,
        "language": alerts.language,
        "grafana": json.dumps(grafana)[1:-1],
    }
    stack["zone"] = " UTC" if alerts.timezone == "UTC" else ""
    return _fill(f"<<{name}>>", {**words, **_PIECES, **format_values, **stack})


def _fill(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, length = match.groups()
        if length:
            return _truncate(int(length), "…" if name == "cut" else "...")
        return _fill(values[name] if name in values else (FOLDER / f"{name}.tmpl").read_text().strip(), values)

    return _PLACE.sub(value, text)


def _truncate(length: int, end: str) -> str:
    """Return the Go that truncates a line to `length` characters, with an ellipsis at the end."""
    return f'reReplaceAll "^(.{{{length - len(end)}}}).{{{len(end) + 1},}}$" "${{1}}{end}"'
