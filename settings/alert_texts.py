"""What alerts say in other languages: rules/<language>/ holds their texts, in files named as those with the rules.

The files in rules/ say it in English; everything else of them is the same in every language.
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

    The files have plain spaces before `:` and its like, which anybody can type: here they become such as no line
    breaks at.
    """
    found = {}
    for file in sorted((RULES / language).rglob("*.yml")):
        for name, said in yaml.load(file.read_text(), LOADER).items():  # noqa: S506 - a safe one
            found[name] = {key: _BEFORE_A_SIGN.sub("\u00a0", text) for key, text in said.items()}
    return found


def in_language(text: str, language: str) -> str:
    """Return a rule file's text with its alerts' summaries and descriptions in a language, all else as it was.

    An alert that has no text in it (of a product's own rules, say) keeps its own.
    """
    texts = alert_texts(language)

    def one(alert: re.Match[str]) -> str:
        said = texts.get(alert["name"])
        found = _ANNOTATIONS.search(alert[0])
        if said is None or found is None:
            return alert[0]
        return alert[0][: found.end()] + _TEXT.sub(lambda own: _line(own, said), alert[0][found.end() :])

    return ALERT.sub(one, text) if texts else text


def _line(own: re.Match[str], said: Mapping[str, str]) -> str:
    return f"{own['indent']}{own['key']}: {json.dumps(said[own['key']], ensure_ascii=False)}\n"
