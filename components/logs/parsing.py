"""Parsing of log lines in the collector: level, message, trace ids, and whether it is a slow query or a request.

The results are stored beside the line, as VictoriaLogs' fields or Loki's structured metadata; the line is unchanged
apart from redaction. The statements are those of the collector's transform processor (OTTL).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.logs.redaction import HINT_WORDS, NAMED_SECRETS, redactions

LEVELS: Mapping[str, tuple[Sequence[str], int]] = {
    "trace": (("trace", "trc", "verbose", "silly", "finest"), 10),
    "debug": (("debug", "dbg", "debug1", "debug2", "debug3", "debug4", "debug5", "fine"), 20),
    "info": (("info", "inf", "information", "notice", "log", "detail", "hint", "statement", "context"), 30),
    "warn": (("warn", "wrn", "warning"), 40),
    "error": (("error", "err", "severe"), 50),
    "fatal": (("fatal", "critical", "crit", "alert", "emerg", "emergency", "panic", "dpanic"), 60),
}
"""Level → its names (Winston, Python, Go, Java, syslog, nginx, Postgres), and its number in Pino (also Fastify and
AdonisJS)."""

MAX_FIELD_BYTES = 1024
"""Maximum length, in bytes, of a field beside the line."""

LEVEL_FIELDS = ("severity", "lvl", "levelname", "log.level", "loglevel", "@level")
"""Keys of the level in JSON lines, besides `level`."""

MESSAGE_FIELDS = ("msg", "message", "@message", "event")
TRACE_FIELDS = ("trace_id", "traceId", "traceID", "trace.id", "otelTraceID", "dd.trace_id")
SPAN_FIELDS = ("span_id", "spanId", "spanID", "span.id", "otelSpanID")
REQUEST_FIELDS = ("request_id", "requestId", "reqId", "x-request-id", "correlation_id", "correlationId")

LEVEL_WORDS = "TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL"
SYSLOG_LEVELS = "debug|info|notice|warn|error|crit|alert|emerg"

PLAIN_LEVELS = (
    # Postgres: time, process, and the rest of log_line_prefix.
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S* \S+ \[\d+\][^\n]{0,200}? ?"
    r"(?P<level>DEBUG\d|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|STATEMENT|CONTEXT):  ",
    # logfmt.
    r"(?:^|\s)(?:level|lvl|severity)=\"?(?P<level>\w+)",
    # nginx and Apache; then Python, Java, …: an upper-case word among the first ones.
    rf"^[^\n]{{0,40}}\[(?:\w+:)?(?P<level>{SYSLOG_LEVELS})\]",
    rf"^(?:\S+\s+){{0,4}}?\[?(?P<level>{LEVEL_WORDS})\]?(?:[\s:,]|$)",
)
"""Patterns of the level in lines that are not JSON; the first match counts."""

FATAL_LINES = r"^(?:panic: |fatal error: |FATAL ERROR: |thread '[^']*' panicked)"
ERROR_LINES = r"^Traceback \(most recent call last\)|^Exception in thread |\n\s+at \S"

TRACE_IDS = (
    r"(?:^|\s)(?:trace_?[iI][dD]|trace\.id)=\"?(?P<id>[0-9A-Za-z-]+)",
    # The W3C header `traceparent`.
    r"\b00-(?P<id>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}\b",
)

SLOW_QUERY = r"(?:^|\s)duration: (?P<ms>\d+(?:\.\d+)?) ms  ?(?:statement|execute|parse|bind|fastpath)\b"
"""Postgres' line about a statement that took longer than log_min_duration_statement."""


LEVEL_STATEMENTS = [
    'set(log.attributes["level"], "unknown")',
    'set(log.attributes["level"], log.severity_text) where log.severity_text != ""',
]


def statements(own_redactions: Sequence[str] = (), *, level: bool = False) -> list[dict[str, Any]]:
    """Return the groups of statements for each line. Redaction comes first, before any field is extracted.

    With `level` each line gets a field of that name: one of LEVELS, or `unknown`.
    """
    return [
        # Loki would store the time of reading beside each line, and a line that is sent twice would become two lines.
        {"statements": ["set(log.observed_time_unix_nano, 0)"]},
        {"statements": [_replace(*redaction) for redaction in redactions(own_redactions)]},
        {
            "conditions": [f"IsMatch(log.body, {_text(HINT_WORDS)})"],
            "statements": [_replace(*redaction) for redaction in NAMED_SECRETS],
        },
        {"conditions": ['HasPrefix(log.body, "{")'], "statements": [*_json(), *_access(), *_numbers()]},
        {"conditions": ['not HasPrefix(log.body, "{")'], "statements": [*_plain(), *_numbers()]},
        *([{"statements": LEVEL_STATEMENTS}] if level else []),
        {"statements": [f"truncate_all(log.attributes, {MAX_FIELD_BYTES})"]},
    ]


