"""Messages: exactly what they say, within the limits of each channel, whole and well-formed whatever an alert says."""

import html
import re
import subprocess
from functools import cache
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from components.alerting.templates import CHANNELS, FOLDER, message_files, render_channels, render_check_command
from settings.alerts import Alerts
from tests.promtools import promtools
from tests.rules.rendered import (
    CASES,
    EXPECTED,
    GRAFANA,
    LANGUAGES,
    RECEIVERS,
    Rendered,
    alert,
    alerts_in,
    named,
    page,
    render,
)

LIMITS = {
    # Of the channels' own documents, which components/alerting/templates/*.tmpl.j2 names; in characters.
    **{"discord.title": 256, "discord.message": 4096, "slack.title": 1024, "slack.fallback": 1024, "slack.text": 4000},
    **{"sms.text": 160, "telegram.message": 4096, "pagerduty.description": 1024, "email.subject": 150},
    **{"opsgenie.message": 130, "opsgenie.description": 15_000},
}
BYTES = {
    "ntfy.message": 4096,
    # Of 28 KB; the rest is for the card around it and for what JSON makes longer.
    "teams.text": 14_000,
    # 512 KB for the whole event.
    "pagerduty.details": 100_000,
    # Of 102 KB that Gmail shows.
    "email.html": 100_000,
}
TEXTS = ("discord.message", "slack.text", "teams.text", "telegram.message", "ntfy.message", "pagerduty.details")
TEXTS += ("opsgenie.description", "email.text", "email.html")
GSM_7 = set("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿")
GSM_7 |= set("abcdefghijklmnopqrstuvwxyzäöñüà")

MARKUP = '<b>bold</b> & "it\'s" `*_~|[evil](http://evil.example)<http://evil.example|evil> {{ .X }} \\ </p><!-- ]]>'
HOSTILE = {
    "markup": MARKUP,
    "lines": "# heading\n> quote\n- item\n\n```\ncode\r\n\tCRITICAL: a\u202eb\u2028c\x07",
    "long": "Ein Satz, der nicht enden will. " * 400,
    "long markup": MARKUP * 60,
    "quotes": '"' * 3000,
    "brackets": "[(<" * 1500,
    "wide": "漢字🧪ê€" * 800,
    "one word": "x" * 9000,
    "empty": "",
}


def hostile(text: str) -> list[dict[str, object]]:
    links = {"runbook_url": f"https://r.test/{text}", "dashboard_url": f"javascript:{text}"}
    said = {"summary": text, "description": text, **links}
    one = alert(text[:200] or "NoText", instance=text, service=text, mountpoint=text, annotations=said)
    other = alert("Other", "warning", device=text, annotations={"summary": text, "description": text})
    return [one, other, alert("Past", ended="2026-03-21T13:06:00Z", instance=text)]


@cache
def alerts_of(case: str) -> list[dict[str, object]]:
    """Return those of CASES, a flood, or those that say one of HOSTILE, alone (`1 …`) or with others (`3 …`)."""
    if case in CASES:
        return CASES[case]
    if case == "flood":
        severities = ("info", "warning", "critical")
        return [alert(f"Alert{at % 9}", severities[at % 3], instance=f"host-{at}:9100") for at in range(10_000)]
    number, name = case.split(" ", 1)
    return hostile(HOSTILE[name])[: int(number)]


@cache
def rendered(case: str, language: str) -> Rendered:
    return render(alerts_of(case), language)


PLAIN = [(case, language) for case in CASES for language in LANGUAGES]
# In the language whose words are longer.
ODD = [(case, "fr") for case in ("flood", *(f"{number} {name}" for number in (1, 3) for name in HOSTILE))]
plain_case = pytest.mark.parametrize(("case", "language"), PLAIN)
every_case = pytest.mark.parametrize(("case", "language"), PLAIN + ODD)
FIRES, PAST = r"(?:Since|Depuis le) \d", r"(?:Lasted|A duré) \d"


