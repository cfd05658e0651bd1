"""Alerts speak French where a stack does: all of them, of the same figures, and English stays as it is."""

import re
from pathlib import Path

import pytest
import yaml

from program.rules import RuleRenderer, alert_texts
from settings.alert_rules import RULES, AlertOverride, thresholds
from tests.support.shipped_rules import ALL_FILES, alerts_in, rules_in

FRENCH = alert_texts("fr")
EXPRESSION = re.compile(r"\{\{.*?\}\}")
SMS = 160  # characters of a text message, which says the summary and little else


def place(path: Path) -> str:
    return str(path.relative_to(RULES))


ENGLISH = {name: rule["annotations"] for path in ALL_FILES for name, rule in alerts_in(path.read_text()).items()}


def expressions(text: str) -> list[str]:
    """Return what a template asks for, without the words that it has in quotes."""
    return sorted(re.sub(r'"[^"%]*"', '""', found) for found in EXPRESSION.findall(text))


@pytest.mark.parametrize("path", ALL_FILES, ids=place)
def test_every_alert_of_a_file_has_its_french_text_in_the_file_of_the_same_name_and_in_the_same_order(path: Path):
    french = yaml.safe_load((RULES / "fr" / place(path)).read_text())
    assert list(french) == list(thresholds(path.read_text()))
    assert all(said.keys() == {"summary", "description"} for said in french.values())


@pytest.mark.parametrize("name", sorted(ENGLISH))
def test_french_says_the_same_figures_and_labels_in_other_words(name: str):
    for key in ("summary", "description"):
        english, french = ENGLISH[name][key], FRENCH[name][key]
        assert expressions(french) == expressions(english), key
        assert EXPRESSION.sub("", french) != EXPRESSION.sub("", english), key


@pytest.mark.parametrize("name", sorted(ENGLISH))
def test_french_is_set_as_french_in_one_line_and_its_summary_fits_into_a_text_message(name: str):
    for text in FRENCH[name].values():
        words = EXPRESSION.sub("x", text)
        assert "\n" not in text
        assert "  " not in text
        assert not re.search(r"[^\u00a0](?:[;?!]|:(?=\s|$))", words), f"{text}: a no-break space stands before : ; ? !"
        assert not re.search(r"\d %", words), f"{text}: a no-break space stands before %"
    assert FRENCH[name]["description"].endswith((".", "?"))
    assert not FRENCH[name]["summary"].endswith(".")
    # Labels of usual length: love-parser (production), then a job, a queue, a host name.
    summary = FRENCH[name]["summary"].replace("$externalLabels", "$labels")
    summary = summary.replace("{{ $labels.product }} ({{ $labels.environment }})", "love-parser (production)")
    assert len(EXPRESSION.sub("x" * 24, summary)) <= SMS


@pytest.mark.parametrize("path", ALL_FILES, ids=place)
def test_only_what_people_read_changes_with_the_language(path: Path):
    text = RuleRenderer().render(path.read_text())
    french = RuleRenderer(language="fr").render(path.read_text())
    for name, rule in alerts_in(french).items():
        limit = thresholds(path.read_text())[name] or ""
        texts = {key: said.replace("$threshold", limit) for key, said in FRENCH[name].items()}
        assert {key: rule["annotations"][key] for key in texts} == texts
    without_texts = [
        [{**rule, "annotations": {**rule.get("annotations", {}), "summary": "", "description": ""}} for rule in rules]
        for rules in (rules_in(french), rules_in(text))
    ]
    assert without_texts[0] == without_texts[1]
    assert re.findall(r"^ *#.*$", french, re.MULTILINE) == re.findall(r"^ *#.*$", text, re.MULTILINE)


def test_an_alert_without_a_french_text_keeps_its_own():
    text = (RULES / "host.yml").read_text().replace("- alert: HostDown\n", "- alert: OurOwn\n")
    kept = ENGLISH["HostDown"]["summary"]
    assert alerts_in(RuleRenderer(language="fr").render(text))["OurOwn"]["annotations"]["summary"] == kept


@pytest.mark.parametrize("path", ALL_FILES, ids=place)
def test_a_changed_threshold_stands_in_the_french_text_too(path: Path):
    declared = thresholds(path.read_text())
    changes = {name: AlertOverride(threshold=1234.5) for name in declared}
    for name, rule in alerts_in(RuleRenderer(changes, "fr").render(path.read_text())).items():
        assert ("{{ 1234.5 " in rule["annotations"]["description"]) == (declared[name] is not None)