def _json() -> Iterable[str]:
    """Yield the statements for a line that is a JSON object, as Pino, Winston, zap, … write it."""
    level = 'log.cache["level"]'
    yield "set(log.cache, ParseJSON(log.body))"
    for name in LEVEL_FIELDS:
        source = f"log.cache[{_text(name)}]"
        yield f"set({level}, {source}) where {level} == nil and {source} != nil"
    yield f'set({level}, ConvertCase({level}, "lower")) where IsString({level})'
    yield f"set({level}, Int({level})) where IsDouble({level})"
    yield f"set(log.severity_text, ParseSeverity({level}, {_level_map()}))"
    for attribute, names in (
        ("message", MESSAGE_FIELDS),
        ("trace_id", TRACE_FIELDS),
        ("span_id", SPAN_FIELDS),
        ("request_id", REQUEST_FIELDS),
    ):
        for name in names:
            source, target = f"log.cache[{_text(name)}]", f"log.attributes[{_text(attribute)}]"
            yield f'set({target}, {source}) where {target} == nil and IsString({source}) and {source} != ""'
    # The W3C header, where a line has no other trace id.
    trace_id, header = 'log.attributes["trace_id"]', 'log.cache["traceparent"]'
    parts = "^[0-9a-f]{2}-(?P<id>[0-9a-f]{32})-"
    yield _extract(trace_id, header, parts, "id", f"{trace_id} == nil and IsString({header})")


def _access() -> Iterable[str]:
    """Yield the statements for Traefik's access log; query strings are removed, since they may contain secrets."""
    status, duration = 'log.cache["DownstreamStatus"]', 'log.cache["Duration"]'
    where_access = f'where IsDouble({status}) and IsString(log.cache["RequestMethod"])'
    yield f'set(log.attributes["kind"], "access") {where_access}'
    yield f'set(log.attributes["method"], log.cache["RequestMethod"]) {where_access}'
    yield f'set(log.attributes["status"], Int({status})) {where_access}'
    yield f'set(log.attributes["duration_ms"], {duration} / 1000000) {where_access} and IsDouble({duration})'
    yield f'set(log.attributes["router"], log.cache["RouterName"]) {where_access} and IsString(log.cache["RouterName"])'
    yield f'set(log.severity_text, "error") {where_access} and {status} >= 500'
    yield _replace(r'("Request(?:Path|Line)":"[^"?\\]*)\?[^" ]*', "$1")


def _plain() -> Iterable[str]:
    """Yield the statements for a line of plain text."""
    for pattern in PLAIN_LEVELS:
        yield _extract('log.cache["level"]', "log.body", pattern, "level", 'log.cache["level"] == nil')
    level = 'ConvertCase(log.cache["level"], "lower")'
    yield f'set(log.severity_text, ParseSeverity({level}, {_level_map()})) where log.cache["level"] != nil'
    yield f'set(log.severity_text, "fatal") where IsMatch(log.body, {_text(FATAL_LINES)})'
    unset = 'where log.severity_text == ""'
    yield f'set(log.severity_text, "error") {unset} and IsMatch(log.body, {_text(ERROR_LINES)})'
    slow = f"IsMatch(log.body, {_text(SLOW_QUERY)})"
    milliseconds = f'Double(ExtractPatterns(log.body, {_text(SLOW_QUERY)})["ms"])'
    yield f'set(log.attributes["duration_ms"], {milliseconds}) where {slow}'
    yield f'set(log.attributes["kind"], "slow_query") where {slow}'
    yield f'set(log.severity_text, "warn") where {slow}'
    trace = 'log.attributes["trace_id"]'
    for pattern in TRACE_IDS:
        yield _extract(trace, "log.body", pattern, "id", f"{trace} == nil")


def _numbers() -> Iterable[str]:
    """Yield the statements that set OpenTelemetry's severity number, from which Loki derives the level."""
    for level in LEVELS:
        yield f'set(log.severity_number, SEVERITY_NUMBER_{level.upper()}) where log.severity_text == "{level}"'


def _level_map() -> str:
    return json.dumps(
        {
            level: [{"equals": list(words)}, {"range": {"min": number, "max": number + 9}}]
            for level, (words, number) in LEVELS.items()
        }
    )


def _extract(target: str, source: str, pattern: str, group: str, condition: str) -> str:
    regex = _text(pattern)
    return (
        f'set({target}, ExtractPatterns({source}, {regex})["{group}"]) where {condition} and IsMatch({source}, {regex})'
    )


def _replace(pattern: str, replacement: str) -> str:
    return f"replace_pattern(log.body, {_text(pattern)}, {_text(replacement)})"


def _text(text: str) -> str:
    """Return a text as an OTTL literal, which has JSON's escapes."""
    return json.dumps(text, ensure_ascii=False)
