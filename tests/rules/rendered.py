"""Messages as Alertmanager renders them, by amtool; `python -m tests.rules.rendered` writes what the tests expect."""

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.alerting.receivers import receiver_config
from components.alerting.templates import HTML, message_files
from settings.alerts import Alerts
from tests.promtools import promtools

EXPECTED = Path(__file__).parent / "messages"
GRAFANA = "https://grafana.test"
LANGUAGES = ("en", "fr")
RECEIVERS = {
    "discord": {"webhook": "a"},
    "slack": {"webhook": "a"},
    "email": {"to": ["a@example.org"], "from": "a@example.org", "smarthost": "smtp.example.org:587"},
    "sms": {"url": "a"},
    "pagerduty": {"routing_key": "a"},
    "opsgenie": {"api_key": "a"},
    "telegram": {"bot_token": "a", "chat_id": -1},
    "teams": {"webhook": "a"},
    "ntfy": {"topic": "a"},
}
BOUNDARY = "\x1e"
_AGO, _LEFT_OUT = re.compile(r"((?:Since|Depuis le) [^(\n]+) \([^)]+\)"), r"\1 (…)"
_NAMED = re.compile(r'template "dockyard\.([\w.]+)"')

Rendered = Mapping[str, str]  # `discord.title` → what it says


def alerts_in(language: str, timezone: str = "Europe/Paris") -> Alerts:
    receivers = {kind: {"type": kind, **said} for kind, said in RECEIVERS.items()}
    return Alerts.model_validate({"language": language, "timezone": timezone, "receivers": receivers})


def named() -> list[str]:
    configs = {name: receiver_config(name, receiver) for name, receiver in alerts_in("en").receivers.items()}
    return sorted(set(_NAMED.findall(json.dumps(configs).replace('\\"', '"'))))


def alert(name: str = "ServiceDown", severity: str = "critical", *, ended: str = "", **more: Any) -> dict[str, Any]:
    """Return an alert that fires since 14:05 in Paris, or that ended; `more` are labels, or whole annotations."""
    said = {
        "summary": f"{name}: backend of tumulte (staging)",
        "description": f"0 instances of backend answer Prometheus (limit: {len(name)}).",
        "runbook_url": f"{GRAFANA}/d/dockyard-runbooks/runbooks?viewPanel=panel-12#{name}",
        "dashboard_url": f"{GRAFANA}/d/dockyard-http?viewPanel=panel-3&var-product=tumulte&var-environment=staging",
        **more.pop("annotations", {}),
    }
    own = {"alertname": name, "severity": severity, "scope": "service", "product": "tumulte", "environment": "staging"}
    return {
        "status": "resolved" if ended else "firing",
        "labels": {**own, "job": "backend", **more},
        "annotations": said,
        "startsAt": "2026-03-21T13:05:00Z",
        "endsAt": ended or "0001-01-01T00:00:00Z",
    }


CASES: dict[str, list[dict[str, Any]]] = {
    "one": [alert(annotations={"summary": "backend of tumulte (staging) is down"})],
    "several": [
        alert("PostgresDown", ended="2026-03-21T14:07:09Z", service="postgres"),
        alert("ServiceFlapping", "warning", instance="tumulte-backend-1:8000"),
        alert("ServiceDown"),
        alert("DiskSpaceLow", "warning", mountpoint="/var/lib/docker", instance="host:9100"),
        alert("DiskSpaceLow", "warning", mountpoint="/", instance="host:9100"),
        alert("ScaleWebSockets", "info"),
    ],
    "recovered": [alert(ended="2026-03-21T13:09:10Z", annotations={"summary": "backend of tumulte (staging) is down"})],
    "test": [alert("DockyardTest", "warning", dockyard_test="ops", annotations={"summary": "A test of ops"})],
}


def render(
    alerts: Sequence[Mapping[str, Any]], language: str = "en", timezone: str = "Europe/Paris", only: Sequence[str] = ()
) -> Rendered:
    """Return what every template (or `only` some) makes of a group of alerts."""
    names = only or named()
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "templates").mkdir()
        for path, text in message_files(alerts_in(language, timezone), "staging", GRAFANA).items():
            (folder / path).write_text(text)
        (folder / "data.json").write_text(json.dumps(_data(alerts)))
        for kind in ("text", "html"):
            chosen = [name for name in names if (name in HTML) == (kind == "html")]
            if chosen:
                parts = _amtool(
                    folder, kind, BOUNDARY.join(f'{{{{ template "dockyard.{name}" . }}}}' for name in chosen)
                )
                found |= dict(zip(chosen, parts.split(BOUNDARY), strict=True))
    return found


def _data(alerts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    common = set(alerts[0]["labels"].items())
    for one in alerts:
        common &= set(one["labels"].items())
    status = "firing" if any(one["status"] == "firing" for one in alerts) else "resolved"
    return {"receiver": "ops", "status": status, "alerts": list(alerts), "commonLabels": dict(common)}


def _amtool(folder: Path, kind: str, text: str) -> str:
    command = [promtools() / "amtool", "template", "render", f"--template.glob={folder}/templates/*.tmpl"]
    command += [f"--template.type={kind}", f"--template.data={folder}/data.json", f"--template.text={text}"]
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def page(said: Rendered) -> str:
    """Return all that is said on one page; how long an alert fires by now is left out."""
    return "".join(f"──── {name}\n{_AGO.sub(_LEFT_OUT, text)}\n" for name, text in sorted(said.items()))


if __name__ == "__main__":
    for language in LANGUAGES:
        for case, alerts in CASES.items():
            (EXPECTED / f"{case}.{language}.txt").write_text(page(render(alerts, language)))