class TestTheTexts:
    @plain_case
    def test_each_message_says_exactly_what_is_expected(self, case, language):
        """After a change of words: `python -m tests.rules.rendered`, and read what it changed."""
        assert page(rendered(case, language)) == (EXPECTED / f"{case}.{language}.txt").read_text()

    def test_every_template_that_a_receiver_names_is_there_and_no_other(self):
        files = render_channels(CHANNELS, alerts_in("en"), GRAFANA)
        assert set(re.findall(r'define "dockyard\.([\w.]+)"', "".join(files.values()))) == set(named())

    def test_they_are_rehearsed_before_they_are_used(self, tmp_path):
        """In the image that will send them: what cannot be rendered there is found when it is deployed."""
        for timezone, good in (("Europe/Paris", True), ("Mars/Phobos", False)):
            files = message_files(alerts_in("en").model_copy(update={"timezone": timezone}), "staging", GRAFANA)
            for path, text in files.items():
                (tmp_path / path).parent.mkdir(exist_ok=True)
                (tmp_path / path).write_text(text)
            command, path = ["sh", "-c", render_check_command(files)], f"{promtools()}:/usr/bin:/bin"
            ran = subprocess.run(command, cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True, check=False)
            assert (ran.returncode == 0) == good, ran.stderr
            assert good or "unknown time zone Mars/Phobos" in ran.stderr

    def test_only_the_templates_of_receivers_of_the_environment_are_there(self):
        two = {"mail": {"type": "email", "environments": ["staging"], **RECEIVERS["email"]}}
        two["chat"] = {"type": "discord", "environments": ["production"], **RECEIVERS["discord"]}
        alerts = Alerts.model_validate({"receivers": two})
        assert set(message_files(alerts, "staging", GRAFANA)) == {"templates/email.tmpl", "templates/email_html.tmpl"}
        assert set(message_files(alerts, "production", GRAFANA)) == {"templates/discord.tmpl"}

    def test_without_receivers_there_is_nothing_to_rehearse(self):
        assert message_files(Alerts(), "staging", GRAFANA) == {} and render_check_command({}) == "true"

    def test_both_languages_have_the_same_words_with_the_same_blanks(self):
        words = {lang: yaml.safe_load((FOLDER / f"words.{lang}.yaml").read_text()) for lang in LANGUAGES}
        blanks = {
            lang: {key: re.findall(r"%\w", text) for key, text in found.items() if key not in ("clock", "duration")}
            for lang, found in words.items()
        }
        assert blanks["en"] == blanks["fr"]
        pieces = "".join(file.read_text() for file in FOLDER.glob("*.j2"))
        assert {key for key in words["en"] if f"<<{key}>>" not in pieces} == set()

    @pytest.mark.parametrize(
        ("timezone", "language", "expected"),
        [
            ("UTC", "en", "Since 21 Mar 13:05 UTC ("),
            ("Europe/Paris", "en", "Since 21 Mar 14:05 ("),
            ("Asia/Kolkata", "fr", "Depuis le 21 mars à 18\u00a0h\u00a035 ("),
        ],
    )
    def test_times_are_those_of_the_timezone(self, timezone, language, expected):
        assert expected in render(CASES["one"], language, timezone, ["discord.message"])["discord.message"]

    @pytest.mark.parametrize(
        ("end", "english", "french"),
        [
            ("2026-03-21T13:05:00.4Z", "400ms", "400\u00a0ms"),
            ("2026-03-21T13:05:42Z", "42s", "42\u00a0s"),
            ("2026-03-21T13:10:00Z", "5m", "5\u00a0min"),
            ("2026-03-21T15:06:07Z", "2h 1m", "2\u00a0h 1\u00a0min"),
            ("2026-03-24T13:05:00Z", "3d 0h 0m", "3\u00a0j 0\u00a0h 0\u00a0min"),
            ("2026-04-01T11:00:00Z", "10d 21h 55m", "10\u00a0j 21\u00a0h 55\u00a0min"),
        ],
    )
    def test_a_recovery_says_how_long_it_lasted(self, end, english, french):
        gone = [alert(ended=end)]
        assert f"Lasted {english}, from" in render(gone, "en", only=["discord.message"])["discord.message"]
        said = render(gone, "fr", only=["discord.message"])["discord.message"]
        assert f"A duré {french}, du 21 mars" in said
        if "-04-01" in end:
            assert "au 1er avr. à 13\u00a0h\u00a000" in said


class TestNothingIsLost:
    @every_case
    def test_a_text_tells_how_many_alerts_it_is_about(self, case, language):
        alerts = alerts_of(case)
        firing = sum(one["status"] == "firing" for one in alerts)
        ended = len(alerts) - firing
        for name in (*TEXTS, "sms.text"):
            said = rendered(case, language)[name]
            if firing:
                assert re.search(rf"\b{firing} alert\w* (firing|en cours)", said), name
            if ended:
                assert re.search(rf"\b{ended} (alert\w* )?(recovered|résolues?)", said), name

    @every_case
    def test_what_is_not_told_in_full_is_counted_and_linked(self, case, language):
        alerts = alerts_of(case)
        for name in TEXTS:
            said = rendered(case, language)[name]
            told = len(re.findall(f"{FIRES}|{PAST}", said))
            more = re.search(r"… (?:and|et) (\d+) (?:more|de plus)", said)
            assert told + (int(more[1]) if more else 0) == len(alerts), name
            if len(alerts) > 1:
                assert f"{GRAFANA}/d/dockyard-alerts" in said, name


