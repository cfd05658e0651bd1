"""Translations of alerts: rules/<language>/ holds their texts, in files with the same names as the rule files.

The rule files themselves hold the English texts; everything else in them is independent of the language.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache

import yaml

from settings.alert_rules import ALERT, RULES
from settings.problems import LOADER

_ANNOTATIONS = re.compile(r"^ +annotations:\n", re.MULTILINE)
_TEXT = re.compile(r"^(?P<indent> +)(?P<key>summary|description):.*\n(?:(?P=indent) .*\n)*", re.MULTILINE)
_BEFORE_A_SIGN = re.compile(r" (?=[:;?!%](?:\s|$))")


@cache
def alert_texts(language: str) -> Mapping[str, Mapping[str, str]]:
    """Return alert → its `summary` and `description` in a language; empty for English.

    The files have plain spaces before `:` and similar signs, since those are easy to type; here they become no-break
    spaces.
    """
    by_alert = {}
    for file in sorted((RULES / language).rglob("*.yml")):
        for name, texts in yaml.load(file.read_text(), LOADER).items():  # noqa: S506 - a safe one
            by_alert[name] = {key: _BEFORE_A_SIGN.sub("\u00a0", text) for key, text in texts.items()}
    return by_alert


def in_language(text: str, language: str) -> str:
    """Return a rule file's text with its alerts' summaries and descriptions translated, and nothing else changed.

    An alert without a translation (of a product's own rules, for instance) keeps its English text.
    """
    texts = alert_texts(language)

    def translate(alert: re.Match[str]) -> str:
        translation = texts.get(alert["name"])
        heading = _ANNOTATIONS.search(alert[0])
        if translation is None or heading is None:
            return alert[0]
        start = heading.end()
        return alert[0][:start] + _TEXT.sub(lambda line: _line(line, translation), alert[0][start:])

    return ALERT.sub(translate, text) if texts else text


def _line(line: re.Match[str], translation: Mapping[str, str]) -> str:
    return f"{line['indent']}{line['key']}: {json.dumps(translation[line['key']], ensure_ascii=False)}\n"