class TestLimits:
    @every_case
    def test_a_message_fits_its_channel(self, case, language):
        said = rendered(case, language)
        for name, limit in LIMITS.items():
            assert 0 < len(said[name]) <= limit, name
        for name, limit in BYTES.items():
            assert 0 < len(said[name].encode()) <= limit, name

    @every_case
    def test_an_sms_is_one_message_of_the_alphabet_of_mobile_phones(self, case, language):
        assert set(rendered(case, language)["sms.text"]) <= GSM_7

    @every_case
    def test_titles_are_one_line(self, case, language):
        lines = ("title", "subject", "fallback", "color", "click", "priority", "tag", "severity", "runbook", "silence")
        for name, text in rendered(case, language).items():
            if name.endswith(lines) or name in ("pagerduty.description", "opsgenie.message", "sms.text"):
                assert "\n" not in text and text == text.strip(), name


class TestWholeness:
    @every_case
    @pytest.mark.parametrize("name", ["telegram.message", "email.html"])
    def test_html_is_well_formed_and_has_only_our_own_tags(self, case, language, name):
        page = Page(rendered(case, language)[name])
        ours = {"b", "a"} if name.startswith("telegram") else {"html", "head", "body", "div", "h1", "p", "b", "a"}
        assert page.open == [] and page.tags <= ours

    @every_case
    def test_every_link_is_whole_and_leads_where_it_should(self, case, language):
        said = rendered(case, language)
        found = {name: links(name, said[name]) for name in TEXTS}
        for name, addresses in found.items():
            told = len(re.findall(FIRES, said[name]))
            buttons = name == "ntfy.message" and len(alerts_of(case)) == 1
            short = any(part in case for part in ("quotes", "brackets", "wide", "long", "one word"))
            silences = [one for one in addresses if "/alerting/silence/new?" in one]
            assert buttons or short or len(silences) == told, name
            for address in addresses:
                assert address.startswith((GRAFANA, "https://r.test/")), (name, address)
            for silence in silences:
                _is_of_an_alert(silence, case)

    def test_an_address_that_would_end_a_link_is_left_out(self):
        odd = {"runbook_url": "https://x.test/a b)](http://evil)", "dashboard_url": "javascript:alert(1)"}
        said = render([alert(annotations=odd)], only=TEXTS)
        assert all("evil" not in text and "javascript" not in text for text in said.values())
        parens = render([alert(annotations={"runbook_url": "https://x.test/wiki/A_(b)"})], only=["discord.message"])
        assert "[Runbook](https://x.test/wiki/A_%28b%29)" in parens["discord.message"]

    def test_a_silence_has_a_matcher_for_each_label_that_tells_the_alert_from_others(self):
        one = alert("DiskSpaceLow", "warning", mountpoint="/a b&c=d", device="~x", empty="", tier="infra")
        (silence,) = (link for link in links("slack.text", render([one])["slack.text"]) if "/silence/new" in link)
        assert parse_qsl(urlsplit(silence).query) == [
            ("alertmanager", "Alertmanager"),
            ("matcher", "alertname=DiskSpaceLow"),
            ("matcher", "environment=staging"),
            ("matcher", "job=backend"),
            ("matcher", "mountpoint=/a b&c=d"),
            ("matcher", "product=tumulte"),
        ]

    def test_markup_of_an_alert_is_shown_as_it_is(self):
        said = rendered("1 markup", "fr")
        flat = " ".join(MARKUP.split())
        for name in ("pagerduty.details", "opsgenie.description", "email.text", "ntfy.message"):
            assert flat in said[name], name
        for name in ("telegram.message", "email.html", "slack.text"):
            assert flat in html.unescape(said[name]), name
        for name in ("discord.message", "teams.text"):
            assert flat in re.sub(r"\\([^0-9A-Za-z\s])", r"\1", said[name]), name
            assert not re.search(r"(?<!\\)\[evil", said[name]), name


class Page(HTMLParser):
    """Reads HTML: which tags it has, and which are not closed or closed wrongly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("meta", "br"):
            return
        self.open.append(tag)
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> after {self.open}"
        self.open.pop()


def links(name: str, text: str) -> list[str]:
    """Return where the links of a text lead, read as the channel reads them."""
    if name in ("telegram.message", "email.html"):
        return Page(text).links
    if name in ("discord.message", "teams.text"):
        return re.findall(r"(?<!\\)\[[^\]\\]+\]\(([^)\s]*)\)", text)
    if name == "slack.text":
        return [html.unescape(link) for link in re.findall(r"<([^|>]*)\|[^>]+>", text)]
    words = "Runbook|Dashboard|Silence|All alerts|Procédure|Tableau de bord|Mettre en silence|Toutes les alertes"
    return re.findall(rf"^(?:.*· )?(?:{words})\u00a0?:[ \u00a0](\S*)$", text, re.MULTILINE)


def _is_of_an_alert(silence: str, case: str) -> None:
    query = parse_qsl(urlsplit(silence).query, strict_parsing=True)
    assert query[0] == ("alertmanager", "Alertmanager")
    wanted = dict(value.split("=", 1) for name, value in query[1:] if name == "matcher")
    assert len(wanted) == len(query) - 1 >= 2
    assert any(wanted.items() <= one["labels"].items() for one in alerts_of(case)), wanted  # type: ignore[attr-defined] # labels are a dict
